"""Training, saving and serving the classifiers of ``heads``."""

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from scipy.optimize import minimize_scalar
from torch import Tensor, nn
from tqdm import tqdm

from conceptcaps.audio import spectrum
from conceptcaps.errors import InputError
from conceptcaps.listening import embeddings
from conceptcaps.probing import heads
from conceptcaps.probing.heads import Classifier
from conceptcaps.tags.early_stopping import EarlyStopping
from conceptcaps.tags.splits import SPLITS
from conceptcaps.workspace.files import whole_folder
from conceptcaps.workspace.processor import one_thread
from conceptcaps.workspace.spool import Spool

_BATCH = 32  # of evaluation, which no result depends on


class Inputs(Protocol):
    """Features of n clips, read some at a time: a tensor ``(n, length, d)``, or ``Stored`` ones."""

    def __len__(self) -> int:
        """Number of clips."""

    def __getitem__(self, clips: Tensor, /) -> Tensor:
        """Features ``(k, length, d)`` of clips, by their numbers ``(k,)``."""


Part = tuple[Inputs, Tensor]


@dataclass(frozen=True)
class Stored:
    """Features of clips on the disk, cut or repeated to one length when they are read: ``(n, length, d)``.

    Attributes:
        spool: Of each clip, ``(its own length, d)``.
        numbers: Which of them, in order.
        length: Frames or windows.
    """

    spool: Spool
    numbers: Sequence[int]
    length: int

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.numbers)

    def __getitem__(self, clips: Tensor, /) -> Tensor:
        """Features ``(k, length, d)`` of clips, by their numbers ``(k,)``."""
        return stack([self.spool[self.numbers[clip]].numpy() for clip in clips.tolist()], length=self.length)

    def only(self, chosen: Tensor) -> "Stored":
        """Some of the clips, by a mask ``(n,)``."""
        return replace(self, numbers=[self.numbers[clip] for clip in chosen.nonzero()[:, 0].tolist()])


def features(clips: Iterable[bytes], *, head: str, cache: Path) -> Stored:
    """What a head learns from, at the clips' median length: spectra for the ``cnn``, musicnn's layers for others."""
    function = heads.features_cnn if head == "cnn" else heads.features_musicnn
    spool, lengths = Spool(), []
    for arrays in embeddings.stream(clips, function=function, name=function.__name__, cache=cache):
        spool.append(torch.from_numpy(arrays["features"]))
        lengths.append(len(arrays["features"]))
    return Stored(spool, range(len(spool)), int(np.median(lengths)))


def stack(arrays: Sequence[NDArray[np.float32]], *, length: int) -> Tensor:
    """Features of clips, cut or repeated to one length: ``(n, length, d)``."""
    return torch.from_numpy(np.stack([spectrum.to_length(array, length=length) for array in arrays]))


def parts(inputs: Stored, rows: pd.DataFrame, *, classes: Sequence[str], permute: bool, seed: int) -> dict[str, Part]:
    """Features and class numbers of each split.

    Args:
        inputs: Features of the clips.
        rows: Columns ``class`` and ``split`` (``clips.label``).
        classes: Names in the order of their numbers.
        permute: Shuffle the labels of training and validation: a control, which must not count as interpretable.
        seed: Seed of the shuffle.
    """
    labels = torch.tensor([classes.index(name) for name in rows["class"]])
    if permute:
        learnt = torch.from_numpy((rows["split"] != "test").to_numpy()).nonzero()[:, 0]
        order = torch.randperm(len(learnt), generator=torch.Generator().manual_seed(seed))
        labels[learnt] = labels[learnt[order]]
    masks = {name: torch.tensor((rows["split"] == name).to_numpy()) for name in SPLITS}
    return {name: (inputs.only(mask), labels[mask]) for name, mask in masks.items()}


