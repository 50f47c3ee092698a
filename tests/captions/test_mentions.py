from pathlib import Path

import pandas as pd
import pytest

from conceptcaps.captions.mentions import MentionReader
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()
LABELLED = pd.read_csv(Path(__file__).parents[1] / "data" / "mentions.csv", keep_default_na=False)


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


def test_reads_sentences_that_were_labelled_by_hand(reader):
    assert len(LABELLED) == 200
    said, true, missed, invented = counts([row.mentioned for row in reader.read(LABELLED["text"])], LABELLED["tags"])
    assert said / (said + missed) > 0.95 and true / (true + invented) > 0.97


def test_what_is_denied_supposed_or_compared_is_no_mention(reader):
    hard = LABELLED[LABELLED["kind"].isin(["negated", "supposed", "compared", "sense"])]
    said, true, missed, invented = counts([row.mentioned for row in reader.read(hard["text"])], hard["tags"])
    assert len(hard) == 84 and invented <= 4 and missed <= 4
    assert counts([TAXONOMY.find(text) for text in hard["text"]], hard["tags"])[3] > 20, "the matcher is fooled"


@pytest.mark.parametrize(
    ("text", "mentioned", "denied"),
    [
        ("The mood is calm rather than sad.", ["calm"], ["sad"]),
        ("No piano or accordions are involved.", [], ["accordion", "piano"]),
        ("There are no vocals.", ["instrumental"], ["vocals"]),
        ("A synth like a flute.", ["synthesizer"], []),
        ("The acoustic and electric guitars ring.", ["acoustic guitar", "electric guitar"], []),
        ("The tempo is fast. It could be slow.", ["fast tempo"], []),
        ("Exhilarating music.", ["exciting"], []),
        ("", [], []),
    ],
)
def test_readings(reader, text, mentioned, denied):
    assert reader.read([text])[0] == (mentioned, denied)


def test_a_reading_does_not_depend_on_its_neighbours(reader):
    texts = LABELLED["text"].head(20).tolist()
    assert reader.read(texts) == [reader.read([text])[0] for text in texts]


def test_a_denial_may_be_the_last_word(reader):
    assert reader.read(["A piano plays, but drums do not"])
