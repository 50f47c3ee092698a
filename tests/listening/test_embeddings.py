"""Embeddings are computed once for each content, whatever thread does it, and are musicnn's own."""

import io
import threading

import numpy as np
import pytest
import soundfile
import torch

from conceptcaps.audio import loudness, waveform
from conceptcaps.listening import embeddings, musicnn
from tests import toy_clips


def clip(seconds=4.0, *, seed=0, rate=16_000, channels=1):
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (int(seconds * rate), 1)).repeat(channels, axis=1)
    target = io.BytesIO()
    soundfile.write(target, samples, rate, format="FLAC")
    return target.getvalue()


def test_each_content_is_computed_once_and_given_back_in_order(tmp_path):
    calls = []

    def function(content):
        calls.append(content)
        return {
            "length": np.full(3, len(content), np.float32),
            "matrix": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        }

    contents = [b"long", b"a", b"long", b"bc"]
    for _ in range(2):
        made = list(embeddings.stream(contents, function=function, name="test", cache=tmp_path))
        assert [int(arrays["length"][0]) for arrays in made] == [4, 1, 4, 2]
        assert made[0]["matrix"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert sorted(calls) == [b"a", b"bc", b"long"]
    list(embeddings.stream([b"a"], function=function, name="other", cache=tmp_path))
    assert len(calls) == 4


def test_works_on_one_torch_thread_each_and_restores_them(tmp_path):
    threads, seen = torch.get_num_threads(), set()

    def function(content):
        seen.add((torch.get_num_threads(), threading.current_thread() is threading.main_thread()))
        return {"x": np.zeros(1, np.float32)}

    list(embeddings.stream([b"a", b"b"], function=function, name="test", cache=tmp_path))
    assert seen == {(1, False)} and torch.get_num_threads() == threads


def test_a_failure_leaves_no_half_written_file_and_is_raised(tmp_path):
    def function(content):
        if content == b"bad":
            raise ValueError("bad clip")
        return {"x": np.zeros(1, np.float32)}

    threads = torch.get_num_threads()
    with pytest.raises(ValueError, match="bad clip"):
        list(embeddings.stream([b"good", b"bad"], function=function, name="test", cache=tmp_path))
    assert [path.suffix for path in tmp_path.glob("test-*/*")] == [".safetensors"]
    assert torch.get_num_threads() == threads


def test_other_weights_or_code_are_computed_anew(tmp_path):
    calls = []

    def function(content):
        calls.append(content)
        return {"x": np.zeros(1, np.float32)}

    for weights in ("one", "one", "two"):
        list(embeddings.stream([b"a"], function=function, name="test", cache=tmp_path, weights=weights))
    assert len(calls) == 2
    list(embeddings.stream([b"a"], function=toy_clips.tell_length, name="test", cache=tmp_path, weights="one"))
    assert len(list(tmp_path.iterdir())) == 3, "a function of another file has a folder of its own"


def test_clips_are_read_a_few_at_a_time(tmp_path):
    alive, most = 0, 0

    class Clip(bytes):
        def __new__(cls, number):
            nonlocal alive, most
            alive += 1
            most = max(most, alive)
            return super().__new__(cls, str(number).encode())

        def __del__(self):
            nonlocal alive
            alive -= 1

    made = list(embeddings.stream(map(Clip, range(300)), function=toy_clips.tell_length, name="test", cache=tmp_path))
    assert len(made) == 300 and most < 60


def test_waveform_is_mono_16_khz_and_long_enough():
    found = embeddings.samples(clip(1.0, rate=48_000, channels=2), seconds=2.5)
    assert found.shape == (40_000,) and found.dtype == np.float32
    np.testing.assert_array_equal(found[16_000:32_000], found[:16_000])
    assert embeddings.samples(clip(1.0)).shape == (16_000,)


def test_musicnn_means_are_the_model_s_answers_over_windows(tmp_path):
    clips = [clip(7.0), clip(2.0, seed=1)]
    found = embeddings.musicnn_means(clips, model="musicnn_mtt", cache=tmp_path)
    assert found["taggram"].shape == (2, 50) and found["penultimate"].shape == (2, 200)
    with torch.inference_mode():
        answers = musicnn.load("MTT")(embeddings.samples(clips[0])[None])
    np.testing.assert_allclose(found["taggram"][0], answers["taggram"][0].mean(0), atol=1e-5)
    np.testing.assert_allclose(found["penultimate"][0], answers["penultimate"][0].mean(0), atol=1e-3)


def test_musicnn_means_refuse_an_empty_set_and_what_is_no_audio(tmp_path):
    with pytest.raises(ValueError, match="at least one clip"):
        embeddings.musicnn_means([], model="musicnn_mtt", cache=tmp_path)
    with pytest.raises(ValueError, match="audio file"):
        embeddings.musicnn_means([b"text"], model="musicnn_mtt", cache=tmp_path)
    with pytest.raises(ValueError, match="among musicnn_mtt, musicnn_msd, got 'vggish'"):
        embeddings.musicnn_means([clip()], model="vggish", cache=tmp_path)


def test_loudness_is_that_of_the_decoded_clip(tmp_path):
    clips = [clip(2.0, rate=44_100, channels=2), clip(2.0, seed=1)]
    expected = [loudness.loudness(*waveform.decode(content)) for content in clips]
    np.testing.assert_allclose(embeddings.loudness(clips, cache=tmp_path), expected, rtol=1e-6)
