"""Tables of clips: what will sound is known before it is played, and hangs on the tag set, not on its caption."""

import pandas as pd

from conceptcaps.audio import table
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import assets, executor

TAXONOMY = Taxonomy.load()
SETS = [["jazz", "piano", "slow tempo"], ["rock", "drums", "sad"], ["salsa", "calm", "trumpet"]]
FORM = {"sample_rate": 32_000, "channels": 1}


def test_what_will_sound_is_foreseen_whatever_the_caption():
    samples = pd.DataFrame({"id": ["a", "b", "c"], "tags": SETS})
    foreseen = table.foreseen(samples, taxonomy=TAXONOMY, duration=4.0, seed=3)
    written = samples.assign(sample_id=samples["id"], id=["x", "y", "z"], caption="Words.", split="train")
    dials = {"taxonomy": TAXONOMY, "duration": 4.0, "seed": 3, "fonts": [assets.fetch("soundfont")]}
    played = table.play_rows(written, **dials, **FORM)
    for tags, will, row in zip(SETS, foreseen, played.to_dict("records"), strict=True):
        assert set(will) == set(row["present"])
        assert "drums" not in tags or "drums" in will
    plain = table.play_rows(samples.assign(caption="", split="train"), **dials, **FORM)
    assert [clip["bytes"] for clip in plain["audio"]] == [clip["bytes"] for clip in played["audio"]]


def test_two_processes_foresee_the_same_in_the_same_order(monkeypatch):
    samples = pd.DataFrame({"id": list("abcdefg"), "tags": [*SETS, [], *SETS]})
    alone = table.foreseen(samples, taxonomy=TAXONOMY, duration=4.0, seed=3)
    monkeypatch.setattr(table, "_FORESEEN", 2)
    monkeypatch.setattr(executor, "cores", lambda: 2)
    assert table.foreseen(samples, taxonomy=TAXONOMY, duration=4.0, seed=3) == alone
    assert alone[3] == [] and len({tuple(tags) for tags in alone}) == 7


def test_what_cannot_be_played_keeps_its_tags():
    samples = pd.DataFrame({"id": ["a"], "tags": [[]]})
    assert table.foreseen(samples, taxonomy=TAXONOMY, duration=4.0, seed=3) == [[]]
