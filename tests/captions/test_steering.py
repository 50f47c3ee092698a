"""Steering without a model: what is rewarded, where a text is taken back, and that it gives up."""

import pytest
from transformers import AutoTokenizer

from conceptcaps.captions.steering import Steering
from conceptcaps.tags.taxonomy import Taxonomy
from tests import tiny_model

TAXONOMY = Taxonomy.load()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return AutoTokenizer.from_pretrained(tiny_model.save(tmp_path_factory.mktemp("base"), texts=TAXONOMY.tags))


@pytest.fixture
def steer(tokenizer):
    def make(*tags: str, bonus: float = 2.0) -> Steering:
        return Steering([tags], taxonomy=TAXONOMY, tokenizer=tokenizer, bonus=bonus)

    return make


def test_tags_not_yet_said_are_rewarded_once_for_each_end(steer, tokenizer):
    jazz, piano = (tokenizer(f" {tag}", add_special_tokens=False)["input_ids"][0] for tag in ("jazz", "piano"))
    steering = steer("jazz", "piano")
    assert steering.bonuses(0, "", []) == {jazz: 2.0, piano: 2.0}
    assert steering.bonuses(0, "A jazz tune", [jazz]) == {piano: 2.0}
    assert steering.bonuses(0, "A pia", [piano]) == {jazz: 2.0}, "it was begun and is not offered again"
    assert steering.take_back(0, "A jazz tune.", ended=True) == len("A jazz tune.")
    assert steering.bonuses(0, "A jazz tune.", [piano]) == {piano: 4.0}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("A waltz for piano and a loud trumpet that", None),  # may yet be "trumpet-like"
        ("A waltz for piano and a loud trumpet that sings al", "A waltz for piano and a loud"),
        ("A waltz for electric guitar and more and", "A waltz for"),
        ("A waltz for piano. Electric guitar. ", "A waltz for piano."),
        ("Trumpet and piano play. ", ""),
        ("A waltz for piano without a trumpet or drums. ", "A waltz for piano"),  # no percussion, too
        ("A piano that plays a waltz alone. ", None),
    ],
)
def test_what_nobody_asked_for_is_taken_back(steer, text, kept):
    place = steer("piano", "waltz time").take_back(0, text, ended=False)
    assert place == (None if kept is None else len(kept))


def test_an_end_with_everything_said_is_an_end(steer):
    steering = steer("piano")
    assert steering.take_back(0, "A piano.", ended=True) is None
    assert steering.take_back(0, "A trumpet.", ended=True) == 1


def test_it_gives_up(steer):
    steering = steer("piano")
    assert sum(steering.take_back(0, "A tune.", ended=True) is not None for _ in range(50)) == 3
    assert sum(steering.take_back(0, "A trumpet. ", ended=False) is not None for _ in range(50)) == 13


def test_a_negative_bonus_is_refused(steer):
    with pytest.raises(ValueError, match="expected a steering bonus of at least 0, got -1"):
        steer("piano", bonus=-1)
