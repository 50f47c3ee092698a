"""Plans: read from captions, and filled for other tag sets."""

import numpy as np
import pytest

from conceptcaps.captions import planning
from conceptcaps.captions.planning import Planner
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()


@pytest.mark.parametrize(
    ("caption", "text", "plan"),
    [
        ("A jazz tune for piano.", "A jazz tune for piano.", [["jazz", "piano"]]),
        ("A piano plays. Jazz it is.", "A piano plays. Jazz it is.", [["piano"], ["jazz"]]),
        ("Enjoy. A piano plays. It goes on.", "A piano plays.", [["piano"]]),
        ("A piano plays. The piano is sad.", "A piano plays. The piano is sad.", [["piano"], ["sad"]]),
        ("A piano plays. It is a piano.", "A piano plays.", [["piano"]]),
        (
            "Hard rock with an electric guitar.",
            "Hard rock with an electric guitar.",
            [["hard rock", "electric guitar"]],
        ),
        ("It lasts.", "", []),
    ],
)
def test_a_caption_s_plan_has_its_tags_where_it_says_them(caption, text, plan):
    assert planning.outline(caption, taxonomy=TAXONOMY) == (text, plan)


def test_a_set_takes_the_plan_of_a_caption_with_the_same_kinds():
    plans = [[["jazz", "slow tempo"], ["piano"]], [["piano", "violin"], ["drums"]], [["sad", "happy", "calm", "dark"]]]
    planner = Planner(plans, taxonomy=TAXONOMY)
    assert planner.plan(["rock", "fast tempo", "organ"], seed=[0]) == [["rock", "fast tempo"], ["organ"]]
    assert planner.plan(["tambourine", "organ", "flute"], seed=[0]) == [["organ", "flute"], ["tambourine"]]


def test_every_tag_is_planned_once_and_what_others_imply_not_at_all():
    generator = np.random.default_rng(0)
    plans = [
        [generator.choice(TAXONOMY.tags, size, replace=False).tolist() for size in generator.integers(1, 9, 3)]
        for _ in range(40)
    ]
    planner = Planner(plans, taxonomy=TAXONOMY)
    for row in range(100):
        tags = generator.choice(TAXONOMY.tags, generator.integers(1, 16), replace=False).tolist()
        plan = planner.plan(tags, seed=[row])
        planned = [tag for sentence in plan for tag in sentence]
        assert len(planned) == len(set(planned)) and all(plan)
        assert max(map(len, plan)) <= planning.MOST_TAGS
        assert set(planned) <= set(tags) <= TAXONOMY.closure(planned)
        assert plan == planner.plan(tags, seed=[row])


def test_tags_without_room_begin_a_sentence_that_others_of_their_kind_join():
    planner = Planner([[["jazz", "piano", "violin", "cello", "flute"]]], taxonomy=TAXONOMY)
    plan = planner.plan(["jazz", "piano", "violin", "cello", "flute", "sad", "calm", "drums"], seed=[0])
    assert plan[0] == ["jazz", "piano", "violin", "cello", "flute"] and len(plan) == 2


def test_seeds_give_plans_of_their_own():
    plans = [[["jazz"], ["piano"]], [["piano", "jazz"]], [["jazz", "piano"]]]
    planner = Planner(plans, taxonomy=TAXONOMY)
    assert len({planning.render(planner.plan(["folk", "organ"], seed=[row])) for row in range(20)}) == 3


def test_another_taxonomy_has_the_kinds_of_its_categories(tmp_path):
    path = tmp_path / "taxonomy.json"
    path.write_text('{"genre": ["polka"], "mood": ["odd"], "instrument": ["theremin"], "tempo": ["lento"]}')
    planner = Planner([[["polka"], ["odd", "theremin"]]], taxonomy=Taxonomy.load(path))
    assert planner.plan(["lento", "polka"], seed=[0]) == [["polka", "lento"]]


def test_no_plans_are_refused():
    with pytest.raises(ValueError, match="expected at least one plan to follow, got none"):
        Planner([], taxonomy=TAXONOMY)


def test_kinds_name_tags_of_the_taxonomy():
    assert set(planning.KINDS) <= set(TAXONOMY.tags)
