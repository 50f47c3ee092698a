"""Where things come from: the runs behind an artifact, through parameters that name runs and models."""

from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from mlflow.entities import Run

from conceptcaps.tracking.registry import model_version
from conceptcaps.tracking.store import client, run_of


def ancestors(uris: Iterable[str]) -> dict[str, str]:
    """Run ids of everything that made some artifacts, by run name: each behind those whose results it took.

    Args:
        uris: As in ``_behind``; what matters most comes first.

    Returns:
        By run name. Of several runs of one name the nearest to the first URI bears it; a further one has its id behind
        the name.
    """
    named: dict[str, Run] = {}
    for run in _behind(uris):
        name = str(run.info.run_name)
        named[f"{name} {run.info.run_id[:8]}" if name in named else name] = run
    runs = {str(run.info.run_id): run for run in named.values()}

    @cache
    def depth(run_id: str) -> int:
        """Steps behind a run, one after the other."""
        return 1 + max((depth(one) for one in _inputs(runs[run_id]) if one in runs), default=0)

    ids = {name: str(run.info.run_id) for name, run in named.items()}
    return {name: ids[name] for name in sorted(ids, key=lambda name: (depth(ids[name]), name))}


def _behind(uris: Iterable[str]) -> list[Run]:
    """The runs behind artifacts: all behind the first URI, the nearest first, then the others behind the next.

    A run's inputs are the values of its parameters, and of its tags ``resolved.…``, that name runs or models.

    Args:
        uris: ``runs:/<id>/<artifact>`` and ``models:/<name>/<version>``, or several with commas between; local paths
            and words are passed over.
    """
    found: dict[str, Run] = {}
    for uri in uris:
        waiting = deque(_runs(uri))
        while waiting:
            run_id = waiting.popleft()
            if run_id not in found:
                found[run_id] = client().get_run(run_id)
                waiting += _inputs(found[run_id])
    return list(found.values())


def _inputs(run: Run) -> list[str]:
    """Ids of the runs whose results a run took."""
    resolved = [value for name, value in run.data.tags.items() if name.startswith("resolved.")]
    return [other for value in (*run.data.params.values(), *resolved) for other in _runs(value)]


def origin(uris: Iterable[str]) -> dict[str, Any]:
    """What all rows that some artifacts hold have in common.

    Args:
        uris: As ``ancestors`` takes them.

    Returns:
        ``latent_seed``, ``vae``, ``captioner`` and ``backend`` where a run says so, and ``runs``: ``stage``, ``run``
        and ``commit`` of each, the nearest last.
    """
    runs = _behind(uris)[::-1]
    by_stage = {run.data.tags.get("stage", ""): run.info.run_id for run in runs}
    asked = {
        "latent_seed": ("sample_tags", "seed"),
        "vae": ("sample_tags", "vae"),
        "captioner": ("write_captions", "captioner"),
        "backend": ("generate_audio", "backend"),
    }
    known = {name: settings(by_stage[stage])[dial] for name, (stage, dial) in asked.items() if stage in by_stage}
    listed = [
        {
            "stage": run.data.tags.get("stage"),
            "run": run.info.run_id,
            "commit": run.data.tags.get("code.commit", "unknown"),
        }
        for run in runs
    ]
    return {**known, **({"latent_seed": int(known["latent_seed"])} if "latent_seed" in known else {}), "runs": listed}


def settings(run_id: str) -> dict[str, str]:
    """Parameters of a run; an alias is replaced by the version that it stood for then."""
    data = client().get_run(run_id).data

    def version(value: str) -> str:
        return data.tags.get(f"resolved.{value.removeprefix('models:/').split('@')[0]}", value)

    return {name: version(value) if value.startswith("models:/") else value for name, value in data.params.items()}


def _runs(uris: str) -> Iterator[str]:
    """Ids of the runs that made what a text names; an alias names none, since it may have moved."""
    for uri in uris.split(","):
        if uri.startswith("runs:/"):
            yield str(run_of(uri))
        elif uri.startswith("models:/") and "@" not in uri:
            yield model_version(uri)[2]
