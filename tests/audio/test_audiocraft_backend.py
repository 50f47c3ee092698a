"""Audiocraft for real, in its own environment, with the model of random weights that it has built in."""

import hashlib
import io

import numpy as np
import pandas as pd
import pytest
import soundfile

from conceptcaps.audio import audiocraft_backend, table
from conceptcaps.errors import Failure
from tests import tiny_audio

pytestmark = pytest.mark.slow  # the environment is built once into the cache
CAPTIONS = ["a calm harp", "rock", "a fast tune for drums", "jazz", "one two three"]
ROWS = pd.DataFrame(
    {"id": list("abcde"), "tags": [["harp"], ["rock"], ["drums"], ["jazz"], []], "caption": CAPTIONS, "split": "train"}
)


@pytest.fixture(scope="module")
def model():
    return audiocraft_backend.load("debug")


def make(model, rows=ROWS, batch_size=4, duration=1.0, seed=0):
    return audiocraft_backend.generate_rows(
        rows, model=model, guidance=tiny_audio.guidance(), duration=duration, batch_size=batch_size, seed=seed
    )


def hashes(rows) -> list[str]:
    return [hashlib.sha256(audio["bytes"]).hexdigest() for audio in rows["audio"]]


def test_every_caption_becomes_a_clip_with_the_columns_of_other_backends(model):
    made = make(model)
    assert set(made) == {name for name, _ in table.FIELDS}
    assert made["id"].tolist() == ROWS["id"].tolist() and made["error"].isna().all()
    for row in made.to_dict("records"):
        sound, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
        assert rate == row["sample_rate"] == 32_000 and len(sound) == rate and row["duration"] == 1.0
    assert len(set(hashes(made))) == len(ROWS)


def test_clips_depend_on_their_own_seed_and_not_on_the_batch_or_the_process(model):
    made = hashes(make(model))
    assert hashes(make(model, batch_size=1)) == made
    audiocraft_backend._start.cache_clear()
    assert hashes(make(model, ROWS.iloc[::-1].reset_index(drop=True))) == made[::-1]
    assert not set(hashes(make(model, seed=1))) & set(made)


def test_a_clip_longer_than_the_window_is_continued(model):
    made = make(model, ROWS.iloc[:1], duration=31.0)
    sound, rate = soundfile.read(io.BytesIO(made["audio"][0]["bytes"]))
    assert len(sound) == 31 * rate and np.abs(sound[-rate:]).max() > 0


def test_a_model_that_cannot_be_opened_says_why(tmp_path, model):
    broken = audiocraft_backend.Audiocraft(str(tmp_path), model.python, model.device)
    with pytest.raises(Failure, match=r"audiocraft's process ended \(1\): .*state_dict.bin"):
        make(broken)


def test_an_environment_that_cannot_be_built_leaves_nothing(tmp_path, monkeypatch):
    wrong = tmp_path / "requirements.txt"
    wrong.write_text("julius==0.2.8 --hash=sha256:" + "0" * 64 + "\n")
    monkeypatch.setattr(audiocraft_backend, "REQUIREMENTS", wrong)
    with pytest.raises(ConnectionError, match="audiocraft's environment: uv pip failed"):
        audiocraft_backend.environment(root=tmp_path / "environments")
    assert not list((tmp_path / "environments").iterdir())
