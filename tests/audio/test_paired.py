"""Tables of pairs and designed sets: a clip that cannot be played fails its rows, not the others."""

from dataclasses import replace

import pytest

from conceptcaps.audio import balance, designed, paired
from conceptcaps.audio.contexts import Source
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import assets

FORM = {"sample_rate": 8000, "channels": 1}
ONE = {**FORM, "workers": 1}
SOURCE = Source((("piano",),), ("piano", "violin"), 2.0, 5, Taxonomy.load(), tries=24)


@pytest.fixture(autouse=True)
def _first_pair_begins_after_its_clip(monkeypatch):
    attempt = paired.attempt

    def found(source, tag, number, place, part):
        one = attempt(source, tag, number, place, part)
        return one if number or not one else one._replace(pair=one.pair._replace(lacking=late(one.pair.lacking)))

    def late(side):
        notes = [[note._replace(start=note.start + 99) for note in part.notes] for part in side.piece.parts]
        parts = [replace(part, notes=moved) for part, moved in zip(side.piece.parts, notes, strict=True)]
        return side._replace(piece=replace(side.piece, parts=parts))

    monkeypatch.setattr(paired, "attempt", found)


def test_silence_fails_the_pair_alone():
    rows = paired.pair_rows_wanted(["violin"], count=2, seed=5)
    made = paired.play_pairs(rows, source=SOURCE, fonts=[assets.fetch("soundfont")], **FORM)
    assert made["id"].tolist() == rows["id"].tolist()
    assert made["error"].isna().tolist() == made["audio"].notna().tolist() == [False, False, True, True]
    assert made["error"][0] == "expected a piece that sounds within 2.0 s, got silence"


def test_silence_fails_the_clip_of_a_concept_alone():
    rows = paired.pair_rows_wanted(["violin"], count=2, seed=5).rename(columns={"tag": "concept"})
    places = [paired.find(SOURCE, "violin", number, None).place for number in rows["number"]]
    rows = rows.assign(place=places, positive=rows.pop("side") == "with", part=None, group=rows.pop("pair_id"))
    made = designed.play_concepts(rows, source=SOURCE, fonts=[assets.fetch("soundfont")], **FORM)
    assert made["error"].isna().tolist() == [True, False, True, True] and "got silence" in made["error"][1]


def test_a_concept_without_enough_pairs_is_named_and_leaves_the_others(monkeypatch):
    find = paired.find
    monkeypatch.setattr(paired, "find", lambda *args: None if args[1] == "piano" else find(*args))
    source = SOURCE._replace(known=(), possible=("piano", "violin", "flute", "drums", "happy", "jazz"), tries=2)
    rows, table, short = designed.design(source, ["piano", "violin"], count=4, fonts=[assets.fetch("soundfont")], **ONE)
    assert set(rows["concept"]) == set(table["concept"]) == {"violin"} and len(rows) == 8
    assert short["piano"].startswith("found 0 of 1 pairs to test and 0 of 3 pairs to train: give more --tries")
    with pytest.raises(ValueError, match="piano: found 0 of 1 pairs"):
        balance.left_out(short, allowed=False)
    with pytest.raises(ValueError, match="expected a concept with enough pairs, piano: found 0 of 1"):
        designed.design(source, ["piano"], count=4, fonts=[assets.fetch("soundfont")], **ONE)


def test_a_concept_without_contexts_of_a_part_is_named_and_leaves_the_others():
    """Without happy and what it excludes all three are one context, which cannot stand in both parts."""
    known, possible = (("happy", "piano"), ("piano", "sad"), ("piano",)), ("piano", "violin", "happy", "sad")
    source, form = SOURCE._replace(known=known, possible=possible, tries=2), {"fonts": [assets.fetch("soundfont")]}
    rows, _, short = designed.design(source, ["happy", "violin"], count=4, **form, **ONE)
    assert set(rows["concept"]) == {"violin"} and set(short) == {"happy"}
    assert short["happy"].startswith("expected contexts of happy that belong to train, got none in 1000 draws")


def test_a_font_that_cannot_be_read_is_no_lack_of_pairs(tmp_path):
    (tmp_path / "torn.sf2").write_bytes(b"no font at all, but long enough to be read as one")
    with pytest.raises(ValueError, match="expected a SoundFont 2 or 3 file"):
        designed.design(SOURCE, ["violin"], count=2, fonts=[tmp_path / "torn.sf2"], **ONE)
