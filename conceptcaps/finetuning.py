"""LoRA fine-tuning of a captioner with TRL: prompt and completion, the loss on the completion alone."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, prepare_model_for_kbit_training
from torch import Tensor
from tqdm import tqdm
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import get_last_checkpoint
from trl import SFTConfig, SFTTrainer

from conceptcaps.captioner import REQUEST, SYSTEM, messages
from conceptcaps.taxonomy import Taxonomy

IGNORED = -100  # label of tokens that the loss leaves out

LEAST_TAGS = 3
VALIDATION_ROWS = 48

Report = Callable[[int, Mapping[str, float]], None]


def examples(rows: pd.DataFrame, *, taxonomy: Taxonomy, most: int, seed: int, min_tags: int = 1) -> pd.DataFrame:
    """Rows to learn from: faithful captions of ``min_tags`` tags or more, ``most`` drawn by ``seed`` (0 takes all).

    Returns:
        Columns ``id``, ``prompt`` and ``completion`` (message lists), ``tags``, ``caption``.

    Raises:
        ValueError: If no row has a faithful caption.
    """
    usable = rows[(rows["faithful_caption"].str.len() > 0) & (rows["faithful_tags"].map(len) >= min_tags)]
    if usable.empty:
        raise ValueError(
            f"expected rows with a faithful caption of {min_tags} tags or more to learn from, got none in {len(rows)}"
        )
    if 0 < most < len(usable):
        chosen = np.random.default_rng(seed).choice(len(usable), most, replace=False)
        usable = usable.iloc[np.sort(chosen)]
    prompt = {"system": SYSTEM, "request": REQUEST}
    tags = [list(row) for row in usable["faithful_tags"]]
    return pd.DataFrame(
        {
            "id": usable["id"].to_numpy(),
            "prompt": [messages(row, prompt=prompt, taxonomy=taxonomy) for row in tags],
            "completion": [[{"role": "assistant", "content": text}] for text in usable["faithful_caption"]],
            "tags": tags,
            "caption": usable["faithful_caption"].to_numpy(),
        }
    )


def read_examples(folder: Path, *, taxonomy: Taxonomy, most: int, seed: int) -> dict[str, pd.DataFrame]:
    """``train`` and ``validation`` rows of a tag_sets folder, captions of three tags or more.

    A quarter as many validate as teach, 48 at most: every epoch reads them, and so do the losses before and after.
    """
    sizes = {"train": most, "validation": min(-(-most // 4), VALIDATION_ROWS) or VALIDATION_ROWS}
    return {
        name: examples(
            pd.read_parquet(folder / f"{name}.parquet"), taxonomy=taxonomy, most=size, seed=seed, min_tags=LEAST_TAGS
        )
        for name, size in sizes.items()
    }


def fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    train: pd.DataFrame,
    validation: pd.DataFrame,
    folder: Path,
    rank: int,
    alpha: float,
    dropout: float,
    epochs: float,
    learning_rate: float,
    batch_size: int,
    max_tokens: int,
    seed: int,
    report: Report,
) -> PeftModel:
    """Train a LoRA adapter on all linear layers and keep the epoch with the lowest validation loss.

    Args:
        model: Causal language model; its own weights stay as they are.
        tokenizer: Its tokenizer.
        train: Rows of ``examples``.
        validation: Rows of ``examples``; they choose the epoch.
        folder: Where checkpoints go; training resumes from the last one that is there.
        rank: Rank of the update.
        alpha: Scale of the update is ``alpha / rank``.
        dropout: Dropout on the adapter's input, in [0, 1).
        epochs: Passes over ``train``.
        learning_rate: Peak rate of AdamW; it warms up over 5 % of the steps and falls as a cosine.
        batch_size: Examples in a step; they are grouped by length.
        max_tokens: Longest prompt and completion; the rest is cut off.
        seed: Seed of the adapter's start, of the order and of the dropout.
        report: Called with the step and its metrics (``train/loss``, ``val/loss``, ``train/learning_rate``).

    Returns:
        The model with its adapter, in evaluation mode.
    """
    torch.manual_seed(seed)
    if getattr(model, "is_loaded_in_4bit", False):
        model = prepare_model_for_kbit_training(model)
    on_gpu = model.device.type == "cuda"
    arguments = SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=batch_size,
        num_train_epochs=epochs,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        logging_steps=1,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        train_sampling_strategy="group_by_length",
        completion_only_loss=True,
        max_length=max_tokens,
        activation_checkpointing=on_gpu,
        bf16=on_gpu,
        use_cpu=not on_gpu,
        seed=seed,
        data_seed=seed,
        report_to="none",
        log_level="error",
    )
    trainer = (SFTTrainer if on_gpu else _PlainLossTrainer)(
        model=model,
        args=arguments,
        train_dataset=_dataset(train),
        eval_dataset=_dataset(validation),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
        callbacks=[_Reporter(report), EarlyStoppingCallback(early_stopping_patience=2)],
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(folder)) if folder.is_dir() else None)
    return trainer.model.eval()


def caption_losses(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: pd.DataFrame, *, batch_size: int
) -> NDArray[np.float64]:
    """Mean negative log-likelihood of the tokens of each caption and its end, given its prompt, ``(n,)``, in nats.

    Args:
        model: Causal language model, with or without adapter.
        tokenizer: Its tokenizer.
        rows: Rows of ``examples``.
        batch_size: Rows in a pass; the result does not depend on it.
    """
    pairs = [
        _encode(tokenizer, prompt, answer) for prompt, answer in zip(rows["prompt"], rows["completion"], strict=True)
    ]
    order = sorted(range(len(pairs)), key=lambda row: len(pairs[row][0]))
    losses = np.zeros(len(pairs))
    for start in tqdm(range(0, len(order), batch_size), desc="validation loss", unit="batch"):
        chosen = order[start : start + batch_size]
        width = max(len(pairs[row][0]) for row in chosen)
        ids = torch.full((len(chosen), width), tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(chosen):
            length = len(pairs[row][0])
            ids[place, :length] = torch.tensor(pairs[row][0])
            mask[place, :length] = 1
        with torch.inference_mode():
            logits = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device)).logits.float().cpu()
        for place, row in enumerate(chosen):
            tokens, begin = pairs[row]
            losses[row] = _mean_loss(logits[place, begin - 1 : len(tokens) - 1], torch.tensor(tokens[begin:]))
    return losses


def _mean_loss(logits: Tensor, tokens: Tensor) -> float:
    return float(torch.nn.functional.cross_entropy(logits, tokens))


def _encode(
    tokenizer: PreTrainedTokenizerBase, prompt: Sequence[dict[str, str]], answer: Sequence[dict[str, str]]
) -> tuple[list[int], int]:
    """Tokens of a chat and the place where the answer begins."""
    asked = tokenizer.apply_chat_template(list(prompt), add_generation_prompt=True, tokenize=False)
    whole = tokenizer.apply_chat_template([*prompt, *answer], tokenize=False)
    begin = len(tokenizer(asked, add_special_tokens=False)["input_ids"])
    return tokenizer(whole.rstrip("\n"), add_special_tokens=False)["input_ids"], begin


def _dataset(rows: pd.DataFrame) -> Dataset:
    return Dataset.from_dict({name: rows[name].tolist() for name in ("prompt", "completion")})


class _PlainLossTrainer(SFTTrainer):
    """TRL's trainer with the loss computed from logits of the completion.

    TRL scores tokens in tiles of the vocabulary, to spare the memory of a GPU; without its GPU kernels a step takes 1.7
    times as long as with plain logits. Mixtures of experts keep TRL's way, for its balancing loss.
    """

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
        if self.aux_loss_enabled or return_outputs or not counted.any():
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


class _Reporter(TrainerCallback):
    """Hands the trainer's numbers on under our names."""

    _NAMES = {
        "loss": "train/loss",
        "eval_loss": "val/loss",
        "learning_rate": "train/learning_rate",
        "grad_norm": "train/gradient_norm",
        "mean_token_accuracy": "train/token_accuracy",
        "eval_mean_token_accuracy": "val/token_accuracy",
        "train_samples_per_second": "train/examples_per_second",
    }

    def __init__(self, report: Report) -> None:
        self._report = report

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: object,
    ) -> None:
        """Report what has a name of ours."""
        known = {self._NAMES[name]: float(value) for name, value in (logs or {}).items() if name in self._NAMES}
        if known:
            self._report(state.global_step, known)
