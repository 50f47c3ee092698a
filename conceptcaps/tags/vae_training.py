"""Training the tag VAE: epochs until the validation bound stops rising, and checkpoints to resume from."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from conceptcaps.errors import InputError
from conceptcaps.tags.early_stopping import EarlyStopping
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.tags.vae import BetaVAE, Rows, bounds, loss
from conceptcaps.workspace import hashing
from conceptcaps.workspace.files import whole
from conceptcaps.workspace.processor import one_thread

OnEpoch = Callable[[int, dict[str, float]], bool | None]
_CHECKPOINT = "checkpoint.safetensors"


def fit(
    *,
    train: Rows,
    validation: Rows,
    taxonomy: Taxonomy,
    latent_dim: int,
    hidden_dim: int,
    dropout: float,
    beta: float,
    learning_rate: float,
    batch_size: int,
    epochs: int,
    patience: int,
    seed: int,
    head: bool,
    penalty: float,
    batch_norm: bool,
    warmup: int,
    folder: Path | None = None,
    on_epoch: OnEpoch = lambda epoch, metrics: None,
) -> BetaVAE:
    """Train until the importance-weighted bound of the validation rows stops rising; keep the best epoch's weights.

    The draws of an epoch depend on ``seed`` and its number alone, so that a resumed training ends where one that was
    never interrupted does.

    Args:
        train: Rows to learn from ``(n, tags)``.
        validation: Rows that decide when to stop.
        taxonomy: Its tags are the columns.
        latent_dim: Size of the latent space.
        hidden_dim: Size of the hidden layer of encoder and decoder.
        dropout: On hidden layers, 0 to 1.
        beta: Weight of the KL term.
        learning_rate: Of AdamW.
        batch_size: Rows in a step; the last, smaller batch is shared out among the others.
        epochs: Most epochs.
        patience: Epochs without a better bound after which training stops.
        seed: Of the weights and all draws.
        head: Link the tags of the decoder to those drawn before them.
        penalty: Weight of the sum of the squares of these links.
        batch_norm: Normalise hidden layers over the batch.
        warmup: Epochs over which beta rises from near 0 to its value.
        folder: Checkpoints ``best/`` and ``last/``, written after every epoch and resumed from; None keeps none.
        on_epoch: Called with the epoch (from 0) and ``train/loss``, ``train/kl``, ``val/elbo`` and ``val/iwae`` (nats,
            means over rows), first for epochs before a resume; training ends where it returns True.

    Returns:
        The network in evaluation mode; it remembers the training rows.

    Raises:
        InputError: If there are fewer than two rows to learn from or none to validate on, a dial is out of range, no
            epoch gave a finite bound, or the checkpoints are of another training.
    """
    if len(train) < 2 or not len(validation) or train.shape[1:] != (len(taxonomy.tags),):
        raise InputError(
            f"expected rows (n, {len(taxonomy.tags)}) to learn from and to validate on, "
            f"got {train.shape} and {validation.shape}"
        )
    if min(beta, penalty) < 0 or learning_rate <= 0 or min(batch_size, epochs, patience) < 1:
        raise InputError(
            "expected beta and penalty of at least 0, learning_rate above 0, batch_size, epochs and patience of at "
            f"least 1, got {beta}, {penalty}, {learning_rate}, {batch_size}, {epochs} and {patience}"
        )
    clashing = sum(bool(taxonomy.contradictions(tags)) for tags in taxonomy.decode(np.concatenate([train, validation])))
    if clashing:
        raise InputError(f"expected rows without contradictions, which have probability 0, got {clashing} with some")
    rows = torch.from_numpy(train.astype(np.float32))
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(seed)
        model = BetaVAE(
            taxonomy=taxonomy,
            latent_dim=latent_dim,
            hidden_dim=hidden_dim,
            dropout=dropout,
            batch_norm=batch_norm,
            head=head,
        )
        model.start(rows)
        optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, fused=True)
        settings = {**model.config, "beta": beta, "learning_rate": learning_rate, "batch_size": batch_size}
        settings |= {
            "seed": seed,
            "warmup": warmup,
            "penalty": penalty,
            "rows": hashing.digest(np.packbits(train).tolist()),
        }
        history, stopping = _resume(folder, model, optimiser, settings=hashing.digest(settings), patience=patience)
        start, stopped = len(history), any([on_epoch(epoch, metrics) for epoch, metrics in enumerate(history)])
        for epoch in tqdm(range(start, epochs), desc="train vae", unit="epoch", initial=start, total=epochs):
            if stopped or stopping.over:
                break
            metrics = train_epoch(
                model,
                optimiser,
                rows,
                beta=beta * min(1.0, (epoch + 1) / (warmup + 1)),
                penalty=penalty,
                batch_size=batch_size,
                generator=np.random.default_rng(hashing.row_seed(f"epoch {epoch}", seed)),
            )
            found = bounds(model, validation, seed=seed)
            metrics |= {f"val/{name}": float(values.mean()) for name, values in found.items()}
            stopping.note(metrics["val/iwae"], model)
            history.append(metrics)
            state = {"history": history, "best_bound": stopping.best, "waited": stopping.waited}
            _checkpoint(folder, model, optimiser, state={**state, "settings": hashing.digest(settings)})
            stopped = bool(on_epoch(epoch, metrics))
    if not stopping.weights:
        raise InputError(f"expected a finite validation bound, got none; try a learning_rate below {learning_rate}")
    model.load_state_dict(stopping.weights)
    model.remember(rows)
    return model


def train_epoch(
    model: BetaVAE,
    optimiser: torch.optim.Optimizer,
    rows: Tensor,
    *,
    beta: float,
    penalty: float,
    batch_size: int,
    generator: np.random.Generator,
) -> dict[str, float]:
    """One pass over the rows in random order; the last, smaller batch is shared out among the others.

    Args:
        model: Its parameters are those of ``optimiser``.
        optimiser: Takes a step a batch.
        rows: Tags of 0 and 1 ``(n, tags)``.
        beta: Weight of the KL term.
        penalty: Weight of the sum of the squares of the head's links.
        batch_size: Rows in a step.
        generator: Gives order, latents and dropout, drawn for the whole epoch at once.

    Returns:
        ``train/loss`` and ``train/kl`` (nats, means over rows).
    """
    model.train()
    count, parts = len(rows), max(1, len(rows) // batch_size)
    order = torch.from_numpy(generator.permutation(count))
    noise = torch.from_numpy(generator.standard_normal((count, model.config["latent_dim"]), dtype=np.float32))
    dropout, shape = model.config["dropout"], (2, count, model.config["hidden_dim"])
    kept = torch.from_numpy(generator.random(shape, dtype=np.float32) >= dropout) / (1 - dropout)
    total = torch.zeros(2)
    for x, epsilon, *masks in zip(*(each.tensor_split(parts) for each in (rows[order], noise, *kept)), strict=True):
        mean, log_variance = model.encode(x, masks[0])
        base = model.decode(mean + (log_variance / 2).exp() * epsilon, masks[1])
        value, kl = loss(model.chain().logits(base, x), x, mean, log_variance, beta=beta)
        total += len(x) * torch.stack([value, kl]).detach()
        optimiser.zero_grad()
        (value if model.links is None else value + penalty * model.links.square().sum()).backward()
        optimiser.step()
    return dict(zip(("train/loss", "train/kl"), (total / count).tolist(), strict=True))


def _checkpoint(
    folder: Path | None, model: BetaVAE, optimiser: torch.optim.Optimizer, *, state: Mapping[str, object]
) -> None:
    if folder is None:
        return
    tensors = {f"model.{name}": value.clone() for name, value in model.state_dict().items()}
    for place, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{place}.{name}": value for name, value in moments.items()}
    for name in ("best", "last") if state["waited"] == 0 else ("last",):  # best first: last says what is done
        with whole(folder / name / _CHECKPOINT) as path:
            save_file(tensors, path, metadata={"state": json.dumps(state)})


def _resume(
    folder: Path | None, model: BetaVAE, optimiser: torch.optim.Optimizer, *, settings: str, patience: int
) -> tuple[list[dict[str, float]], EarlyStopping]:
    """Metrics of the epochs that are done, and the best of them."""
    if folder is None or not (folder / "last" / _CHECKPOINT).exists():
        return [], EarlyStopping(patience)
    path = folder / "last" / _CHECKPOINT
    with safe_open(path, framework="pt") as file:
        state = json.loads(file.metadata()["state"])
    if state["settings"] != settings:
        raise InputError(f"expected checkpoints of the same rows and parameters in {folder}, got others: remove them")
    tensors = load_file(path)
    model.load_state_dict(_part(tensors, "model."))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(tensors, "optimiser.").items():
        place, moment = name.split(".")
        moments.setdefault(int(place), {})[moment] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    best = folder / "best" / _CHECKPOINT
    weights = _part(load_file(best), "model.") if best.exists() else {}
    return state["history"], EarlyStopping(patience, state["best_bound"], state["waited"], weights)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
