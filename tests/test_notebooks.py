import nbformat
import pytest

from tools import notebooks

PATHS = sorted(notebooks.FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_each_stands_with_the_outputs_of_a_run_that_anyone_could_have_made(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    outputs = [output for cell in code for output in cell.outputs]
    shown = [output.get("data", {}) for output in outputs]
    assert not [
        data for data in shown if "<Figure" in data.get("text/plain", "") and not {"image/png", "image/jpeg"} & {*data}
    ]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert not notebooks.paths(notebook) and path.stat().st_size <= notebooks.MOST


def written(folder, *sources):
    path = folder / "some.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, path)
    return path


def test_outputs_are_kept_and_what_warnings_wrote_is_not(tmp_path):
    source = "import sys\nprint('a bar', file=sys.stderr)\nprint('said')\n1 + 1"
    outputs = notebooks.execute(written(tmp_path, source)).cells[0].outputs
    assert [output.get("text") or output["data"]["text/plain"] for output in outputs] == ["said\n", "2"]


@pytest.mark.parametrize("source", ["print('see /home/someone/of/ours')", "'/a/b/c/d.txt'"])
def test_a_path_of_the_machine_is_refused(tmp_path, source):
    with pytest.raises(ValueError, match=r"no path of this machine, got \d+ and"):
        notebooks.execute(written(tmp_path, source))


def test_one_too_large_is_refused(tmp_path):
    with pytest.raises(ValueError, match=f"expected at most {notebooks.MOST} bytes"):
        notebooks.execute(written(tmp_path, f"'x' * {notebooks.MOST}"))
