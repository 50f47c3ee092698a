"""Pages of the documentation that show the notebooks with their outputs."""

import mkdocs_gen_files
import nbformat
from nbconvert import MarkdownExporter

from tools.notebooks import FOLDER

for path in sorted(FOLDER.glob("*.ipynb")):
    notebook = nbformat.read(path, as_version=4)
    text, resources = MarkdownExporter().from_notebook_node(notebook, {"output_files_dir": path.stem})
    with mkdocs_gen_files.open(f"notebooks/{path.stem}.md", "w") as page:
        page.write(text)
    for name, content in resources["outputs"].items():
        with mkdocs_gen_files.open(f"notebooks/{name}", "wb") as picture:
            picture.write(content)
