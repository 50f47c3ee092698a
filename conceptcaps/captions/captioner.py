"""A captioner: a language model with a LoRA adapter, its prompt, and the plans that its captions follow.

References:
    Hu et al., LoRA: Low-rank adaptation of large language models (2021), arXiv 2106.09685.
    Dettmers et al., QLoRA (2023), arXiv 2305.14314.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from conceptcaps.captions import language_model, planning, vllm_engine
from conceptcaps.captions.idiom import Idiom
from conceptcaps.captions.planning import Plan, Planner
from conceptcaps.captions.sampling import Sampling
from conceptcaps.captions.vllm_engine import Engine
from conceptcaps.errors import InputError
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import assets, hashing

DECODING: dict[str, Any] = {**vars(Sampling()), "candidates": 4, "attempts": 5}  # dials, where no others are asked for
PROMPT = {"system": "Write a music caption.", "request": "Tags: {tags}"}
VARIANTS = ("tuned", "base", "few_shot", "zero_shot")
ENGINES = ("torch", "vllm")
ZERO_SHOT = {"system": "", "request": "Describe a piece of music that has: {tags}"}
SHOTS = 3
_IDIOM = "idiom.json"
HUB = {"smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}
"""Where plain ``peft`` finds the base of an asset."""
ADAPTER_CARD = """\
# LoRA adapter of a ConceptCaps captioner

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("{base}"), "<this folder>")
```

`captioner.json` beside this folder names the base that it was trained on, with the package and sha256 where that was a
package's asset, and the prompt. `conceptcaps.captions.captioner.load` opens all of it.
"""

Message = dict[str, str]


@dataclass
class Captioner:
    """A language model and how it is prompted.

    Attributes:
        model: Holds the adapter, merged into it or with vLLM beside it.
        tokenizer: Its tokenizer.
        taxonomy: The tags.
        prompt: ``system`` and ``request``, the latter with a place for ``{tags}``.
        planner: Orders the tags into sentences; None asks for them at once, sorted by category.
        idiom: Tells sentences that are put together as none of its corpus is; None where none was kept.
        shots: Chats with their answers that stand before every request.
        decoding: Dials with which it is served: those of ``Sampling``, ``candidates`` and ``attempts``.
        again: Opens it anew, as another process has to, in the same precision; None if it was not opened by ``load``.
    """

    model: PreTrainedModel | Engine
    tokenizer: PreTrainedTokenizerBase
    taxonomy: Taxonomy
    prompt: dict[str, str] = field(default_factory=lambda: PROMPT)
    planner: Planner | None = None
    idiom: Idiom | None = None
    shots: Sequence[Message] = ()
    decoding: dict[str, Any] = field(default_factory=lambda: DECODING)
    again: "Callable[[], Captioner] | None" = None

    def __reduce__(self) -> str | tuple[Any, ...]:
        """What travels to another process is where it was opened, not its weights."""
        return (self.again, ()) if self.again else super().__reduce__()

    @property
    def precision(self) -> str:
        """Precision of the weights, on which the texts depend: ``bfloat16``, ``float32``, or ``vllm``."""
        return "vllm" if isinstance(self.model, Engine) else str(self.model.dtype).removeprefix("torch.")

    @property
    def on_processor(self) -> bool:
        """Whether it decodes on the processor, where several processes may each hold one."""
        return not isinstance(self.model, Engine) and self.model.device.type == "cpu"

    def plan(self, tags: Sequence[str], *, seed: int) -> Plan:
        """The sentences for a tag set; another seed may give others."""
        if self.planner is not None:
            return self.planner.plan(tags, seed=[seed])
        order = self.taxonomy.categories
        return [sorted(set(tags), key=lambda tag: (order.index(self.taxonomy.category(tag)), tag))]

    def messages(self, plan: Plan) -> list[Message]:
        """The chat that asks for a caption of a plan."""
        system, *request = messages(plan, prompt={**self.prompt, "system": self.prompt["system"] or " "})
        return [*([system] if self.prompt["system"] else []), *self.shots, *request]


def of(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    taxonomy: Taxonomy,
    learnt: pd.DataFrame,
    idiom: Idiom,
) -> Captioner:
    """A model that has learnt captions, as it will write once it is registered; arguments as those of ``save``."""
    return Captioner(model, tokenizer, taxonomy, planner=planning.of(learnt, taxonomy=taxonomy), idiom=idiom)


def messages(plan: Plan, *, prompt: dict[str, str] = PROMPT) -> list[Message]:
    """A chat that asks for a caption of a plan."""
    request = [{"role": "user", "content": prompt["request"].format(tags=planning.render(plan))}]
    return [{"role": "system", "content": prompt["system"]}, *request] if prompt["system"] else request


def save(
    folder: Path,
    *,
    adapter: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    taxonomy: Taxonomy,
    base: str,
    learnt: pd.DataFrame,
    idiom: Idiom,
) -> None:
    """Write a captioner: adapter, tokenizer, taxonomy, prompt, plans and the reference of its base, never its weights.

    Args:
        folder: Where to.
        adapter: Model with its trained adapter.
        tokenizer: Its tokenizer.
        taxonomy: The tags.
        base: Reference of the base model, as ``language_model.load`` takes it.
        learnt: Columns ``plan`` and ``caption`` of the captions that it learnt from; the plans are kept to be followed,
            and the first three captions to be shown to the base model (``few_shot``).
        idiom: That of its corpus.

    Raises:
        InputError: If the adapter would change no output, as before training, or diverged (``require_trained``).
    """
    name, _, revision = (base, "", "") if Path(base).is_dir() else HUB.get(base, base).partition("@")
    adapter.peft_config["default"].base_model_name_or_path = name
    adapter.peft_config["default"].revision = revision or None
    adapter.save_pretrained(folder / "adapter", save_embedding_layers=False)
    card = ADAPTER_CARD.format(base=name)
    (folder / "adapter" / "README.md").write_text(card, encoding="utf-8")
    require_trained(folder / "adapter")
    tokenizer.save_pretrained(folder / "tokenizer")
    taxonomy.save(folder / "taxonomy.yaml")
    plans = [[list(tags) for tags in plan] for plan in learnt["plan"]]
    shots = [
        message
        for plan, caption in zip(plans[:SHOTS], learnt["caption"], strict=False)
        for message in (*messages(plan)[1:], {"role": "assistant", "content": caption})
    ]
    asset = {"asset": asdict(assets.ASSETS[base])} if base in assets.ASSETS else {}
    facts = {"base": base, **asset, "prompt": PROMPT, "shots": shots, "decoding": DECODING}
    (folder / "captioner.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    (folder / "plans.json").write_text(json.dumps(plans) + "\n", encoding="utf-8")
    idiom.save(folder / _IDIOM)


def require_trained(adapter: Path) -> None:
    """Refuse an adapter that changes nothing, or whose training diverged.

    LoRA starts with up-projections ``B`` of zeros, so that an untrained adapter is the base model under another name.

    Raises:
        InputError: If a weight in ``adapter_model.safetensors`` is not finite, or every up-projection is zero.
    """
    tensors = load_file(adapter / "adapter_model.safetensors")
    broken = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise InputError(
            f"expected finite weights in {adapter}, got others in {broken[0]}: training diverged; "
            "give a smaller learning_rate"
        )
    if not any(bool(tensor.any()) for name, tensor in tensors.items() if "lora_B" in name):
        raise InputError(f"expected a trained adapter in {adapter}, got one that changes no logit of its base")


def weights(folder: Path) -> str:
    """Sha256 (hex) of all that ``load`` reads: the files of a captioner, and of its base where that is a folder."""
    base = Path(json.loads((folder / "captioner.json").read_text(encoding="utf-8"))["base"])
    return hashing.digest([hashing.content(part) for part in (folder, base) if part.is_dir()])


def load(folder: Path, *, variant: str, engine: str, precision: str, cache: Path | None = None) -> Captioner:
    """Open a captioner.

    Args:
        folder: Written by ``save``.
        variant: ``tuned``; of the base without the adapter: ``base``, the same prompt; ``few_shot``, behind three
            examples; ``zero_shot``, a plain request.
        engine: What decodes: ``torch``, or ``vllm`` where that is installed, on the base as it is.
        precision: Of the weights that decode: ``float32``, ``bfloat16``, or ``auto``, bfloat16 where the processor
            multiplies it; the adapter is merged before it is rounded.
        cache: Folder of the assets.

    Raises:
        InputError: If the variant, the engine or the precision is unknown, the adapter changes nothing, or no idiom was
            kept, as before 0.2.4.
    """
    if variant not in VARIANTS or engine not in ENGINES or precision not in language_model.PRECISIONS:
        raise InputError(
            f"expected variant {', '.join(VARIANTS)}, engine {', '.join(ENGINES)} and precision "
            f"{', '.join(language_model.PRECISIONS)}, got {variant!r}, {engine!r} and {precision!r}"
        )
    facts = json.loads((folder / "captioner.json").read_text(encoding="utf-8"))
    adapter = folder / "adapter" if variant == "tuned" else None
    if adapter is not None:
        require_trained(adapter)
    taxonomy = Taxonomy.load(folder / "taxonomy.yaml")
    plans = [] if variant == "zero_shot" else json.loads((folder / "plans.json").read_text(encoding="utf-8"))
    idiom = None
    if variant == "tuned":
        if not (folder / _IDIOM).is_file():
            raise InputError(
                f"expected a captioner's {_IDIOM} in {folder}, got none: it was saved before version 0.2.4 and cannot "
                "tell good sentences from strange ones; train it again with finetune_captioner"
            )
        idiom = Idiom.load(folder / _IDIOM, taxonomy=taxonomy)
    again = partial(load, folder.resolve(), variant=variant, engine=engine, precision=precision, cache=cache)
    ask = partial(
        Captioner,
        taxonomy=taxonomy,
        prompt=ZERO_SHOT if variant == "zero_shot" else facts["prompt"],
        planner=Planner(plans, taxonomy=taxonomy) if plans else None,
        idiom=idiom,
        shots=facts["shots"] if variant == "few_shot" else [],
        decoding=facts.get("decoding", DECODING),
    )
    if engine == "vllm":
        tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
        return ask(vllm_engine.load(facts["base"], adapter=adapter, cache=cache), tokenizer, again=again)
    model, tokenizer = language_model.load(facts["base"], quantization="none", cache=cache)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    model = model.to(language_model.decoding_dtype(precision, device=model.device.type))
    again = partial(again, precision=str(model.dtype).removeprefix("torch."))
    return ask(model.eval(), tokenizer, again=again)
