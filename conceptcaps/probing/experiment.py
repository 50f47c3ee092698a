"""One TCAV experiment from clips to a table of cells: what is read, what is tested, and the controls beside it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conceptcaps.probing import concepts, contrasts, controls, interventions, networks, tcav
from conceptcaps.probing.activations import Readings
from conceptcaps.probing.cav import Cav
from conceptcaps.probing.clips import Clips
from conceptcaps.probing.concepts import Concept
from conceptcaps.probing.heard import Heard
from conceptcaps.probing.networks import Probe
from conceptcaps.probing.tcav import Slopes
from conceptcaps.tags.taxonomy import Taxonomy

_LACKING = 30  # clips without a concept at which it is asked how logits move
_CLASSES = 600  # clips of the classes that are read at most
_DRAWS = 4  # others of the clips at which effects are asked, under which an answer should stay


@dataclass(frozen=True)
class Experiment:
    """What ``run`` found.

    Attributes:
        scores: ``tcav.test`` of the network, with ``cav_accuracy``, ``random_accuracy``, ``interpretable``, and what
            interventions say (``interventions.join``).
        random: The same cells of the network with random weights.
        local: The effect at each clip of a target's class: ``id``, ``concept``, ``target``, ``layer``, ``effect``.
        balance: ``contrasts.balance`` of each concept.
        knows: ``controls.knows`` of each target.
        cavs: A CAV of each concept in each layer.
        metrics: Figures of the cells and of the controls.
        unreadable: Why clips were left out, by id.
    """

    scores: pd.DataFrame
    random: pd.DataFrame
    local: pd.DataFrame
    balance: pd.DataFrame
    knows: pd.DataFrame
    cavs: list[Cav]
    metrics: dict[str, float]
    unreadable: dict[str, str]


def run(
    probe: Probe,
    clips: Clips,
    target_clips: Clips | None,
    *,
    names: Sequence[str],
    targets: str,
    most_targets: int,
    layers: Sequence[str],
    intervened: pd.DataFrame | None,
    interpretable: bool | None,
    learnt: Collection[str] = (),
    taxonomy: Taxonomy,
    random_sets: int,
    seed: int,
) -> Experiment:
    """Ask a network which concepts it uses.

    Args:
        probe: The network.
        clips: Clips of the concepts and of their negatives.
        target_clips: Clips of the classes; where there are more than 600, those of the targets and a draw of the others
            are read. None takes ``clips``.
        names: Concepts (``concepts.names``).
        targets: Outputs, comma-separated, or ``auto`` (``networks.targets``).
        most_targets: Most targets for ``auto``.
        layers: Layers; repeated ones are refused.
        intervened: Of ``interventions.test`` on the same network; None where there are none.
        interpretable: Whether the network knows its classes, where its training says so; its targets are then asked at
            clips that it did not learn from. None has it measured for each target, on all clips.
        learnt: Groups of the clips that it was trained on, for clips that do not say their split.
        taxonomy: What tags imply.
        random_sets: Permutations of each concept's label.
        seed: Seed of every draw.

    Raises:
        InputError: If a concept, target or layer cannot be used, before any clip is read.
    """
    concepts.unique(list(layers), what="layers")
    found = [concepts.concept(name, clips.rows, taxonomy=taxonomy) for name in names]
    classes = (clips if target_clips is None else target_clips).rows
    held = ~classes["group"].isin(list(learnt)).to_numpy()
    if interpretable is not None and "split" in classes:
        held &= (classes["split"] != "train").to_numpy()
    rows = networks.targets(probe, classes, taxonomy=taxonomy, names=targets, most=most_targets, seed=seed, among=held)
    if target_clips is not None:  # no more than is needed is read
        asked_of = np.unique(np.concatenate([*rows.values()]))
        taken = _some(held, asked_of, seed=seed)
        target_clips = target_clips.only(taken)
        rows = {name: np.cumsum(taken)[own] - 1 for name, own in rows.items()}
        classes, held = target_clips.rows, held[taken]
    outputs = {name: probe.outputs.index(name) for name in rows}
    lacking = _lacking(found, seed=seed)
    heard = Heard(clips, probe.windows)
    classes_heard = heard if target_clips is None else Heard(target_clips, probe.windows)

    def read(asked: Probe, title: str) -> tuple[Readings, Readings, dict[str, Slopes]]:
        at_lacking = [list(outputs.values()) if clip in lacking else [] for clip in range(len(clips))]
        at_own = [[outputs[name] for name, own in rows.items() if clip in set(own)] for clip in range(len(classes))]
        if target_clips is None:
            both = [sorted({*one, *other}) for one, other in zip(at_lacking, at_own, strict=True)]
            first = second = asked.read(heard, layers=layers, wanted=both, description=title)
        else:
            first = asked.read(heard, layers=layers, wanted=at_lacking, description=f"{title}, concepts")
            second = asked.read(classes_heard, layers=layers, wanted=at_own, description=f"{title}, targets")
        return first, second, {name: _slopes(first, second, outputs[name], rows[name], lacking) for name in rows}

    def untrained() -> tuple[pd.DataFrame, NDArray[np.float64]]:
        """Cells and logits with random weights; their readings are gone before the network's own are made."""
        first, second, slopes = read(probe.randomised(seed=seed), "random weights")
        readable = [concept.without(first.reasons) for concept in found]
        cells = tcav.test(first.points, slopes, readable, random_sets=random_sets, seed=seed, intervals=False)
        return cells, second.logits

    random, random_logits = untrained()
    first, second, slopes = read(probe, "network")
    readable = [concept.without(first.reasons) for concept in found]

    def test(*, permuted: bool = False, redrawn: int | None = None, intervals: bool = False) -> pd.DataFrame:
        return tcav.test(
            first.points, slopes, readable, random_sets=random_sets, seed=seed,
            permuted=permuted, redrawn=redrawn, intervals=intervals,
        )  # fmt: skip

    scores = test(intervals=True)
    truth = {name: np.where(held, networks.truth(name, classes, taxonomy=taxonomy), np.nan) for name in rows}
    untaught = [random_logits]
    while sum(logits.shape[1] for logits in untaught) <= controls.UNTAUGHT:
        again = probe.randomised(seed=seed + len(untaught))
        untaught.append(again.read(classes_heard, description="random again").logits)
    random_logits = np.hstack(untaught)
    knows = controls.knows(second.logits, outputs, truth, random=random_logits)
    trusted = knows["known"] if interpretable is None else pd.Series(interpretable, index=knows.index)
    scores["interpretable"] = scores["target"].map(dict(zip(knows["target"], trusted, strict=True)))
    cavs, accuracy = tcav.cavs(first.points, readable, seed=seed)
    scores = interventions.join(scores.merge(accuracy, on=["concept", "layer"], how="left"), intervened)

    others = [test(redrawn=seed + number) for number in range(_DRAWS)]
    meanings = {name: networks.meaning(name, taxonomy=taxonomy) for name in rows}
    metrics = {
        **summarise(scores),
        "control/random_weights": controls.random_share(random, random_logits, outputs, truth),
        "control/random_significant": float(random["significant"].mean()),
        "control/permuted_labels": float(test(permuted=True)["significant"].mean()),
        "tcav/stable_share": controls.stability([scores, *others]),
        **controls.own_targets(scores, meanings),
        "tcav/target_auc_mean": float(knows["auc"].mean()),
    }
    if target_clips is not None:
        metrics |= controls.domain_gap(first.points, second.points, seed=seed)
    reasons = {str(clips.rows["id"][clip]): reason for clip, reason in first.reasons.items()}
    reasons |= {str(classes["id"][clip]): reason for clip, reason in second.reasons.items()}
    local = _local(cavs, slopes, {name: second.asked[outputs[name]] for name in rows}, rows, classes)
    return Experiment(scores, random, local, _balance(readable), knows, cavs, metrics, reasons)


