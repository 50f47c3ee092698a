"""Is the concept in the clip? A calibrated probability and a verdict for every tag, beside the truth."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score

from conceptcaps.errors import InputError
from conceptcaps.listening.verifier import VERDICTS, Vectors, Verifier
from conceptcaps.results import figures
from conceptcaps.results.calibration import calibration_error
from conceptcaps.results.intervals import bootstrap_mean
from conceptcaps.tags.taxonomy import Taxonomy

_FEWEST = 5  # clips with a tag, and without it, that a figure of it needs


def labels(
    present: Iterable[Iterable[str]], absent: Iterable[Iterable[str]], *, tags: Sequence[str]
) -> NDArray[np.float64]:
    """Truth ``(clips, tags)``: 1 where a tag is present, 0 where it is absent, NaN where neither is known."""
    place = {tag: column for column, tag in enumerate(tags)}
    sides = list(zip(present, absent, strict=True))
    found = np.full((len(sides), len(tags)), np.nan)
    for row, (yes, no) in enumerate(sides):
        found[row, [place[tag] for tag in yes if tag in place]] = 1
        found[row, [place[tag] for tag in no if tag in place]] = 0
    return found


def labelled(rows: pd.DataFrame, table: pd.DataFrame, *, taxonomy: Taxonomy) -> pd.DataFrame:
    """Recordings with the labels that somebody gave them.

    Args:
        rows: Column ``id``.
        table: ``id``, ``tag`` (mapped by the taxonomy's matcher) and ``truth``, 1 or 0.
        taxonomy: Maps the tags.

    Returns:
        ``rows`` with ``tags`` and ``present`` (those of 1) and ``absent`` (those of 0), broader tags included where one
        is present.

    Raises:
        InputError: If a column is missing, a truth is neither 0 nor 1, no id is that of a recording, or no tag maps.
    """
    missing = {"id", "tag", "truth"} - set(table)
    if missing:
        raise InputError(f"expected columns id, tag and truth in the labels, got {', '.join(map(str, table))}")
    odd = table.loc[~table["truth"].isin([0, 1]), "truth"]
    if len(odd):
        raise InputError(f"expected a truth of 0 or 1 in each label, got {odd.iat[0]!r} and {len(odd) - 1} more such")
    found: dict[str, tuple[set[str], set[str]]] = {row_id: (set(), set()) for row_id in rows["id"]}
    known = {name: taxonomy.match(name) for name in table["tag"].unique()}
    for row_id, name, value in table[["id", "tag", "truth"]].itertuples(index=False):
        if row_id in found:
            found[row_id][0 if value else 1].update(known[name])
    if not any(yes or no for yes, no in found.values()):
        raise InputError(
            f"expected labels of the recordings ({rows['id'].iat[0]!r}, …) with tags of the taxonomy, "
            f"got ids such as {table['id'].iat[0]!r} and tags such as {table['tag'].iat[0]!r}"
        )
    present = [sorted(taxonomy.closure(yes)) for yes, _ in found.values()]
    absent = [sorted(no - set(yes)) for (_, no), yes in zip(found.values(), present, strict=True)]
    own = {"id": rows["id"].tolist(), "tags": present, "present": present, "absent": absent}
    return pd.DataFrame(own)


def verify(
    ids: Sequence[str],
    asked: Sequence[Sequence[str]],
    truth: NDArray[np.float64],
    features: Vectors,
    *,
    verifier: Verifier,
    taxonomy: Taxonomy,
    bad: Mapping[str, str],
) -> pd.DataFrame:
    """One row for each clip and each tag that has a detector or was asked for.

    Args:
        ids: Of all clips.
        asked: Tags that each clip was made for.
        truth: Of ``labels`` over all tags of the taxonomy.
        features: Of the clips that are not bad, in order.
        verifier: The detectors.
        taxonomy: Its tags are the columns of ``truth``.
        bad: Reason by id of clips that cannot be listened to: probability NaN, verdict ``none``.

    Returns:
        ``id``, ``tag``, ``asked``, ``probability`` (NaN without a detector), ``verdict`` (present, absent, uncertain,
        or none: no detector or no sound), ``truth`` (present, absent, unknown) and ``error``.
    """
    heard = [row_id for row_id in ids if row_id not in bad]
    probabilities = verifier.probabilities(features).set_index(pd.Index(heard)).reindex(list(ids))
    values = probabilities.to_numpy()
    kinds = verifier.decide(values)
    sides = np.select([truth == 1, truth == 0], [2, 1])
    detected = set(verifier.tags)
    told = [[*verifier.tags, *(tag for tag in tags if tag not in detected)] for tags in asked]
    clip = np.repeat(np.arange(len(ids)), [len(tags) for tags in told])
    tags = pd.Categorical([tag for own in told for tag in own])
    place, column = (
        pd.Index(names).get_indexer(tags.categories)[tags.codes] for names in (taxonomy.tags, verifier.tags)
    )
    reasons = pd.Categorical([bad.get(row_id, "") for row_id in ids])
    columns = {
        "id": np.array(ids, dtype=object)[clip],
        "tag": tags,
        "asked": [tag in wanted for wanted, own in zip(map(set, asked), told, strict=True) for tag in own],
        "probability": np.where(column < 0, np.nan, values[clip, column]),
        "verdict": _named(np.where(column < 0, 0, kinds[clip, column]), VERDICTS),
        "truth": _named(np.where(place < 0, 0, sides[clip, place]), ("unknown", "absent", "present")),
        "error": _named(reasons.codes[clip], list(reasons.categories)),
    }
    return pd.DataFrame(columns)


def _named(codes: NDArray[np.integer[Any]], names: Sequence[str]) -> "pd.Categorical[str]":
    return pd.Categorical.from_codes(codes, pd.Index(list(names)))


def evaluate(frame: pd.DataFrame, *, taxonomy: Taxonomy) -> pd.DataFrame:
    """What each detector is worth on clips whose truth is known.

    Args:
        frame: Of ``verify``.
        taxonomy: Gives categories.

    Returns:
        One row a tag: ``tag``, ``category``, ``positives``, ``negatives``, ``auc`` (NaN with fewer than five either
        way), ``calibration_error`` (``calibration_error``), ``false_present`` and ``false_absent`` (shares of clips
        without and with the tag), and the numbers of its verdicts.
    """
    rows = []
    for tag, own in frame[frame["probability"].notna()].groupby("tag", sort=True):
        known = own[own["truth"] != "unknown"]
        y, values = (known["truth"] == "present").to_numpy(), known["probability"].to_numpy()
        enough = min(y.sum(), len(y) - y.sum()) >= _FEWEST
        verdict = known["verdict"].to_numpy()
        rows.append(
            {
                "tag": tag,
                "category": taxonomy.category(str(tag)),
                "positives": int(y.sum()),
                "negatives": int(len(y) - y.sum()),
                "auc": float(roc_auc_score(y, values)) if enough else float("nan"),
                "calibration_error": calibration_error(values, y) if enough else float("nan"),
                "false_present": _share(verdict[~y] == "present"),
                "false_absent": _share(verdict[y] == "absent"),
                **{name: int((own["verdict"] == name).sum()) for name in ("present", "uncertain", "absent")},
            }
        )
    return pd.DataFrame(rows)


def summarise(frame: pd.DataFrame, table: pd.DataFrame, *, seed: int) -> dict[str, float]:
    """Rates over all rows, and means over detectors.

    Args:
        frame: Of ``verify``.
        table: Of ``evaluate``.
        seed: Of the bootstrap over detectors.

    Returns:
        ``verify/decided_rate``: share of asked tags with the verdict present or absent. ``verify/false_present_rate``
        and ``false_absent_rate``: of rows whose truth is known. ``verify/detectors`` and, where truth is known,
        ``verify/auc_mean`` with its interval, ``verify/auc_<category>`` and ``verify/calibration_error``.
        ``verify/failed``: clips that could not be listened to.
    """
    asked = frame[frame["asked"]]
    found = {
        "verify/decided_rate": _share(asked["verdict"].isin(["present", "absent"])),
        "verify/detectors": float(len(table)),
        "verify/failed": float(frame.loc[frame["error"] != "", "id"].nunique()),
    }
    for name, truth in {"false_present": "absent", "false_absent": "present"}.items():
        known = frame[(frame["truth"] == truth) & frame["probability"].notna()]
        if len(known):
            found[f"verify/{name}_rate"] = _share(known["verdict"] == name.split("_")[1])
    aucs = table.dropna(subset="auc") if len(table) else table
    if len(aucs) > 1:
        found |= bootstrap_mean(aucs["auc"], seed=seed).metrics("verify/auc_mean")
        found |= {f"verify/auc_{name}": float(own.mean()) for name, own in aucs.groupby("category")["auc"]}
        found["verify/calibration_error"] = float(aucs["calibration_error"].mean())
    return found


def reliability_figure(frame: pd.DataFrame) -> Figure:
    """Reliability diagram over all detectors: how often a tag is there at each probability."""
    known = frame[(frame["truth"] != "unknown") & frame["probability"].notna()]
    drawn = Figure(figsize=(5, 5), layout="constrained")
    axes = drawn.subplots()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
    if len(known):
        shares, probabilities = calibration_curve(known["truth"] == "present", known["probability"], n_bins=10)
        axes.plot(probabilities, shares, "o-", color="#4477aa")
    axes.set(title=f"{len(known)} rows with known truth", xlabel="probability", ylabel="share present", aspect="equal")
    return drawn


def detectors_figure(table: pd.DataFrame, *, most: int = 40) -> Figure:
    """Bars of AUC, and false verdicts, of the detectors with most clips, best first."""
    usable = table.dropna(subset="auc") if len(table) else table
    chosen = usable.nlargest(most, "positives").sort_values("auc") if len(usable) else usable
    drawn = Figure(figsize=(11, 1.6 + 0.22 * len(chosen)), layout="constrained")
    left, right = drawn.subplots(1, 2, sharey=True)
    if len(chosen):
        names = [f"{tag} ({count})" for tag, count in zip(chosen["tag"], chosen["positives"], strict=True)]
        left.barh(names, chosen["auc"], color=[figures.COLOURS[name] for name in chosen["category"]])
        for name, colour in {"false_present": "#cc3311", "false_absent": "#ee9977"}.items():
            right.plot(100 * chosen[name], names, "o", color=colour, label=name.replace("_", " "))
        right.legend(frameon=False)
    left.axvline(0.5, color="#333333", linewidth=1)
    left.set(title="detector tells present from absent", xlabel="AUC (.5 is chance)", xlim=(0, 1))
    right.axvline(5, color="#999999", linewidth=1)
    right.set(title="verdicts against the truth", xlabel="of clips (%)")
    return drawn


def _share(flags: ArrayLike) -> float:
    values = np.asarray(flags, dtype=bool)
    return float(values.mean()) if len(values) else float("nan")
