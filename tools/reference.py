"""Pages that the documentation takes from the code: the stages and their parameters, and the API room by room."""

import argparse
import ast
from pathlib import Path

import mkdocs_gen_files

from tools.mlproject import ROOT, STAGES, parameters

ROOMS = (
    "workspace",
    "results",
    "tags",
    "audio",
    "listening",
    "captions",
    "probing",
    "publishing",
    "sweeps",
    "tracking",
)


def stage_page() -> str:
    """Every stage: what it does, and a table of its parameters."""
    parts = [
        "# Stages\n\nEach is an entry point of `MLproject`: `mlflow run . --env-manager uv -e <stage> -P name=value`.\n"
    ]
    for stage in STAGES:
        tree = ast.parse((ROOT / "entrypoints" / f"{stage}.py").read_text(encoding="utf-8"))
        rows = "\n".join(map(_row, parameters(stage)))
        parts.append(
            f"## {stage}\n\n{ast.get_docstring(tree)}\n\n| parameter | default | meaning |\n|---|---|---|\n{rows}\n"
        )
    return "\n".join(parts)


def _row(action: argparse.Action) -> str:
    default = "required" if action.required else f"`{action.default}`"
    choices = f" One of {', '.join(f'`{choice}`' for choice in action.choices)}." if action.choices else ""
    meaning = (action.help or "").replace("|", "\\|")
    return f"| `{action.dest}` | {default} | {meaning}.{choices} |"


def room_page(name: str, folder: Path) -> str:
    """The modules of a folder, for mkdocstrings."""
    modules = sorted(path.relative_to(ROOT).with_suffix("").parts for path in folder.rglob("[a-z]*.py"))
    return f"# {name}\n\n" + "\n".join(f"::: {'.'.join(module)}\n" for module in modules)


pages = {"stages": stage_page()} | {room: room_page(room, ROOT / "conceptcaps" / room) for room in ROOMS}
for name, text in pages.items():
    with mkdocs_gen_files.open(f"reference/{name}.md", "w") as file:
        file.write(text)
