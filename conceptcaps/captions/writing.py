"""Captions for tag sets: planned, written sentence by sentence with the best of several candidates, and checked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from transformers import PreTrainedTokenizerBase

from conceptcaps.captions import choice, decoding, english, planning
from conceptcaps.captions.captioner import Captioner
from conceptcaps.captions.captioner import load as load_captioner
from conceptcaps.captions.decoding import Sampling
from conceptcaps.captions.faithfulness import Faithfulness, check
from conceptcaps.captions.planning import Plan
from conceptcaps.captions.vllm_engine import Engine
from conceptcaps.errors import InputError
from conceptcaps.tags import phrases
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace.hashing import row_seed

__all__ = ["Written", "load", "predict", "write"]  # ``load`` and ``predict`` serve a registered captioner

SERVED = {"module": __name__, "example": pd.DataFrame({"tags": ["jazz, piano, slow tempo"]})}  # how it is registered
"""A request to a served captioner."""
DEFAULTS = {"seed": 0}  # columns that a request may leave out
_SERVED_AT_ONCE = 256  # texts decoded at once, which no caption depends on
_PLANS = 3  # by which a caption is written at most
_SPARE = 28  # tokens that a sentence may have beside two and a half for each of its tags'


@dataclass
class Written:
    """A caption, the plan that it follows, and what the matcher says of it."""

    caption: str
    plan: Plan
    faithfulness: Faithfulness


def write(
    captioner: Captioner,
    tag_sets: Sequence[Sequence[str]],
    *,
    seeds: Sequence[int],
    sampling: Sampling,
    batch_size: int,
    candidates: int,
    attempts: int,
    max_words: int,
) -> list[Written]:
    """Write a caption for every tag set.

    Every row has a plan and draws of its own, by its seed, so that a caption does not depend on which rows share a
    batch.

    Args:
        captioner: Model, prompt and plans to follow.
        tag_sets: n sets of canonical tags.
        seeds: n seeds.
        sampling: Decoding dials.
        batch_size: Texts decoded at once, each candidate one.
        candidates: Drawn for each sentence.
        attempts: How often a sentence's candidates are drawn at most, while each has a fault. With more than one, a
            caption in which a fault stands all the same (``choice.spoilt``) is written by up to two other plans, of
            which the least faulty is kept.
        max_words: Longer captions lose sentences, those first that say fewest tags; 0 keeps all. CLAP hears 77 tokens,
            about 55 words.

    Returns:
        n captions.

    Raises:
        InputError: If lengths differ, or a dial is out of its range.
    """
    if len(seeds) != len(tag_sets):
        raise InputError(f"expected a seed for each tag set, got {len(seeds)} for {len(tag_sets)}")
    taxonomy, planned = captioner.taxonomy, captioner.planner is not None

    def drafts(rows: Sequence[int], number: int) -> list[tuple[Plan, str]]:
        own = [row_seed(f"plan {number}", seeds[row]) if number else seeds[row] for row in rows]
        plans = [captioner.plan(tag_sets[row], seed=seed) for row, seed in zip(rows, own, strict=True)]
        texts = _texts(
            captioner,
            plans,
            streams=[(seeds[row], number) for row in rows],
            sampling=sampling,
            batch_size=batch_size,
            candidates=candidates,
            attempts=attempts,
        )
        if planned:
            texts = [telling(text, tag_sets[row], taxonomy=taxonomy) for row, text in zip(rows, texts, strict=True)]
        return list(zip(plans, texts, strict=True))

    def spoilt(row: int) -> int:
        return choice.spoilt(found[row][1], asked=tag_sets[row], taxonomy=taxonomy)

    found = drafts(range(len(tag_sets)), 0)
    for number in range(1, _PLANS if planned and attempts > 1 and sampling.temperature else 1):
        again = [row for row in range(len(found)) if spoilt(row)]
        others = drafts(again, number) if again else []
        for row, other in zip(again, others, strict=True):
            weights = [choice.whole(text, asked=tag_sets[row], taxonomy=taxonomy) for _, text in (found[row], other)]
            found[row] = other if weights[1] < weights[0] else found[row]
    if max_words:
        found = [(plan, shortened(text, most=max_words, taxonomy=taxonomy)) for plan, text in found]
    return [
        Written(text, plan, check(text, tags, taxonomy=taxonomy))
        for (plan, text), tags in zip(found, tag_sets, strict=True)
    ]


def _texts(
    captioner: Captioner,
    plans: Sequence[Plan],
    *,
    streams: Sequence[tuple[int, int]],
    sampling: Sampling,
    batch_size: int,
    candidates: int,
    attempts: int,
) -> list[str]:
    """Texts for plans, as the model and the choice among its candidates leave them."""
    planned, tokenizer, model = captioner.planner is not None, captioner.tokenizer, captioner.model
    parts = [[min(longest(tags, tokenizer=tokenizer), sampling.max_new_tokens) for tags in plan] for plan in plans]
    generate = model.generate if isinstance(model, Engine) else partial(decoding.generate, model, batch_size=batch_size)
    answers = generate(
        tokenizer=tokenizer,
        chats=[captioner.messages(plan) for plan in plans],
        streams=streams,
        sampling=sampling,
        parts=parts if planned else None,
        candidates=candidates,
        rounds=attempts,
        choose=choice.by_plan(plans, taxonomy=captioner.taxonomy, idiom=captioner.idiom),
    )
    return [answer.text if answer.ended or planned else whole_sentences(answer.text) for answer in answers]


def longest(tags: Iterable[str], *, tokenizer: PreTrainedTokenizerBase) -> int:
    """Most tokens of a sentence that says these tags."""
    asked = len(tokenizer(", ".join(tags), add_special_tokens=False)["input_ids"])
    return _SPARE + int(np.ceil(2.5 * asked))


def telling(text: str, tags: Iterable[str], *, taxonomy: Taxonomy) -> str:
    """A text without the later sentences that say no tag of a set that was not said before, as learnt ones are.

    Articles and capitals are corrected ("a intense indian tune"): small slips of a small model, easy to mend.

    >>> telling("An indian waltz. It waltzes. It hums.", ["indian music", "waltz time"], taxonomy=Taxonomy.load())
    'An Indian waltz.'
    """

    def said(sentence: str) -> set[str]:
        return taxonomy.closure(taxonomy.find(sentence))

    told = enumerate(planning.first_said(text, taxonomy.closure(tags), said=said))
    return english.proper(english.indefinite(" ".join(sentence for place, (sentence, new) in told if new or not place)))


def shortened(text: str, *, most: int, taxonomy: Taxonomy) -> str:
    """A text of at most ``most`` words, if leaving out sentences after the first can make it so short.

    >>> shortened("A slow waltz for piano. It goes on and on. A violin sighs.", most=9, taxonomy=Taxonomy.load())
    'A slow waltz for piano. A violin sighs.'
    """
    kept = phrases.sentences(text)
    while len(kept) > 1 and sum(len(one.split()) for one in kept) > most:
        losses = [
            len(taxonomy.find(text)) - len(taxonomy.find(" ".join(kept[:place] + kept[place + 1 :])))
            for place in range(len(kept))
        ]
        del kept[min(range(1, len(kept)), key=lambda place: (losses[place], -len(kept[place].split())))]
    return " ".join(kept)


def whole_sentences(text: str) -> str:
    """A text without the sentence that its length cut off; whole if it holds no end of a sentence.

    >>> whole_sentences("A slow waltz. It is play"), whole_sentences("A slow")
    ('A slow waltz.', 'A slow')
    """
    end = max(text.rfind(mark) + 1 for mark in ".!?")
    return text[:end] if end else text


def load(folder: Path) -> Captioner:
    """The captioner of a registered model, as it is served."""
    return load_captioner(folder, variant="tuned", engine="torch", precision="auto")


def predict(captioner: Captioner, frame: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Captions for served requests.

    Args:
        captioner: An open captioner.
        frame: Column ``tags``: tags separated by commas, as one types them; and ``seed``, 0 where it is left out.
        seed: Added to each row's; another one gives other captions.

    Returns:
        Columns ``caption``, ``tag_recall``, ``missed`` and ``hallucinated`` (tags separated by commas).

    Raises:
        InputError: If a tag is unknown, or a row has none.
    """
    tag_sets = [
        [captioner.taxonomy.resolve(tag.strip()) for tag in str(text).split(",") if tag.strip()]
        for text in frame["tags"]
    ]
    empty = [row for row, tags in enumerate(tag_sets) if not tags]
    if empty:
        raise InputError(f"expected tags separated by commas in row {empty[0]}, got {frame['tags'].iloc[empty[0]]!r}")
    own = frame["seed"] if "seed" in frame else pd.Series(DEFAULTS["seed"], index=frame.index)
    written = write(
        captioner,
        tag_sets,
        seeds=[seed + int(each) for each in own],
        sampling=Sampling.of(captioner.decoding),
        batch_size=_SERVED_AT_ONCE,
        candidates=captioner.decoding["candidates"],
        attempts=captioner.decoding["attempts"],
        max_words=0,
    )
    return pd.DataFrame(
        {
            "caption": [row.caption for row in written],
            "tag_recall": [row.faithfulness.tag_recall for row in written],
            "missed": [", ".join(row.faithfulness.missed) for row in written],
            "hallucinated": [", ".join(row.faithfulness.hallucinated) for row in written],
        }
    )
