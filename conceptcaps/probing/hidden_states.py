"""What every layer of a pretrained audio model holds of a clip, as means over time; one clip in a pass.

References:
    Li et al., MERT: acoustic music understanding model with large-scale self-supervised training (2023),
    arXiv 2306.00107.
    Copet et al., Simple and controllable music generation (2023), arXiv 2306.05284.
    Castellon, Donahue and Liang, Codified audio language modeling learns useful representations for music information
    retrieval (2021), arXiv 2107.05677, who read a generator's layers in this way.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    HubertConfig,
    MusicgenForConditionalGeneration,
    PreTrainedConfig,
)

from conceptcaps.audio import resampling, waveform
from conceptcaps.errors import InputError
from conceptcaps.listening import clap
from conceptcaps.workspace.hashing import content

LONGEST = 30.0  # seconds of a clip that are read
_CONFIG = "config.json"

Layers = dict[str, NDArray[np.float32]]


class Model(NamedTuple):
    """A network, whose weights may be made random, and what reads an encoded clip with it: ``(d,)`` for each layer."""

    network: nn.Module
    read: Callable[[bytes], Layers]


class Place(NamedTuple):
    """A transformers model that was found: its folder or Hub id, revision, config, and what its weights are."""

    name: str
    revision: str | None
    config: PreTrainedConfig
    version: str


def find(name: str) -> Place:
    """Look a model up without opening its weights.

    Args:
        name: A folder, a Hub id, or a Hub id with ``@revision``: of an audio encoder with hidden layers (Wav2Vec2,
            HuBERT, WavLM, MERT, AST, …) or of MusicGen.

    Returns:
        Its place; ``version`` is the hash of a folder's content, or the commit on the Hub.

    Raises:
        InputError: If there is no such model, it is of another kind, or a folder has no weights in safetensors.
    """
    folder = Path(name)
    place, _, revision = (name, "", "") if folder.is_dir() else name.partition("@")
    pinned = {"revision": revision or None}
    try:
        facts, _ = PreTrainedConfig.get_config_dict(place, **pinned)
        config = _hubert(facts) if facts.get("model_type") == "mert_model" else None
        config = config or AutoConfig.from_pretrained(place, trust_remote_code=False, **pinned)
        generator = config.model_type == "musicgen"
        extractor = AutoFeatureExtractor.from_pretrained(place, trust_remote_code=False, **pinned)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"expected a folder or Hub id of an audio model, got {name!r}: {reason}") from error
    if not generator and (config.is_encoder_decoder or not hasattr(config, "num_hidden_layers")):
        raise InputError(
            f"expected an audio encoder with hidden layers, or MusicGen, got {name!r}: {config.model_type}"
        )
    if not hasattr(extractor, "sampling_rate"):
        raise InputError(f"expected a model of audio, got {name!r}: {config.model_type}")
    if folder.is_dir() and not any(folder.glob("*.safetensors")):
        raise InputError(
            f"expected weights in safetensors in {name}, got {sorted(path.name for path in folder.iterdir())}"
        )
    commit = str(facts.get("_commit_hash") or getattr(config, "_commit_hash", None) or "")
    return Place(place, revision or None, config, content(folder) if folder.is_dir() else f"{place}@{commit}")


def _hubert(facts: dict[str, Any]) -> HubertConfig:
    """MERT's config as that of HuBERT, which it is but for options that no layer's output tells apart or that are off.

    ``attention_relax`` shifts what a softmax takes, which changes nothing.
    """
    for option in ("feature_extractor_cqt", "deepnorm"):
        if facts.get(option):
            raise InputError(f"expected a MERT without {option}, which needs code of its own, got one with it")
    unlike = {"model_type", "auto_map", "architectures", "_commit_hash"}
    return HubertConfig(**{name: value for name, value in facts.items() if name not in unlike})


def load(place: Place) -> Model:
    """Open a model in float32, on a GPU where there is one.

    Raises:
        InputError: If its weights are not in safetensors, or lack some of the network's.
    """
    kind = MusicgenForConditionalGeneration if place.config.model_type == "musicgen" else AutoModel
    try:
        model, report = kind.from_pretrained(
            place.name,
            revision=place.revision,
            config=place.config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except OSError as error:
        raise InputError(f"expected weights in safetensors at {place.name!r}, got: {error}") from error
    missing = sorted(
        name for name in report["missing_keys"] if "masked_spec_embed" not in name
    )  # used in training only
    if missing:
        raise InputError(f"expected all weights of {place.name!r}, got {len(missing)} missing, {missing[0]} first")
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval().requires_grad_(False)
    if place.config.model_type == "musicgen":
        return _of_musicgen(model)
    extractor = AutoFeatureExtractor.from_pretrained(place.name, revision=place.revision, trust_remote_code=False)
    return _of_encoder(model, extractor)


def _of_encoder(model: Any, extractor: Any) -> Model:
    """``layer0`` is what enters the first block, ``layer1`` what leaves it, and so on."""
    rate = int(extractor.sampling_rate)

    def read(clip: bytes) -> Layers:
        inputs = extractor(_sound(clip, rate=rate), sampling_rate=rate, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            return _means(model(**inputs, output_hidden_states=True).hidden_states)

    return Model(model, read)


def _of_musicgen(model: Any) -> Model:
    """The decoder's layers while it reads a clip's own codes, with no text: ``layer0`` is what enters its first block.

    Of a stereo model both channels get the mono mix.
    """
    decoder, codec = model.decoder, model.audio_encoder
    codebooks, channels = int(decoder.config.num_codebooks), int(decoder.config.audio_channels)
    start = int(model.generation_config.decoder_start_token_id)
    rate = int(codec.config.sampling_rate)

    def read(clip: bytes) -> Layers:
        sound = torch.from_numpy(_sound(clip, rate=rate)).to(model.device)
        with torch.inference_mode():
            codes = codec.encode(sound.expand(1, codec.config.audio_channels, -1)).audio_codes[0, 0]
            codes = codes.repeat_interleave(channels, dim=0)
            if len(codes) != codebooks:
                raise InputError(f"expected {codebooks} codebooks of the model's codec, got {len(codes)}")
            text = torch.zeros(1, 1, decoder.config.hidden_size, device=model.device)
            delayed = delay(codes, start=start, channels=channels)
            out = decoder(input_ids=delayed, encoder_hidden_states=text, use_cache=False, output_hidden_states=True)
            return _means([states[:, 1:] for states in out.hidden_states])  # all clips start with the same column

    return Model(decoder, read)


def delay(codes: Tensor, *, start: int, channels: int) -> Tensor:
    """Codes as MusicGen's decoder takes them: a column of ``start``, then codebook k late by k frames.

    Args:
        codes: ``(codebooks, frames)``; with two channels those of left and right take turns, and share a delay.
        start: The code that fills what is empty.
        channels: 1 or 2.

    Returns:
        ``(codebooks, 1 + frames + longest delay)``.

    Example:
        >>> delay(torch.tensor([[1, 2], [3, 4]]), start=9, channels=1).tolist()
        [[9, 1, 2, 9], [9, 9, 3, 4]]
    """
    count, frames = codes.shape
    late = [codebook // channels for codebook in range(count)]
    delayed = torch.full((count, 1 + frames + late[-1]), start, dtype=codes.dtype, device=codes.device)
    for codebook, steps in enumerate(late):
        delayed[codebook, 1 + steps : 1 + steps + frames] = codes[codebook]
    return delayed


def of_clap(checkpoint: Path) -> tuple[Model, str]:
    """CLAP's audio network and its checkpoint's sha256: ``stage1`` to ``stage4`` of HTSAT, and the joint ``embedding``.

    Raises:
        InputError: If it is no checkpoint that ``clap.load`` opens.
    """
    model = clap.load(checkpoint, device="cuda" if torch.cuda.is_available() else "cpu")
    seen = threading.local()  # clips are read by several threads at once

    def keep(stage: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            seen.windows.setdefault(stage, []).append(output[0][0])

        return hook

    for number, stage in enumerate(model.network.audio_branch.layers, start=1):
        stage.register_forward_hook(keep(f"stage{number}"))

    def read(clip: bytes) -> Layers:
        seen.windows = {}
        sound = _sound(clip, rate=clap.SAMPLE_RATE)
        embedding = model.embed_audio(sound)
        stages = {stage: torch.cat(windows) for stage, windows in seen.windows.items()}
        return {stage: _mean(states) for stage, states in stages.items()} | {"embedding": embedding}

    return Model(model.network, read), model.sha256


def _sound(clip: bytes, *, rate: int) -> NDArray[np.float32]:
    """The first 30 s of a clip ``(samples,)``, mono."""
    sound, own_rate = waveform.decode(clip)
    mono = resampling.resample(waveform.to_mono(sound), own_rate, rate)[0]
    return np.ascontiguousarray(mono[: round(LONGEST * rate)])


def _means(states: Sequence[Tensor]) -> Layers:
    return {f"layer{number}": _mean(layer[0]) for number, layer in enumerate(states)}


def _mean(states: Tensor) -> NDArray[np.float32]:
    """Mean over time ``(d,)`` of ``(frames, d)``, summed in double precision."""
    return states.double().mean(0).float().cpu().numpy()
