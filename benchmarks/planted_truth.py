"""Planted truth: networks that use one of three concepts by construction, and what four rules say of all three.

The second concept goes with the first, at a correlation of 0 to .8, and no network uses it; the third goes with none. A
network turns clips by an orthogonal matrix, so that its layer holds all three, and gives logits by a random network on
what is left once the second's and the third's directions are projected out: adding these to a clip changes nothing,
exactly, and adding the first changes the logit. ``python -m benchmarks.planted_truth`` prints, for each rule, how often
it says that the used concept is used, and which share of all that it calls used is not.
"""

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import nn

from conceptcaps.probing import activations, tcav
from conceptcaps.probing.cav import fit_normals
from conceptcaps.probing.concepts import Concept
from conceptcaps.probing.significance import benjamini_hochberg
from conceptcaps.probing.tcav import Slopes

NAMES = ("used", "correlated", "uncorrelated")
CORRELATIONS = (0.0, 0.2, 0.4, 0.6, 0.8)
_WIDTH, _CLIPS, _TARGETS = 24, 300, 50
_SETS = 20  # CAVs of the rules that are compared with


class Planted(nn.Module):
    """Logits depend on clips only through what lies across the second and third concept's directions."""

    def __init__(self, directions: torch.Tensor, generator: torch.Generator) -> None:
        """Take the directions ``(3, width)`` of the concepts."""
        super().__init__()
        width = directions.shape[1]
        turn = torch.linalg.qr(torch.randn(width, width, generator=generator))[0]
        unused = torch.linalg.qr(directions[1:].T)[0]
        keep = torch.eye(width) - unused @ unused.T
        self.hidden = nn.Linear(width, width, bias=False)
        self.within = nn.Linear(width, 16)
        self.output = nn.Linear(16, 1)
        used = keep @ directions[0]
        with torch.no_grad():
            self.hidden.weight.copy_(turn)
            random = torch.randn(16, width, generator=generator) / width**0.5
            random += torch.rand(16, 1, generator=generator) * used / used.norm()
            self.within.weight.copy_(random @ keep @ turn.T)
            self.within.bias.copy_(torch.randn(16, generator=generator))
            self.output.weight.copy_(torch.rand(1, 16, generator=generator))

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Logit ``(n, 1)``."""
        return self.output(nn.functional.softplus(self.within(self.hidden(clips))))


def experiment(correlation: float, seed: int) -> tuple[dict[str, dict[str, bool]], dict[str, float]]:
    """What each rule says of each concept, and the true change of the logit when a concept is added to clips."""
    generator, torch_generator = np.random.default_rng([seed, 1]), torch.Generator().manual_seed(seed)
    directions = generator.normal(size=(3, _WIDTH)) * 2 / _WIDTH**0.5
    used = generator.random(_CLIPS) < 0.4
    follows = generator.random(_CLIPS) < correlation
    other = generator.random((_CLIPS, 2)) < 0.4
    has = np.column_stack([used, np.where(follows, used, other[:, 0]), other[:, 1]])
    noise = generator.normal(size=(_CLIPS, _WIDTH)) * np.geomspace(1.5, 0.2, _WIDTH)  # some directions vary far more
    clips = (has @ directions + noise).astype(np.float32)
    network = Planted(torch.tensor(directions, dtype=torch.float32), torch_generator).eval()
    with torch.no_grad():
        logits = [network(torch.tensor(clips + step, dtype=torch.float32)) for step in (0 * directions[0], *directions)]
    truth = {name: float((logits[1 + place] - logits[0]).mean()) for place, name in enumerate(NAMES)}
    found = activations.read(
        network,
        [clip.tobytes() for clip in clips],
        windows=lambda clip: torch.from_numpy(np.frombuffer(clip, dtype=np.float32).copy())[None],
        layers=["hidden"],
        wanted=[[0]] * _CLIPS,
    )
    slopes = found.slopes["hidden"][0]
    target = Slopes({"hidden": slopes[np.flatnonzero(used)[:_TARGETS]]}, {"hidden": slopes}, np.arange(_CLIPS))
    everyone = np.arange(_CLIPS)
    concepts = [
        Concept(name, has[:, place].astype(float), np.delete(has, place, axis=1), NAMES[:2], everyone)
        for place, name in enumerate(NAMES)
    ]
    alone = [Concept(one.name, one.label, one.covariates[:, :0], (), everyone) for one in concepts]
    held, not_held = (
        tcav.test(found.points, {"t": target}, asked, random_sets=100, seed=seed).set_index("concept")["significant"]
        for asked in (concepts, alone)
    )
    cosine, naive = _others(found.points["hidden"], target.own["hidden"], has, generator)
    rules = {"other tags held": dict(held), "other tags not held": dict(not_held), "cosine over .1": cosine}
    return rules | {"t-test of runs against random runs": naive}, truth


def _others(
    points: np.ndarray, slopes: np.ndarray, has: np.ndarray, generator: np.random.Generator
) -> tuple[dict[str, bool], dict[str, bool]]:
    """The reference's rule, mean cosine of CAV and gradient over .1, and Kim's t-test between runs and random runs."""
    random = [np.split(generator.permutation(len(points))[:100], 2) for _ in range(_SETS)]
    unit = slopes / np.linalg.norm(slopes, axis=1, keepdims=True)
    null = np.stack([one.direction for one in fit_normals(points, [(a, b) for a, b in random], seed=0)])
    cosine, p = {}, []
    for place, name in enumerate(NAMES):
        sides = [np.flatnonzero(has[:, place] == side) for side in (True, False)]
        draws = [tuple(generator.choice(side, 50, replace=False) for side in sides) for _ in range(_SETS)]
        normals = np.stack([one.direction for one in fit_normals(points, [(a, b) for a, b in draws], seed=0)])
        cosine[name] = bool(np.abs((unit @ normals.T).mean()) > 0.1)
        runs, others = ((slopes @ directions.T > 0).mean(0) for directions in (normals, null))
        p.append(stats.ttest_ind(runs, others, equal_var=False).pvalue if runs.std() + others.std() > 0 else 1.0)
    return cosine, dict(zip(NAMES, (benjamini_hochberg(p) <= 0.05).tolist(), strict=True))


def run(networks: int) -> pd.DataFrame:
    """For each rule: ``power``, ``correlated`` and ``uncorrelated`` (share called used), ``false_discoveries``."""
    said: dict[str, list[dict[str, bool]]] = {}
    for number in range(networks):
        rules, truth = experiment(CORRELATIONS[number % len(CORRELATIONS)], number)
        assert truth["used"] > 0.05 and max(abs(truth["correlated"]), abs(truth["uncorrelated"])) < 1e-5
        for rule, answers in rules.items():
            said.setdefault(rule, []).append(answers)
    rows = []
    for rule, answers in said.items():
        table = pd.DataFrame(answers)[list(NAMES)].astype(float)
        wrong, all_said = table[["correlated", "uncorrelated"]].to_numpy().sum(), table.to_numpy().sum()
        rows.append([rule, *table.mean(), wrong / max(all_said, 1)])
    return pd.DataFrame(rows, columns=["rule", "power", "correlated", "uncorrelated", "false_discoveries"])


if __name__ == "__main__":
    print(run(40).round(2).to_string(index=False))
