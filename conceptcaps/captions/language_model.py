"""Causal language models to build on: from a package asset, a folder or the Hub, whole or quantised.

A reference says which model it is without holding its weights: ``smollm2`` (an asset, by hash), ``<owner>/<name>`` or
``<owner>/<name>@<revision>`` (the Hub), or the path of a folder.
"""

from pathlib import Path

import torch
from accelerate import PartialState
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import is_bitsandbytes_available

from conceptcaps.errors import InputError
from conceptcaps.workspace import assets
from conceptcaps.workspace.cache import root as cache_root
from conceptcaps.workspace.files import first_folder
from conceptcaps.workspace.processor import multiplies_bfloat16

QUANTIZATIONS = ("none", "nf4")
PRECISIONS = ("auto", "float32", "bfloat16")


def source(reference: str, *, cache: Path | None = None) -> tuple[str, str | None]:
    """Where transformers finds a model: a folder or Hub id, and the Hub revision if one is named."""
    if reference in assets.ASSETS:
        return str(unpacked(reference, cache=cache)), None
    if Path(reference).is_dir():
        return reference, None
    name, _, revision = reference.partition("@")
    return name, revision or None


def load(
    reference: str, *, quantization: str, device: str | None = None, cache: Path | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model in evaluation mode and its tokenizer, padding on the left.

    Args:
        reference: ``smollm2``, a folder, or a Hub id with ``@revision``.
        quantization: ``none`` (float32 on a CPU, bfloat16 on a GPU) or ``nf4``: 4-bit normal floats with double
            quantisation and bfloat16 compute, which needs CUDA and bitsandbytes (arXiv 2305.14314).
        device: Torch device; if None, CUDA where there is one, of several that of this process.
        cache: Folder of the assets.

    Raises:
        InputError: If the tokenizer has no chat template, or the quantisation is unknown or not possible here.
    """
    place, revision = source(reference, cache=cache)
    device = device or (f"cuda:{PartialState().local_process_index}" if torch.cuda.is_available() else "cpu")
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    options = {"revision": revision, "dtype": dtype, "device_map": device, "quantization_config": None}
    if quantization == "nf4":
        options["quantization_config"] = _nf4(device)
    elif quantization != "none":
        raise InputError(f"expected quantization none or nf4, got {quantization!r}")
    tokenizer = AutoTokenizer.from_pretrained(place, revision=revision, padding_side="left")
    if not tokenizer.chat_template:
        raise InputError(f"expected a model with a chat template, such as an -Instruct model, got {reference!r}")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return AutoModelForCausalLM.from_pretrained(place, **options).eval(), tokenizer


def decoding_dtype(precision: str, *, device: str) -> torch.dtype:
    """Precision of the weights for decoding; ``auto`` is bfloat16 on GPUs and on processors that multiply it."""
    if precision == "auto":
        precision = "bfloat16" if device != "cpu" or multiplies_bfloat16() else "float32"
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def unpacked(name: str, *, cache: Path | None = None) -> Path:
    """Folder of safetensors made once from a GGUF asset: a model read from GGUF itself refuses training."""
    asset = assets.fetch(name, cache=cache)
    if asset.is_dir():
        return asset
    folder = (cache or cache_root()) / "unpacked" / f"{name}-{next(iter(assets.ASSETS[name].sha256.values()))[:16]}"
    if folder.is_dir():
        return folder
    read = AutoModelForCausalLM.from_pretrained(asset.parent, gguf_file=asset.name, dtype=torch.float32)
    config = AutoConfig.from_pretrained(asset.parent, gguf_file=asset.name)
    for attribute in ("quantization_config", "_name_or_path"):
        if hasattr(config, attribute):
            delattr(config, attribute)
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(read.state_dict())
    with first_folder(folder) as temporary:
        plain.save_pretrained(temporary)
        AutoTokenizer.from_pretrained(asset.parent, gguf_file=asset.name).save_pretrained(temporary)
    return folder


def require_nf4(device: str) -> None:
    """Refuse where weights cannot be quantised.

    Raises:
        InputError: Says what is missing.
    """
    if not device.startswith("cuda") or not is_bitsandbytes_available():
        raise InputError(
            "expected a CUDA device and the package bitsandbytes for quantization=nf4, "
            f"got device {device} and bitsandbytes {'installed' if is_bitsandbytes_available() else 'missing'}; "
            "use quantization=none, or install bitsandbytes on a machine with a GPU"
        )


def _nf4(device: str) -> BitsAndBytesConfig:
    require_nf4(device)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
