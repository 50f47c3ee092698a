"""LoRA fine-tuning of a captioner with TRL: prompt and completion, the loss on the completion alone."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import PartialState
from datasets import Dataset
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, prepare_model_for_kbit_training
from peft.tuners.lora import LoraLayer
from torch import Tensor
from tqdm import tqdm
from transformers import EarlyStoppingCallback, PreTrainedModel, PreTrainedTokenizerBase, ProgressCallback
from trl import SFTConfig

from conceptcaps.captions import chat
from conceptcaps.captions.captioner import PROMPT, messages
from conceptcaps.captions.sft_trainer import (
    EVALUATIONS,
    IGNORED,
    OnEpoch,
    Progress,
    Report,
    Reporter,
    Trainer,
    last_checkpoint,
)
from conceptcaps.errors import InputError
from conceptcaps.workspace import hashing
from conceptcaps.workspace.files import whole
from conceptcaps.workspace.processor import multiplies_bfloat16

ADAPTERS = ("lora", "rslora", "dora")
DIALS = (
    "rank",
    "alpha",
    "dropout",
    "adapter",
    "target_modules",
    "epochs",
    "learning_rate",
    "batch_size",
    "max_tokens",
    "seed",
)


def first_process() -> bool:
    """Whether this is the only process, or the first of those that ``accelerate launch`` started."""
    return bool(PartialState().is_main_process)


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
    adapter: str,
    target_modules: str,
    on_epoch: OnEpoch = lambda step, model: None,
) -> PeftModel:
    """Train a LoRA adapter and keep it as it was when its validation loss, read twice an epoch, was lowest.

    Under ``accelerate launch`` every process calls it and holds a share of each batch; the steps are those of one
    process.

    Args:
        model: Causal language model; its own weights stay as they are.
        tokenizer: Its tokenizer.
        train: Rows of ``lessons.examples``.
        validation: Such rows; they choose what is kept.
        folder: Where checkpoints go, every two minutes and when validation loss is the lowest so far; training resumes
            from the last whole one that is there.
        rank: Rank of the update.
        alpha: Scale of the update is ``alpha / rank``; with rsLoRA, ``alpha`` over the root of ``rank``.
        dropout: Dropout on the adapter's input, in [0, 1).
        epochs: Passes over ``train``.
        learning_rate: Peak rate of AdamW; it warms up over 5 % of the steps, of 20 or more, and falls as a cosine.
        batch_size: Examples in a step, over all processes; they are grouped by length.
        max_tokens: Longest prompt and caption; longer examples are left out and counted.
        seed: Seed of the adapter's start, of the order and of the dropout.
        report: Called with the step and its metrics: ``train/loss`` and ``val/loss`` (nats a token), ``train/padding``
            (share of tokens so far), ``train/tokens_per_second``, and once ``train/too_long`` and ``val/too_long``.
        adapter: ``lora``; ``rslora`` (rank-stabilised scale) or ``dora`` (magnitude and direction apart).
        target_modules: Names of the layers that are adapted, with commas between them, or ``all-linear``.
        on_epoch: Called with the step and the model after every epoch.

    Returns:
        The model with its adapter, in evaluation mode.

    Raises:
        InputError: If the adapter is unknown, the batch cannot be shared out evenly, every example is too long, or the
            checkpoints are of other rows.

    References:
        Kalajdzievski, rsLoRA (2023), arXiv 2312.03732. Liu et al., DoRA (2024), arXiv 2402.09353.
    """
    processes = PartialState().num_processes
    if adapter not in ADAPTERS or batch_size % processes:
        raise InputError(
            f"expected adapter {', '.join(ADAPTERS)} and a batch_size that {processes} processes can share, "
            f"got {adapter!r} and {batch_size}"
        )
    torch.manual_seed(seed)
    if getattr(model, "is_loaded_in_4bit", False):
        model = prepare_model_for_kbit_training(model)
    on_gpu = model.device.type == "cuda"
    parts = {"train": train, "val": validation}
    pairs = {name: encoded(tokenizer, rows, max_tokens=max_tokens) for name, rows in parts.items()}
    checkpoint = _checkpoint_of(folder, rows=hashing.digest({name: kept for name, (kept, _) in pairs.items()}))
    if first_process():
        report(0, {f"{name}/too_long": left_out for name, (_, left_out) in pairs.items()})
    epoch_steps = -(-len(pairs["train"][0]) // batch_size)
    arguments = SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=batch_size // processes,
        per_device_eval_batch_size=batch_size,
        num_train_epochs=epochs,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.05 if epoch_steps * epochs >= 20 else 0,
        logging_steps=1,
        eval_strategy="steps",
        eval_steps=max(epoch_steps // EVALUATIONS, 1),
        save_strategy="best",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        restore_callback_states_from_checkpoint=True,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        activation_checkpointing=on_gpu,
        bf16=on_gpu or multiplies_bfloat16(),
        use_cpu=not on_gpu,
        seed=seed,
        data_seed=seed,
        report_to="none",
        log_level="error",
        disable_tqdm=False,  # at that level the trainer would print a dictionary for each step
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=_dataset(pairs["train"][0]),
        eval_dataset=_dataset(pairs["val"][0]),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=rank,
            lora_alpha=alpha,
            lora_dropout=dropout,
            use_rslora=adapter == "rslora",
            use_dora=adapter == "dora",
            target_modules=target_modules if target_modules == "all-linear" else target_modules.split(","),
            task_type="CAUSAL_LM",
        ),
        callbacks=[Reporter(report, on_epoch), EarlyStoppingCallback(early_stopping_patience=2 * EVALUATIONS)],
    )
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(Progress)
    with cast_once(trainer.model) if arguments.bf16 and not on_gpu else nullcontext():
        trainer.train(resume_from_checkpoint=checkpoint)
    return trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False).eval()  # without its autocast


@contextmanager
def cast_once(model: PeftModel) -> Iterator[None]:
    """Frozen layers in bfloat16, as autocast would else cast them anew in every step; afterwards as they were.

    Meanwhile both stand in memory. The embeddings' weights, which may end a text too, stay as they are, and so do those
    of DoRA, which measures them.
    """
    kept = {}
    shared = model.get_input_embeddings().weight
    for layer in model.modules():
        if isinstance(layer, LoraLayer) and not layer.use_dora.get("default"):
            weight = getattr(layer.get_base_layer(), "weight", None)
            if weight is not None and weight is not shared and weight.dtype == torch.float32:
                kept[weight], weight.data = weight.data, weight.data.bfloat16()
    try:
        yield
    finally:
        for weight, data in kept.items():
            weight.data = data


def _checkpoint_of(folder: Path, *, rows: str) -> str | None:
    """The last whole checkpoint, if there is one; the folder notes the digest of its rows before the first."""
    checkpoint, note = last_checkpoint(folder), folder / "rows.json"
    if checkpoint is not None and (not note.is_file() or json.loads(note.read_text()) != rows):
        raise InputError(f"expected checkpoints of the same rows in {folder}, got others: remove them")
    if checkpoint is None and first_process():
        with whole(note) as path:
            path.write_text(json.dumps(rows))
    return checkpoint


def caption_losses(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: pd.DataFrame, *, batch_size: int
) -> NDArray[np.float64]:
    """Mean negative log-likelihood of the tokens of each caption and its end, given its prompt, ``(n,)``, in nats.

    Args:
        model: Causal language model, with or without adapter.
        tokenizer: Its tokenizer.
        rows: Rows of ``lessons.examples``.
        batch_size: Rows in a pass; the result does not depend on it.
    """
    pairs = _pairs(tokenizer, rows)
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


def encoded(
    tokenizer: PreTrainedTokenizerBase, rows: pd.DataFrame, *, max_tokens: int
) -> tuple[list[tuple[list[int], int]], int]:
    """Tokens of each example with the place where its caption begins, and how many were too long and are left out.

    A truncated caption would teach the model never to stop, so none is truncated.

    Raises:
        InputError: If no example has at most ``max_tokens`` tokens.
    """
    pairs = _pairs(tokenizer, rows)
    kept = [pair for pair in pairs if len(pair[0]) <= max_tokens]
    if not kept:
        raise InputError(
            f"expected max_tokens of at least {min(len(tokens) for tokens, _ in pairs)}, the tokens of the shortest "
            f"prompt with its caption (the longest has {max(len(tokens) for tokens, _ in pairs)}), got {max_tokens}"
        )
    return kept, len(pairs) - len(kept)


def _pairs(tokenizer: PreTrainedTokenizerBase, rows: pd.DataFrame) -> list[tuple[list[int], int]]:
    return [
        chat.encode(tokenizer, messages(plan, prompt=PROMPT), caption)
        for plan, caption in zip(rows["plan"], rows["caption"], strict=True)
    ]


def _dataset(pairs: Sequence[tuple[list[int], int]]) -> Dataset:
    labels = [[IGNORED] * begin + tokens[begin:] for tokens, begin in pairs]
    return Dataset.from_dict({"input_ids": [tokens for tokens, _ in pairs], "labels": labels})
