from pathlib import Path

import pandas as pd
import pytest

from conceptcaps.captions.mentions import MentionReader
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()
LABELLED = pd.read_csv(Path(__file__).parents[1] / "data" / "mentions.csv", keep_default_na=False)


ERRORS = {  # what the reader misses and what it invents of the labelled sentences
    "Bluegrass with banjo, mandolin and fiddle at a breakneck pace.": "violin/",
    "A saxophone solo floats over smooth electric piano chords.": "/mellow",
    "This reggae tune is easygoing and warm.": "/mellow",
    "Arpeggiated synths repeat the same pattern over and over.": "repetitive pattern/",
    "An afrobeat groove with horns and talking drums.": "/drums",
    "Drum and bass at full speed, with a female vocal sample.": "female vocals/",
    "He sings softly and she answers in harmony.": "female vocals;vocal harmony/",
    "Prog rock with odd metres and a Hammond organ.": "/weird",
    "A futuristic synth bass pulses under robotic vocals.": "driving rhythm/",
    "Instead of drums, a shaker keeps the time.": "/no percussion",
    "Vocals? None at all. A flute leads.": "instrumental/vocals",
    "Piano and strings, soft and tender.": "gentle/",
    "Kick, snare and hi-hats are programmed.": "kick drum/",
    "Energetic, exciting, youthful and fun: pop at its best.": "pop/",
}


@pytest.fixture(scope="module")
def reader():
    return MentionReader(TAXONOMY)


def counts(found, labels):
    """True, invented and missed mentions; a tag that implies another one says that too."""
    labels = [set(text.split(";")) - {""} for text in labels]
    assert set().union(*labels) <= set(TAXONOMY.tags)
    missed = sum(len(asked - TAXONOMY.closure(said)) for said, asked in zip(found, labels, strict=True))
    invented = sum(len(set(said) - TAXONOMY.closure(asked)) for said, asked in zip(found, labels, strict=True))
    return sum(map(len, labels)) - missed, sum(map(len, found)) - invented, missed, invented


def test_reads_sentences_that_were_labelled_by_hand_and_errs_on_none_but_those_that_are_known(reader):
    assert len(LABELLED) == 200
    readings = [row.mentioned for row in reader.read(LABELLED["text"])]
    said, true, missed, invented = counts(readings, LABELLED["tags"])
    assert said / (said + missed) > 0.95 and true / (true + invented) > 0.97
    wrong = {}
    for text, labels, found in zip(LABELLED["text"], LABELLED["tags"], readings, strict=True):
        asked = set(labels.split(";")) - {""}
        sides = asked - TAXONOMY.closure(found), set(found) - TAXONOMY.closure(asked)
        if any(sides):
            wrong[text] = "/".join(";".join(sorted(side)) for side in sides)
    assert wrong == ERRORS


def test_what_is_denied_supposed_or_compared_is_no_mention(reader):
    hard = LABELLED[LABELLED["kind"].isin(["negated", "supposed", "compared", "sense"])]
    said, true, missed, invented = counts([row.mentioned for row in reader.read(hard["text"])], hard["tags"])
    assert len(hard) == 84 and invented <= 4 and missed <= 4
    assert counts([TAXONOMY.find(text) for text in hard["text"]], hard["tags"])[3] > 20, "the matcher is fooled"


