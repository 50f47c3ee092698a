"""Execute the notebooks on the newest runs of the tracking store and keep their outputs in them: ``make notebooks``."""

import re
from pathlib import Path

import nbclient
import nbformat
from tqdm import tqdm

from tools.mlproject import ROOT

FOLDER = ROOT / "notebooks"
MOST = 600_000  # bytes of a notebook
_PATH = re.compile(r"(?:/[\w.+-]+){3,}/?")


def execute(path: Path) -> nbformat.NotebookNode:
    """A notebook with fresh outputs, without what progress bars and warnings wrote and when it ran.

    Raises:
        ValueError: If an output names a path of this machine, or all of it is too large to be committed.
    """
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(ROOT)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"]}
    found = paths(notebook)
    size = len(nbformat.writes(notebook).encode())
    if found or size > MOST:
        raise ValueError(f"expected at most {MOST} bytes and no path of this machine, got {size} and {sorted(found)}")
    return notebook


def paths(notebook: nbformat.NotebookNode) -> set[str]:
    """Absolute paths in the texts of its outputs."""
    texts = [
        text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        for kind, text in {"text": output.get("text", ""), **output.get("data", {})}.items()
        if kind.startswith("text") and "data:audio" not in text
    ]
    return {found for text in texts for found in _PATH.findall(text)}


def main() -> None:
    """Renew every notebook."""
    for path in tqdm(sorted(FOLDER.glob("*.ipynb")), unit="notebook"):
        nbformat.write(execute(path), path)


if __name__ == "__main__":
    main()
