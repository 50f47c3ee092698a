from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conceptcaps.tags.taxonomy import Taxonomy, tag_set_id

TAXONOMY = Taxonomy.load()
REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "data" / "conceptcaps_taxonomy.json"


def test_there_are_200_tags_in_four_categories_each_defined():
    assert len(TAXONOMY.tags) == len(set(TAXONOMY.tags)) == 200
    counts = Counter(TAXONOMY.category(tag) for tag in TAXONOMY.tags)
    assert set(counts) == {"genre", "mood", "instrument", "tempo"}
    assert all(TAXONOMY.definition(tag) for tag in TAXONOMY.tags)


def test_a_tag_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "taxonomy.json").write_text('{"genre": ["jazz", "演歌"]}', encoding="utf-8")
    with pytest.raises(ValueError, match="expected tags and phrases with latin letters or digits, got '演歌'"):
        Taxonomy.load(tmp_path / "taxonomy.json")


@pytest.mark.parametrize("tag", TAXONOMY.tags)
def test_each_tag_is_found_by_its_name_and_by_no_other_tag_s(tag):
    assert TAXONOMY.match(tag) == [tag]
    for form in TAXONOMY.surface_forms(tag):
        assert tag in TAXONOMY.closure(TAXONOMY.match(form)), form


@pytest.mark.parametrize(
    ("aspect", "tags"),
    [
        ("sustained strings melody", ["strings"]),
        ("no drums", ["no percussion"]),
        ("no guitar", []),
        ("drum and bass", ["drum and bass"]),
        ("Electric Guitars", ["electric guitar"]),
        ("paino", ["piano"]),
        ("low quality", []),
        ("alternative rock", ["alternative rock"]),
        ("slow jazz", ["jazz", "slow tempo"]),
        ("soft rock", ["soft rock"]),
        ("a slow waltz", ["slow tempo", "waltz time"]),
        ("medium fast tempo", ["moderately fast tempo"]),
        ("medium slow tempo", ["moderately slow tempo"]),
        ("a sad violin sings", ["sad", "violin"]),
        ("a woman sings", ["female vocals"]),
        ("nobody sings", ["instrumental"]),
        ("like a flute", []),
        ("sounds like bells", []),
        ("a synth that sounds like a flute", ["synthesizer"]),
        ("reminiscent of a harp", []),
        ("instruments like the guitar", ["guitar"]),
        ("husky voice", ["vocals"]),
        ("emotional voice", ["emotional", "vocals"]),
        ("male deep voice singing", ["male vocals"]),
        ("female deep soulful singing", ["female vocals", "soulful"]),
        ("female and male voice", ["female vocals", "male vocals"]),
        ("young male rapper", ["rap vocals"]),
        ("dog barking", ["sound effects"]),
        ("sound of a guitar", ["guitar"]),
        ("sound of guns", ["sound effects"]),
        ("sound of wind", ["nature sounds"]),
        ("traffic noise", ["sound effects"]),
        ("white noise", []),
        ("harpsichordist", ["harpsichord"]),
        ("indian instruments", ["indian music"]),
        ("instrumenatl music", ["instrumental"]),
        ("cheerfull", ["happy"]),
        ("housemusic", ["house"]),
        ("synthbass", ["synth bass"]),
        ("discovery", []),
        ("signing", []),
        ("tv show", ["soundtrack"]),
        ("car horn", ["sound effects"]),
        ("cymbal splash", ["cymbals"]),
        ("harmonizing female vocal", ["female vocals", "vocal harmony"]),
        ("male and female vocal duet", ["female vocals", "male vocals", "vocal harmony"]),
        ("singing a cappella", ["a cappella", "vocals"]),
        ("female child voice", ["child vocals"]),
        ("male speech", ["spoken word"]),
        ("sustained singing bell sound", ["bells"]),
        ("singing, flutes", ["flute", "vocals"]),
        ("harmonizing choir vocals", ["choir", "vocal harmony"]),
        ("hindu devotion music", ["indian music", "spiritual"]),
        ("children's show soundtrack", ["children's music", "soundtrack"]),
        ("strange non-musical sounds", ["sound effects", "weird"]),
        ("edm trap", ["dance music", "trap"]),
        ("crowd yelling crowd effect", ["crowd noise"]),
        ("pop dance routine", ["dance music", "pop"]),
        ("indian folk", ["folk", "indian music"]),
        ("a male rapper and a choir voice", ["choir", "rap vocals"]),
        ("male backing voices", ["male vocals", "vocal harmony"]),
        ("funky bass line", ["bass", "funk"]),
        ("snare-less", []),
        ("guitar-less", []),
        ("drumless", ["no percussion"]),
        ("no vocals except humming", ["wordless vocals"]),
        ("no drums apart from a shaker", ["shaker"]),
        ("no vocals, only humming", ["instrumental", "wordless vocals"]),
        ("metal clanging", []),
        ("heavy metal", ["metal"]),
        ("guitar strings", ["guitar"]),
        ("bass clarinet", ["clarinet"]),
        ("hang drum", ["percussion"]),
        ("a capella", ["a cappella"]),
        ("a snare snaps on the backbeat", ["snare drum"]),
        ("french harp", ["harmonica"]),
        ("chill vibes", ["easygoing"]),
        ("a vibes solo", ["vibraphone"]),
        ("bass recorder", ["flute"]),
        ("non-tuned percussion", ["percussion"]),
        ("women chanting", ["chant", "female vocals"]),
        ("male vocal harmony", ["male vocals", "vocal harmony"]),
        ("processed male voice", ["male vocals", "processed vocals"]),
        ("female child voice", ["child vocals"]),
        ("ambient techno", ["ambient", "techno"]),
        ("latin instrumental music", ["instrumental", "latin music"]),
        ("funky electric guitar feedback", ["electric guitar", "funk"]),
        ("growl synth bass", ["synth bass"]),
        ("latin brass band", ["brass", "latin music"]),
        ("hindi/pop", ["indian music", "pop"]),
        ("alternative/indie", ["alternative rock", "indie rock"]),
        ("electronic flute", ["flute"]),
        ("country instrumental", ["country", "instrumental"]),
        ("soft passionate female vocal", ["female vocals", "gentle", "passionate"]),
        ("exciting background male vocal", ["exciting", "male vocals", "vocal harmony"]),
        ("echoing flat male vocal", ["male vocals", "processed vocals"]),
        ("background piano, female vocal", ["female vocals", "piano"]),
        ("no african drums", []),
        ("disco rap", ["disco", "hip hop", "rap vocals"]),
        ("arpeggiated and strummed banjo melody", ["arpeggio", "banjo"]),
        ("organ keys melody", ["organ"]),
        ("car engine and footsteps", ["sound effects"]),
        ("soft piano melody", ["gentle", "piano"]),
        ("groovy keys", ["groovy", "keyboard"]),
        ("chill instrumental", ["easygoing", "instrumental"]),
        ("robotic sound effects", ["futuristic", "sound effects"]),
        ("no soft piano", []),
        ("no guitar/keys", []),
        ("latin drums are missing", ["no percussion"]),
        ("sounds like a latin trumpet", []),
        ("slow classical", ["classical", "slow tempo"]),
        ("slow latin jazz", ["jazz", "latin music", "slow tempo"]),
        ("soft sustained strings", ["gentle", "strings"]),
        ("soft and far away", []),
        ("children's church choir", ["child vocals", "choir"]),
        ("mixed background choir", ["choir", "female vocals", "male vocals"]),
        ("female background shouts", ["female vocals", "screamed vocals"]),
        ("male and child voices", ["child vocals", "male vocals"]),
        ("chinese instrumental", ["east asian music", "instrumental"]),
        ("electronic instrumental", ["electronic", "instrumental"]),
        ("prayer chanting", ["chant", "spiritual"]),
        ("driving bass", ["bass", "driving rhythm"]),
        ("electric guitar chords", ["electric guitar"]),
        ("strumming acoustic guitar", ["acoustic guitar", "strummed guitar"]),
        ("car driving sounds", ["sound effects"]),
        ("808 kick", ["electronic drums", "kick drum"]),
        ("orchestral violins", ["orchestra", "violin"]),
        ("female guitarist singing", ["female vocals", "guitar"]),
        ("male narrator voice", ["spoken word"]),
        ("female children's choir", ["child vocals", "choir"]),
        ("female children's church choir", ["child vocals", "choir"]),
        ("dance and singing", ["vocals"]),
        ("house and strings", ["strings"]),
        ("movie theater organ", ["organ"]),
    ],
)
def test_aspects_map_by_alias_head_noun_and_negation(aspect, tags):
    assert TAXONOMY.match(aspect) == tags