def summarise(scores: pd.DataFrame) -> dict[str, float]:
    """Shares of the cells: significant, starred, contradicted and not to be told; and mean accuracy of the CAVs."""
    known = scores[scores["change_q"].notna()]
    starred = scores["confirmed"] & scores["interpretable"]
    found = {
        "tcav/tests": float(len(scores)),
        "tcav/significant_share": float(scores["significant"].mean()),
        "tcav/not_told_share": float(scores["p_value"].isna().mean()),
        "tcav/stars": float(starred.sum()),
        "tcav/interpretable_share": float(scores["interpretable"].mean()),
        "tcav/cav_accuracy_mean": float(scores["cav_accuracy"].mean()),
        "tcav/random_accuracy_mean": float(scores["random_accuracy"].mean()),
    }
    if known["significant"].any():
        found["tcav/confirmed_share"] = float(known["confirmed"].sum() / known["significant"].sum())
        found["tcav/contradicted_share"] = float(known["contradicted"].sum() / known["significant"].sum())
    return found


def _some(held: NDArray[np.bool_], wanted: NDArray[np.int64], *, seed: int) -> NDArray[np.bool_]:
    """A mask of the clips of the classes that are read: those that are wanted, and of many others a draw."""
    others = np.setdiff1d(np.flatnonzero(held), wanted)
    room = max(_CLASSES - len(wanted), 0)
    if len(others) > room:
        others = np.random.default_rng(seed).choice(others, room, replace=False)
    return np.isin(np.arange(len(held)), [*wanted, *others])


def _lacking(found: Sequence[Concept], *, seed: int) -> set[int]:
    """Clips that between them hold 30 without each concept, the same ones for many concepts where that can be."""
    order = np.random.default_rng(seed).permutation(len(found[0].label))
    return {int(clip) for concept in found for clip in order[concept.label[order] == 0][:_LACKING]}


def _slopes(first: Readings, second: Readings, output: int, rows: NDArray[np.int64], lacking: set[int]) -> Slopes:
    """How one output moves with each layer at its class's clips, and at clips that lack concepts."""
    own = np.isin(second.asked[output], rows)
    elsewhere = np.isin(first.asked[output], list(lacking))
    return Slopes(
        {layer: slopes[output][own] for layer, slopes in second.slopes.items()},
        {layer: slopes[output][elsewhere] for layer, slopes in first.slopes.items()},
        first.asked[output][elsewhere],
    )


def _local(
    cavs: Sequence[Cav],
    slopes: Mapping[str, Slopes],
    asked: Mapping[str, NDArray[np.int64]],
    rows: Mapping[str, NDArray[np.int64]],
    classes: pd.DataFrame,
) -> pd.DataFrame:
    parts = []
    for cav in cavs:
        for name, target in slopes.items():
            ids = classes["id"].to_numpy()[asked[name][np.isin(asked[name], rows[name])]]
            key = {"concept": cav.concept, "target": name, "layer": cav.layer}
            parts.append(pd.DataFrame({"id": ids, **key, "effect": target.own[cav.layer] @ cav.effect}))
    return pd.concat(parts, ignore_index=True)


def _balance(found: Sequence[Concept]) -> pd.DataFrame:
    parts = []
    for concept in found:
        made = concept.contrast(sets=2, resamples=2, seed=0)
        parts.append(contrasts.balance(concept.label, concept.covariates, made, concept.tags))
        parts[-1].insert(0, "concept", concept.name)
    return pd.concat(parts, ignore_index=True)
