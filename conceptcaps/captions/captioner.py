"""Tag sets to captions: the prompt, a LoRA adapter fine-tuned on it, and writing with the tags checked.

References:
    Hu et al., LoRA: Low-rank adaptation of large language models (2021), arXiv 2106.09685.
    Dettmers et al., QLoRA (2023), arXiv 2305.14314.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from conceptcaps.captions import decoding, language_model, vllm_engine
from conceptcaps.captions.faithfulness import Faithfulness, check
from conceptcaps.captions.steering import Steering
from conceptcaps.captions.vllm_engine import Engine
from conceptcaps.tags.taxonomy import Taxonomy

PROMPT = {"system": "Write a music caption.", "request": "Tags: {tags}"}
VARIANTS = ("tuned", "base", "zero_shot")
ENGINES = ("torch", "vllm")
STEERING = 2.0  # of served answers, in nats
_SPARE = 56  # tokens that a caption may have beside two for each of its tags'
ZERO_SHOT = "Describe a piece of music that has: {tags}"


@dataclass
class Captioner:
    """A language model with its prompt; ``model`` holds the adapter, merged into it or with vLLM beside it."""

    model: PreTrainedModel | Engine
    tokenizer: PreTrainedTokenizerBase
    taxonomy: Taxonomy
    prompt: dict[str, str]


@dataclass
class Written:
    """A caption, what the matcher says of it, and how many attempts it took."""

    caption: str
    faithfulness: Faithfulness
    attempts: int


def messages(tags: Iterable[str], *, prompt: dict[str, str], taxonomy: Taxonomy) -> list[dict[str, str]]:
    """The chat that asks for a caption: tags by category (genre, mood, instrument, tempo), then by name."""
    order = sorted(set(tags), key=lambda tag: (taxonomy.categories.index(taxonomy.category(tag)), tag))
    chat = [{"role": "user", "content": prompt["request"].format(tags=", ".join(order))}]
    return [{"role": "system", "content": prompt["system"]}, *chat] if prompt["system"] else chat


def save(
    folder: Path, *, adapter: PeftModel, tokenizer: PreTrainedTokenizerBase, taxonomy: Taxonomy, base: str
) -> None:
    """Write a captioner: adapter, tokenizer, taxonomy, prompt and the reference of its base, never the base's weights.

    Raises:
        ValueError: If the adapter would change no output: all its up-projections are zero, as before training.
    """
    adapter.peft_config["default"].base_model_name_or_path = base
    adapter.save_pretrained(folder / "adapter", save_embedding_layers=False)
    require_trained(folder / "adapter")
    tokenizer.save_pretrained(folder / "tokenizer")
    taxonomy.save(folder / "taxonomy.yaml")
    facts = {"base": base, "prompt": PROMPT}
    (folder / "captioner.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def require_trained(adapter: Path) -> None:
    """Refuse an adapter that changes nothing.

    LoRA starts with up-projections ``B`` of zeros, so that an untrained adapter is the base model under another name.

    Raises:
        ValueError: If every up-projection in ``adapter_model.safetensors`` is zero.
    """
    weights = load_file(adapter / "adapter_model.safetensors")
    if not any(bool(tensor.any()) for name, tensor in weights.items() if "lora_B" in name):
        raise ValueError(f"expected a trained adapter in {adapter}, got one that changes no logit of its base")


def load(
    folder: Path,
    *,
    variant: str = "tuned",
    quantization: str = "none",
    engine: str = "torch",
    cache: Path | None = None,
) -> Captioner:
    """Open a captioner.

    Args:
        folder: Written by ``save``.
        variant: ``tuned``; ``base``, the same prompt without the adapter; ``zero_shot``, a plain request to the base.
        quantization: As ``base_model.load``; a quantised base keeps its adapter unmerged.
        engine: What decodes: ``torch``, or ``vllm`` where that is installed, on the base as it is.
        cache: Folder of the assets.

    Raises:
        ValueError: If the variant or the engine is unknown or the adapter changes nothing.
    """
    if variant not in VARIANTS or engine not in ENGINES:
        raise ValueError(
            f"expected variant {', '.join(VARIANTS)} and engine {', '.join(ENGINES)}, got {variant!r} and {engine!r}"
        )
    facts = json.loads((folder / "captioner.json").read_text(encoding="utf-8"))
    adapter = folder / "adapter" if variant == "tuned" else None
    if adapter is not None:
        require_trained(adapter)
    prompt = {"system": "", "request": ZERO_SHOT} if variant == "zero_shot" else facts["prompt"]
    taxonomy = Taxonomy.load(folder / "taxonomy.yaml")
    if engine == "vllm":
        tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
        return Captioner(vllm_engine.load(facts["base"], adapter=adapter, cache=cache), tokenizer, taxonomy, prompt)
    model, tokenizer = language_model.load(facts["base"], quantization=quantization, cache=cache)
    if adapter is not None:
        adapted = PeftModel.from_pretrained(model, adapter)
        model = adapted.merge_and_unload() if quantization == "none" else adapted
    return Captioner(model.eval(), tokenizer, taxonomy, prompt)


def write(
    captioner: Captioner,
    tag_sets: Sequence[Sequence[str]],
    *,
    seeds: Sequence[int],
    sampling: decoding.Sampling,
    batch_size: int,
    attempts: int,
    steering: float,
) -> list[Written]:
    """Write a caption for every tag set, again where one has faults, and keep the best.

    Attempt ``k`` of a row draws from the stream ``(its seed, k)``, so that a caption does not depend on which rows
    share a batch.

    Args:
        captioner: Model and prompt.
        tag_sets: n sets of canonical tags.
        seeds: n seeds.
        sampling: Decoding dials.
        batch_size: Rows decoded at once.
        attempts: Most attempts for one row, at least 1.
        steering: Bonus of tags not yet said, in nats (see ``Steering``); 0 writes without any steering.

    Returns:
        n captions: the first of those with the fewest missed and hallucinated tags.

    Raises:
        ValueError: If ``attempts`` is below 1, lengths differ, or vLLM is asked to steer.
    """
    if attempts < 1:
        raise ValueError(f"expected attempts of at least 1, got {attempts}")
    if steering and isinstance(captioner.model, Engine):
        raise ValueError(f"expected steering=0 with engine=vllm, whose captions cannot be taken back, got {steering}")
    if len(seeds) != len(tag_sets):
        raise ValueError(f"expected a seed for each tag set, got {len(seeds)} for {len(tag_sets)}")
    best: dict[int, Written] = {}
    for attempt in range(attempts):
        open_rows = [row for row in range(len(tag_sets)) if row not in best or best[row].faithfulness.faults]
        if not open_rows:
            break
        answers = _decode(
            captioner,
            [tag_sets[row] for row in open_rows],
            streams=[(seeds[row], attempt) for row in open_rows],
            sampling=sampling,
            batch_size=batch_size,
            steering=steering,
        )
        for row, answer in zip(open_rows, answers, strict=True):
            text = answer.text if answer.ended else whole_sentences(answer.text)
            found = check(text, tag_sets[row], taxonomy=captioner.taxonomy)
            if row not in best or found.faults < best[row].faithfulness.faults:
                best[row] = Written(text, found, attempt + 1)
            else:
                best[row].attempts = attempt + 1
    return [best[row] for row in range(len(tag_sets))]


def _decode(
    captioner: Captioner,
    tag_sets: Sequence[Sequence[str]],
    *,
    streams: Sequence[tuple[int, int]],
    sampling: decoding.Sampling,
    batch_size: int,
    steering: float,
) -> list[decoding.Answer]:
    taxonomy, tokenizer, model = captioner.taxonomy, captioner.tokenizer, captioner.model
    chats = [messages(tags, prompt=captioner.prompt, taxonomy=taxonomy) for tags in tag_sets]
    bounds = [lengths(tags, tokenizer=tokenizer) for tags in tag_sets]
    if isinstance(model, Engine):
        return model.generate(chats, streams=streams, sampling=sampling, lengths=bounds)
    steer = Steering(tag_sets, taxonomy=taxonomy, tokenizer=tokenizer, bonus=steering) if steering else None
    return decoding.generate(
        model,
        tokenizer,
        chats,
        streams=streams,
        sampling=sampling,
        batch_size=batch_size,
        lengths=bounds,
        steering=steer,
    )


def lengths(tags: Iterable[str], *, tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """Fewest and most tokens of a caption, from what its prompt asks for: all tags fit in, few tags need no long text.

    Of MusicCaps' captions that say their tags and nothing else, none is shorter and 2.7 % are longer.
    """
    asked = len(tokenizer(", ".join(tags), add_special_tokens=False)["input_ids"])
    return 3 * asked // 4, _SPARE + 2 * asked


def whole_sentences(text: str) -> str:
    """A text without the sentence that its length cut off; whole if it holds no end of a sentence.

    >>> whole_sentences("A slow waltz. It is play"), whole_sentences("A slow")
    ('A slow waltz.', 'A slow')
    """
    end = max(text.rfind(mark) + 1 for mark in ".!?")
    return text[:end] if end else text


def predict(captioner: Captioner, frame: pd.DataFrame) -> pd.DataFrame:
    """Captions for served requests, one attempt each; another seed gives another.

    Args:
        captioner: An open captioner.
        frame: Column ``tags``: tags separated by commas; optional column ``seed``, 0 where it is missing.

    Returns:
        Columns ``caption``, ``tag_recall``, ``missed`` and ``hallucinated`` (tags separated by commas).
    """
    tag_sets = [[tag.strip() for tag in str(text).split(",") if tag.strip()] for text in frame["tags"]]
    seeds = [int(seed) for seed in frame["seed"]] if "seed" in frame.columns else [0] * len(frame)
    with torch.inference_mode():
        written = write(
            captioner,
            tag_sets,
            seeds=seeds,
            sampling=decoding.Sampling(),
            batch_size=max(len(frame), 1),
            attempts=1,
            steering=STEERING,
        )
    return pd.DataFrame(
        {
            "caption": [row.caption for row in written],
            "tag_recall": [row.faithfulness.tag_recall for row in written],
            "missed": [", ".join(row.faithfulness.missed) for row in written],
            "hallucinated": [", ".join(row.faithfulness.hallucinated) for row in written],
        }
    )
