"""A stage leaves nothing in the temporary folder, and neither do the libraries that it imports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conceptcaps import tracking
from tests import stages

ROOT = Path(__file__).resolve().parents[2]
# What makes a folder is seen at once: one that goes with the process is left behind by a kill.
WATCH = """
import runpy
import sys

def seen(event, arguments):
    if event in ("os.mkdir", "tempfile.mkdtemp") and "wandb" in str(arguments[0]):
        sys.exit(f"expected no folder of wandb, got {arguments[0]}")

sys.addaudithook(seen)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
def test_a_training_leaves_the_temporary_folder_empty(store):
    tag_sets = f"runs:/{stages.run('distill_tags')}/tag_sets"
    (temporary := store / "temporary").mkdir()
    dials = {"tag_sets": tag_sets, "base_model": stages.tiny_base(store), "max_examples": 8, "rank": 2}
    flags = [text for name, value in dials.items() for text in (f"--{name}", str(value))]
    done = subprocess.run(
        [sys.executable, "-c", WATCH, "entrypoints.finetune_captioner", *flags],
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert tracking.info(tracking.latest("finetune_captioner"))["status"] == "FINISHED"
    assert not list(temporary.iterdir())
