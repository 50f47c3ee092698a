"""Who plays."""

import pytest

from conceptcaps.audio.composing import casting, tables
from conceptcaps.audio.composing.casting import Seat
from tests.audio.composing.plans import TAXONOMY, drawn


def cast(*tags: str, seed: int = 0) -> list[Seat]:
    return casting.cast(drawn(*tags, seed=seed), TAXONOMY)


def names(*tags: str, seed: int = 0) -> set[str]:
    return {seat.tag for seat in cast(*tags, seed=seed)}


def ever(*tags: str, seeds: int = 30) -> set[str]:
    return set().union(*(names(*tags, seed=seed) for seed in range(seeds)))


def always(*tags: str, seeds: int = 30) -> set[str]:
    return set.intersection(*(names(*tags, seed=seed) for seed in range(seeds)))


def test_who_was_asked_for_comes_first_in_the_order_of_the_tables():
    seats = cast("rock", "violin", "guitar solo")
    assert [seat.tag for seat in seats[:2]] == ["guitar solo", "violin"]
    assert [seat.asked for seat in seats] == [True, True, *[False] * (len(seats) - 2)] and len(seats) > 3
    assert cast("drums")[0] == Seat("drums", "kit", tables.kit()["drums"], asked=True)


def test_a_kind_is_left_to_the_more_exact_tag_but_percussion_stays():
    assert names("guitar", "acoustic guitar") == {"acoustic guitar"}
    assert {"percussion", "shaker"} <= names("percussion", "shaker", "piano")
    assert names("vocals", "female vocals", "piano") == {"female vocals", "piano"}
    assert {"bass", "piano"} <= names("bass", "piano")


def test_drums_are_not_left_to_their_pieces_but_to_a_kit_of_another_kind():
    assert names("drums", "hi-hats", "cymbals") >= {"drums", "hi-hats", "cymbals"}
    assert "drums" not in names("drums", "electronic drums", "hi-hats")


def test_what_a_tag_leaves_open_is_played_as_the_genre_plays_it():
    def programs(tag, *others):
        return {*next(seat for seat in cast(tag, *others) if seat.tag == tag).row["programs"]}

    machine = {*tables.kit()["electronic drums"]["programs"]}
    assert programs("drums", "techno") == programs("kick drum", "techno") == machine
    assert not programs("kick drum", "techno", "acoustic drums") & machine
    assert programs("drums", "pop") == {*tables.genres()["pop"]["programs"]["drums"]}
    assert programs("guitar", "folk") <= {24, 25} and not programs("guitar", "metal") & {24, 25, 26}
    assert programs("guitar") == {*tables.instruments()["guitar"]["programs"]}


def test_hand_percussion_is_no_kit_where_the_genre_has_one():
    assert "electronic drums" in always("hip hop", "percussion", seeds=6)
    assert not ever("latin music", "percussion", seeds=6) & {"drums", "electronic drums"}


def test_core_roles_of_a_genre_are_filled_and_others_by_chance_where_nobody_was_asked_for():
    rock = tables.genres()["rock"]["band"]
    for seed in range(20):
        found = names("rock", seed=seed)
        assert all(found & {*rock[role]} for role in ("harmony", "bass", "kit"))
    leads = sum("guitar solo" in names("rock", seed=seed) for seed in range(80)) / 80
    assert leads == pytest.approx(0.5, abs=0.15)
    assert "guitar solo" not in ever("rock", "piano"), "no extras beside what was asked for"
    assert "guitar solo" in ever("rock", "drums"), "a kit alone asks for a band"


def test_a_genre_without_a_band_of_its_own_is_played_on_piano_or_guitar():
    for tags in (("ballad",), ("ballad", "drums")):
        found = [[seat for seat in cast(*tags, seed=seed) if seat.role != "kit"] for seed in range(30)]
        assert {seat.tag for seats in found for seat in seats} >= {"piano", "acoustic guitar"}
        assert all(any(seat.role == "harmony" for seat in seats) for seats in found)


