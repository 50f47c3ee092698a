"""Where sampled tag sets come from: priors over the latents, and two baselines without the model."""

import copy
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture
from torch import Tensor

from conceptcaps.tags import ancestral, rivals
from conceptcaps.tags.vae import BetaVAE, bounds, standard_normal
from conceptcaps.workspace import hashing

PRIORS = ("aggregate", "gmm", "standard", "independent", "random")
_COMPONENTS = (1, 5, 10, 20, 40)

Draw = Callable[[int], tuple[Tensor, Tensor]]
"""From the number of a chunk to its sets ``(size, tags)`` and their log-weights ``(size,)``, -inf for none at all."""


def drawer(model: BetaVAE, *, prior: str, temperature: float, asked: Tensor, seed: int, size: int) -> Draw:
    """Draws from a prior, see ``sampling.sample``; what is asked, see ``sampling.wish``, is put in."""
    mixture = _mixture(model, seed=seed) if prior == "gmm" else None
    rows = model.rows.float()
    chain = model.chain()
    if prior == "independent":
        shares, chain = rivals.independent(rows, order=model.order, clashes=model.clashes)

    def draw(number: int) -> tuple[Tensor, Tensor]:
        generator = np.random.default_rng(hashing.row_seed(f"chunk {number}", seed))
        if prior == "random":
            return _uniform_sets(rows, asked=asked, clashes=model.clashes, size=size, generator=generator)
        base = (
            shares.expand(size, -1)
            if prior == "independent"
            else model.decode(latents(model, prior=prior, mixture=mixture, generator=generator, size=size))
        )
        noise = ancestral.logistic((size, len(asked)), generator=generator)
        return ancestral.draw(base, chain, noise=noise, asked=asked, temperature=temperature)

    return draw


def latents(
    model: BetaVAE, *, prior: str, mixture: GaussianMixture | None, generator: np.random.Generator, size: int
) -> Tensor:
    """Latents ``(size, latent_dim)`` from a prior."""
    if mixture is not None:
        drawing = copy.copy(mixture)  # threads share the mixture, and it draws from a state of its own
        drawing.random_state = int(generator.integers(2**31))
        drawn = drawing.sample(size)[0][generator.permutation(size)]  # it gives them component by component
        return torch.as_tensor(drawn, dtype=torch.float32)
    chosen = torch.from_numpy(generator.integers(len(model.means), size=size))
    noise = torch.from_numpy(generator.standard_normal((size, model.config["latent_dim"]), dtype=np.float32))
    return noise if prior == "standard" else model.means[chosen] + noise * (model.log_variances[chosen] / 2).exp()


def log_likelihood(model: BetaVAE, rows: NDArray[np.bool_], *, prior: str, seed: int) -> NDArray[np.float64]:
    """Natural logarithm of the probability of each row under a prior, ``(n,)``: a lower bound where it has latents.

    NaN for ``random``, which gives most rows none.
    """
    if prior == "random":
        return np.full(len(rows), np.nan)
    if prior == "independent":
        odds, chain = rivals.independent(model.rows.float(), order=model.order, clashes=model.clashes)
        return ancestral.log_likelihood(odds, chain, rows)
    densities: dict[str, Callable[[Tensor], Tensor]] = {
        "standard": standard_normal,
        "aggregate": partial(_aggregate_density, model),
    }
    if prior == "gmm":
        mixture = _mixture(model, seed=seed)
        densities["gmm"] = lambda z: torch.as_tensor(mixture.score_samples(z.double().numpy()), dtype=torch.float32)
    return bounds(model, rows, seed=seed, log_prior=densities[prior])["iwae"]


def _aggregate_density(model: BetaVAE, latents: Tensor) -> Tensor:
    """Log-density ``(n,)`` of the mean of the training rows' posteriors."""
    precision = (-model.log_variances).exp()
    scaled = precision * model.means
    distance = latents.square() @ precision.T - 2 * latents @ scaled.T + (scaled * model.means).sum(1)
    volume = (model.log_variances + np.log(2 * np.pi)).sum(1)
    return (-0.5 * (distance + volume)).logsumexp(1) - np.log(len(model.means))


def _uniform_sets(
    rows: Tensor, *, asked: Tensor, clashes: Tensor, size: int, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Sets of as many tags as a training row, all alike; those that contradict themselves or what is asked weigh 0."""
    sizes = rows[torch.from_numpy(generator.integers(len(rows), size=size))].sum(1)
    ranks = torch.from_numpy(generator.random((size, rows.shape[1]))).argsort(1).argsort(1)
    drawn = ranks < sizes[:, None]
    sound = ~(((drawn.float() @ clashes.float()) > 0) & drawn).any(1)
    sound &= drawn[:, asked > 0].all(1) & ~drawn[:, asked < 0].any(1)
    return drawn, torch.where(sound, 0.0, -torch.inf)


def _mixture(model: BetaVAE, *, seed: int) -> GaussianMixture:
    """Mixture of the shape and number of components that describes a tenth of the latents, left out of the fit, best.

    Latents are drawn from the posteriors of the training rows; full covariances need rows enough for their entries.
    """
    generator = np.random.default_rng(seed)
    mean, spread = model.means.numpy(), (model.log_variances / 2).exp().numpy()
    latents = (mean + spread * generator.standard_normal(mean.shape)).astype(np.float64)
    order = generator.permutation(len(latents))
    out, kept = latents[order[: len(order) // 10 + 1]], latents[order[len(order) // 10 + 1 :]]
    least = {"diag": 2, "full": 2 * latents.shape[1]}
    choices = [(size, shape) for shape, rows in least.items() for size in _COMPONENTS if size * rows < len(kept)]
    fitted = [
        GaussianMixture(size, covariance_type=shape, reg_covar=1e-4, random_state=seed).fit(kept)
        for size, shape in choices or [(1, "diag")]
    ]
    return max(fitted, key=lambda mixture: mixture.score(out))
