"""Answers of people: agreement by hand and by scikit-learn, guessers out."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from conceptcaps.listening import ratings
from conceptcaps.listening.trials import CATCH, QUESTION

TRUTH = {f"clip-{number}": number % 2 for number in range(40)}


def answers(name: str, heard, *, obvious=lambda right: right) -> pd.DataFrame:
    rows = [(name, row_id, "piano", 0, int(heard(row_id))) for row_id in TRUTH]
    rows += [(name, row_id, "piano", 1, int(heard(row_id))) for row_id in list(TRUTH)[:8]]
    rows += [(name, row_id, QUESTION, 0, int(obvious(right))) for row_id, right in CATCH.items() for _ in range(4)]
    return pd.DataFrame(rows, columns=list(ratings.COLUMNS))


def frame() -> pd.DataFrame:
    truth = ["present" if value else "absent" for value in TRUTH.values()]
    verdict = [value if place < 30 else "uncertain" for place, value in enumerate(truth)]
    return pd.DataFrame({"id": list(TRUTH), "tag": "piano", "verdict": verdict})


def clips() -> pd.DataFrame:
    present, absent = ([["piano"] if value == side else [] for value in TRUTH.values()] for side in (1, 0))
    return pd.DataFrame({"id": list(TRUTH), "present": present, "absent": absent})


def test_kappa_is_scikit_learns():
    generator = np.random.default_rng(0)
    for _ in range(20):
        first, second = generator.random((2, 30)) < generator.random((2, 1))
        if first.any() and not first.all():
            assert ratings.kappa(first, second) == pytest.approx(cohen_kappa_score(first, second))
    assert np.isnan(ratings.kappa([1, 1], [1, 1])) and np.isnan(ratings.kappa([], []))


def test_agreement_with_truth_verdicts_and_each_other_without_guessers():
    generator = np.random.default_rng(1)
    wrong = {row_id: value != (place < 4) for place, (row_id, value) in enumerate(TRUTH.items())}
    asked = [answers("Ada", TRUTH.get), answers("Bea", wrong.get)]
    asked.append(answers("Gus", lambda _: generator.random() < 0.5, obvious=lambda _: generator.random() < 0.5))
    found, table = ratings.agreement(pd.concat(asked), clips(), frame(), seed=0)
    assert found["ratings/listeners"] == 3 and found["ratings/caught"] == 1
    assert found["ratings/accuracy"] == pytest.approx((40 + 36) / 80)
    assert found["ratings/kappa_among"] == pytest.approx(0.8) and found["ratings/kappa_repeat"] == 1
    assert found["ratings/kappa_truth"] == pytest.approx(0.9)
    assert found["ratings/kappa_verdict"] == pytest.approx(1 - 2 * 4 / 60)
    assert len(table) == 120 and not table.loc[table["listener"] == "Gus", "kept"].any()


def test_who_skips_the_obvious_trials_does_not_count():
    skipped = answers("Ada", TRUTH.get)
    people = ratings.listeners(skipped[~skipped["id"].isin(list(CATCH))])
    assert not people["kept"].any()
    found, _ = ratings.agreement(skipped[~skipped["id"].isin(list(CATCH))], clips(), frame(), seed=0)
    assert found == {"ratings/listeners": 1, "ratings/caught": 1, "ratings/unknown": 0}


def test_refuses_files_that_are_no_answers(tmp_path):
    with pytest.raises(ValueError, match="got none"):
        ratings.read(tmp_path)
    good = answers("Ada", TRUTH.get)
    good.drop(columns="tag").to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ValueError, match=r"expected listener, id, tag, repeat, answer .* in a\.csv"):
        ratings.read(tmp_path)
    for name in ("a", "b"):
        good.to_csv(tmp_path / f"{name}.csv", index=False)
    with pytest.raises(ValueError, match="a second of 'Ada'"):
        ratings.read(tmp_path)
    with pytest.raises(ValueError, match="answers about these clips"):
        ratings.agreement(good, clips().assign(id="other"), frame(), seed=0)


def test_a_tag_without_a_detector_is_judged_on_clips_that_lack_it_too():
    """Verdicts of such a tag stand only where it was asked for, which is mostly where it sounds."""
    asked = frame()[[value == 1 for value in TRUTH.values()]].assign(verdict="none")
    found, _ = ratings.agreement(answers("Ada", lambda _: True), clips(), asked, seed=0)
    assert found["ratings/accuracy"] == 0.5 and found["ratings/unknown"] == 0


def test_a_listener_may_be_called_na(tmp_path):
    answers("NA", TRUTH.get).to_csv(tmp_path / "na.csv", index=False)
    assert set(ratings.read(tmp_path)["listener"]) == {"NA"}
