"""New tag sets: latents from a prior, tags drawn from the decoder, exclusions kept by construction."""

import copy
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture
from torch import Tensor

from conceptcaps import hashing
from conceptcaps.tags import vae
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.tags.vae import BetaVAE
from conceptcaps.threads import one_thread

PRIORS = ("aggregate", "gmm", "standard", "independent", "random")
_CHUNK = 16_384  # sets drawn at once where many are wanted, one chunk on each core
_FEW = 2048  # and where few are
_PATIENCE = 50  # chunks without a new set before sampling gives up
_COMPONENTS = (1, 5, 10, 20, 40)


def sample(
    model: BetaVAE,
    *,
    count: int,
    prior: str,
    temperature: float,
    condition: Sequence[str],
    min_categories: int,
    seed: int,
) -> NDArray[np.bool_]:
    """Draw distinct tag sets.

    Priors: ``aggregate`` draws a training row's posterior and a latent from it; ``gmm`` draws from a Gaussian mixture
    fitted to such latents; ``standard`` from a standard normal; ``independent`` draws each tag with its own frequency;
    ``random`` takes a training row's number of tags, all tags alike. The last two are baselines without the model.

    Args:
        model: Trained VAE; of each exclusion group of its taxonomy a set holds at most one tag.
        count: Sets to draw.
        prior: One of ``PRIORS``.
        temperature: Divides the decoder's logits before the Bernoulli draws; 1 samples the model.
        condition: Tags that every set contains: latents come from the posterior of this partial set instead of the
            prior, and draws without one of its tags are left out; no tag is put in by force.
        min_categories: Categories that a set touches.
        seed: Seed of all draws; they do not depend on the number of cores.

    Returns:
        ``(count, tags)``, distinct rows in the order in which they were drawn.

    Raises:
        ValueError: If a dial is out of its range, a tag unknown, the condition contradicts itself, or no further set
            can be found.
    """
    if count < 1:
        raise ValueError(f"expected count of at least 1, got {count}")
    if temperature <= 0:
        raise ValueError(f"expected temperature above 0, got {temperature}")
    taxonomy = model.taxonomy
    wanted = torch.as_tensor(taxonomy.encode([condition])[0])
    clashes = taxonomy.contradictions(condition)
    if clashes:
        raise ValueError(f"expected a condition without contradictions, got {' with '.join(clashes[0])}")
    if prior not in PRIORS:
        raise ValueError(f"expected prior {', '.join(PRIORS)}, got {prior!r}")
    exclusions = Exclusions.of(taxonomy)
    category = torch.as_tensor([taxonomy.categories.index(taxonomy.category(tag)) for tag in taxonomy.tags])
    membership = torch.nn.functional.one_hot(category).float()
    mixture = _mixture(model, seed=seed) if prior == "gmm" else None
    size = _FEW if count < _FEW else _CHUNK

    def chunk(number: int) -> NDArray[np.uint8]:
        generator = np.random.default_rng(hashing.row_seed(f"chunk {number}", seed))
        with torch.inference_mode():
            logits = decoded(model, prior=prior, condition=wanted, mixture=mixture, generator=generator, size=size)
            rows = draw(
                logits if temperature == 1 else logits / temperature, exclusions=exclusions, generator=generator
            )
            good = ((rows.float() @ membership > 0).sum(1) >= min_categories) & rows[:, wanted].all(1)
            return np.packbits(rows[good].numpy(), axis=1)

    found: dict[bytes, None] = {}
    idle = 0
    workers = torch.get_num_threads() if count > size else 1
    with one_thread(), ThreadPoolExecutor(workers) as pool:
        for first in itertools.count(0, workers):
            for packed in pool.map(chunk, range(first, first + workers)):
                before = len(found)
                found |= dict.fromkeys(packed.view(f"V{packed.shape[1]}")[:, 0].tolist())
                if len(found) >= count:
                    distinct = np.frombuffer(b"".join(itertools.islice(found, count)), np.uint8).reshape(count, -1)
                    return np.unpackbits(distinct, axis=1, count=len(taxonomy.tags)).view(np.bool_)
                idle = idle + 1 if len(found) == before else 0
                if idle == _PATIENCE:
                    raise ValueError(
                        f"expected {count} distinct sets of {min_categories} categories or more with "
                        f"{list(condition)}, got {len(found)} and none in the last {_PATIENCE * size:,} draws"
                    )
    raise AssertionError("counting never ends")


