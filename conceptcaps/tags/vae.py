"""A beta-VAE over tag sets: network, loss, bounds, and its files."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from conceptcaps.errors import InputError
from conceptcaps.tags import ancestral
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace.files import whole_folder

Rows = NDArray[np.bool_]

DRAWING: dict[str, Any] = {"prior": "aggregate", "temperature": 1.0}  # dials of samples, where no others are asked for
DRAWING_FILE = "drawing.json"
IMPORTANCE_SAMPLES = 64
ACTIVE_VARIANCE = 0.01
_LOG_2_PI = math.log(2 * math.pi)
_BLOCK = 64  # rows whose importance samples are decoded at once, which no result depends on


# --- the network ------------------------------------------------------------------------------------------------------


class Half(nn.Module):
    """Encoder or decoder: linear, batch normalisation if any, ReLU, dropout, linear."""

    def __init__(self, inputs: int, hidden: int, outputs: int, *, batch_norm: bool) -> None:
        """Random weights from torch's global generator."""
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.norm = nn.BatchNorm1d(hidden) if batch_norm else nn.Identity()
        self.last = nn.Linear(hidden, outputs)

    def forward(self, inputs: Tensor, kept: Tensor | None = None) -> Tensor:
        """Outputs; hidden units are multiplied with ``kept`` (dropout, scaled), which only training gives."""
        hidden = nn.functional.relu(self.norm(self.first(inputs)))
        return self.last(hidden if kept is None else hidden * kept)


