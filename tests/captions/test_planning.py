"""Plans: read from captions, and filled for other tag sets."""

import numpy as np
import pandas as pd
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
        ("Hard rock, pure rock. It is rock.", "Hard rock, pure rock.", [["hard rock"]]),
        ("Hard rock plays. Hard rock is rock.", "Hard rock plays.", [["hard rock"]]),
    ],
)
def test_a_caption_s_plan_has_its_tags_where_it_says_them(caption, text, plan):
    assert planning.outline(caption, taxonomy=TAXONOMY) == (text, plan)


def test_the_order_of_tags_in_a_sentence():
    for text, tags in {
        "A violin, a piano and drums play slow jazz.": ["violin", "piano", "drums", "jazz", "slow tempo"],
        "Jazz at a slow tempo, for drums, piano and violin.": ["jazz", "slow tempo", "drums", "piano", "violin"],
        "Violin, piano, flute and accordion, sad jazz.": ["violin", "piano", "flute", "accordion", "sad", "jazz"],
        "There it goes on and on, and then a piano plays.": ["piano"],
        "It goes on.": [],
    }.items():
        assert planning.in_order(text, taxonomy=TAXONOMY) == tags
    assert planning.render([["jazz", "slow tempo"], ["piano"]]) == "jazz, slow tempo | piano"


def plan(pattern: planning.Plan, *tags: str, seed: int = 0) -> planning.Plan:
    return Planner([pattern], taxonomy=TAXONOMY).plan(tags, seed=[seed])


def test_tags_of_the_pattern_come_first_and_others_take_places_of_their_kind():
    assert plan([["piano", "organ"], ["jazz"]], "organ", "synthesizer", "folk") == [["organ", "synthesizer"], ["folk"]]
    assert plan([["piano", "jazz"], ["sad"]], "organ", "calm") == [["organ"], ["calm"]]
    assert plan([["violin", "piano"], ["jazz"]], "violin") == [["violin"]]
    assert plan([["violin", "flute", "piano"], ["jazz"]], "cello", "folk") == [["folk", "cello"]]  # the genre opens


@pytest.mark.parametrize(
    ("pattern", "tag", "wanted"),
    [
        ([["jazz"], ["violin"]], "cello", [["jazz"], ["violin"], ["cello"]]),  # such a sentence was learnt
        ([["violin", "jazz"], ["sad"]], "cello", [["violin", "cello", "jazz"], ["sad"]]),
        ([["violin", "flute", "jazz"], ["sad"]], "cello", [["violin", "flute", "cello", "jazz"], ["sad"]]),
        ([["violin", "jazz"], ["flute"]], "cello", [["violin", "jazz"], ["flute"], ["cello"]]),
        (
            [["piano", "jazz"], ["violin", "sad", "calm"]],
            "cello",
            [["piano", "jazz"], ["violin", "cello", "sad", "calm"]],
        ),
        ([["jazz", "sad"], ["violin", "calm"]], "drums", [["jazz", "sad"], ["violin", "drums", "calm"]]),
        ([["jazz", "violin"], ["piano"]], "sad", [["jazz", "violin"], ["piano", "sad"]]),
        ([["jazz", "violin"], ["piano", "drums"]], "sad", [["jazz", "violin", "sad"], ["piano", "drums"]]),
    ],
)
def test_a_tag_without_a_slot_gets_a_learnt_sentence_or_goes_behind_its_like_or_where_there_is_most_room(
    pattern, tag, wanted
):
    assert plan(pattern, *(tag for sentence in pattern for tag in sentence), tag) == wanted


def test_long_sentences_are_cut_into_even_ones():
    tags = ["jazz", "piano", "violin", "cello", "flute", "sad", "calm", "drums", "organ", "trumpet", "slow tempo"]
    assert plan([tags[:7]], *tags[:7]) == [tags[:3], tags[3:7]]
    assert plan([tags], *tags) == [tags[:3], tags[3:7], tags[7:]]
    assert plan([tags[:5]], *tags[:5]) == [tags[:5]]


def test_the_plan_of_a_caption_that_differs_in_more_kinds_is_not_drawn():
    one, other = [["jazz", "piano"]], [["jazz"], ["piano", "violin", "drums"]]
    planner = Planner([other, one, other], taxonomy=TAXONOMY)
    assert {len(planner.plan(["folk", "organ"], seed=[row])) for row in range(20)} == {1}