def decoded(
    model: BetaVAE,
    *,
    prior: str,
    condition: Tensor,
    mixture: GaussianMixture | None,
    generator: np.random.Generator,
    size: int,
) -> Tensor:
    """Logits ``(size, tags)`` of latents from a prior, or of a condition's posterior."""
    rows = model.rows.float()
    chosen = torch.from_numpy(generator.integers(len(rows), size=size))
    if prior == "independent":
        return torch.logit(rows.mean(0).clamp(1e-6, 1 - 1e-6)).expand(size, -1)
    if prior == "random":
        return _uniform_sets(rows[chosen].sum(1), width=rows.shape[1], generator=generator)
    if mixture is not None and not condition.any():
        drawing = copy.copy(mixture)  # threads share the mixture, and it draws from a state of its own
        drawing.random_state = int(generator.integers(2**31))
        latents = drawing.sample(size)[0][generator.permutation(size)]  # it gives them component by component
        return model.decode(torch.as_tensor(latents, dtype=torch.float32))
    noise = torch.from_numpy(generator.standard_normal((size, model.config["latent_dim"]), dtype=np.float32))
    if condition.any():
        mean, log_variance = model.encode(condition.float()[None])
    elif prior == "aggregate":
        mean, log_variance = model.means[chosen], model.log_variances[chosen]
    else:
        return model.decode(noise)
    return model.decode(mean + noise * (log_variance / 2).exp())


class Exclusions(NamedTuple):
    """Groups of tags of which at most one may hold, as tensors.

    Attributes:
        membership: 1 where a tag is in a group, ``(tags, groups)``.
        groups: Columns of each group.
        elsewhere: For each group ``(tags, members)``: 1 where a tag outside it shares another group with a member.
    """

    membership: Tensor
    groups: list[Tensor]
    elsewhere: list[Tensor]

    @classmethod
    def of(cls, taxonomy: Taxonomy) -> "Exclusions":
        """Exclusions of a taxonomy."""
        membership = torch.as_tensor(taxonomy.encode(taxonomy.exclusions)).float().T.contiguous()
        clash = (membership @ membership.T > 0).float()
        groups = [column.nonzero()[:, 0] for column in membership.T]
        elsewhere = [clash[:, group].index_fill(0, group, 0) for group in groups]
        return cls(membership, groups, elsewhere)


def draw(logits: Tensor, *, exclusions: Exclusions, generator: np.random.Generator) -> Tensor:
    """Bernoulli draws ``(n, tags)`` that hold at most one tag of each exclusion group.

    A row that holds more is corrected group by group: the tags of the group are drawn again from their distribution
    given that at most one of them holds and given the rest of the row: none with weight 1, a tag with its odds
    ``p / (1 - p)``, or 0 if the rest excludes it. A correction contradicts nothing, so that one pass is enough; rows
    that hold no contradiction stay as they were drawn.

    >>> nothing = Exclusions(torch.zeros(2, 0), [], [])
    >>> draw(torch.tensor([[40.0, -40.0]]), exclusions=nothing, generator=np.random.default_rng()).tolist()
    [[True, False]]
    """
    rows = torch.from_numpy(generator.random(tuple(logits.shape), dtype=np.float32)) < torch.sigmoid(logits)
    over = rows.float() @ exclusions.membership > 1
    wrong = over.any(1).nonzero()[:, 0]
    if not len(wrong):
        return rows
    part = rows[wrong].float().T.contiguous()  # tags first: a group is a few whole rows
    odds = logits[wrong].T.clamp(-20, 20).exp()
    clashing = over[wrong].T
    for place in clashing.any(1).nonzero()[:, 0].tolist():
        group = exclusions.groups[place][:, None]
        again = clashing[place].nonzero()[:, 0]
        again = again[part[group, again].sum(0) > 1]  # an earlier group's correction may have cleared it
        if not len(again):
            continue
        free = exclusions.elsewhere[place].T @ part[:, again] == 0
        bounds = torch.cat([torch.ones(1, len(again)), odds[group, again] * free]).cumsum(0)
        point = torch.from_numpy(generator.random(len(again), dtype=np.float32)) * bounds[-1]
        part[group, again] = ((bounds[:-1] <= point) & (point < bounds[1:])).float()
    rows[wrong] = part.T.bool()
    return rows


def load(folder: Path) -> BetaVAE:
    """Open a registered VAE."""
    return vae.load(folder)


def predict(model: BetaVAE, frame: pd.DataFrame) -> pd.DataFrame:
    """One tag set for each row of a served request.

    Args:
        model: Of ``load``.
        frame: Columns ``condition`` (tags separated by commas, may be empty) and ``seed``.

    Returns:
        Column ``tags``, separated by commas.
    """
    answers = []
    for condition, seed in zip(frame["condition"], frame["seed"], strict=True):
        row = sample(
            model,
            count=1,
            prior="aggregate",
            temperature=1.0,
            condition=split_tags(str(condition)),
            min_categories=1,
            seed=int(seed),
        )
        answers.append(", ".join(model.taxonomy.decode(row)[0]))
    return pd.DataFrame({"tags": answers})


def split_tags(text: str) -> list[str]:
    """Tags separated by commas; none for ``none`` and for empty text.

    >>> split_tags("jazz, piano"), split_tags("none")
    (['jazz', 'piano'], [])
    """
    return [] if text == "none" else [tag.strip() for tag in text.split(",") if tag.strip()]


def _uniform_sets(sizes: Tensor, *, width: int, generator: np.random.Generator) -> Tensor:
    """Logits that are certain: ``sizes`` tags of each row, all tags alike."""
    ranks = torch.from_numpy(generator.random((len(sizes), width))).argsort(1).argsort(1)
    return torch.where(ranks < sizes[:, None], 40.0, -40.0)


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