class BetaVAE(nn.Module):
    """Tag sets as binary rows ``(n, tags)`` to a Gaussian posterior over latents, and latents to a chain over the tags.

    The decoder gives log-odds of each tag from the latents. With a head each tag drawn adds to those of the later ones;
    with or without, a tag rules out those that exclude it: contradictions have probability 0.

    It keeps the rows that it learnt from: their posteriors make up the aggregated posterior that is sampled from, and
    copies of them are counted.

    Attributes:
        taxonomy: Its tags are the columns.
        config: Arguments that build the network again.
        order: Columns in the order in which they are drawn.
        links: What a drawn tag (column) adds to the log-odds of a later one (row), ``(tags, tags)``; without a head ().
        rows: Training rows ``(n, tags)``, uint8 of 0 and 1.
        means: Their posterior means ``(n, latent_dim)``; ``remember`` computes them.
        log_variances: The logarithms of their posterior variances.
    """

    order: Tensor
    clashes: Tensor
    rows: Tensor
    means: Tensor
    log_variances: Tensor

    def __init__(
        self, *, taxonomy: Taxonomy, latent_dim: int, hidden_dim: int, dropout: float, batch_norm: bool, head: bool
    ) -> None:
        """Build the network with random weights from torch's global generator."""
        super().__init__()
        if min(latent_dim, hidden_dim) < 1 or not 0 <= dropout < 1:
            raise InputError(
                "expected latent_dim and hidden_dim of at least 1 and dropout in [0, 1), "
                f"got {latent_dim}, {hidden_dim} and {dropout}"
            )
        self.taxonomy = taxonomy
        self.config: dict[str, Any] = {
            "latent_dim": latent_dim,
            "hidden_dim": hidden_dim,
            "dropout": dropout,
            "batch_norm": batch_norm,
            "head": head,
        }
        tags = len(taxonomy.tags)
        self.encoder = Half(tags, hidden_dim, 2 * latent_dim, batch_norm=batch_norm)
        self.decoder = Half(latent_dim, hidden_dim, tags, batch_norm=batch_norm)
        self.links = nn.Parameter(torch.zeros(tags, tags)) if head else None
        self.register_buffer("order", torch.arange(tags))
        self.register_buffer("clashes", ancestral.clashes(taxonomy), persistent=False)
        self.register_buffer("rows", torch.zeros(0, tags, dtype=torch.uint8))
        self.register_buffer("means", torch.zeros(0, latent_dim))
        self.register_buffer("log_variances", torch.zeros(0, latent_dim))

    def encode(self, rows: Tensor, kept: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance ``(n, latent_dim)`` of the posterior of rows ``(n, tags)``."""
        mean, log_variance = self.encoder(rows, kept).chunk(2, dim=-1)
        return mean, log_variance

    def decode(self, latents: Tensor, kept: Tensor | None = None) -> Tensor:
        """Log-odds ``(n, tags)`` of latents ``(n, latent_dim)``, before any tag is drawn."""
        return self.decoder(latents, kept)

    def chain(self) -> ancestral.Chain:
        """How tags follow from one another once the latents are given."""
        return ancestral.chain(order=self.order, clashes=self.clashes, links=self.links)

    @torch.no_grad()
    def start(self, rows: Tensor) -> None:
        """Begin from the frequencies of rows: the order of the tags, the most frequent first, and the output's bias."""
        self.order = ancestral.by_frequency(rows)
        self.decoder.last.bias.copy_(((rows.sum(0) + 0.5) / (len(rows) + 1)).logit())

    @torch.no_grad()
    def remember(self, rows: Tensor) -> None:
        """Keep training rows and their posteriors."""
        self.eval()
        self.rows = rows.to(torch.uint8)
        self.means, self.log_variances = self.encode(rows)


def loss(logits: Tensor, rows: Tensor, mean: Tensor, log_variance: Tensor, *, beta: float) -> tuple[Tensor, Tensor]:
    """Negative beta-ELBO and KL term of each row, averaged over rows, so that batch size does not move the step.

    Cross-entropy summed over tags plus ``beta`` times KL(q(z | x) || N(0, I)) summed over latents, in nats.

    Args:
        logits: Log-odds ``(n, tags)`` of each tag given the latents and the tags before it.
        rows: Tags of 0 and 1 ``(n, tags)``.
        mean: Posterior means ``(n, latent_dim)``.
        log_variance: Posterior log-variances ``(n, latent_dim)``.
        beta: Weight of the KL term; 1 is the ELBO.

    Returns:
        Loss and KL, two scalars; both at least 0.

    >>> zero = torch.zeros(2, 3)
    >>> [round(value.item(), 4) for value in loss(zero, zero, zero + 1, zero, beta=2.0)]  # 3 log 2 + 2 * 3 / 2
    [5.0794, 1.5]

    References:
        Kingma, Welling: Auto-Encoding Variational Bayes, 2013, arXiv 1312.6114. Higgins et al.: beta-VAE, ICLR 2017.
    """
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / len(rows)
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, rows, reduction="sum") / len(rows)
    return entropy + beta * kl, kl


# --- what it is worth -------------------------------------------------------------------------------------------------


def standard_normal(latents: Tensor) -> Tensor:
    """Log-density ``(n,)`` of latents ``(n, latent_dim)`` under a standard normal.

    >>> round(float(standard_normal(torch.zeros(1, 2))), 4)  # -log 2 pi
    -1.8379
    """
    return -0.5 * (latents.square() + _LOG_2_PI).sum(-1)