def test_what_is_asked_for_fills_a_role_of_the_genre():
    assert not names("rock", "piano") & {"electric guitar", "distorted guitar"}
    assert names("rock", "synth bass") & {"electric guitar", "distorted guitar"}
    assert "bass guitar" not in names("rock", "synth bass") and "drums" not in names("rock", "acoustic drums")
    assert "drums" in names("rock", "shaker"), "a single piece is no kit"
    assert names("rock", "synth pad") & {"electric guitar", "distorted guitar"}, (
        "in a band with a kit a pad is no harmony"
    )
    assert "piano" not in names("classical", "strings") or "strings" in names("classical", "strings")
    assert "bass guitar" in names("rock", "timpani"), "a drum is no bass"


def test_a_second_genre_is_known_by_its_own_players():
    for seed in range(12):
        found = names("reggae", "orchestral", seed=seed) if "orchestral" in TAXONOMY.tags else {"x"}
        assert found
    both = cast("disco", "rock")
    assert len({seat.tag for seat in both}) == len(both)
    assert {"electric guitar"} <= ever("funk", "rock")
    second = tables.genres()["disco"]["band"]["pad"]
    assert all(names("rock", "disco", seed=seed) & {*second} for seed in range(8))


def test_absence_and_few_players():
    assert not {"drums", "electronic drums"} & ever("no percussion", "rock")
    assert all(len(names("sparse arrangement", "rock", seed=seed)) <= 2 for seed in range(12))
    assert names("sparse arrangement", "rock", "piano") == {"piano"}
    assert len(names("sparse arrangement", "happy")) == 1
    assert names("a cappella", "choir") == {"choir"} and names("a cappella") == {"a cappella"}
    assert names("a cappella", "vocal harmony") == {"vocal harmony"}
    assert names("a cappella", "female vocals") == {"female vocals", "a cappella"}
    choir = next(seat for seat in cast("a cappella", "female vocals") if seat.tag == "a cappella")
    assert choir.asked and choir.role == "lead"
    assert not {"choir", "vocals", "female vocals"} & ever("instrumental", "gospel")


def test_who_makes_no_music_alone_gets_company():
    for tag in ("nature sounds", "drone", "bass guitar", "shaker", "crowd noise", "timpani"):
        for seed in range(6):
            assert any(seat.role in ("harmony", "pad", "lead") for seat in cast(tag, seed=seed)), tag
    assert names("flute") == {"flute"} and names("piano", "drums") == {"piano", "drums"}
    assert names("drums") == {"drums"} and names("percussion") == {"percussion"}, "a whole kit may play by itself"
    assert names("drums", "happy") > {"drums"}
    assert names("drums", "nature sounds") > {"drums", "nature sounds"}
    bands = [{*band} for band in tables.moods()["happy"]["band"]]
    assert {frozenset(names("happy", seed=seed)) for seed in range(30)} == {frozenset(band) for band in bands}
    kitless = {frozenset(names("happy", "drums", seed=seed)) for seed in range(30)}
    assert kitless == {frozenset((band | {"drums"}) - {"claps", "tambourine"}) for band in bands}
    assert ever("slow tempo") == {"piano", "acoustic guitar", "electric piano"}


def test_words_for_beats_and_dancing_bring_kit_and_bass():
    for word in casting.BEATS:
        assert {"drums"} & always("piano", word, seeds=6)
        assert "drums" not in names("piano", word, "electronic drums")
    for word in ("groovy", "danceable"):
        assert "bass guitar" in always("piano", word, seeds=6) and "bass guitar" not in ever(
            "piano", word, "synth bass"
        )
    assert "bass guitar" not in names("piano", "steady beat")
    assert {"electronic drums"} <= ever("house", "piano", "steady beat")
    assert "piano" in ever("flute", "swing rhythm") | ever("flute", "waltz time")
    for word in ("swing rhythm", "waltz time", "syncopated", "slow tempo"):
        assert names("flute", word) - {"flute"} and not names("piano", word) - {"piano"}, word
        assert not names("flute", "bass guitar", word) - {"flute", "bass guitar"}, word
    assert names("drums", "arpeggio") & {"piano", "acoustic guitar"} and names("flute", "arpeggio") == {"flute"}
    assert names("bass guitar", "arpeggio", "piano") == {"bass guitar", "piano"}


