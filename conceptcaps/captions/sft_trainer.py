"""TRL's trainer as the captioner needs it: an order that survives a kill, a plain loss on CPUs, what padding costs."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from accelerate.utils import broadcast_object_list
from torch import Tensor
from torch.utils.data import Sampler
from transformers import ProgressCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_pt_utils import get_length_grouped_indices
from trl import SFTTrainer

IGNORED = -100  # label of tokens that the loss leaves out
CHECKPOINT_SECONDS = 120.0
EVALUATIONS = 2  # times an epoch that validation loss is read

Report = Callable[[int, Mapping[str, float]], None]
OnEpoch = Callable[[int, torch.nn.Module], None]


class Trainer(SFTTrainer):
    """Batches of like length, in an order fixed by seed and epoch, and a plain loss where TRL's tiles only cost time.

    TRL scores tokens in tiles of the vocabulary, to spare the memory of a GPU; without its GPU kernels a step takes 1.7
    times as long as with plain logits. Mixtures of experts keep TRL's way, for its balancing loss.
    """

    _real = 0
    _padded = 0
    _seconds = 0.0

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        rows = self.train_dataset if train_dataset is None else train_dataset
        return _ByLength(
            [len(ids) for ids in rows["input_ids"]],
            batch_size=self.args.train_batch_size * self.args.world_size,
            seed=self.args.seed,
            epoch=lambda: int(self.state.epoch or 0),
        )

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        """Count tokens and seconds beside the step."""
        mask, started = inputs["attention_mask"], time.perf_counter()
        loss = super().training_step(model, inputs, *args, **kwargs)
        self._seconds += time.perf_counter() - started
        self._real += int(mask.sum())
        self._padded += mask.numel()
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the share of padding and the real tokens a second (forward and backward) of this process so far."""
        if "loss" in logs and self._padded:
            logs |= {"padding": 1 - self._real / self._padded, "tokens_per_second": self._real / self._seconds}
        super().log(logs, start_time)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Negative log-likelihood of the completion's tokens, in nats, over ``num_items_in_batch`` or their number."""
        labels = inputs["labels"]
        counted = (labels != IGNORED).any(0)
        if not self.args.use_cpu or self.aux_loss_enabled or return_outputs or not counted.any():
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        begin = int(counted.nonzero()[0])
        logits = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            use_cache=False,
            logits_to_keep=torch.arange(begin - 1, labels.shape[1] - 1),
        ).logits
        targets = labels[:, begin:].flatten()
        total = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets, ignore_index=IGNORED, reduction="sum")
        if num_items_in_batch is None:
            return total / (targets != IGNORED).sum()
        processes = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
        return total / num_items_in_batch * processes


class _ByLength(Sampler[int]):
    """Rows in random order, those of one batch alike in length; an epoch's order depends on seed and number alone."""

    def __init__(self, lengths: Sequence[int], *, batch_size: int, seed: int, epoch: Callable[[], int]) -> None:
        self._lengths = list(lengths)
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch())
        return iter(get_length_grouped_indices(self._lengths, self._batch_size, generator=generator))


class Reporter(TrainerCallback):
    """Passes the trainer's numbers on under our names, shows the model after every epoch, saves between epochs."""

    _NAMES: ClassVar = {
        "loss": "train/loss",
        "eval_loss": "val/loss",
        "learning_rate": "train/learning_rate",
        "grad_norm": "train/gradient_norm",
        "padding": "train/padding",
        "tokens_per_second": "train/tokens_per_second",
        "train_samples_per_second": "train/examples_per_second",
    }

    def __init__(self, report: Report, on_epoch: OnEpoch) -> None:
        """Keep the two functions: the first takes a step and its metrics, the second a step and the model."""
        self._report = report
        self._on_epoch = on_epoch
        self._saved = time.monotonic()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Start the clock, and report what was before a resume: curves begin where the training did."""
        self._saved = time.monotonic()
        if state.is_world_process_zero:
            for entry in state.log_history:
                if known := self._known(entry):
                    self._report(int(entry["step"]), known)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Ask for a checkpoint when the last one is old, by the first process' clock; for the loss at the very end."""
        due = broadcast_object_list([time.monotonic() - self._saved >= CHECKPOINT_SECONDS])[0]
        control.should_save = control.should_save or due
        control.should_evaluate = control.should_evaluate or state.global_step >= state.max_steps

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Start the clock anew."""
        self._saved = time.monotonic()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: object,
    ) -> None:
        """Report the numbers that have a name of ours."""
        if (known := self._known(logs or {})) and state.is_world_process_zero:
            self._report(state.global_step, known)

    def _known(self, logs: Mapping[str, Any]) -> dict[str, float]:
        return {self._NAMES[name]: float(value) for name, value in logs.items() if name in self._NAMES}

    def on_epoch_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: torch.nn.Module | None = None,
        **kwargs: object,
    ) -> None:
        """Show the model, in evaluation mode."""
        if model is not None and state.is_world_process_zero:
            self._on_epoch(state.global_step, model.eval())
            model.train()


class Progress(ProgressCallback):
    """The progress bar, with the losses beside it instead of a line for each."""

    def on_log(self, *_: object, logs: Mapping[str, Any] | None = None, **__: object) -> None:
        """Show the last losses, in nats a token."""
        losses = {name: f"{value:.2f}" for name, value in (logs or {}).items() if name in ("loss", "eval_loss")}
        if losses and self.training_bar is not None:
            self.training_bar.set_description("fine-tune")
            self.training_bar.set_postfix(losses)


def last_checkpoint(folder: Path) -> str | None:
    """The newest complete checkpoint; None if there is none.

    The trainer's state is written last, so that a kill while saving leaves none, or a torn one.
    """
    whole = [path for path in folder.glob("checkpoint-*") if _is_json(path / "trainer_state.json")]
    return str(max(whole, key=lambda path: int(path.name.split("-")[1]))) if whole else None


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
