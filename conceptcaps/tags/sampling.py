"""New tag sets: latents from a prior, tags drawn from the decoder's chain; conditions by importance resampling."""

import itertools
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conceptcaps.errors import InputError
from conceptcaps.tags.priors import PRIORS, Draw, drawer
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.tags.vae import BetaVAE
from conceptcaps.workspace import hashing
from conceptcaps.workspace.processor import one_thread

CHUNK = 16_384  # sets drawn at once where many are wanted, one chunk on each core
_FEW = 2048  # and where few are
_PATIENCE = 50  # chunks without a new set before sampling gives up
_MOST = 1 << 21  # draws for a condition before sampling gives what it has
_SPARE = 4  # effective draws of a condition for each draw that is taken of them
_LEAST = 100  # effective draws of a condition, however few sets are asked for

Rows = NDArray[np.bool_]


class Samples(NamedTuple):
    """Distinct tag sets, and how they came about.

    Attributes:
        rows: ``(n, tags)``; n is the number asked for, or less.
        reason: Why there are fewer than asked for; empty if there are not.
        draws: Sets drawn, before any was left out.
        effective: Effective sample size of the draws that hold the condition; without one, the draws kept.
        left_out: Share of draws left out: they touch too few categories, hold a pair that is kept apart, or contradict
            themselves (``random`` alone).
        frequencies: Share of draws that hold each tag, before any was left out, weighted by the condition, ``(tags,)``.
        kept: The same of the draws that were kept.
    """

    rows: Rows
    reason: str
    draws: int
    effective: float
    left_out: float
    frequencies: NDArray[np.float64]
    kept: NDArray[np.float64]


class _Chunk(NamedTuple):
    """Draws of one chunk that are kept, packed, with their log-weights, weighted sums over all draws and these."""

    packed: NDArray[np.uint8]
    log_weights: NDArray[np.float64]
    left_out: int
    drawn: tuple[NDArray[np.float64], float]
    kept: tuple[NDArray[np.float64], float]


def sample(
    model: BetaVAE,
    *,
    count: int,
    prior: str,
    temperature: float,
    condition: Sequence[str],
    min_categories: int,
    seed: int,
    never_together: Sequence[tuple[str, str]] = (),
) -> Samples:
    """Draw distinct tag sets.

    Priors: ``aggregate`` draws a training row's posterior and a latent from it; ``gmm`` draws from a Gaussian mixture
    fitted to such latents; ``standard`` from a standard normal; ``independent`` draws each tag with its own frequency;
    ``random`` takes a training row's number of tags, all tags alike. The last two are baselines without the model.

    A condition is exact: latents come from the prior, each asked tag is put in (or left out) in its turn, and the set
    weighs what the model thought of that, the product of the asked tags' probabilities. Sets are then drawn by weight.

    Args:
        model: Trained VAE; of each exclusion group of its taxonomy a set holds at most one tag.
        count: Sets to draw.
        prior: One of ``PRIORS``.
        temperature: Divides the decoder's log-odds; 1 samples the model.
        condition: Tags that every set holds, and with a minus sign before them tags that none holds, nor any of their
            descendants.
        min_categories: Categories that a set touches.
        seed: Seed of all draws; they do not depend on the number of cores.
        never_together: Pairs of tags of which no set holds both, but for those that the condition asks for.

    Returns:
        Distinct sets, without a condition in the order in which they were drawn; fewer than asked for where no more
        are found, with the reason.

    Raises:
        InputError: If a dial is out of its range, a tag unknown, the condition contradicts itself, or no set is found.

    References:
        Rubin, Using the SIR algorithm to simulate posterior distributions (1988).
    """
    if count < 1:
        raise InputError(f"expected count of at least 1, got {count}")
    if not 0 <= min_categories <= len(model.taxonomy.categories):
        raise InputError(f"expected min_categories from 0 to {len(model.taxonomy.categories)}, got {min_categories}")
    if temperature <= 0:
        raise InputError(f"expected temperature above 0, got {temperature}")
    if prior not in PRIORS:
        raise InputError(f"expected prior {', '.join(PRIORS)}, got {prior!r}")
    asked = wish(condition, taxonomy=model.taxonomy)
    size = _FEW if count < _FEW else CHUNK
    draw = drawer(model, prior=prior, temperature=temperature, asked=asked, seed=seed, size=size)
    choose = partial(_by_weight, seed=seed) if condition else _in_order
    good = _good(model.taxonomy, min_categories=min_categories, never_together=never_together, asked=asked)
    found = choose(draw, good=good, count=count, size=size)
    if not len(found.rows):
        raise InputError(
            f"expected sets of {min_categories} categories or more with {list(condition)}, got none: {found.reason}"
        )
    return found


