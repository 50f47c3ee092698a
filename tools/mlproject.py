"""Write ``MLproject``, and README's list of stages, from the stages: ``make mlproject``."""

import argparse
import ast
import importlib
import re
import textwrap
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
STAGES = sorted(path.stem for path in (ROOT / "entrypoints").glob("[a-z]*.py"))
_HEAD = """\
# Written from the parsers of entrypoints/ by `make mlproject`; a test holds them equal.
name: ConceptCaps

python_env: python_env.yaml

entry_points:
"""


def parameters(stage: str) -> list[argparse.Action]:
    """What a stage's parser takes, in its order."""
    parser: argparse.ArgumentParser = importlib.import_module(f"entrypoints.{stage}").command_line()
    return [action for action in parser._actions if action.dest != "help"]


def entry_point(stage: str) -> str:
    """The stage's block of ``MLproject``."""
    actions = parameters(stage)
    lines = [f"  {stage}:", "    parameters:" if actions else "    parameters: {}"]
    for action in actions:
        kind = "float" if action.type in {int, float} else "string"
        default = "" if action.required else f", default: {_scalar(action.default)}"
        lines.append(f"      {action.dest}: {{type: {kind}{default}}}")
    flags = " ".join(f"{action.option_strings[0]} {{{action.dest}}}" for action in actions)
    lines += ["    command: >-", f"      python -m entrypoints.{stage}"]
    lines += textwrap.wrap(flags, 110, initial_indent=" " * 6, subsequent_indent=" " * 6, break_on_hyphens=False)
    return "\n".join(lines) + "\n"


def _scalar(value: object) -> str:
    return yaml.safe_dump([value], default_flow_style=True, width=1000).strip()[1:-1]


def mlproject() -> str:
    """The whole file; ``main`` and ``paper`` first."""
    order = ["main", "paper", *(stage for stage in STAGES if stage not in {"main", "paper"})]
    return _HEAD + "\n".join(map(entry_point, order))


def summary(stage: str) -> str:
    """First line of what a stage says of itself."""
    tree = ast.parse((ROOT / "entrypoints" / f"{stage}.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").splitlines()[0].replace("``", "`")


def readme(text: str) -> str:
    """README with its list of stages renewed: known ones in their order, new ones behind them."""
    row = re.compile(r"^- `(\w+)`: .*\n", flags=re.MULTILINE)
    known = [stage for stage in row.findall(text) if stage in STAGES]
    rows = "".join(f"- `{stage}`: {summary(stage)}\n" for stage in dict.fromkeys([*known, *STAGES]))
    head, _ = text.split(row.search(text)[0], 1)  # type: ignore[index]
    return head + rows + row.sub("", text[len(head) :])


if __name__ == "__main__":
    (ROOT / "README.md").write_text(readme((ROOT / "README.md").read_text(encoding="utf-8")), encoding="utf-8")
    (ROOT / "MLproject").write_text(mlproject(), encoding="utf-8")
