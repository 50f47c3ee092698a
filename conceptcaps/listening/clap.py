"""LAION-CLAP: clips and captions in one space, from a checkpoint that the user has.

laion-clap itself asks the hub for RoBERTa before it reads a checkpoint, cuts one random 10 s out of every clip, and
unpickles. Here its network is built from the checkpoint's own shapes, clips are covered by fixed windows, and nothing
is unpickled but tensors and numbers.

References:
    Wu et al., Large-scale contrastive language-audio pretraining with feature fusion and keyword-to-caption
    augmentation, 2023, arXiv 2211.06687.
"""

import importlib.resources
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, RobertaConfig, RobertaModel, RobertaTokenizer

from conceptcaps.audio import resampling, waveform
from conceptcaps.errors import InputError
from conceptcaps.workspace.hashing import file_sha256

SAMPLE_RATE = 48_000
WINDOW = 480_000  # samples, 10 s
_TOKENS = 77
_BATCH = 16
_JOINT = 512
_AUDIO = {96: "HTSAT-tiny", 128: "HTSAT-base", 256: "HTSAT-large"}  # by the patches' dimension
_TEXT = "text_branch."
_WORDS = f"{_TEXT}embeddings.word_embeddings.weight"
_ENDINGS = (".pt", ".pth", ".safetensors")


