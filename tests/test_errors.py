import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from conceptcaps import errors
from conceptcaps.results import promotion
from conceptcaps.tags.taxonomy import Taxonomy


def raised(call) -> BaseException:
    with pytest.raises(Exception) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(
    "call",
    [
        lambda: promotion.require_validation("test/loss"),
        lambda: Taxonomy.load().category("polka metal"),
        lambda: open("no such file"),
    ],
    ids=["a refused input", "deep in the library", "no such file"],
)
def test_what_was_refused_on_purpose_is_expected(call):
    assert errors.is_expected(raised(call))


@pytest.mark.parametrize(
    "call",
    [
        lambda: int("nan"),
        lambda: np.zeros(3) + np.zeros(4),
        lambda: json.loads("{"),
        lambda: {}["tags"],
    ],
    ids=["a built-in", "numpy", "the standard library", "a missing key"],
)
def test_what_python_or_a_library_raised_is_a_bug(call):
    assert not errors.is_expected(raised(call))


def test_a_refusal_is_a_value_error_and_stays_what_it_is_on_its_way_from_another_process():
    refused = raised(lambda: promotion.require_validation("loss"))
    assert isinstance(refused, ValueError)
    for started in ("spawn", "forkserver"):
        with ProcessPoolExecutor(1, mp_context=get_context(started)) as pool:
            again = pool.submit(promotion.require_validation, "loss").exception()
            bug = pool.submit(int, "x").exception()
        assert errors.is_expected(again) and str(again) == str(refused) and not errors.is_expected(bug)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:p@ss:word@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:se/cret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:se/c@ret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db?user=me&password=***"),
        ("https://host/a?Access_Token=b&n=1 said no", "https://host/a?Access_Token=***&n=1 said no"),
        ("two: http://a:b@c/ and http://d:e@f/", "two: http://a:***@c/ and http://d:***@f/"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        ("http://[::1]:5000/a@b", "http://[::1]:5000/a@b"),
        ("http://host/a?max_tokens=5", "http://host/a?max_tokens=5"),
        ("models:/conceptcaps-vae@champion", "models:/conceptcaps-vae@champion"),
    ],
)
def test_passwords_are_masked_and_nothing_else(text, shown):
    assert errors.masked(text) == shown
