"""A genre classifier with named layers: small enough to train in seconds, real enough to be probed by TCAV."""

import base64
import binascii
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from conceptcaps import intervals
from conceptcaps.audio import spectrum
from conceptcaps.audio.spectrum import BANDS
from conceptcaps.threads import one_thread

_CHANNELS = (16, 32, 64, 128)
_EMBEDDING = 64
_BATCH = 32  # of evaluation, which no result depends on


# --- the network ------------------------------------------------------------------------------------------------------


def features(clip: bytes) -> dict[str, NDArray[np.float32]]:
    """Log-mel spectrum of an encoded clip, averaged over pairs of frames: ``log_mel`` ``(frames, 96)``, 31 a second."""
    frames = spectrum.spectrum(clip)
    if len(frames) < 2:
        raise ValueError(f"expected a clip of at least 512 samples at 16 kHz, got {len(frames)} frames of 256")
    return {"log_mel": frames[: len(frames) // 2 * 2].reshape(-1, 2, BANDS).mean(1, dtype=np.float32)}


class GenreCNN(nn.Module):
    """Log-mel spectra ``(n, frames, 96)`` to logits ``(n, classes)``.

    Layers to probe: ``conv1`` to ``conv4`` ``(n, channels, time, frequency)`` with 16, 32, 64 and 128 channels, each
    half as long and high as the one before; ``embedding`` ``(n, 64)``; ``output``. The embedding reaches the output by
    one linear map, so a directional derivative there is the same for all clips, and a TCAV score 0 or 1.

    Attributes:
        genres: Names of the classes.
        frames: Length of the spectra that it was trained on; ``predict`` cuts or repeats clips to it.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, genres: Sequence[str], *, frames: int) -> None:
        """Build the network with random weights."""
        super().__init__()
        self.genres, self.frames = tuple(genres), frames
        self.register_buffer("mean", torch.zeros(BANDS))
        self.register_buffer("scale", torch.ones(BANDS))
        sizes = zip((1, *_CHANNELS), _CHANNELS, strict=False)
        self.conv1, self.conv2, self.conv3, self.conv4 = (
            nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU())
            for before, after in sizes
        )
        self.dropout = nn.Dropout(0.3)
        self.embedding = nn.Sequential(nn.Linear(_CHANNELS[-1], _EMBEDDING), nn.ReLU())
        self.output = nn.Linear(_EMBEDDING, len(self.genres))

    def forward(self, log_mel: Tensor) -> Tensor:
        """Logits of the genres."""
        hidden = ((log_mel - self.mean) / self.scale)[:, None]
        hidden = self.conv4(self.conv3(self.conv2(self.conv1(hidden))))
        return self.output(self.embedding(self.dropout(hidden.mean((2, 3)))))


def fit(
    *,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    genres: Sequence[str],
    epochs: int,
    batch_size: int,
    learning_rate: float,
    patience: int,
    seed: int,
    device: str = "cpu",
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, metrics: None,
) -> GenreCNN:
    """Train with cross-entropy until the validation's stops falling, and keep the weights of its best epoch.

    Args:
        train: Spectra ``(n, frames, 96)`` and class numbers ``(n,)``.
        validation: The same, for stopping.
        genres: Names of the classes.
        epochs: Most epochs.
        batch_size: Clips in a step; the last, smaller batch joins the one before it.
        learning_rate: Of AdamW.
        patience: Epochs without a better validation NLL after which training stops.
        seed: Of the weights, the order of clips and dropout.
        device: Where to train.
        on_epoch: Called with the epoch (from 0) and ``train/nll`` (nats), ``val/nll`` and ``val/accuracy``.

    Returns:
        The network in evaluation mode on the CPU.

    Raises:
        ValueError: If there are fewer than two clips to learn from, or none to validate on.
    """
    spectra, labels = (part.to(device) for part in train)
    if len(spectra) < 2 or not len(validation[0]):
        raise ValueError(f"expected training and validation clips, got {len(spectra)} and {len(validation[0])}")
    generator = torch.Generator().manual_seed(seed)
    best, best_nll, waited = {}, float("inf"), 0
    with torch.random.fork_rng(), one_thread():
        torch.manual_seed(seed)
        model = GenreCNN(genres, frames=spectra.shape[1]).to(device)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on a CPU
        model.mean.copy_(spectra.mean((0, 1)))
        model.scale.copy_(spectra.std((0, 1)).clamp_min(1e-3))
        optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
        for epoch in tqdm(range(epochs), desc="train classifier", unit="epoch"):
            model.train()
            total = 0.0
            order = torch.randperm(len(spectra), generator=generator).to(device)
            for batch in order.tensor_split(max(1, len(order) // batch_size)):
                loss = nn.functional.cross_entropy(model(spectra[batch]), labels[batch])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += loss.item() * len(batch)
            scores = evaluate(model, *validation)
            nll = float(scores["nll"].mean())
            metrics = {"train/nll": total / len(spectra), "val/nll": nll, "val/accuracy": scores["correct"].mean()}
            on_epoch(epoch, {name: float(value) for name, value in metrics.items()})
            waited += 1
            if nll < best_nll:
                best_nll, waited = nll, 0
                best = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
            if waited >= patience:
                break
    if not best:
        raise ValueError(f"expected a finite validation NLL, got {nll}; a smaller learning_rate than {learning_rate}?")
    model.load_state_dict(best)
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return model.cpu().eval()


@torch.no_grad()
def log_probabilities(model: GenreCNN, spectra: Tensor) -> Tensor:
    """Log-probabilities (nats) ``(n, classes)`` of spectra ``(n, frames, 96)``, in evaluation mode."""
    model.eval()
    parts = [model(part.to(model.mean.device)).log_softmax(1).cpu() for part in spectra.split(_BATCH)]
    return torch.cat(parts) if parts else torch.empty(0, len(model.genres))


def evaluate(model: GenreCNN, spectra: Tensor, labels: Tensor) -> dict[str, NDArray[np.float64]]:
    """For every clip ``nll`` (nats, >= 0, best 0), ``correct`` (0 or 1) and ``predicted`` (class number)."""
    log_p, truth = log_probabilities(model, spectra), labels.cpu()
    predicted = log_p.argmax(1)
    return {
        "nll": -log_p.gather(1, truth[:, None])[:, 0].double().numpy(),
        "correct": (predicted == truth).double().numpy(),
        "predicted": predicted.double().numpy(),
    }


def assess(
    model: GenreCNN, parts: Mapping[str, tuple[Tensor, Tensor]], *, seed: int
) -> tuple[dict[str, float], pd.DataFrame, Figure]:
    """How good a trained network is, beside the answer that is always the most frequent training genre.

    Args:
        model: What ``fit`` gave.
        parts: Spectra and class numbers of ``train``, ``validation`` and ``test``.
        seed: Seed of the bootstrap.

    Returns:
        Metrics: ``val/`` and ``test/`` ``nll`` (nats), ``accuracy``, ``accuracy_low`` and ``accuracy_high`` (95 %
        bootstrap over clips; not for a single clip) and ``accuracy_majority``. A table with ``val/nll`` and
        ``val/accuracy`` of every validation clip. The confusion matrix on test.
    """
    majority = int(parts["train"][1].bincount().argmax())
    metrics: dict[str, float] = {}
    found = {name: evaluate(model, *parts[name]) for name in ("validation", "test")}
    for prefix, name in (("val", "validation"), ("test", "test")):
        correct = found[name]["correct"]
        metrics[f"{prefix}/nll"] = float(found[name]["nll"].mean())
        metrics[f"{prefix}/accuracy"] = float(correct.mean())
        metrics[f"{prefix}/accuracy_majority"] = float((parts[name][1] == majority).double().mean())
        if len(correct) > 1:
            interval = intervals.bootstrap_mean(correct, seed=seed)
            metrics |= {f"{prefix}/accuracy_low": interval.low, f"{prefix}/accuracy_high": interval.high}
    per_item = pd.DataFrame({"val/nll": found["validation"]["nll"], "val/accuracy": found["validation"]["correct"]})
    truth, predicted = parts["test"][1].tolist(), found["test"]["predicted"].astype(int).tolist()
    title = f"test clips: accuracy {metrics['test/accuracy']:.2f}, majority {metrics['test/accuracy_majority']:.2f}"
    return metrics, per_item, confusion(truth, predicted, genres=model.genres, title=title)


# --- files, and the registry's contract -------------------------------------------------------------------------------


def save(model: GenreCNN, path: Path) -> None:
    """Write ``model.safetensors`` and ``config.json`` into a folder, whole or not at all."""
    temporary = path.with_name(f"{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, temporary / "model.safetensors")
    config = {"genres": model.genres, "frames": model.frames}
    (temporary / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(path, ignore_errors=True)
    temporary.rename(path)


def load(path: Path) -> GenreCNN:
    """The network of a folder that ``save`` wrote, in evaluation mode.

    Raises:
        ValueError: If the folder holds no classifier.
    """
    if not (path / "config.json").exists():
        raise ValueError(f"expected a classifier's config.json in {path}, got none")
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    if set(config) != {"genres", "frames"}:
        raise ValueError(f"expected a classifier's config with genres and frames in {path}, got {sorted(config)}")
    model = GenreCNN(config["genres"], frames=config["frames"])
    model.load_state_dict(load_file(path / "model.safetensors"))
    return model.eval()


def stack(arrays: Sequence[NDArray[np.float32]], *, frames: int | None = None) -> Tensor:
    """Spectra of clips, cut or repeated to one length, their median if None: ``(n, frames, 96)``."""
    if not arrays:
        return torch.empty(0, frames or 0, BANDS)
    frames = frames or int(np.median([len(array) for array in arrays]))
    return torch.from_numpy(np.stack([spectrum.to_length(array, length=frames) for array in arrays]))


def predict(model: GenreCNN, frame: pd.DataFrame) -> pd.DataFrame:
    """The likeliest genre of each clip and its probability.

    Args:
        model: What ``load`` gave.
        frame: Column ``audio``: encoded audio files (WAV, FLAC, …) as base64 text.

    Returns:
        Columns ``genre`` and ``probability``, a row for each of ``frame``.

    Raises:
        ValueError: If the column is missing, or a row is no base64 of an audio file.
    """
    if "audio" not in frame:
        raise ValueError(f"expected column audio with base64 text, got columns {', '.join(map(str, frame.columns))}")
    arrays = []
    for number, text in enumerate(frame["audio"]):
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, TypeError) as error:
            raise ValueError(f"expected base64 text in row {number} of column audio, got: {error}") from error
        arrays.append(features(data)["log_mel"])
    best = log_probabilities(model, stack(arrays, frames=model.frames)).max(1)
    genres = [model.genres[number] for number in best.indices.tolist()]
    return pd.DataFrame({"genre": genres, "probability": best.values.exp().double().numpy()})


def confusion(truth: Sequence[int], predicted: Sequence[int], *, genres: Sequence[str], title: str) -> Figure:
    """Confusion matrix: rows are true genres, shaded by their share (%), with the number of clips in each cell."""
    counts = np.zeros((len(genres), len(genres)), dtype=int)
    np.add.at(counts, (np.asarray(truth, dtype=int), np.asarray(predicted, dtype=int)), 1)
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 2.5 + 0.45 * len(genres)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for row, column in zip(*counts.nonzero(), strict=True):
        colour = "white" if shares[row, column] > 50 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour)
    axes.set_xticks(range(len(genres)), genres, rotation=45, ha="right")
    axes.set_yticks(range(len(genres)), genres)
    axes.set(title=title, xlabel="predicted genre", ylabel="true genre")
    figure.colorbar(image, label="share of the true genre's clips (%)")
    return figure
