"""One promotion of a model at a time, over all processes and machines that share a store.

No store of MLflow has a lock, but all have runs and tags. That is enough for Lamport's bakery: who wants a turn says
so, takes a number above all that it sees, and waits until no live run is choosing or holds a lower one. A run whose
process is gone is closed by ``close_orphans`` and waited for no longer.

References:
    Lamport, A new solution of Dijkstra's concurrent programming problem (1974), CACM 17(8).
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow

from conceptcaps.errors import Failure
from conceptcaps.tracking.processes import close_orphans
from conceptcaps.tracking.runs import active
from conceptcaps.tracking.store import client, search

_CHOOSING = "choosing"
_POLL = 0.2  # seconds
_PATIENCE = 600.0  # seconds


@contextmanager
def turn(name: str) -> Iterator[None]:
    """Inside it, no other run is inside a ``turn`` of the same name; the turn ends with the run, whatever happens.

    Args:
        name: Name of a registered model.

    Raises:
        Failure: If a run of another machine keeps its turn for ten minutes.
    """
    tag, own = f"turn.{name}", active()
    mlflow.set_tag(tag, _CHOOSING)
    number = 1 + max((int(value) for value in _others(tag).values() if value != _CHOOSING), default=0)
    mlflow.set_tag(tag, str(number))
    started = time.monotonic()
    while ahead := _ahead(tag, number, own):
        close_orphans()
        if time.monotonic() - started > _PATIENCE:
            raise Failure(
                f"expected the promotion of run {ahead[0]} to end within {_PATIENCE / 60:g} minutes; "
                f"if its process is gone, end it: mlflow.MlflowClient().set_terminated('{ahead[0]}', 'KILLED')"
            )
        time.sleep(_POLL)
    try:
        yield
    finally:
        client().delete_tag(own, tag)


def _ahead(tag: str, number: int, own: str) -> list[str]:
    """Runs that are choosing or whose turn is before."""
    return [
        run_id for run_id, value in _others(tag).items() if value == _CHOOSING or (int(value), run_id) < (number, own)
    ]


def _others(tag: str) -> dict[str, str]:
    """Values of a tag of all other runs that are in progress."""
    found = search(f"attributes.status = 'RUNNING' AND tags.`{tag}` LIKE '%'")
    return {
        str(run.info.run_id): run.data.tags[tag]
        for run in found
        if run.info.run_id != active() and tag in run.data.tags  # it may have left between two looks
    }
