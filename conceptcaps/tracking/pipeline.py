"""A pipeline: steps that begin when those whose results they take have ended, side by side."""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, Self

import mlflow

from conceptcaps.errors import InputError
from conceptcaps.tracking import processes, records
from conceptcaps.tracking.registry import registered_by, resolve
from conceptcaps.tracking.runs import active
from conceptcaps.tracking.schedule import Schedule
from conceptcaps.tracking.steps import StageFailed, submit
from conceptcaps.tracking.store import local_path, metrics, ui_command

Later = Future[Any]
"""Of a step: the URI of what it gives, or None where it was left out."""

GATES = {  # of each model that a pipeline promotes the step that trains it, and what its gate compares
    "vae": ("train_vae", "val/iwae"),
    "captioner": ("finetune_captioner", "val/loss"),
    "verifier": ("train_verifier", "val/nll"),
    "classifier": ("train_classifier", "val/nll"),
}
_THREADS = "OMP_NUM_THREADS"
_POLL = 0.1  # seconds


class Pipeline:
    """The steps of a pipeline under the active run: each begins when the steps that it names have ended.

    Steps are asked for in an order in which they could run one by one; what a step gives is a future, which later
    steps take as a parameter. It is a context, at whose end nothing of it runs any more.

    Attributes:
        left_out: Why an optional step has no run, by label.
    """

    def __init__(self, *, pull: str, at_once: int) -> None:
        """Begin without steps.

        Args:
            pull: Which model later steps use: ``trained``, the pipeline's own, or ``champion``, whichever that is.
            at_once: Steps that run side by side, 1 or more; they share the cores.
        """
        if at_once < 1:
            raise InputError(f"expected at least one step at a time, got {at_once}")
        self.left_out: dict[str, str] = {}
        self.pull = pull
        self._run = active()
        self._started = time.monotonic()
        self._asked: dict[str, Later] = {}
        self._runs: dict[str, str] = {}
        self._threads = os.environ.get(_THREADS)
        if at_once > 1:  # threads of two processes that wait for one another take many times as long
            os.environ.setdefault(_THREADS, str(max((os.cpu_count() or 1) // at_once, 1)))
        self._schedule = Schedule(at_once)

    def __enter__(self) -> Self:
        """The pipeline."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Wait for the stages that run, or end them where an interrupt ends the pipeline.

        Raises:
            StageFailed: If a stage failed and nobody has asked for what it gives.
        """
        try:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                self._end(error)
            self._schedule.close()
        except (KeyboardInterrupt, SystemExit) as interrupt:
            self._end(interrupt)
            raise
        finally:
            if self._threads is None:
                os.environ.pop(_THREADS, None)
        if error is None:
            _ = self.runs

    def _end(self, interrupt: BaseException) -> None:
        self._schedule.refuse(interrupt)
        told: set[int] = set()
        while not self._schedule.idle:  # one may be on its way
            told |= processes.end_stages(told)
            time.sleep(_POLL)

    @property
    def runs(self) -> dict[str, str]:
        """Run ids by label, in the order in which the steps were asked for; waits for all of them.

        Raises:
            StageFailed: If a stage failed.
        """
        for later in self._asked.values():
            later.result()
        return {label: self._runs[label] for label in self._asked if label in self._runs}

    def step(
        self,
        entry_point: str,
        artifact: str = "",
        *,
        label: str | None = None,
        after: Later | None = None,
        **parameters: object,
    ) -> Later:
        """Ask for a step; gives, later, the URI of one of its artifacts.

        Args:
            entry_point: Name in MLproject.
            artifact: Name of the artifact.
            label: Name of the step and of its run; the entry point's if None.
            after: A step that has to end first, though nothing of it is read: of two that register versions of one
                model the later one's is the candidate.
            parameters: Those that differ from the defaults; one that is None, the result of a step that was left out,
                keeps its default.
        """
        name = label or entry_point

        def run() -> str:
            given = {key: value for key, value in _results(parameters).items() if value is not None}
            return self._submit(name, entry_point, artifact, given)

        return self._ask(name, run, [*parameters.values(), after])

    def optional(
        self,
        entry_point: str,
        artifact: str = "",
        *,
        label: str | None = None,
        beside: Mapping[str, object] | None = None,
        **parameters: object,
    ) -> Later:
        """As ``step``, but a step that its inputs do not allow is left out and gives None; ``left_out`` says why.

        A parameter that is None is the result of a step that was left out: this one is left out too, unless the
        parameter is among those ``beside``, without which it does. Any other failure, of the stage's own or of the
        machine, is the pipeline's.
        """
        name, more = label or entry_point, dict(beside or {})

        def run() -> str | None:
            given = _results(parameters)
            missing = [key for key, value in given.items() if value is None]
            given |= {key: value for key, value in _results(more).items() if value is not None}
            if missing:
                self.left_out[name] = f"{missing[0]} was left out"
            else:
                try:
                    return self._submit(name, entry_point, artifact, given)
                except StageFailed as failed:
                    if failed.kind != "input":
                        raise
                    self.left_out[name] = failed.reason
            records.set_tags({f"left_out.{name}": self.left_out[name][:5000]})
            print(f"  left out   {name}: {self.left_out[name]}", flush=True)
            return None

        return self._ask(name, run, [*parameters.values(), *more.values()])

    def promoted(self, model: str) -> Later:
        """Offer the model that a step registered for promotion; gives, later, the URI that later steps use.

        A gate that refuses is a decision, not a failure; the pipeline's run keeps both as ``decision.<model>``. Nothing
        is reused: what is decided depends on the present champion. None if the step was left out.

        Args:
            model: One of ``GATES``, without ``conceptcaps-``, whose step was asked for.
        """
        (trained_by, metric), label = GATES[model], f"promote {model}"

        def run() -> str | None:
            if trained_by not in self._runs:
                return None
            trained = registered_by(self._runs[trained_by])
            try:
                self._runs[label] = submit("promote", {"model": trained, "metric": metric}, label=label, reuse=False)
                decision = "promoted"
            except StageFailed as failed:
                if failed.kind != "refused":
                    raise
                decision = failed.reason
            records.set_tags({f"decision.conceptcaps-{model}": decision[:5000]})
            return trained if self.pull == "trained" else resolve(f"models:/conceptcaps-{model}@champion")

        return self._ask(label, run, [self._asked[trained_by]])

    def summarise(self, keys: Iterable[tuple[str, str]], **links: Later) -> dict[str, dict[str, float]]:
        """Give the pipeline's own run the figures by which pipelines compare, and links to what it made; print those.

        Args:
            keys: Label of a step and name of a metric; the figure is called ``<label>/<metric>``.
            links: Artifacts by name, such as ``dataset=runs:/<id>/dataset``; they become tags.

        Returns:
            Metrics by label of the step.
        """
        runs, places = self.runs, {name: local_path(uri.result()) for name, uri in links.items()}
        found = {label: metrics(run) for label, run in runs.items()}
        numbers = {f"{label}/{name}": found.get(label, {}).get(name) for label, name in keys}
        records.log_metrics({name: value for name, value in numbers.items() if value is not None})
        records.set_tags(places)
        records.log_text(json.dumps(runs, indent=2) + "\n", "runs.json")  # in order
        records.log_metrics({"pipeline/wall_seconds": time.monotonic() - self._started})
        for name, place in places.items():
            print(f"{name}: {place}")
        print(f"runs: {ui_command()}", flush=True)
        return found

    def _submit(self, label: str, entry_point: str, artifact: str, given: Mapping[str, object]) -> str:
        self._runs[label] = submit(entry_point, given, label=label)
        return f"runs:/{self._runs[label]}/{artifact}"

    def _ask(self, label: str, run: Callable[[], str | None], needs: Iterable[object]) -> Later:
        def under() -> str | None:
            if mlflow.active_run() is None:  # of this thread
                mlflow.start_run(self._run, log_system_metrics=False)
            return run()

        self._asked[label] = self._schedule.add(under, [need for need in needs if isinstance(need, Future)])
        return self._asked[label]


def _results(parameters: Mapping[str, object]) -> dict[str, object]:
    return {name: value.result() if isinstance(value, Future) else value for name, value in parameters.items()}
