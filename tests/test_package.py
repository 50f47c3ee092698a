"""The library works where it is installed, and says why stages do not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import uv

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_an_installed_library_works_outside_of_the_checkout(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ["conceptcaps", "pyproject.toml", "requirements.in", "README.md", "LICENSE"]:
        subprocess.run(["cp", "-r", str(ROOT / name), str(source)], check=True)
    target = ["--target", str(tmp_path / "site"), "--python", sys.executable]
    flags = ["--quiet", "--no-deps", "--no-build-isolation", "--offline"]
    subprocess.run([uv.find_uv_bin(), "pip", "install", *flags, *target, str(source)], check=True)
    code = (
        "from conceptcaps.workspace import project; from conceptcaps.tags.taxonomy import Taxonomy\n"
        "from conceptcaps.publishing import licence, report\n"
        "print(len(Taxonomy.load().tags), licence.derive({'corpus': ['demo']})[0], project.PROJECT)\n"
        "project.entry_point('main')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["200", "cc-by-4.0", str(tmp_path / "site")]
    assert "expected a checkout of ConceptCaps with MLproject" in done.stderr
