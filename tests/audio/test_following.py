"""MusicGen's melody models: they follow a clip of the same id, as transformers' own loop does."""

import io

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from conceptcaps.audio import backends, clips, following, musicgen
from conceptcaps.tags.taxonomy import Taxonomy
from tests import tiny_audio
from tests.audio.test_backends import DIALS
from tests.audio.test_clips import folder_of
from tests.audio.test_musicgen import save

CAPTIONS = ["A calm tune.", "A loud tune.", "A fast song."]
RATE = tiny_audio.RATE


def tune(*pitches: float, seconds: float = 0.4) -> np.ndarray:
    """A sine for each pitch (Hz), one after the other: ``(1, samples)``."""
    time = np.arange(round(seconds * RATE)) / RATE
    return np.concatenate([0.3 * np.sin(2 * np.pi * pitch * time) for pitch in pitches])[None].astype(np.float32)


TUNES = [tune(440, 660, 880), tune(523, 392, seconds=0.7), None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return save(tmp_path_factory.mktemp("melody"), melodic=True)


@pytest.fixture(scope="module")
def model(folder):
    return musicgen.load(folder, device="cpu", dtype=torch.float32)


def generate(model, captions=CAPTIONS, melodies=TUNES, batch_size=3):
    return musicgen.generate(
        model, captions, seeds=list(range(len(captions))), duration=0.6, guidance=tiny_audio.guidance(top_k=32),
        batch_size=batch_size, melodies=melodies,
    )  # fmt: skip


@pytest.mark.parametrize("melody", [tune(440, 660, 880), None], ids=["melody", "none"])
def test_the_likeliest_codes_are_those_of_transformers_own_loop(model, melody):
    text = model.tokenizer(CAPTIONS, return_tensors="pt", padding=True)
    assert text.attention_mask.all(), "captions of one length"
    if melody is not None:
        read = model.chroma(list(melody), sampling_rate=RATE, return_tensors="pt").input_features
        text["input_features"] = read.repeat(3, 1, 1)
    theirs = tiny_audio.likeliest(model.model, **text)
    ours = musicgen.draw_codes(
        model, CAPTIONS, seeds=[1, 2, 3], frames=theirs.shape[-1], guidance=tiny_audio.guidance(top_k=1),
        melodies=[melody] * 3,
    )  # fmt: skip
    assert torch.equal(torch.stack(ours), theirs)


def test_another_melody_makes_another_clip(model):
    one, other, none = (generate(model, CAPTIONS[:1], [melody])[0] for melody in TUNES)
    assert not np.array_equal(one, other) and not np.array_equal(one, none)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_clips_have_the_same_bytes_in_any_batch(model, batch_size):
    captions = [" ".join(["tune", "for", "harp", "loud"][: 1 + n % 4]) for n in range(12)]
    melodies = [TUNES[n % 3] for n in range(12)]
    one, other = (generate(model, captions, melodies, size) for size in (12, batch_size))
    assert [clip.tobytes() for clip in one] == [clip.tobytes() for clip in other]


def test_the_melody_is_read_from_its_beginning_and_again_where_it_ends(model):
    a, e = (model.chroma(list(tune(pitch, seconds=1)), sampling_rate=RATE, return_tensors="pt") for pitch in (440, 659))
    a, e = (int(read.input_features[0].argmax(-1).mode().values) for read in (a, e))
    frames, classes = model.model.config.chroma_length, model.model.config.num_chroma
    projection, model.model.audio_enc_to_dec_proj = model.model.audio_enc_to_dec_proj, torch.nn.Identity()
    try:
        states = following.states(model.model, model.chroma, [tune(440, 659, seconds=0.16), None])
    finally:
        model.model.audio_enc_to_dec_proj = projection
    assert states.shape == (4, frames, classes)
    heard = states.argmax(-1)
    assert a != e and set(heard[0].tolist()) >= {a, e} and heard[0, 0] == a and (heard[1:] == 0).all()
    length = len(
        model.chroma(list(tune(440, 659, seconds=0.16)), sampling_rate=RATE, return_tensors="pt").input_features[0]
    )
    assert length < frames and torch.equal(heard[0, length:], heard[0, : frames - length])


def test_rows_follow_the_clips_of_their_ids(tmp_path, folder, monkeypatch):
    load = musicgen.load
    monkeypatch.setattr(musicgen, "load", lambda path: load(path, device="cpu", dtype=torch.float32))

    def encoded(melody):
        soundfile.write(target := io.BytesIO(), melody[0], RATE, format="FLAC")
        return target.getvalue()

    sounds = {"c": encoded(TUNES[1]), "a": encoded(tune(440, 660)), "other": encoded(TUNES[0]), "d": b""}
    rows = pd.DataFrame({"id": list("abcd"), "tags": [["harp"]] * 4, "caption": CAPTIONS + ["Jazz."], "split": "train"})
    monkeypatch.setattr(clips, "MOST_BAD", 0.5)

    def made(contents, name):
        dials = DIALS | {"melody": clips.files(folder_of(tmp_path / name, contents), list("abcd"))}
        make, read = backends.maker(
            "musicgen", model=folder, duration=0.6, seed=3, fonts=[], taxonomy=Taxonomy.load(), **dials
        )
        return make(rows), read

    one, read = made(sounds, "one")
    reason = "expected a clip of this id to follow its melody, got no audio"
    assert one["id"].tolist() == list("abcd") and one["error"].tolist() == [None, reason, None, reason]
    other, changed = made(sounds | {"a": encoded(tune(440, 392))}, "other")
    assert read != changed, "shards know which melodies they follow"
    first, second = ([clip and clip["bytes"] for clip in table["audio"]] for table in (one, other))
    assert first[0] != second[0] and first[2] == second[2]
    (tmp_path / "songs").mkdir()
    for name in "ac":
        (tmp_path / "songs" / f"{name}.flac").write_bytes(sounds[name])
    dials = DIALS | {"melody": clips.files(tmp_path / "songs", list("ac"))}
    make, _ = backends.maker(
        "musicgen", model=folder, duration=0.6, seed=3, fonts=[], taxonomy=Taxonomy.load(), **dials
    )
    assert [clip and clip["bytes"] for clip in make(rows)["audio"]] == first, "recordings by name"


def test_only_melody_models_follow(tmp_path, model):
    plain = musicgen.load(save(tmp_path), device="cpu", dtype=torch.float32)
    with pytest.raises(ValueError, match="expected a melody model, such as facebook/musicgen-melody, to follow one"):
        generate(plain)
    with pytest.raises(ValueError, match="expected backend=musicgen to follow a melody, got soundfont"):
        dials = DIALS | {"melody": {"a": tmp_path / "a.wav"}}
        backends.maker("soundfont", model="", duration=1, seed=0, fonts=[], taxonomy=Taxonomy.load(), **dials)


def test_half_precision_and_two_channels(tmp_path):
    model = musicgen.load(save(tmp_path, melodic=True, channels=2), device="cpu", dtype=torch.bfloat16)
    made = generate(model)
    assert [clip.shape for clip in made] == [(2, 2400)] * 3 and model.model.decoder.dtype == torch.bfloat16
    with pytest.raises(ValueError, match="expected a melody or None for each of 3 captions, got 1"):
        generate(model, melodies=TUNES[:1])
