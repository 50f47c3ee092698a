"""Which rule finds the concepts that a network uses? 50 small networks whose use is known, with correlated concepts.

Each network holds ten concepts in both of its layers and uses three of them. Three others go along with these in the
clips, by a correlation of 0 to .8, and four with nothing. What is not used moves no logit at all, by construction:
``truth`` holds that against interventions. Three rules are counted: ours (``tcav.test``), the t-test that the first
paper on TCAV proposes, and the reference's rule, which makes no test.
"""

import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import nn

from conceptcaps.probing import activations, tcav
from conceptcaps.probing.cav import fit_normals
from conceptcaps.probing.concepts import Concept
from conceptcaps.probing.tcav import Slopes
from conceptcaps.workspace.processor import one_thread

CORRELATIONS = (0.0, 0.2, 0.4, 0.6, 0.8)
KINDS = ("used", "correlated", "uncorrelated")
_NETWORKS = 10  # for each correlation
_CLIPS, _WIDTH, _USED, _OTHER = 300, 24, 3, 4
_LAYERS = ("first", "second")
_RUNS = 20  # of a concept, and of random sets, in the t-test


class Planted(nn.Module):
    """Two layers that hold the whole input, and a trained head that sees three directions of it."""

    def __init__(self, directions: torch.Tensor, generator: torch.Generator) -> None:
        """Take the used concepts' directions ``(3, width)``."""
        super().__init__()
        self.first, self.second = nn.Identity(), nn.Identity()
        for name in ("one", "other"):
            mixing = torch.linalg.qr(torch.randn(_WIDTH, _WIDTH, generator=generator))[0]
            self.register_buffer(name, mixing + 0.1 * torch.randn(_WIDTH, _WIDTH, generator=generator))
        self.register_buffer("directions", directions)
        self.head = nn.Sequential(nn.Linear(len(directions), 16), nn.GELU(), nn.Linear(16, 1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits ``(n, 1)`` of clips ``(n, width)``."""
        for mixing, layer in ((self.one, self.first), (self.other, self.second)):
            hidden = inputs @ mixing.T
            rectified = layer(torch.cat([hidden.relu(), (-hidden).relu()], 1))  # nothing is lost
            inputs = torch.linalg.solve(mixing, (rectified[:, :_WIDTH] - rectified[:, _WIDTH:]).T).T
        return self.head(inputs @ self.directions.T)


@dataclass(frozen=True)
class World:
    """A network, clips ``(n, width)``, whether they have each concept ``(n, 10)``, and what each adds to a clip."""

    network: Planted
    points: np.ndarray
    has: np.ndarray
    steps: np.ndarray
    kinds: tuple[str, ...]

    def truth(self) -> np.ndarray:
        """Mean change of the logit when each concept is added to the clips that lack it ``(10,)``."""
        changes = []
        with torch.no_grad():
            for has, step in zip(self.has.T, self.steps, strict=True):
                lacking = torch.from_numpy(self.points[~has]).float()
                moved = self.network(lacking + torch.from_numpy(step).float()) - self.network(lacking)
                changes.append(float(moved.mean()))
        return np.array(changes)


def world(correlation: float, *, seed: int) -> World:
    """A network trained to tell a class that depends on three concepts, and clips with others that go along."""
    generator, draws = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    kinds = ("used",) * _USED + ("correlated",) * _USED + ("uncorrelated",) * _OTHER
    used = generator.random((_CLIPS, _USED)) < 0.5
    same = generator.random((_CLIPS, _USED)) < (1 + correlation) / 2
    has = np.concatenate([used, used == same, generator.random((_CLIPS, _OTHER)) < 0.5], axis=1)
    basis = np.linalg.qr(generator.normal(size=(_WIDTH, _WIDTH)))[0]
    steps = 1.5 * basis[: len(kinds)]
    noise = generator.normal(size=(_CLIPS, _WIDTH)) * np.geomspace(3, 0.3, _WIDTH)  # anisotropic
    noise = 0.5 * generator.normal(size=(_CLIPS, _WIDTH)) + noise @ (np.eye(_WIDTH) - basis[:_USED].T @ basis[:_USED])
    network = Planted(torch.from_numpy(basis[:_USED]).float(), draws)
    signs = torch.tensor([1.0, -1.0, 1.0]) * (1.5 + 1.5 * torch.rand(_USED, generator=draws))
    taught = 1.5 * (torch.rand(2000, _USED, generator=draws) < 0.5).float()
    labels = torch.bernoulli(torch.sigmoid(2 * (taught - 0.75) @ signs), generator=draws)
    optimiser = torch.optim.Adam(network.head.parameters(), lr=0.01)
    with one_thread():
        for _ in range(150):
            seen = taught + 0.5 * torch.randn(taught.shape, generator=draws)
            loss = nn.functional.binary_cross_entropy_with_logits(network.head(seen)[:, 0], labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return World(network.eval(), noise + has @ steps, has, steps, kinds)


def read(made: World) -> tuple[dict[str, np.ndarray], Slopes]:
    """Activations of the clips, and slopes of the logit; clips of the class are those with a logit above 0."""
    clips = [row.astype(np.float32).tobytes() for row in made.points]

    def windows(clip: bytes) -> torch.Tensor:
        return torch.from_numpy(np.frombuffer(clip, dtype=np.float32).copy())[None]

    found = activations.read(
        made.network, clips, windows=windows, layers=_LAYERS, wanted=[[0]] * len(clips), axes=dict.fromkeys(_LAYERS, 1)
    )
    own = found.logits[:, 0] > 0
    slopes = {layer: by_output[0] for layer, by_output in found.slopes.items()}
    return found.points, Slopes({name: rows[own] for name, rows in slopes.items()}, slopes, np.arange(len(clips)))


def ours(made: World, points: dict[str, np.ndarray], slopes: Slopes, seed: int) -> np.ndarray:
    """Whether each concept is called used, by layer ``(10, layers)``: adjusted effect, permutations, q at most .05."""
    found = [
        Concept(str(k), has.astype(float), np.delete(made.has, k, 1), tuple("abcdefghi"), np.arange(len(has)))
        for k, has in enumerate(made.has.T)
    ]
    scores = tcav.test(points, {"class": slopes}, found, random_sets=100, seed=seed)
    return scores["significant"].to_numpy().reshape(len(found), -1)


def t_test(made: World, points: dict[str, np.ndarray], slopes: Slopes, seed: int) -> np.ndarray:
    """The same by the usual t-test: TCAV scores of 20 CAVs of the concept against those of 20 random ones, p < .05."""
    generator = np.random.default_rng(seed)
    everyone, size = np.arange(len(made.has)), 60

    def scores(layer: str, positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
        draws = [
            (generator.choice(positives, size, replace=False), generator.choice(negatives, size, replace=False))
            for _ in range(_RUNS)
        ]
        normals = fit_normals(points[layer], draws, seed=seed)
        return tcav.tcav_score(slopes.own[layer] @ np.stack([normal.direction for normal in normals]).T)

    found = np.zeros((made.has.shape[1], len(_LAYERS)), dtype=bool)
    for column, layer in enumerate(_LAYERS):
        halves = np.split(generator.permutation(everyone), 2)
        random = scores(layer, *halves)
        for row, has in enumerate(made.has.T):
            own = scores(layer, everyone[has], everyone[~has])
            with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # where all scores are 1
                found[row, column] = stats.ttest_ind(own, random).pvalue < 0.05
    return found


def reference(made: World, points: dict[str, np.ndarray], _slopes: Slopes, seed: int) -> np.ndarray:
    """The same by the reference's rule: no derivative and no test, the CAV's own accuracy and a cosine.

    A CAV of an accuracy of .65 or more, on scaled activations, and a cosine with it of over .1 in a larger share of the
    class's clips than of the others: what its heat map shows as the concept's class.
    """
    generator, found = np.random.default_rng(seed), np.zeros((made.has.shape[1], len(_LAYERS)), dtype=bool)
    own = made.network(torch.from_numpy(made.points).float()).detach()[:, 0].numpy() > 0
    for column, layer in enumerate(_LAYERS):
        scaled = (points[layer] - points[layer].mean(0)) / points[layer].std(0)
        for row, has in enumerate(made.has.T):
            sides = [generator.permutation(np.flatnonzero(has == side))[:100] for side in (True, False)]
            normal = fit_normals(scaled, [(sides[0], sides[1])], seed=seed)[0]
            along = scaled @ normal.direction > 0.1 * np.linalg.norm(scaled, axis=1)
            found[row, column] = normal.accuracy >= 0.65 and along[own].mean() > along[~own].mean()
    return found


RULES: dict[str, Callable[[World, dict[str, np.ndarray], Slopes, int], np.ndarray]] = {
    "ours": ours,
    "t-test": t_test,
    "reference": reference,
}


def measure(correlations: Sequence[float], *, networks: int, rules: Sequence[str] = tuple(RULES)) -> pd.DataFrame:
    """A row for each network, concept, layer and rule: ``correlation``, ``kind``, ``change`` (logits), ``called``."""

    def one(correlation: float, seed: int) -> list[dict[str, object]]:
        made = world(correlation, seed=seed)
        points, slopes = read(made)
        change = made.truth()
        return [
            {"correlation": correlation, "network": seed, "rule": rule, "layer": layer, "kind": kind}
            | {"change": change[place], "called": bool(called)}
            for rule in rules
            for place, (kind, row) in enumerate(zip(made.kinds, RULES[rule](made, points, slopes, seed), strict=True))
            for layer, called in zip(_LAYERS, row, strict=True)
        ]

    asked = [(value, 1000 * place + seed) for place, value in enumerate(correlations) for seed in range(networks)]
    return pd.DataFrame([row for value, seed in asked for row in one(value, seed)])


def shares(table: pd.DataFrame) -> pd.DataFrame:
    """By rule and correlation: share of each kind that is called used, and of what is called, the share that is not."""
    found = table.pivot_table(index=["rule", "correlation"], columns="kind", values="called")[list(KINDS)]
    called = table[table["called"]]
    found["false"] = (called["kind"] != "used").groupby([called["rule"], called["correlation"]]).mean()
    whole = table.groupby(["rule", "kind"])["called"].mean().unstack()[list(KINDS)]
    whole["false"] = (called["kind"] != "used").groupby(called["rule"]).mean()
    whole.index = pd.MultiIndex.from_product([whole.index, ["all"]], names=["rule", "correlation"])
    return pd.concat([found, whole]).fillna(0.0)


def main() -> None:
    networks = int(sys.argv[1]) if len(sys.argv) > 1 else _NETWORKS
    started = time.perf_counter()
    table = measure(CORRELATIONS, networks=networks)
    print(shares(table).round(3).to_string())
    unused = table.loc[table["kind"] != "used", "change"].abs().max()
    least = table.loc[table["kind"] == "used", "change"].abs().min()
    print(f"planted: {table['network'].nunique()} networks, {time.perf_counter() - started:.0f} s")
    print(f"planted: adding a concept moves the logit by {least:.2f} at least if used, {unused:.1e} at most if not")
    ours_ = shares(table).loc[("ours", "all")]
    print(f"planted: power {ours_['used']:.3f} (goal: .90), false discoveries {ours_['false']:.3f} (goal: .05 at most)")


if __name__ == "__main__":
    main()
