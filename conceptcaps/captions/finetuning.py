"""LoRA fine-tuning of a captioner with TRL: prompt and completion, the loss on the completion alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import PartialState
from datasets import Dataset
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, prepare_model_for_kbit_training
from torch import Tensor
from tqdm import tqdm
from transformers import EarlyStoppingCallback, PreTrainedModel, PreTrainedTokenizerBase
from trl import SFTConfig

from conceptcaps.captions.captioner import PROMPT, messages
from conceptcaps.captions.sft_trainer import OnEpoch, Report, Reporter, Trainer, last_checkpoint
from conceptcaps.tags.taxonomy import Taxonomy

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
LEAST_TAGS = 3
VALIDATION_ROWS = 48


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
    tags = [list(row) for row in usable["faithful_tags"]]
    return pd.DataFrame(
        {
            "id": usable["id"].to_numpy(),
            "prompt": [messages(row, prompt=PROMPT, taxonomy=taxonomy) for row in tags],
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
    adapter: str = "lora",
    target_modules: str = "all-linear",
    on_epoch: OnEpoch = lambda step, model: None,
) -> PeftModel:
    """Train a LoRA adapter and keep the epoch with the lowest validation loss.

    Under ``accelerate launch`` every process calls it and holds a share of each batch; the steps are those of one
    process.

    Args:
        model: Causal language model; its own weights stay as they are.
        tokenizer: Its tokenizer.
        train: Rows of ``examples``.
        validation: Rows of ``examples``; they choose the epoch.
        folder: Where checkpoints go, every 50 steps and epoch; training resumes from the last whole one that is there.
        rank: Rank of the update.
        alpha: Scale of the update is ``alpha / rank``; with rsLoRA, ``alpha`` over the root of ``rank``.
        dropout: Dropout on the adapter's input, in [0, 1).
        epochs: Passes over ``train``.
        learning_rate: Peak rate of AdamW; it warms up over 5 % of the steps, of 20 or more, and falls as a cosine.
        batch_size: Examples in a step, over all processes; they are grouped by length.
        max_tokens: Longest prompt and completion; the rest is cut off.
        seed: Seed of the adapter's start, of the order and of the dropout.
        report: Called with the step and its metrics: ``train/loss`` and ``val/loss`` (nats a token), ``train/padding``
            (share of tokens so far), ``train/tokens_per_second`` and others.
        adapter: ``lora``; ``rslora`` (rank-stabilised scale) or ``dora`` (magnitude and direction apart).
        target_modules: Names of the layers that are adapted, with commas between them, or ``all-linear``.
        on_epoch: Called with the step and the model after every epoch.

    Returns:
        The model with its adapter, in evaluation mode.

    Raises:
        ValueError: If the adapter is unknown, or the batch cannot be shared out evenly.

    References:
        Kalajdzievski, rsLoRA (2023), arXiv 2312.03732. Liu et al., DoRA (2024), arXiv 2402.09353.
    """
    processes = PartialState().num_processes
    if adapter not in ADAPTERS or batch_size % processes:
        raise ValueError(
            f"expected adapter {', '.join(ADAPTERS)} and a batch_size that {processes} processes can share, "
            f"got {adapter!r} and {batch_size}"
        )
    torch.manual_seed(seed)
    if getattr(model, "is_loaded_in_4bit", False):
        model = prepare_model_for_kbit_training(model)
    on_gpu = model.device.type == "cuda"
    arguments = SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=batch_size // processes,
        per_device_eval_batch_size=batch_size,
        num_train_epochs=epochs,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.05 if len(train) * epochs >= 20 * batch_size else 0,
        logging_steps=1,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        restore_callback_states_from_checkpoint=True,
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
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=_dataset(train),
        eval_dataset=_dataset(validation),
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
        callbacks=[Reporter(report, on_epoch), EarlyStoppingCallback(early_stopping_patience=2)],
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(folder))
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
