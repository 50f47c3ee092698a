"""Where things come from: the runs behind an artifact, through parameters that name runs and models."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from conceptcaps.tracking.registry import model_version
from conceptcaps.tracking.store import client, run_of


def ancestors(uris: Iterable[str]) -> dict[str, str]:
    """Run ids of everything that made some artifacts, by run name, in the order in which they ran.

    A run's inputs are the values of its parameters, and of its tags ``resolved.…``, that name runs or models.

    Args:
        uris: ``runs:/<id>/<artifact>`` and ``models:/<name>/<version>``; local paths are passed over.

    Returns:
        By run name; a further run of the same name has its id behind the name.
    """
    started: dict[str, tuple[int, str]] = {}
    waiting = [run for uri in uris for run in _run(uri)]
    while waiting:
        run_id = waiting.pop()
        if run_id not in started:
            run = client().get_run(run_id)
            started[run_id] = (run.info.start_time, str(run.info.run_name))
            resolved = [value for name, value in run.data.tags.items() if name.startswith("resolved.")]
            given = [value for value in run.data.params.values() if "@" not in value]  # an alias has moved since
            waiting += [found for value in (*given, *resolved) for found in _run(value)]
    named: dict[str, str] = {}
    for run_id in sorted(started, key=lambda run_id: started[run_id]):
        name = started[run_id][1]
        named[f"{name} {run_id[:8]}" if name in named else name] = run_id
    return named


def origin(runs: Mapping[str, str]) -> dict[str, Any]:
    """What all rows that some runs made have in common.

    Args:
        runs: Run ids by name, as ``ancestors`` gives them.

    Returns:
        ``latent_seed``, ``vae``, ``captioner`` and ``backend`` where a run says so, and ``runs``: ``stage``, ``run``
        and ``commit`` of each.
    """
    found = {run_id: client().get_run(run_id).data for run_id in runs.values()}
    by_stage = {data.tags.get("stage", ""): run_id for run_id, data in found.items()}
    asked = {
        "latent_seed": ("sample_tags", "seed"),
        "vae": ("sample_tags", "vae"),
        "captioner": ("write_captions", "captioner"),
        "backend": ("generate_audio", "backend"),
    }
    known = {name: settings(by_stage[stage])[dial] for name, (stage, dial) in asked.items() if stage in by_stage}
    listed = [
        {"stage": data.tags.get("stage"), "run": run_id, "commit": data.tags.get("code.commit", "unknown")}
        for run_id, data in found.items()
    ]
    return {**known, **({"latent_seed": int(known["latent_seed"])} if "latent_seed" in known else {}), "runs": listed}


def settings(run_id: str) -> dict[str, str]:
    """Parameters of a run; an alias is replaced by the version that it stood for then."""
    data = client().get_run(run_id).data

    def version(value: str) -> str:
        return data.tags.get(f"resolved.{value.removeprefix('models:/').split('@')[0]}", value)

    return {name: version(value) if value.startswith("models:/") else value for name, value in data.params.items()}


def _run(uri: str) -> Iterator[str]:
    if uri.startswith("runs:/"):
        yield str(run_of(uri))
    elif uri.startswith("models:/"):
        yield model_version(uri)[2]