def wish(condition: Sequence[str], *, taxonomy: Taxonomy) -> Tensor:
    """What a condition asks of each tag: 1 hold, -1 do not hold, 0 nothing, ``(tags,)``.

    Tags that an asked tag excludes must not hold either, so that no set is lost because one was drawn before.

    Raises:
        InputError: If a tag is unknown or the condition contradicts itself.
    """
    wanted = [taxonomy.resolve(tag) for tag in condition if not tag.startswith("-")]
    clashes = taxonomy.contradictions(wanted)
    if clashes:
        raise InputError(f"expected a condition without contradictions, got {' with '.join(clashes[0])}")
    unwanted = [taxonomy.resolve(tag.removeprefix("-").strip()) for tag in condition if tag.startswith("-")]
    below = [tag for tag in taxonomy.tags if {tag, *taxonomy.ancestors(tag)} & set(unwanted)]
    excluded = {tag for group in taxonomy.exclusions if set(wanted) & set(group) for tag in group} - set(wanted)
    both = sorted(set(wanted) & set(below))
    if both:
        raise InputError(f"expected a condition that does not ask for what it leaves out, got both for {both[0]}")
    hold, leave = taxonomy.encode([wanted, [*below, *excluded]]).astype(np.int64)
    return torch.as_tensor(hold - leave)


def holds(rows: Rows, *, asked: Tensor) -> Rows:
    """Whether each row ``(n, tags)`` holds what is asked, see ``wish``, ``(n,)``.

    >>> holds(np.array([[True, True], [True, False]]), asked=torch.tensor([1, -1])).tolist()
    [False, True]
    """
    wanted, unwanted = (asked > 0).numpy(), (asked < 0).numpy()
    return np.asarray(rows[:, wanted].all(1) & ~rows[:, unwanted].any(1))


def _good(
    taxonomy: Taxonomy, *, min_categories: int, never_together: Sequence[tuple[str, str]], asked: Tensor
) -> Callable[[Tensor], Tensor]:
    """Tells of rows ``(n, tags)`` which touch enough categories and hold no pair but those asked for, ``(n,)``."""
    category = torch.as_tensor([taxonomy.categories.index(taxonomy.category(tag)) for tag in taxonomy.tags])
    membership = torch.nn.functional.one_hot(category).float()
    wanted = {tag for tag, sign in zip(taxonomy.tags, asked.tolist(), strict=True) if sign > 0}
    pairs = taxonomy.encode([pair for pair in never_together if not {*pair} <= wanted])
    apart = torch.zeros(len(taxonomy.tags), len(taxonomy.tags))
    apart[tuple(torch.as_tensor(pairs).nonzero()[:, 1].reshape(-1, 2).T)] = 1

    def good(values: Tensor) -> Tensor:
        touched = (values @ membership > 0).sum(1) >= min_categories
        return touched & (((values @ apart) * values).sum(1) == 0) if len(pairs) else touched

    return good


def _chunks(draw: Draw, *, good: Callable[[Tensor], Tensor]) -> Generator[_Chunk]:
    """Chunks without end, in order, as many at once as there are cores."""

    def chunk(number: int) -> _Chunk:
        with torch.inference_mode():
            rows, log_weights = draw(number)
            values = rows.float()
            kept = good(values) & log_weights.isfinite()
            weights = log_weights.exp()
            return _Chunk(
                np.packbits(rows[kept].numpy(), axis=1),
                log_weights[kept].double().numpy(),
                int((~kept).sum()),
                ((weights @ values).double().numpy(), float(weights.sum())),
                ((weights[kept] @ values[kept]).double().numpy(), float(weights[kept].sum())),
            )

    ahead = torch.get_num_threads()
    with one_thread(), ThreadPoolExecutor(ahead) as pool:
        for first in itertools.count(0, ahead):
            yield from pool.map(chunk, range(first, first + ahead))


def distinct(draw: Draw, *, taxonomy: Taxonomy, count: int, size: int, min_categories: int) -> Samples:
    """The first distinct sets that touch enough categories, in the order in which they were drawn."""
    nothing = torch.zeros(len(taxonomy.tags))
    good = _good(taxonomy, min_categories=min_categories, never_together=[], asked=nothing)
    return _in_order(draw, good=good, count=count, size=size)


