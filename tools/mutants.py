"""Change one token of the code at a time and count how often a test notices: ``make mutants``.

Of each group's mutants, which mutmut writes, a sample is tried, drawn by seed, with the group's own tests. How
figures look is left out.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.mlproject import ROOT

GROUPS = {  # the files that are mutated, and the tests that should notice
    "splits": (["conceptcaps/tags/splits.py"], ["tests/tags/test_splits.py"]),
    "fidelity": (["conceptcaps/tags/fidelity.py"], ["tests/tags/test_fidelity.py"]),
    "composition": (
        ["conceptcaps/audio/composition.py", "conceptcaps/audio/composing/*.py"],
        ["tests/audio/composing", "tests/audio/test_asked_rhythms.py"],
    ),
    "verification": (["conceptcaps/listening/verification.py"], ["tests/listening/test_verification.py"]),
    "promotion": (["conceptcaps/results/promotion.py"], ["tests/results/test_promotion.py"]),
    "captions": (
        [f"conceptcaps/captions/{module}.py" for module in ("mentions", "scope", "choice", "planning")],
        [f"tests/captions/test_{module}.py" for module in ("mentions", "choice", "planning")],
    ),
}
_NOTICED = {1, 3}  # mutmut's exit codes of tests that fail; a mutant whose tests hang may be the machine's fault
_REASONS: dict[int | None, str] = {0: "survived", 33: "no test"}


def prepare(folder: Path, group: str) -> None:
    """A copy of the project that mutmut may work in, with its settings for a group."""
    files, tests = GROUPS[group]
    for name in ("conceptcaps", "entrypoints", "tests"):
        shutil.copytree(ROOT / name, folder / name)
    settings: dict[str, object] = {
        "source_paths": ["conceptcaps"],
        "only_mutate": files,
        "pytest_add_cli_args_test_selection": tests,
    }
    settings["process_isolation"] = "forkserver"  # a process that has run spaCy and is forked waits for ever
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]  # lists are the same in TOML
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (folder / "pyproject.toml").write_text("\n".join([text, "[tool.mutmut]", *lines, ""]), encoding="utf-8")


def exit_codes(folder: Path) -> dict[str, int | None]:
    """Of every mutant, by name; None for one that was not tried."""
    metas = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.meta"))]
    return {name: code for meta in metas for name, code in meta["exit_code_by_key"].items()}


def survivors(folder: Path, group: str, *, count: int, seed: int) -> tuple[int, list[str]]:
    """How many mutants were tried, and of those that no test noticed the reason and what was changed."""

    def mutmut(*words: str, check: bool = True) -> str:
        command = [sys.executable, "-m", "mutmut", *words]
        return subprocess.run(command, cwd=folder, check=check, capture_output=True, text=True).stdout

    prepare(folder, group)
    mutmut(
        "run", "none", check=False
    )  # writes all mutants, learns which tests reach which, and ends for want of a name
    names = sorted(name for name in exit_codes(folder) if "_figure__" not in name)
    names = random.Random(seed).sample(names, min(count, len(names)))
    mutmut("run", "--max-children", "1", *names)
    codes = exit_codes(folder)
    reasons = {
        name: _REASONS.get(code, f"ended with {code}") for name in names if (code := codes[name]) not in _NOTICED
    }
    return len(names), [f"{reason}: {mutmut('show', name)}" for name, reason in reasons.items()]


def main() -> None:
    """Try each group and print its survivors and its share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS), help="what to mutate")
    parser.add_argument("--count", type=int, default=60, help="mutants of each group")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    args = parser.parse_args()
    for group in args.groups:
        with tempfile.TemporaryDirectory() as folder:
            tried, alive = survivors(Path(folder), group, count=args.count, seed=args.seed)
        print(*alive, f"{group}: {tried - len(alive)} of {tried} killed", sep="\n", flush=True)


if __name__ == "__main__":
    main()