def tunes(*tags: str) -> dict[str, tuple[bool, bool]]:
    return {seat.tag: (seat.tune, seat.ground) for seat in cast(*tags)}


def test_a_chord_instrument_carries_the_tune_where_nobody_leads_and_the_ground_where_nobody_is_the_bass():
    assert tunes("piano") == {"piano": (True, True)}
    assert tunes("piano", "flute") == {"piano": (False, True), "flute": (False, False)}
    assert tunes("piano", "bass guitar") == {"piano": (True, False), "bass guitar": (False, False)}
    two = tunes("piano", "ukulele", "drums")
    assert sum(tune for tune, _ in two.values()) == 1 and two["ukulele"] in ((True, False), (False, False))
    assert two["piano"][1], "the ukulele is too high for roots"
    assert not any(ground for _, ground in tunes("ukulele", "banjo").values())
    assert tunes("orchestra")["orchestra"] == (False, False), "it has its own"
    assert not any(tune for tune, _ in tunes("metal", "drums").values()), "a genre without a tune"
    assert any(tune for tune, _ in tunes("metal", "drums", "happy").values())
    pads = tunes("strings", "drums")
    assert pads["strings"] == (True, True)


def test_a_genre_gives_its_own_sounds():
    guitar = next(seat for seat in cast("rock", "electric guitar") if seat.tag == "electric guitar")
    assert guitar.row["programs"] == [29, 27] and guitar.row["low"] == 40
    drums = next(seat for seat in cast("jazz", "drums") if seat.tag == "drums")
    assert drums.row["programs"] == [32, 40]
    other = next(seat for seat in cast("jazz", "electronic drums") if seat.tag == "electronic drums")
    assert other.row["programs"] == [25, 24]
    assert next(seat for seat in cast("rock", "piano") if seat.tag == "piano").row == tables.instruments()["piano"]


def test_a_genre_s_second_harmony_is_marked():
    roles = {(seat.tag, seat.role) for seed in range(40) for seat in cast("soft rock", seed=seed)}
    assert ("electric guitar", "harmony") in roles and {("acoustic guitar", "extra"), ("piano", "extra")} <= roles
    assert ("acoustic guitar", "harmony") not in roles


def test_nobody_joins_whom_a_tag_excludes_and_nobody_twice():
    for tags in (("no percussion", "danceable", "piano"), ("instrumental", "gospel"), ("rock", "pop", "piano")):
        for seed in range(10):
            seats = cast(*tags, seed=seed)
            assert len({seat.tag for seat in seats}) == len(seats)
            for seat in seats:
                assert not TAXONOMY.contradictions([*tags, seat.tag, *TAXONOMY.ancestors(seat.tag)])
    assert not any("drums" == seat.tag for seat in cast("no percussion", "danceable", "piano"))


def test_those_by_whom_a_second_genre_is_known_join_where_nobody_stands_for_them():
    assert {"synth pad"} <= always("rock", "ambient") & always("jazz", "new age")
    assert "orchestra" in always("rock", "opera") and "wordless vocals" in always("jazz", "opera")
    assert "harp" not in ever("jazz", "new age", seeds=20), "a piano plays already"


def test_a_tune_gets_chords_where_a_mood_lives_by_its_mode():
    chords = {"piano", "acoustic guitar"}
    for seed in range(8):
        assert names("male vocals", "drums", "happy", seed=seed) & chords
    for tags in (("male vocals", "drums"), ("flute", "drone", "sad"), ("indian music", "hand drums", "happy")):
        assert not ever(*tags) & chords, tags
    assert not ever("male vocals", "sparse arrangement", "happy") & chords