@torch.no_grad()
def bounds(
    model: BetaVAE,
    rows: Rows,
    *,
    seed: int,
    samples: int = IMPORTANCE_SAMPLES,
    log_prior: Callable[[Tensor], Tensor] = standard_normal,
) -> dict[str, NDArray[np.float64]]:
    """Lower bounds on log p(row) in nats, free of beta: higher is better, at most 0.

    ``elbo`` is the mean of log w over ``samples`` draws z from the posterior, w = p(x | z) p(z) / q(z | x); ``iwae``
    is the logarithm of the mean of w, never below it and closer to the truth. The noise is fixed by ``seed``.

    Args:
        model: Network.
        rows: ``(n, tags)``.
        seed: Seed of the noise.
        samples: Draws for each row.
        log_prior: Log-density ``(n,)`` of latents ``(n, latent_dim)``.

    Returns:
        ``elbo`` and ``iwae``, each ``(n,)``.

    References:
        Burda, Grosse, Salakhutdinov: Importance Weighted Autoencoders, 2015, arXiv 1509.00519.
    """
    model.eval()
    x = torch.from_numpy(rows.astype(np.float32))
    mean, log_variance = model.encode(x)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(x), samples, mean.shape[1], generator=generator)
    before = model.chain().logits(torch.zeros(()), x)
    found = []
    blocks = (whole.split(_BLOCK) for whole in (x, before, mean, log_variance, noise))
    for tags, added, centre, spread, epsilon in zip(*blocks, strict=True):
        z = centre[:, None] + (0.5 * spread[:, None]).exp() * epsilon
        logits = model.decode(z.flatten(0, 1)).unflatten(0, z.shape[:2]) + added[:, None]
        likelihood = torch.einsum("nkt,nt->nk", logits, tags) - nn.functional.softplus(logits).sum(-1)
        posterior = -0.5 * (epsilon.square() + spread[:, None] + _LOG_2_PI).sum(-1)
        found.append(likelihood + log_prior(z.flatten(0, 1)).unflatten(0, z.shape[:2]) - posterior)
    log_w = torch.cat(found).double()
    return {"elbo": log_w.mean(1).numpy(), "iwae": (log_w.logsumexp(1) - np.log(samples)).numpy()}


@torch.no_grad()
def evaluate(model: BetaVAE, rows: Rows, *, prefix: str, seed: int) -> dict[str, float]:
    """Means over rows of the ``bounds``, and how well rows are reconstructed from their posterior means.

    Returns:
        ``<prefix>/elbo``, ``/iwae`` (nats), ``/reconstruction_jaccard`` (0 to 1, best 1; 1 for an empty row given back
        empty), ``/hamming`` (share of tags that differ, best 0) and ``/active_units`` (latents of which the posterior
        mean has a variance over 0.01 across all rows).
    """
    found = {name: float(values.mean()) for name, values in bounds(model, rows, seed=seed).items()}
    mean, _ = model.encode(torch.from_numpy(rows.astype(np.float32)))
    likelier = torch.zeros(rows.shape)
    back = ancestral.draw(model.decode(mean), model.chain(), noise=likelier)[0].numpy()
    shared, either = (rows & back).sum(1), (rows | back).sum(1)
    found["reconstruction_jaccard"] = float(np.where(either == 0, 1.0, shared / np.maximum(either, 1)).mean())
    found["hamming"] = float((rows != back).mean())
    found["active_units"] = float((mean.var(0, correction=0) > ACTIVE_VARIANCE).sum())
    return {f"{prefix}/{name}": value for name, value in found.items()}


# --- files ------------------------------------------------------------------------------------------------------------


def save(model: BetaVAE, path: Path) -> None:
    """Write ``model.safetensors``, ``config.json``, dials and ``taxonomy.yaml`` into a folder, whole or not at all."""
    with whole_folder(path) as folder:
        weights = {name: value.contiguous() for name, value in model.state_dict().items()}
        save_file(weights, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(model.config, indent=2) + "\n", encoding="utf-8")
        (folder / DRAWING_FILE).write_text(json.dumps(DRAWING, indent=2) + "\n", encoding="utf-8")
        model.taxonomy.save(folder / "taxonomy.yaml")


def load(path: Path) -> BetaVAE:
    """Open a folder that ``save`` wrote, in evaluation mode.

    Raises:
        InputError: If it holds no such model.
    """
    if not (path / "config.json").exists():
        raise InputError(f"expected a folder with config.json of a tag VAE, got {path}")
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    model = BetaVAE(taxonomy=Taxonomy.load(path / "taxonomy.yaml"), **config)
    weights = load_file(path / "model.safetensors")
    for name in ("rows", "means", "log_variances"):  # as many as were remembered
        setattr(model, name, weights[name])
    model.load_state_dict(weights)
    return model.eval()
