"""What people heard: who listened and who guessed, and agreement with the truth, with verdicts and with each other.

References:
    Cohen, A coefficient of agreement for nominal scales (1960).
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from conceptcaps.errors import InputError
from conceptcaps.listening.trials import CATCH
from conceptcaps.results.intervals import bootstrap_mean

COLUMNS = ("listener", "id", "tag", "repeat", "answer")
_FORGIVEN = 1  # obvious trials that a listener may get wrong: who guesses eight does so in 4 % of cases
_FEWEST = 4  # obvious trials that a listener has to have answered


def read(path: Path) -> pd.DataFrame:
    """Answers of one CSV that the listening page saved, or of all in a folder.

    Raises:
        InputError: If there is none, a column is missing, an answer is neither 0 nor 1, or a listener answered twice.
    """
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not files:
        raise InputError(f"expected answers of the listening page, *.csv, in {path}, got none")
    tables = []
    for file in files:
        text = {"listener": str, "id": str, "tag": str}
        table = pd.read_csv(file, dtype=text, keep_default_na=False)  # a listener may be called NA
        if not set(COLUMNS) <= set(table) or not set(table["answer"]) <= {0, 1}:
            raise InputError(f"expected {', '.join(COLUMNS)} with answers 0 and 1 in {file.name}, got {list(table)}")
        tables.append(table[list(COLUMNS)])
    found = pd.concat(tables, ignore_index=True)
    plain = found[~found["id"].isin(list(CATCH))]
    twice = plain[plain.duplicated(["listener", "id", "tag", "repeat"])]
    if len(twice):
        raise InputError(f"expected one file for each listener, got a second of {twice['listener'].iat[0]!r}")
    return found


def kappa(first: ArrayLike, second: ArrayLike) -> float:
    """Cohen's kappa of two lists of yes and no: agreement above chance; 1 is best, 0 by chance, NaN if none can vary.

    >>> kappa([1, 1, 0, 0], [1, 1, 0, 0]), kappa([1, 1, 0, 0], [1, 0, 1, 0])
    (1.0, 0.0)
    """
    one, other = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if not len(one):
        return float("nan")
    chance = one.mean() * other.mean() + (1 - one.mean()) * (1 - other.mean())
    return float(((one == other).mean() - chance) / (1 - chance)) if chance < 1 else float("nan")


def listeners(ratings: pd.DataFrame) -> pd.DataFrame:
    """A row for each listener: ``answers``, ``caught_wrong`` (obvious trials answered wrongly), ``kept``, ``repeat``.

    Who answered fewer than four obvious trials, or more than one wrongly, is not ``kept``. ``repeat`` is the kappa of
    first and second answers to the same trial.
    """
    rows = []
    for name, own in ratings.groupby("listener", sort=True):
        obvious = own[own["id"].isin(list(CATCH))]
        wrong = int((obvious["answer"].astype(bool) != obvious["id"].map(CATCH)).sum())
        plain = own[~own["id"].isin(list(CATCH))]
        first, again = (
            plain[plain["repeat"].astype(bool) == flag].set_index(["id", "tag"])["answer"] for flag in (0, 1)
        )
        both = pd.concat([first, again], axis=1, join="inner")
        kept = len(obvious) >= _FEWEST and wrong <= _FORGIVEN
        rows.append((name, len(plain), wrong, kept, kappa(both.iloc[:, 0], both.iloc[:, 1])))
    return pd.DataFrame(rows, columns=["listener", "answers", "caught_wrong", "kept", "repeat"])


def agreement(
    ratings: pd.DataFrame, clips: pd.DataFrame, frame: pd.DataFrame, *, seed: int
) -> tuple[dict[str, float], pd.DataFrame]:
    """How far the kept listeners agree with the truth, with the verdicts, and with each other.

    Args:
        ratings: Of ``read``.
        clips: ``id``, ``present`` and ``absent``, the truth of every tag, whether a detector knows it or not.
        frame: Of ``verification.verify``, for the verdicts.
        seed: Of the bootstrap over answers.

    Returns:
        ``ratings/listeners``, ``ratings/caught``, ``ratings/unknown`` (first answers of kept listeners whose truth is
        not known, which no figure of it counts); ``ratings/kappa_truth``, ``kappa_verdict`` (where it is present or
        absent), ``kappa_among`` (mean over pairs of listeners) and ``kappa_repeat``; ``ratings/accuracy`` against the
        truth with its interval. A figure without answers is left out. And every first answer beside ``truth`` and
        ``verdict``, with ``kept``.

    Raises:
        InputError: If no answer is about a tag of these clips that is known.
    """
    people = listeners(ratings)
    first = ratings[~ratings["repeat"].astype(bool) & ~ratings["id"].isin(list(CATCH))]
    sides = [
        clips[["id", side]].explode(side).dropna().set_axis(["id", "tag"], axis=1) for side in ("present", "absent")
    ]
    truth = pd.concat([side.assign(truth=name) for side, name in zip(sides, ("present", "absent"), strict=True)])
    table = first.merge(truth, on=["id", "tag"], how="left")
    table = table.merge(frame[["id", "tag", "verdict"]], on=["id", "tag"], how="left")
    table = table.merge(people[["listener", "kept"]], on="listener")
    if not table["truth"].notna().any():
        raise InputError(f"expected answers about these clips, got ids such as {first['id'].head(1).tolist()}")
    own = table[table["kept"]]
    found = {"ratings/listeners": float(len(people)), "ratings/caught": float((~people["kept"]).sum())}
    found["ratings/unknown"] = float(own["truth"].isna().sum())
    for name in ("truth", "verdict"):
        known = own[own[name].isin(["present", "absent"])]
        found[f"ratings/kappa_{name}"] = kappa(known["answer"], known[name] == "present")
    known = own[own["truth"].isin(["present", "absent"])]
    if len(known) > 1:
        right = (known["answer"].astype(bool) == (known["truth"] == "present")).astype(float)
        found |= bootstrap_mean(right, seed=seed).metrics("ratings/accuracy")
    by_listener = own.pivot_table(index=["id", "tag"], columns="listener", values="answer")
    pairs = [by_listener[list(pair)].dropna() for pair in combinations(by_listener.columns, 2)]
    between = [kappa(both.iloc[:, 0], both.iloc[:, 1]) for both in pairs]
    for name, values in (("among", between), ("repeat", people.loc[people["kept"], "repeat"])):
        told = [value for value in values if np.isfinite(value)]
        found |= {f"ratings/kappa_{name}": float(np.mean(told))} if told else {}
    return {name: value for name, value in found.items() if np.isfinite(value)}, table
