"""The layers of the project, read from the syntax trees."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = sorted((ROOT / "conceptcaps").rglob("*.py"))
STAGES = sorted((ROOT / "entrypoints").glob("*.py"))
GROUND = {"workspace", "results"}
ALLOWED = {
    "workspace": set(),
    "results": set(),
    "sweeps": GROUND,
    "tracking": GROUND,
    "tags": GROUND,
    "audio": GROUND | {"tags"},
    "listening": GROUND | {"tags", "audio"},
    "captions": GROUND | {"tags", "audio"},
    "probing": GROUND | {"tags", "audio", "listening", "captions"},
    "publishing": GROUND | {"tags", "audio", "listening", "captions", "probing"},
}  # rooms, and those on lower floors; the errors at the door are open to all
DOOR = {"errors": set(), "diagnosis": GROUND}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at any depth of its code, with the names taken from packages."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*LIBRARY, *STAGES], ids=ids)
def test_only_tracking_imports_mlflow(path):
    mlflow = {name for name in imports(path) if name.split(".")[0] == "mlflow"}
    assert not mlflow or "tracking" in path.parts


@pytest.mark.parametrize("path", LIBRARY, ids=ids)
def test_library_knows_neither_stages_nor_tracking_nor_command_lines(path):
    found = imports(path)
    assert not {name for name in found if name.startswith("entrypoints")}
    assert "argparse" not in found
    if "tracking" not in path.parts:
        assert "conceptcaps.tracking" not in found


def room(name: str) -> str | None:
    """The room of a module's dotted name, or the file at the door; None for other packages."""
    parts = name.split(".")
    return parts[1] if parts[0] == "conceptcaps" and len(parts) > 1 else None


@pytest.mark.parametrize("path", LIBRARY, ids=ids)
def test_a_room_imports_lower_floors_only(path):
    own = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
    if own != "__init__":
        found = {room(name) for name in imports(path)} - {None, own}
        assert found <= (ALLOWED | DOOR)[own] | {"errors"}


@pytest.mark.parametrize("path", LIBRARY, ids=ids)
def test_library_files_fit_a_few_screens(path):
    assert len(path.read_text().splitlines()) <= 300


def test_few_files_lie_at_the_door():
    assert {path.stem for path in (ROOT / "conceptcaps").glob("*.py")} == {"__init__", *DOOR}


@pytest.mark.parametrize("path", sorted((ROOT / "conceptcaps/audio").rglob("*.py")), ids=ids)
def test_truth_is_told_from_the_notes_and_not_by_the_composer(path):
    """Within audio: who composes and who judges do not know each other, and neither knows how it is played."""
    folder = path.relative_to(ROOT / "conceptcaps/audio").parts[0]
    others = {"composing": {"truth", "soundfont"}, "truth": {"composing", "composition", "soundfont"}}
    found = {name.split(".")[2] for name in imports(path) if name.startswith("conceptcaps.audio.")}
    assert not found & others.get(folder, set())


def test_every_folder_is_a_room_with_its_floor():
    assert {path.parent.name for path in (ROOT / "conceptcaps").glob("*/__init__.py")} == set(ALLOWED)


@pytest.mark.parametrize("path", STAGES, ids=ids)
def test_stages_are_short_and_import_no_stage_but_the_one_whose_parameters_they_share(path):
    assert len(path.read_text().splitlines()) <= 80
    shared = {"paper": "main", "sweep_vae": "train_vae", "sweep_captioner": "finetune_captioner"}.get(path.stem)
    others = {name for name in imports(path) if name.startswith("entrypoints")}
    assert others == ({"entrypoints", f"entrypoints.{shared}"} if shared else set())


@pytest.mark.parametrize("path", [*LIBRARY, *STAGES], ids=ids)
def test_no_swallowed_errors_no_pickles_no_remote_code(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            assert raises or caught not in {"everything", "Exception", "BaseException"}
        if isinstance(node, ast.keyword):
            value = ast.unparse(node.value)
            assert (node.arg, value) not in {
                ("trust_remote_code", "True"),
                ("weights_only", "False"),
                ("allow_pickle", "True"),
                ("shell", "True"),
            }
    assert not imports(path) & {"pickle", "cloudpickle", "dill", "joblib"}


@pytest.mark.parametrize(
    "path", [path for path in LIBRARY if "tracking" not in path.parts and path.name != "cache.py"], ids=ids
)
def test_library_reads_no_environment_and_prints_nothing(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node) not in {"os.environ", "os.getenv"}
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) != "print"