@pytest.mark.parametrize(
    "sentence",
    [
        "It may be played in a tv show.",
        "A car horn honks.",
        "It suits a house party.",
        "A synthesis of styles.",
        "pianno",
    ],
)
def test_what_only_an_aspect_asserts_is_not_read_into_sentences(sentence):
    assert TAXONOMY.find(sentence) == []


def test_an_audit_of_220_random_mappings_finds_216_right():
    """Covered aspect occurrences of MusicCaps, each judged by hand: 100 of ``default_rng(2026)``, 120 of 2027.

    Of the 120, 113 were right when they were drawn; those mended since say so.
    """
    audit = pd.read_csv(Path(__file__).parents[1] / "data" / "matching_audit.csv", keep_default_na=False)
    assert len(audit) == 220 and set(audit["right"]) == {"yes", "no"}
    assert [", ".join(TAXONOMY.match(aspect)) for aspect in audit["aspect"]] == audit["tags"].tolist()
    assert (audit["right"] == "yes").sum() >= 216


def test_what_counts_in_an_aspect_alone_says_nothing_in_a_sentence():
    assert TAXONOMY.find("A soft piano plays. The crowd is near.") == ["piano"]
    assert TAXONOMY.find("Latin brass over robotic sound effects.") == ["brass", "futuristic", "sound effects"]
    assert TAXONOMY.find("In the background you can hear singing.") == ["vocals"]
    assert TAXONOMY.find("A tune that makes you laugh, by a Turkish singer.") == ["vocals"]
    assert TAXONOMY.find("Guitar and piano are in dialogue over a scream of feedback.") == ["guitar", "piano"]
    assert TAXONOMY.find("Male and female voices over a piano.") == ["female vocals", "male vocals", "piano"]