READINGS = [
    ("The mood is calm rather than sad.", ["calm"], ["sad"]),
    ("No piano or accordions are involved.", [], ["accordion", "piano"]),
    ("There are no vocals.", ["instrumental"], ["vocals"]),
    ("A synth like a flute.", ["synthesizer"], []),
    ("The acoustic and electric guitars ring.", ["acoustic guitar", "electric guitar"], []),
    ("The tempo is fast. It could be slow.", ["fast tempo"], []),
    ("A moderately slow soul tune led by an organ.", ["moderately slow tempo", "organ", "soul"], []),
    ("The tempo is medium-fast.", ["moderately fast tempo"], []),
    ("Exhilarating music.", ["exciting"], []),
    ("", [], []),
    # denied, and what only looks so
    ("The tune is sad but not slow.", ["sad"], ["slow tempo"]),
    ("It is not only sad but also slow.", ["sad", "slow tempo"], []),
    ("It is not just a waltz.", ["waltz time"], []),
    ("The tune isn't sad.", [], ["sad"]),
    ("The tune omits drums.", ["no percussion"], ["drums"]),
    ("A drum-free tune for piano.", ["no percussion", "piano"], ["drums"]),
    ("Free of drums, it floats on a harp.", ["harp", "no percussion"], ["drums"]),
    ("A violin, free of vibrato, leads.", ["violin"], []),
    ("No human vocals at all.", ["instrumental"], ["vocals"]),
    ("No female vocals are heard.", [], ["female vocals"]),
    ("No male singer, but a flute.", ["flute"], ["male vocals"]),
    ("The guitar is not present.", [], ["guitar"]),
    ("The violin is absent.", [], ["violin"]),
    ("Neither piano nor guitar.", [], ["guitar", "piano"]),
    (
        "A flute plays, no drums or bass guitar or organ.",
        ["flute", "no percussion"],
        ["bass guitar", "drums", "organ"],
    ),
    ("There are no drums, a piano plays.", ["no percussion", "piano"], ["drums"]),
    ("No drums and only a piano.", ["no percussion", "piano"], ["drums"]),
    ("Rather than a piano, an organ leads.", ["organ"], ["piano"]),
    ("In place of a piano, an organ leads.", ["organ"], ["piano"]),
    ("Without a doubt, a piano leads.", ["piano"], []),
    ("There is no doubt that this is a jazz tune.", ["jazz"], []),
    ("No vocals.", ["instrumental"], ["vocals"]),
    ("No drums, but a piano.", ["no percussion", "piano"], ["drums"]),
    ("A percussion-free tune for harp.", ["harp", "no percussion"], ["percussion"]),
    ("There is no use of percussion.", ["no percussion"], ["percussion"]),
    ("There is no trace of a piano or a guitar.", [], ["guitar", "piano"]),
    ("There is no sign of drums, but a flute plays.", ["flute", "no percussion"], ["drums"]),
    ("There are no drums in the sound of the piano.", ["no percussion", "piano"], ["drums"]),
    ("There are no other instruments apart from one guitar.", ["guitar"], []),
    ("There is no piano, violin nor guitar.", [], ["guitar", "piano", "violin"]),
    ("It has neither drums nor a piano.", ["no percussion"], ["drums", "piano"]),
    ("A piece without an old piano.", [], ["piano"]),
    # a thing of which something is denied is there all the same
    ("The drums never stop.", ["drums"], []),
    ("The drums do not overpower the piano.", ["drums", "piano"], []),
    ("The guitar is not distorted.", ["guitar"], []),
    ("The piano isn't the lead.", ["piano"], []),
    ("The singer isn't male.", ["vocals"], []),
    ("The singer is male.", ["male vocals"], []),
    ("The tempo is not slow.", [], ["slow tempo"]),
    ("The bass never plays.", [], ["bass"]),
    ("Drums never enter.", ["no percussion"], ["drums"]),
    ("There aren't any drums.", ["no percussion"], ["drums"]),
    ("It does not contain drums.", ["no percussion"], ["drums"]),
    ("Drums are not heard.", ["no percussion"], ["drums"]),
    ("A guitar is missing.", [], ["guitar"]),
    ("Only the drums are missing.", ["no percussion"], ["drums"]),
    ("The song misses a guitar.", [], ["guitar"]),
    ("The guitar is missing its player.", ["guitar"], []),
    # supposed, and what is there of which something is supposed
    ("The piano could be louder.", ["piano"], []),
    ("This piano tune could be a waltz.", ["piano"], []),
    ("The violin would suit a ballad.", ["violin"], []),
    ("Great drums and a good piano.", ["drums", "piano"], []),
    ("We hope for a trumpet.", [], []),
    ("I imagine a trumpet.", [], []),
    ("It might be a waltz.", [], []),
    ("It could have a piano.", [], []),
    ("It is as if a harp played.", [], []),
    ("I wonder whether a piano plays.", [], []),
    ("As though a harp played, it floats.", [], []),
    ("The voice is almost like a female soprano vocalising.", ["vocals"], []),
    ("The sound is like a bright old harp.", [], []),
    # what can be heard is there, but where it can be heard is supposed
    ("A flute can be heard.", ["flute"], []),
    ("Strings can be heard in the background.", ["strings"], []),
    ("One can hear the sound of a guitar.", ["guitar"], []),
    ("A male singer sings and a flute can be heard in the background.", ["flute", "male vocals"], []),
    ("Drums can be heard throughout, with a piano playing along.", ["drums", "piano"], []),
    ("A flute cannot be heard.", [], ["flute"]),
    ("It can be heard in salsa clubs.", [], []),
    ("This can be heard playing at jazz festivals.", [], []),
    ("Violins could be heard.", [], []),
    ("It can be played on a piano.", [], []),
    # compared, and what is compared
    ("The piano suggests bells.", ["piano"], []),
    ("It evokes a march.", [], []),
    ("A voice like a trumpet.", ["vocals"], []),
    ("It sounds like a waltz.", [], []),
    ("A bell-like piano.", ["piano"], []),
    ("Similar to a waltz, the tune turns.", [], []),
    ("As slow as a ballad, the tune goes.", [], []),
    ("As well as a piano, a flute plays.", ["flute", "piano"], []),
    ("A flute plays like crazy.", ["flute"], []),
    # words of more than one sense, and words that belong together
    ("A piano accordion plays.", ["accordion"], []),
    ("The man sings.", ["male vocals"], []),
    ("A man talks.", ["spoken word"], []),
    ("The house has a piano.", ["piano"], []),
    ("This is house.", ["house"], []),
    ("This is a rock.", [], []),
    ("The song is rock.", ["rock"], []),
    ("It feels jazzy.", ["jazz"], []),
    ("Scratched records.", ["turntable scratching"], []),
    ("The bass clarinet plays low.", ["clarinet"], []),
    ("Two guitars and some violins.", ["guitar", "violin"], []),
    ("Strings.", ["strings"], []),
    ("House and techno.", ["house", "techno"], []),
    ("It is a mix of rock, house and jazz.", ["house", "jazz", "rock"], []),
    ("A marching tune.", ["march"], []),
    ("He marches.", [], []),
    ("The chanting goes on.", ["chant"], []),
    ("The tempo is slow and steady.", ["slow tempo", "steady beat"], []),
    ("A steady tempo that is slow.", ["slow tempo", "steady beat"], []),
    ("The tempo feels rather fast.", ["fast tempo"], []),
    ("The fast drums.", ["drums"], []),
    ("An electric, distorted guitar.", ["distorted guitar", "electric guitar"], []),
    ("Electric bass and guitar.", ["bass guitar", "guitar"], []),
    ("Subtle music.", [], []),
    ("There is a man who sings.", ["male vocals"], []),
    ("A flute-like lead.", [], []),
]


def test_readings(reader):
    texts, *sides = zip(*READINGS, strict=True)
    found = dict(zip(texts, map(tuple, reader.read(texts)), strict=True))
    assert found == dict(zip(texts, zip(*sides, strict=True), strict=True))


def test_a_reading_does_not_depend_on_its_neighbours(reader):
    texts = LABELLED["text"].head(20).tolist()
    assert reader.read(texts) == [reader.read([text])[0] for text in texts]


def test_a_denial_may_be_the_last_word(reader):
    assert reader.read(["A piano plays, but drums do not"])


def test_without_a_similarity_that_can_be_reached_only_known_words_count():
    assert MentionReader(TAXONOMY, similarity=1.01).read(["Exhilarating music for piano."])[0] == (["piano"], [])


def test_only_tags_of_the_taxonomy_are_read(tmp_path):
    path = tmp_path / "taxonomy.json"
    path.write_text('{"genre": ["jazz"], "instrument": ["piano"]}')
    small = MentionReader(Taxonomy.load(path))
    assert small.readable == {"jazz", "piano"}
    assert small.read(["A sad jazz tune for flute, without a piano or drums."])[0] == (["jazz"], ["piano"])