def fit(
    *,
    head: str,
    train: Part,
    validation: Part,
    genres: Sequence[str],
    epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    patience: int,
    seed: int,
    device: str = "cpu",
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, metrics: None,
) -> Classifier:
    """Train with cross-entropy until the validation loss stops falling; keep the best epoch's weights, calibrated.

    Args:
        head: ``linear``, ``mlp`` or ``cnn`` (``heads.build``).
        train: Features ``(n, length, d)`` and class numbers ``(n,)``.
        validation: The same, for stopping and calibration.
        genres: Names of the classes.
        epochs: Most epochs.
        batch_size: Clips in a step; the last, smaller batch joins the one before it.
        learning_rate: Of AdamW.
        weight_decay: Of AdamW.
        patience: Epochs without a better validation NLL after which training stops.
        seed: Of the weights, the order of clips and dropout.
        device: Where to train.
        on_epoch: Called with the epoch (from 0) and ``train/nll`` (nats), ``val/nll`` and ``val/accuracy``.

    Returns:
        The network in evaluation mode on the CPU.

    Raises:
        InputError: If there are fewer than two clips to learn from, or none to validate on.
    """
    inputs, labels = train
    if len(inputs) < 2 or not len(validation[0]):
        raise InputError(f"expected training and validation clips, got {len(inputs)} and {len(validation[0])}")
    generator = torch.Generator().manual_seed(seed)
    stopping = EarlyStopping(patience)
    with torch.random.fork_rng(), one_thread():
        torch.manual_seed(seed)
        model = heads.build(head, genres, length=inputs[torch.arange(1)].shape[1]).to(device)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on a CPU
        model.standardise(inputs[batch] for batch in torch.arange(len(inputs)).split(_BATCH))
        optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
        for epoch in tqdm(range(epochs), desc="train classifier", unit="epoch"):
            model.train()
            total = 0.0
            order = torch.randperm(len(inputs), generator=generator)
            for batch in order.tensor_split(max(1, len(order) // batch_size)):
                loss = nn.functional.cross_entropy(model(inputs[batch].to(device)), labels[batch].to(device))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += loss.item() * len(batch)
            scores = evaluate(model, *validation)
            nll = float(scores["nll"].mean())
            metrics = {"train/nll": total / len(inputs), "val/nll": nll, "val/accuracy": scores["correct"].mean()}
            on_epoch(epoch, {name: float(value) for name, value in metrics.items()})
            stopping.note(-nll, model)
            if stopping.over:
                break
    if not stopping.weights:
        raise InputError(f"expected a finite validation NLL, got {nll}; try a learning_rate below {learning_rate}")
    model.load_state_dict(stopping.weights)
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return calibrate(model.cpu().eval(), validation)


def calibrate(model: Classifier, validation: Part) -> Classifier:
    """Divide the logits by the one temperature at which the validation's NLL is least; answers do not change.

    References:
        Guo et al., On calibration of modern neural networks (2017), arXiv 1706.04599.
    """
    model.temperature.fill_(1.0)
    logits, labels = log_probabilities(model, validation[0]), validation[1].cpu()

    def nll(log_temperature: float) -> float:
        return float(nn.functional.cross_entropy(logits / np.exp(log_temperature), labels))

    model.temperature.fill_(float(np.exp(minimize_scalar(nll, bounds=(-1.6, 3), method="bounded").x)))
    return model


@torch.no_grad()
def log_probabilities(model: Classifier, inputs: Inputs) -> Tensor:
    """Log-probabilities (nats) ``(n, classes)`` of features ``(n, length, d)``, in evaluation mode."""
    model.eval()
    found = torch.empty(len(inputs), len(model.genres))
    for batch in torch.arange(len(inputs)).split(_BATCH):
        found[batch] = model(inputs[batch].to(model.mean.device)).log_softmax(1).cpu()
    return found


def evaluate(model: Classifier, inputs: Inputs, labels: Tensor) -> dict[str, NDArray[np.float64]]:
    """For every clip ``nll`` (nats, >= 0, best 0), ``correct`` (0 or 1), ``predicted`` and its ``probability``."""
    log_p, truth = log_probabilities(model, inputs), labels.cpu()
    likeliest = log_p.max(1)
    return {
        "nll": -log_p.gather(1, truth[:, None])[:, 0].double().numpy(),
        "correct": (likeliest.indices == truth).double().numpy(),
        "predicted": likeliest.indices.double().numpy(),
        "probability": likeliest.values.exp().double().numpy(),
    }


# --- files, and the registry's contract -------------------------------------------------------------------------------


def save(model: Classifier, path: Path, *, head: str, interpretable: bool, learnt: Iterable[str]) -> None:
    """Write ``model.safetensors``, ``config.json`` and ``learnt.json`` into a folder, whole or not at all.

    Args:
        model: In evaluation mode.
        path: Of the folder.
        head: As of ``heads.build``.
        interpretable: Whether it knows its classes.
        learnt: Groups of the clips that it was trained on, which must not be asked what it uses.
    """
    config = {"head": head, "genres": model.genres, "length": model.length, "interpretable": interpretable}
    with whole_folder(path) as folder:
        weights = {name: value.contiguous() for name, value in model.state_dict().items()}
        save_file(weights, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (folder / "learnt.json").write_text(json.dumps(sorted(set(learnt)), indent=0) + "\n", encoding="utf-8")


def config(path: Path) -> dict[str, object]:
    """What ``save`` wrote beside the weights: ``head``, ``genres``, ``length``, ``interpretable``.

    Raises:
        InputError: If the folder holds no classifier.
    """
    if not (path / "config.json").exists():
        raise InputError(f"expected a classifier's config.json in {path}, got none")
    found: dict[str, object] = json.loads((path / "config.json").read_text(encoding="utf-8"))
    if set(found) != {"head", "genres", "length", "interpretable"}:
        raise InputError(f"expected a classifier's head, genres, length, interpretable in {path}, got {sorted(found)}")
    return found


def learnt(path: Path) -> frozenset[str]:
    """Groups of the clips that the classifier of a folder was trained on.

    Raises:
        InputError: If the folder does not say.
    """
    if not (path / "learnt.json").exists():
        raise InputError(f"expected a classifier's learnt.json in {path}, got none: train it again")
    return frozenset(json.loads((path / "learnt.json").read_text(encoding="utf-8")))


def load(path: Path) -> Classifier:
    """The network of a folder that ``save`` wrote, in evaluation mode.

    Raises:
        InputError: If the folder holds no classifier.
    """
    found = config(path)
    model = heads.build(str(found["head"]), list(found["genres"]), length=int(str(found["length"])))  # type: ignore[call-overload]
    model.load_state_dict(load_file(path / "model.safetensors"))
    return model.eval()


def predict(model: Classifier, frame: pd.DataFrame) -> pd.DataFrame:
    """The likeliest genre of each clip and its probability.

    Args:
        model: What ``load`` gave.
        frame: Column ``audio``: encoded audio files (WAV, FLAC, …) as base64 text.

    Returns:
        Columns ``genre`` and ``probability``, a row for each of ``frame``.

    Raises:
        InputError: If the column is missing, or a row is no base64 of an audio file.
    """
    if "audio" not in frame:
        raise InputError(f"expected column audio with base64 text, got columns {', '.join(map(str, frame.columns))}")
    arrays = []
    for number, text in enumerate(frame["audio"]):
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, TypeError) as error:
            raise InputError(f"expected base64 text in row {number} of column audio, got: {error}") from error
        arrays.append(model.features(data)["features"])
    best = log_probabilities(model, stack(arrays, length=model.length)).max(1)
    genres = [model.genres[number] for number in best.indices.tolist()]
    return pd.DataFrame({"genre": genres, "probability": best.values.exp().double().numpy()})