def test_plans_that_share_tags_come_first_and_twelve_of_all_are_drawn_from():
    alike, shared = [[["rock"], ["organ"]]] * 12, [[["jazz", "piano"]]] * 12
    for plans in (alike + shared, shared + alike):
        planner = planning.of(pd.DataFrame({"plan": plans}), taxonomy=TAXONOMY)
        assert {planning.render(planner.plan(["jazz", "piano"], seed=[row])) for row in range(20)} == {"jazz, piano"}
    planner = Planner([*alike[1:], shared[0], *shared[1:]], taxonomy=TAXONOMY)
    assert len({len(planner.plan(["folk", "accordion"], seed=[row])) for row in range(40)}) == 2


def test_free_tags_of_a_kind_are_dealt_out_by_seed():
    found = {
        planning.render(plan([["piano", "jazz", "organ"]], "synthesizer", "accordion", "jazz", seed=row))
        for row in range(20)
    }
    assert found == {"synthesizer, jazz, accordion", "accordion, jazz, synthesizer"}


def test_a_set_takes_the_plan_of_a_caption_with_the_same_kinds():
    plans = [[["jazz", "slow tempo"], ["piano"]], [["piano", "violin"], ["drums"]], [["sad", "happy", "calm", "dark"]]]
    planner = Planner(plans, taxonomy=TAXONOMY)
    assert planner.plan(["rock", "fast tempo", "organ"], seed=[0]) == [["rock", "fast tempo"], ["organ"]]
    assert planner.plan(["tambourine", "organ", "flute"], seed=[0]) == [["organ", "flute"], ["tambourine"]]


def test_tags_that_share_a_word_stand_in_sentences_of_their_own_where_a_learnt_plan_allows_that():
    together, apart = [["jazz"], ["guitar solo", "bass guitar"]], [["jazz", "guitar solo"], ["bass guitar"]]
    tags = ["rock", "guitar solo", "bass guitar"]
    planner = Planner([together, apart], taxonomy=TAXONOMY)
    assert {planning.render(planner.plan(tags, seed=[row])) for row in range(20)} == {"rock, guitar solo | bass guitar"}
    assert Planner([together], taxonomy=TAXONOMY).plan(tags, seed=[0]) == [["rock"], ["guitar solo", "bass guitar"]]
    duet = Planner([[["jazz"], ["male vocals", "female vocals"]]] * 12 + [[["jazz"], ["organ"]]], taxonomy=TAXONOMY)
    assert len(duet.plan(["rock", "male vocals", "female vocals"], seed=[0])) == 2


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


def test_every_sentence_has_the_kinds_of_one_that_was_learnt():
    plans = [[["jazz", "slow tempo"], ["piano"], ["drums"]], [["rock", "happy"], ["sad"]], [["pop"], ["fast tempo"]]]
    planner = Planner(plans, taxonomy=TAXONOMY)
    learnt = {("genre", "tempo"), ("keys",), ("drums",), ("genre", "mood"), ("mood",), ("genre",), ("tempo",)}
    generator = np.random.default_rng(0)
    known = [tag for tag in TAXONOMY.tags if (planner._kind[tag],) in learnt]
    openings = set()
    for row in range(100):
        tags = generator.choice(known, generator.integers(1, 12), replace=False).tolist()
        plan = planner.plan([*tags, "jazz"], seed=[row])
        orders = [tuple(planner._kind[tag] for tag in sentence) for sentence in plan]
        assert set(orders) <= learnt
        openings.add(orders[0])
    assert openings <= {("genre", "tempo"), ("genre", "mood"), ("genre",)}


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


def test_an_opening_without_a_genre_says_one_tag_and_with_one_three_where_such_were_learnt():
    plans = [[["sad", "piano"], ["drums"]], [["sad"], ["drums"]], [["jazz", "sad", "slow tempo", "piano"]], [["jazz"]]]
    planner = Planner(plans, taxonomy=TAXONOMY)
    for seed in range(8):
        assert planner.plan(["happy", "keyboard", "drums"], seed=[seed])[0] == ["happy"]
        assert planner.plan(["rock", "happy", "keyboard"], seed=[seed])[0] == ["rock"]
    alone = Planner(plans[:1], taxonomy=TAXONOMY)
    assert alone.plan(["happy", "piano", "drums"], seed=[0])[0] == ["happy", "piano"], "no shorter one was learnt"


def test_a_pace_alone_opens_no_caption_that_something_can_lead():
    plans = [[["slow tempo"], ["drums"], ["piano"]], [["slow tempo"], ["sad"]], [["jazz", "slow tempo"], ["piano"]]]
    planner = Planner(plans, taxonomy=TAXONOMY)
    assert planner.plan(["fast tempo", "organ", "drums"], seed=[0]) == [["organ"], ["drums"], ["fast tempo"]]
    assert planner.plan(["fast tempo", "happy"], seed=[0]) == [["fast tempo"], ["happy"]], "nothing leads"
    assert planner.plan(["rock", "fast tempo", "organ"], seed=[0])[0] == ["rock", "fast tempo"]
