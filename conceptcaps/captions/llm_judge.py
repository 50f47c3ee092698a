"""A language model as judge of captions: pairs in both orders, answers in JSON, failures counted and never scored.

References:
    Zheng et al., Judging LLM-as-a-judge with MT-Bench and Chatbot Arena (2023), arXiv 2306.05685.
"""

import json
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from conceptcaps.captions import decoding
from conceptcaps.errors import InputError

QUESTION = (
    "Two captions were written for a piece of music with these tags: {tags}.\n\nA: {first}\n\nB: {second}\n\n"
    "Which one says all the tags, adds nothing that they do not hold, and reads better? "
    'Answer with JSON and nothing else: {{"better": "A"}}, {{"better": "B"}} or {{"better": "tie"}}.'
)
_WORTH = {"A": 1.0, "tie": 0.5, "B": 0.0}


def preferences(
    tags: Sequence[Sequence[str]],
    captions: Sequence[str],
    others: Sequence[str],
    *,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    batch_size: int = 16,
) -> NDArray[np.float64]:
    """How far a judge prefers each caption to the other one: 1 always, 0.5 a tie, 0 never.

    Every pair is shown in both orders, greedily answered, and the two verdicts are averaged: a judge that only likes
    what stands first gives 0.5 everywhere.

    Args:
        tags: n tag sets.
        captions: n texts.
        others: n texts that they are compared with.
        model: Judge, which should have written neither.
        tokenizer: Its tokenizer.
        batch_size: Questions answered at once; the result does not depend on it.

    Returns:
        Shape ``(n,)``; NaN where one of the two answers was not the JSON that was asked for.
    """
    if not len(tags) == len(captions) == len(others):
        raise InputError(
            f"expected a caption and another for each tag set, got {len(tags)}, {len(captions)}, {len(others)}"
        )
    pairs = [*zip(captions, others, strict=True), *zip(others, captions, strict=True)]
    questions = [
        QUESTION.format(tags=", ".join(asked), first=first, second=second)
        for asked, (first, second) in zip([*tags, *tags], pairs, strict=True)
    ]
    answers = decoding.generate(
        model,
        tokenizer,
        [[{"role": "user", "content": question}] for question in questions],
        streams=[(row, 0) for row in range(len(questions))],
        sampling=decoding.Sampling(temperature=0, repetition_penalty=1.0, no_repeat_ngram=0, max_new_tokens=24),
        batch_size=batch_size,
    )
    verdicts = np.array([verdict(answer.text) for answer in answers])
    return (verdicts[: len(tags)] + 1 - verdicts[len(tags) :]) / 2


def verdict(answer: str) -> float:
    """1 for A, 0.5 for a tie, 0 for B; NaN for anything else.

    >>> verdict('{"better": "B"}'), verdict('Surely: {"better": "tie"}.'), verdict("A is better")
    (0.0, 0.5, nan)
    """
    found = re.search(r"\{[^{}]*\}", answer)
    try:
        said = json.loads(found.group()).get("better") if found else None
    except ValueError:
        said = None
    return _WORTH.get(said, float("nan")) if isinstance(said, str) else float("nan")