class Clap:
    """A CLAP network in evaluation mode with its tokenizer, and the ``sha256`` of the checkpoint behind it."""

    def __init__(self, network: Any, tokenizer: PreTrainedTokenizerBase, *, sha256: str) -> None:
        """Take the parts; ``load`` is the usual way in."""
        self.network = network.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.sha256 = sha256

    @torch.inference_mode()
    def embed_audio(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embedding of a clip ``(512,)``, of length 1: the direction of the mean over its windows.

        Args:
            waveform: Mono audio ``(samples,)`` at 48 kHz in [-1, 1].
        """
        device = next(self.network.parameters()).device
        made = [
            self.network.get_audio_embedding([{"waveform": torch.from_numpy(part).to(device)}])[0]
            for part in windows(waveform)
        ]
        return nn.functional.normalize(torch.stack(made).mean(0), dim=0).cpu().numpy()

    def embed_clip(self, clip: bytes) -> dict[str, NDArray[np.float32]]:
        """``clap``, the embedding of an encoded clip, as ``embeddings.stream`` wants it."""
        sound, rate = waveform.decode(clip)
        return {"clap": self.embed_audio(resampling.resample(waveform.to_mono(sound), rate, SAMPLE_RATE)[0])}

    @torch.inference_mode()
    def embed_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings of texts ``(n, 512)``, each of length 1; what follows a text's 77th token is not read."""
        made = []
        for start in range(0, len(texts), _BATCH):
            batch = self.tokenizer(
                list(texts[start : start + _BATCH]),
                padding="max_length",
                truncation=True,
                max_length=_TOKENS,
                return_tensors="pt",
            )
            made.append(self.network.get_text_embedding({key: batch[key] for key in ("input_ids", "attention_mask")}))
        return torch.cat(made).cpu().numpy()


def windows(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """The fewest windows of 10 s ``(count, 480000)``, at fixed places, that cover a whole clip.

    They are evenly spaced and overlap where the clip is no multiple of 10 s. A shorter clip is repeated as often as it
    fits and filled up with silence, and samples are rounded to 16 bits, as in CLAP's training.

    Raises:
        InputError: If the waveform is not ``(samples,)`` or is empty.
    """
    if waveform.ndim != 1 or not len(waveform):
        raise InputError(f"expected mono audio (samples,) at 48 kHz, got shape {waveform.shape}")
    if len(waveform) < WINDOW:
        repeated = np.tile(waveform, WINDOW // len(waveform))
        waveform = np.pad(repeated, (0, WINDOW - len(repeated)))
    count = -(-len(waveform) // WINDOW)
    starts = np.linspace(0, len(waveform) - WINDOW, count).round().astype(int)
    parts = np.stack([waveform[start : start + WINDOW] for start in starts])
    rounded = (np.clip(parts, -1, 1) * 32767).astype(np.int16)
    return (rounded / 32767).astype(np.float32)


def load(path: Path, *, device: str = "cpu") -> Clap:
    """A CLAP network from a checkpoint without feature fusion, such as ``630k-audioset-best.pt``.

    Args:
        path: The checkpoint (``.pt`` as LAION publishes it, or ``.safetensors``), or a folder that holds one. RoBERTa's
            tokenizer (``vocab.json`` and ``merges.txt``, or ``tokenizer.json``) is taken from beside it, or as
            ``roberta-base`` from the hub or its cache.
        device: Device of the network.

    Raises:
        InputError: If there is not exactly one checkpoint, it holds more than tensors and numbers, or is no CLAP
            network without fusion; or if RoBERTa's tokenizer is found nowhere.
    """
    files = sorted(file for file in path.iterdir() if file.suffix in _ENDINGS) if path.is_dir() else [path]
    if len(files) != 1 or files[0].suffix not in _ENDINGS:
        names = ", ".join(file.name for file in files) or "none"
        raise InputError(f"expected one CLAP checkpoint ({', '.join(_ENDINGS)}) at {path}, got {names}")
    state = _read(files[0])
    network = _network(state)
    missing, unexpected = network.load_state_dict(state, strict=False)
    if missing or unexpected:
        example = [*missing, *unexpected][0]
        raise InputError(
            f"expected a CLAP checkpoint, got {files[0].name} with {len(missing)} tensors missing and "
            f"{len(unexpected)} unknown, {example} among them"
        )
    tokenizer = _tokenizer(files[0].parent, size=len(state[_WORDS]))
    return Clap(network.to(device), tokenizer, sha256=file_sha256(files[0]))


def _read(file: Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint without the traces of its training and of older versions of transformers."""
    if file.suffix == ".safetensors":
        state: Any = load_file(file)
    else:
        scalar = np.float64(0).__reduce__()[0]  # numbers of the training loop, such as the best loss
        allowed: list[Any] = [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype]
        allowed += [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64)]
        with torch.serialization.safe_globals(allowed):
            unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(file)
            if unsafe:
                raise InputError(f"expected only tensors and numbers in {file.name}, got {', '.join(sorted(unsafe))}")
            state = torch.load(file, map_location="cpu", weights_only=True)
    state = state["state_dict"] if "state_dict" in state else state
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    state.pop(f"{_TEXT}embeddings.position_ids", None)
    return state


def _network(state: Mapping[str, Tensor]) -> Any:
    """laion-clap's network with random weights, of the size of a checkpoint."""
    patches = "audio_branch.patch_embed.proj.weight"
    if patches not in state or _WORDS not in state:
        raise InputError("expected a CLAP checkpoint of HTSAT and RoBERTa, got one without " + patches)
    if any("mel_conv2d" in name for name in state):
        raise InputError("expected a CLAP checkpoint without feature fusion, got one with it (630k-fusion-…)")
    if len(state[patches]) not in _AUDIO:
        raise InputError(f"expected HTSAT with patches of {', '.join(map(str, _AUDIO))}, got {len(state[patches])}")
    laion = _import()
    content = importlib.resources.files(laion).joinpath(f"clap_module/model_configs/{_AUDIO[len(state[patches])]}.json")
    settings = json.loads(content.read_text())
    # RoBERTa would be fetched from the hub; the smallest text network takes its place for a moment.
    settings["text_cfg"] |= {"model_type": "transformer", "vocab_size": 1, "width": 64, "heads": 1, "layers": 1}
    network = sys.modules["clap_module"].CLAP(**settings)

    layers = {int(found[1]) for name in state if (found := re.match(rf"{_TEXT}encoder\.layer\.(\d+)\.", name))}
    size, width = state[_WORDS].shape
    config = RobertaConfig(
        vocab_size=size,
        hidden_size=width,
        num_hidden_layers=len(layers),
        num_attention_heads=width // 64,
        intermediate_size=len(state[f"{_TEXT}encoder.layer.0.intermediate.dense.bias"]),
        max_position_embeddings=len(state[f"{_TEXT}embeddings.position_embeddings.weight"]),
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    network.text_branch, network.text_branch_type = RobertaModel(config), "roberta"
    network.text_projection = nn.Sequential(nn.Linear(width, _JOINT), nn.ReLU(), nn.Linear(_JOINT, _JOINT))
    del network.token_embedding, network.positional_embedding, network.ln_final
    return network


def _import() -> Any:
    """laion_clap, which takes seconds to import and reads the command line meanwhile: only here, and with none."""
    arguments, sys.argv = sys.argv, sys.argv[:1]
    try:
        import laion_clap
    finally:
        sys.argv = arguments
    return laion_clap


def _tokenizer(folder: Path, *, size: int) -> PreTrainedTokenizerBase:
    beside = any((folder / name).exists() for name in ("tokenizer.json", "vocab.json"))
    try:
        tokenizer = RobertaTokenizer.from_pretrained(str(folder) if beside else "roberta-base")
        found = len(tokenizer)
    except OSError:
        found = 0
    if found != size:  # transformers makes an empty tokenizer where it finds no files
        raise InputError(
            f"expected RoBERTa's tokenizer of {size} tokens (vocab.json and merges.txt, or tokenizer.json) in {folder} "
            f"or, as roberta-base, from the Hugging Face hub, got one of {found}"
        )
    return tokenizer