def test_parents_are_implied():
    assert TAXONOMY.parent("alternative rock") == "rock"
    assert TAXONOMY.closure(["alternative rock"]) == {"alternative rock", "rock"}


def test_contradictions_are_named():
    assert TAXONOMY.contradictions(["slow tempo", "fast tempo", "piano"]) == [("slow tempo", "fast tempo")]
    assert TAXONOMY.contradictions(["no percussion", "snare drum"]) == [("no percussion", "snare drum")]
    assert TAXONOMY.contradictions(["piano", "jazz"]) == []


def test_encoding_is_undone_by_decoding():
    sets = [["jazz", "piano"], [], list(TAXONOMY.tags)]
    matrix = TAXONOMY.encode(sets)
    assert matrix.shape == (3, 200) and matrix.sum() == 202
    assert TAXONOMY.decode(matrix) == [sorted(tags) for tags in sets]
    with pytest.raises(ValueError, match="200 tags, got 'polka metal'"):
        TAXONOMY.encode([["polka metal"]])
    with pytest.raises(ValueError, match=r"expected a matrix \(n, 200\)"):
        TAXONOMY.decode(np.zeros((1, 3)))


def test_a_saved_taxonomy_is_the_same(tmp_path):
    TAXONOMY.save(tmp_path / "taxonomy.yaml")
    again = Taxonomy.load(tmp_path / "taxonomy.yaml")
    assert again.tags == TAXONOMY.tags and again.exclusions == TAXONOMY.exclusions
    assert again.match("sustained strings melody") == ["strings"]


@pytest.mark.skipif(not REFERENCE.exists(), reason="needs ../shared/data/conceptcaps_taxonomy.json")
def test_the_reference_s_taxonomy_is_accepted():
    reference = Taxonomy.load(REFERENCE)
    assert len(reference.tags) == 200 and set(map(reference.category, reference.tags)) == set(reference.categories)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "tags: [{name: polka, category: dance}]",
            "expected a category of genre, mood, instrument, tempo, got 'dance'",
        ),
        ("tags: [{name: a, category: mood}, {name: a, category: mood}]", "expected each tag once, got 'a' again"),
        ("tags: [{name: a, category: mood, parent: b}]", "as parent or negated by 'a', got 'b'"),
        (
            "tags: [{name: a, category: mood, parent: b}, {name: b, category: mood, parent: a}]",
            "expected parents that lead to a tag without one, got a -> b -> a",
        ),
        ("tags: []", "expected at least one tag"),
        ("just text", "expected a taxonomy"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, text, message):
    (tmp_path / "taxonomy.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        Taxonomy.load(tmp_path / "taxonomy.yaml")


def test_ids_depend_on_the_set_not_its_order():
    assert tag_set_id(["a", "b"]) == tag_set_id(["b", "a", "a"])
    assert len({tag_set_id(["a"]), tag_set_id(["a"], seed=0), tag_set_id(["a"], seed=0, caption="x")}) == 3
