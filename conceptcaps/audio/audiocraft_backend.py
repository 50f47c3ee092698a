"""Captions to audio with audiocraft: MusicGen and MAGNeT as their authors wrote them, in an environment of their own.

Audiocraft pins packages of 2023. uv builds an environment for it at its first use, from a locked file with hashes, in
the cache; its torch is ours, so that nothing large is fetched twice. A process of that environment makes the clips.

References:
    Copet et al., Simple and controllable music generation (2023), arXiv 2306.05284.
    Ziv et al., Masked audio generation using a single non-autoregressive transformer (2024), arXiv 2401.04577.
"""

import json
import logging
import math
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import uv

from conceptcaps.audio import loudness, table
from conceptcaps.audio.musicgen import Guidance
from conceptcaps.audio.waveform import Waveform
from conceptcaps.errors import Failure, InputError
from conceptcaps.workspace import cache
from conceptcaps.workspace.files import first_folder
from conceptcaps.workspace.hashing import content, file_sha256, row_seed
from conceptcaps.workspace.project import PROJECT, require_checkout

REQUIREMENTS = PROJECT / "requirements-audiocraft.txt"
_WORKER = "conceptcaps.audio.audiocraft_worker"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Audiocraft:
    """A model and where it runs.

    Attributes:
        model: A folder of audiocraft's two state files, a Hub id, or ``debug``, its built-in model of random weights;
            names with "magnet" are MAGNeT's, others MusicGen's.
        python: The environment's interpreter.
        device: ``cpu`` or ``cuda``.
    """

    model: str
    python: str
    device: str


def load(model: str) -> Audiocraft:
    """Name a model, and build audiocraft's environment if there is none yet."""
    return Audiocraft(model, str(environment()), "cuda" if torch.cuda.is_available() else "cpu")


def traits(model: Audiocraft) -> list[str]:
    """What clips depend on besides the dials: the content of the model's folder, the packages, the kind of device."""
    place = Path(model.model)
    return [content(place) if place.is_dir() else model.model, file_sha256(REQUIREMENTS), model.device]


def environment(*, root: Path | None = None) -> Path:
    """The Python of audiocraft's environment, built at the first call and again when its lock file changes.

    Args:
        root: Folder to keep environments in; ``environments`` of the cache if None.

    Raises:
        ConnectionError: If the packages could not be fetched or built.
    """
    root = root or cache.root() / "environments"
    require_checkout()
    folder = root / f"audiocraft-{file_sha256(REQUIREMENTS)[:16]}"
    if not folder.exists():
        _LOG.warning("building audiocraft's environment in %s", folder)
        with first_folder(folder) as made:
            _uv("venv", "--relocatable", "--allow-existing", "--python", sys.executable, str(made))
            python = str(made / "bin" / "python")
            _uv("pip", "install", "--no-deps", "--require-hashes", "--python", python, "-r", str(REQUIREMENTS))
    return folder / "bin" / "python"


def generate_rows(
    rows: pd.DataFrame, *, model: Audiocraft, guidance: Guidance, duration: float, batch_size: int, seed: int
) -> pd.DataFrame:
    """Clips for rows with ``id``, ``tags``, ``caption`` and ``split``: columns of ``table.FIELDS``, as of ``musicgen``.

    MusicGen goes on window by window past 30 s. MAGNeT keeps its authors' dials and is cut to the duration.

    Raises:
        Failure: If audiocraft's process fails; the message ends with its last output.
    """
    dials = {"top_k": guidance.top_k, "temperature": guidance.temperature, "cfg_coef": guidance.scale}
    seeds = [row_seed(row_id, seed) for row_id in rows["id"]]
    asked = {"captions": rows["caption"].tolist(), "seeds": seeds, "duration": duration, "batch_size": batch_size}
    clips, rate = _start(model).clips({**asked, "dials": dials}, count=len(rows))
    return table.generated(rows, [_levelled(clip, rate) for clip in clips], seeds=seeds, sample_rate=rate)


class _Worker:
    """A running process of audiocraft's environment; it ends with this one, when its input does."""

    def __init__(self, python: str, asked: Mapping[str, object]) -> None:
        self.words, pipe = tempfile.TemporaryFile(), subprocess.PIPE
        command = [python, "-m", _WORKER]
        self.process = subprocess.Popen(command, cwd=PROJECT, stdin=pipe, stdout=pipe, stderr=self.words)
        self._ask(asked)

    def _ask(self, words: Mapping[str, object]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words).encode() + b"\n")
        self.process.stdin.flush()

    def clips(self, asked: Mapping[str, object], *, count: int) -> tuple[list[Waveform | InputError], int]:
        """A waveform, or the error that says why there is none, for each caption, and their sample rate (Hz)."""
        assert self.process.stdout is not None
        made: list[Waveform | InputError] = []
        try:
            self._ask(asked)
            while len(made) < count:
                answer = json.loads(self.process.stdout.readline())
                sound = np.frombuffer(self.process.stdout.read(4 * math.prod(answer["shape"])), np.float32)
                made.append(InputError(answer["error"]) if answer["error"] else sound.reshape(answer["shape"]))
        except (OSError, ValueError) as error:  # its pipe is closed, or ends before an answer
            self.process.wait()
            self.words.seek(0)
            last = self.words.read().decode(errors="replace").strip().splitlines()[-1:]
            raise Failure(f"audiocraft's process ended ({self.process.returncode}): {''.join(last)}") from error
        return made, int(answer["sample_rate"])


@lru_cache(maxsize=1)
def _start(model: Audiocraft) -> _Worker:
    place = str(Path(model.model).resolve()) if Path(model.model).is_dir() else model.model
    return _Worker(model.python, {"model": place, "device": model.device})


def _levelled(clip: Waveform | InputError, sample_rate: int) -> Waveform | InputError:
    if isinstance(clip, InputError):
        return clip
    try:
        return loudness.normalise(clip, sample_rate)
    except InputError as error:
        return error


def _uv(*command: str) -> None:
    done = subprocess.run([uv.find_uv_bin(), "--quiet", *command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ConnectionError(
            f"audiocraft's environment: uv {command[0]} failed ({' '.join(done.stderr.split())[-300:]}); "
            "it needs the package index"
        )
