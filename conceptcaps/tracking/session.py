"""What the run in progress remembers: metrics not yet sent, the step it is at, what it read, its temporary folder."""

import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
from mlflow.entities import Metric, Run
from mlflow.exceptions import MlflowException

from conceptcaps.errors import one_line

_SECONDS = 5.0  # between two requests that send metrics
_WIDEST = 19  # letters of a label, generate_audio more
_MOST = 900  # metrics in a request; MLflow takes 1,000


@dataclass
class Session:
    """A run that this process has opened and not yet closed.

    Attributes:
        run_id: The run.
        label: What a pipeline calls it; empty for a run of its own.
        figures: Final metrics: those logged without a step.
        reads: URIs of its inputs.
        step: The last step of a metric, such as the epoch in which training ended.
    """

    run_id: str
    label: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    step: int = 0
    _pending: list[Metric] = field(default_factory=list)
    _sent: float = -float("inf")

    def add(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Keep metrics, and send them with those before if the last request is some seconds old.

        Without a step they are final, and stand at the last one.
        """
        if step is None:
            self.figures |= metrics
        else:
            self.step = max(self.step, step)
        now, at = int(time.time() * 1000), self.step if step is None else step
        self._pending += [Metric(name, value, now, at) for name, value in metrics.items()]
        if time.monotonic() - self._sent >= _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send what is waiting; what could not be sent keeps waiting."""
        while self._pending:
            part = self._pending[:_MOST]
            mlflow.MlflowClient().log_batch(self.run_id, metrics=part)
            self._pending = self._pending[len(part) :]
        self._sent = time.monotonic()


SCRATCH = "process.scratch"  # tag of a run: its folder of copies, for who finds that its process was killed
_PREFIX = "conceptcaps-"

sessions: list[Session] = []
_scratch: list[tempfile.TemporaryDirectory[str]] = []
_making = threading.Lock()


def attempt(log: Callable[..., object], *args: object) -> None:
    """Log something that is not worth stopping a training for: if it fails, a warning says why."""
    try:
        log(*args)
    except (MlflowException, OSError) as error:
        warnings.warn(f"not logged: {one_line(error)}", stacklevel=2)


def scratch() -> Path:
    """A folder for copies of what lies elsewhere; it is removed with the outermost run, or with the process."""
    with _making:
        if not _scratch:
            _scratch.append(tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True))
            if sessions:
                attempt(mlflow.MlflowClient().set_tag, sessions[0].run_id, SCRATCH, _scratch[0].name)
    return Path(tempfile.mkdtemp(dir=_scratch[0].name))


def clear_scratch(run_id: str) -> None:
    """Remove the copies of the outermost run, which has ended."""
    if _scratch:
        _scratch.pop().cleanup()
        attempt(mlflow.MlflowClient().delete_tag, run_id, SCRATCH)


def clear_scratch_of(run: Run) -> None:
    """Remove the copies of a run of this machine whose process is gone; nothing else, whatever its tag says."""
    folder = Path(run.data.tags.get(SCRATCH, ""))
    if folder.name.startswith(_PREFIX) and folder.parent == Path(tempfile.gettempdir()):
        shutil.rmtree(folder, ignore_errors=True)
        mlflow.MlflowClient().delete_tag(run.info.run_id, SCRATCH)


def say(text: str) -> None:
    """Print lines of a stage at once; under the pipeline's name for it, since other steps may print between them."""
    label = sessions[0].label if sessions else ""
    print("\n".join(f"{label:<{_WIDEST}} {line}" if label else line for line in text.split("\n")), flush=True)


def flush() -> None:
    """Send all metrics that wait, so that they can be read back."""
    for session in sessions:
        session.flush()
