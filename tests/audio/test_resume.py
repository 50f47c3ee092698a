"""Clips made by processes that are killed, again and again, have the bytes of clips made in one go."""

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from conceptcaps.audio import table
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import assets, shards

ROOT = Path(__file__).resolve().parents[2]
TAGS = [["jazz", "piano"], ["rock", "electric guitar"], ["techno", "dark"], ["folk", "acoustic guitar"]]
ROWS = pd.DataFrame(
    {"id": [f"row-{n}" for n in range(24)], "tags": [TAGS[n % 4] for n in range(24)], "caption": "", "split": "train"}
)
CODE = "import sys; from tests.audio import test_resume as t; t.make(sys.argv[1], workers=int(sys.argv[2]))"


def make(out: Path | str, *, workers: int) -> None:
    function = partial(
        table.play_rows,
        taxonomy=Taxonomy.load(),
        duration=4.0,
        seed=0,
        fonts=[assets.fetch("soundfont")],
        sample_rate=32_000,
        channels=1,
    )
    shards.map_shards(
        function, ROWS, out=str(out), schema=table.SCHEMA, shard_size=1, settings={}, description="clips",
        workers=workers,
    )  # fmt: skip


def kill_at_some_moment(out: Path, *, workers: int, draws: random.Random) -> None:
    """Kill a run a while after it has made one more shard."""
    before, command = len(list(out.glob("part-*.parquet"))), [sys.executable, "-c", CODE, str(out), str(workers)]
    run = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(out.glob("part-*.parquet"))) == before and run.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(draws.uniform(0, 0.1))
    run.send_signal(signal.SIGKILL)
    run.wait()


@pytest.mark.slow
def test_five_kills_and_any_number_of_workers_change_no_byte(tmp_path):
    draws = random.Random(0)
    for workers in (1, 2, 2, 1, 2):
        kill_at_some_moment(tmp_path / "killed", workers=workers, draws=draws)
    left = len(list((tmp_path / "killed").glob("part-*.parquet")))
    assert 5 <= left < len(ROWS) and not (tmp_path / "killed" / "manifest.json").exists()
    make(tmp_path / "killed", workers=1)
    make(tmp_path / "one", workers=1)
    make(tmp_path / "two", workers=2)
    manifests = [shards.read_manifest(str(tmp_path / name))["shards"] for name in ("killed", "one", "two")]
    assert manifests[0] == manifests[1] == manifests[2] and len(manifests[0]) == len(ROWS)
