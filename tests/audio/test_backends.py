"""Neural backends: a row without words has a reason, and the others get the clips that they get without it."""

import subprocess
import sys

import pandas as pd
import torch

from conceptcaps.audio import backends, musicgen, table
from conceptcaps.tags.taxonomy import Taxonomy
from tests.audio.test_musicgen import save

DIALS = {
    "sample_rate": 32_000, "channels": 1, "guidance": 3.0, "temperature": 1.0, "top_k": 32, "batch_size": 2,
    "melody": None,
}  # fmt: skip


def test_a_blank_caption_makes_no_clip_and_changes_no_other(tmp_path, monkeypatch):
    load = musicgen.load
    monkeypatch.setattr(musicgen, "load", lambda path: load(path, device="cpu", dtype=torch.float32))
    make, _ = backends.maker(
        "musicgen", model=save(tmp_path), duration=0.6, seed=3, fonts=[], taxonomy=Taxonomy.load(), **DIALS
    )
    words = ["A calm tune.", "  ", "Jazz.", "", None]
    rows = pd.DataFrame({"id": list("abcde"), "tags": [["harp"]] * 5, "caption": words, "split": "train"})
    made = make(rows)
    assert made["id"].tolist() == list("abcde") and set(made) == {name for name, _ in table.FIELDS}
    blank = "expected a caption, got a blank one"
    assert made["error"].tolist() == [None, blank, None, blank, blank]
    assert made["audio"].notna().tolist() == made["error"].isna().tolist()
    worded = make(rows.iloc[[0, 2]])
    assert [clip["bytes"] for clip in made["audio"].dropna()] == [clip["bytes"] for clip in worded["audio"]]
    assert make(rows.iloc[1:2])["error"].tolist() == [blank]


def test_who_plays_a_soundfont_loads_no_networks():
    code = "import sys; from entrypoints import generate_audio; print('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_who_plays_in_a_worker_loads_neither_pytorch_nor_mlflow():
    code = "import sys; from conceptcaps.audio import table; print({'torch', 'mlflow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_spectra_need_no_library_for_figures():
    code = "import sys; from conceptcaps.audio import spectrum; print('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