def _in_order(draw: Draw, *, good: Callable[[Tensor], Tensor], count: int, size: int) -> Samples:
    found: dict[bytes, None] = {}
    used: list[_Chunk] = []
    idle = kept = 0
    with closing(_chunks(draw, good=good)) as chunks:
        for chunk in chunks:
            used.append(chunk._replace(packed=chunk.packed[:0], log_weights=chunk.log_weights[:0]))
            before, kept = len(found), kept + len(chunk.packed)
            found |= dict.fromkeys(_keys(chunk))
            idle = idle + 1 if len(found) == before else 0
            if len(found) >= count or idle == _PATIENCE:
                break
    reason = f"no new set in the last {_PATIENCE * size:,} draws" if len(found) < count else ""
    chosen = list(itertools.islice(found, count))
    return _samples(chosen, used, reason=reason, effective=kept, size=size)


def _by_weight(draw: Draw, *, good: Callable[[Tensor], Tensor], count: int, size: int, seed: int) -> Samples:
    """The first distinct sets of draws by weight, a quarter as many as the weighted ones are worth."""
    used: list[_Chunk] = []
    chosen: dict[bytes, None] = {}
    needed = float(max(_SPARE * count, _LEAST))
    with closing(_chunks(draw, good=good)) as chunks:
        for chunk in itertools.islice(chunks, _MOST // size):
            used.append(chunk)
            effective = _effective(used)
            if effective >= needed:
                chosen = _resample(used, count=int(effective / _SPARE), seed=seed)
                if len(chosen) >= count:
                    break
                needed = 2 * effective
    if len(chosen) < count:
        chosen = _resample(used, count=int(np.ceil(effective)), seed=seed)
    reason = f"{len(used) * size:,} draws are worth {effective:,.0f} of equal weight, which hold {len(chosen):,} sets"
    told = reason if len(chosen) < count else ""
    first = list(itertools.islice(chosen, count))
    return _samples(first, used, reason=told, effective=effective, size=size)


def _effective(used: Sequence[_Chunk]) -> float:
    """Effective sample size of weighted draws, (sum w)^2 / sum w^2."""
    weights = np.exp(np.concatenate([chunk.log_weights for chunk in used]))
    return float(weights.sum() ** 2 / max((weights**2).sum(), np.finfo(float).tiny))


def _resample(used: Sequence[_Chunk], *, count: int, seed: int) -> dict[bytes, None]:
    """Different sets among ``count`` draws by weight, in the order of their first draw."""
    keys = [key for chunk in used for key in _keys(chunk)]
    if not keys:
        return {}
    bounds = np.exp(np.concatenate([chunk.log_weights for chunk in used])).cumsum()
    points = np.random.default_rng(hashing.row_seed("by weight", seed)).random(count) * bounds[-1]
    return dict.fromkeys(keys[place] for place in np.searchsorted(bounds, points, side="right").tolist())


def _keys(chunk: _Chunk) -> list[bytes]:
    return list(chunk.packed.view(f"V{chunk.packed.shape[1]}")[:, 0].tolist())


def _samples(chosen: list[bytes], used: list[_Chunk], *, reason: str, effective: float, size: int) -> Samples:
    tags = len(used[0].drawn[0])
    packed = np.frombuffer(b"".join(chosen), np.uint8).reshape(len(chosen), (tags + 7) // 8)
    rows = np.unpackbits(packed, axis=1, count=tags).view(np.bool_)
    draws = len(used) * size
    return Samples(
        rows=rows,
        reason=reason,
        draws=draws,
        effective=float(effective),
        left_out=sum(chunk.left_out for chunk in used) / draws,
        frequencies=_shares([chunk.drawn for chunk in used]),
        kept=_shares([chunk.kept for chunk in used]),
    )


def _shares(sums: Sequence[tuple[NDArray[np.float64], float]]) -> NDArray[np.float64]:
    counts, weights = zip(*sums, strict=True)
    return np.sum(counts, axis=0) / max(sum(weights), np.finfo(float).tiny)


def split_tags(text: str) -> list[str]:
    """Tags separated by commas; none for ``none`` and for empty text.

    >>> split_tags("jazz, -piano"), split_tags("none")
    (['jazz', '-piano'], [])
    """
    return [] if text == "none" else [tag.strip() for tag in text.split(",") if tag.strip()]
