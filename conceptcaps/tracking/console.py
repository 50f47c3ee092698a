"""What a stage says about itself, on the console and in its run's description: name, inputs, figures, next."""

import os
import re
import sys
from collections.abc import Mapping

import mlflow

from conceptcaps.errors import masked
from conceptcaps.tracking import session, store
from conceptcaps.tracking.session import Session
from conceptcaps.tracking.store import artifacts_of, run_page, tags

_MOST = 12  # figures that are shown
_BOUNDS = ("_low", "_high")
# What comes after a stage. Fields: the stage's parameters, ``run`` (its id) and ``model`` (what it registered).
NEXT = {
    "distill_tags": "train_vae tag_sets=runs:/{run}/tag_sets",
    "sweep_vae": "promote model={model} metric=val/iwae",
    "train_vae": "promote model={model} metric=val/iwae",
    "compare_priors": "sample_tags tag_sets={tag_sets}",
    "sample_tags": "write_captions samples=runs:/{run}/samples",
    "sweep_captioner": "promote model={model} metric=val/loss",
    "finetune_captioner": "promote model={model} metric=val/loss",
    "write_captions": "generate_audio captions=runs:/{run}/captions",
    "evaluate_captions": "generate_audio captions={captions}",
    "generate_audio": "verify_concepts audio=runs:/{run}/audio",
    "evaluate_audio": "verify_concepts audio={audio}",
    "make_pairs": "intervene pairs=runs:/{run}/pairs",
    "design_concepts": "train_verifier concepts=runs:/{run}/concepts",
    "train_verifier": "promote model={model} metric=val/nll",
    "verify_concepts": "train_classifier audio={audio}",
    "train_classifier": "promote model={model} metric=val/nll",
}


def begin(stage: str) -> None:
    """Print a stage's name and what it does."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a bar for three files of a model
    session.say(purpose(stage) if session.sessions[0].label else f"\n{stage}: {purpose(stage)}".rstrip(": "))


def purpose(stage: str) -> str:
    """The first line of a stage's docstring, without marks; empty if it is not a stage's."""
    module = sys.modules.get(f"entrypoints.{stage}")
    main = sys.modules["__main__"]
    if module is None and getattr(main.__spec__, "name", "") == f"entrypoints.{stage}":
        module = main
    return ((module.__doc__ if module else "") or "").partition("\n")[0].replace("``", "")


def read(uri: str) -> None:
    """Print an input of the outermost stage, once, and keep it for the description."""
    current = session.sessions[-1]
    if uri not in current.reads:
        current.reads.append(uri)
        session.say(f"  reads      {masked(uri)}")


def end(stage: str, *, params: Mapping[str, object]) -> None:
    """Print a stage's figures and the place of its artifacts; all of it is kept as the run's description.

    A run of its own shows its address and the next command too; the steps of a pipeline follow one another.
    """
    current = session.sessions[-1]
    figures, place = shown(current.figures), artifacts_of(current.run_id)
    following = command(NEXT[stage], current, params) if stage in NEXT and not current.label else ""
    said = [*figures, f"artifacts  {place}"]
    if not current.label:
        said += [f"run        {run_page(current.run_id)}"] + [f"next       {following}"] * bool(following)
    session.say("\n".join(f"  {line}" for line in said))
    lines = [purpose(stage), "", *(f"- reads `{uri}`" for uri in current.reads)]
    lines += [f"- {line}" for line in figures]
    lines += [f"- artifacts: `{place}`"] + [f"- next: `{following}`"] * bool(following)
    mlflow.set_tag("mlflow.note.content", "\n".join(lines))


def shown(figures: Mapping[str, float]) -> list[str]:
    """Figures as lines, an interval beside its value; the first dozen.

    >>> shown({"val/f1": 0.51234, "val/f1_low": 0.5, "val/f1_high": 0.52, "rows": 1200})
    ['val/f1     0.5123 [0.5, 0.52]', 'rows       1200']
    """
    lines = []
    for name, value in figures.items():
        if name.endswith(_BOUNDS) and re.sub(r"_(low|high)$", "", name) in figures:
            continue
        ends = [f"{figures[name + end]:.4g}" for end in _BOUNDS if name + end in figures]
        between = f" [{', '.join(ends)}]" if len(ends) == len(_BOUNDS) else ""
        lines.append(f"{name:<10} {value:.4g}{between}" if abs(value) < 1e4 else f"{name:<10} {value:,.0f}{between}")
    more = len(lines) - _MOST
    return lines[:_MOST] + [f"{more} more figures in the run"] * (more > 0)


def command(then: str, ended: Session, params: Mapping[str, object]) -> str:
    """The command of the next stage.

    Empty where something that it names is not there: a model that was not registered, or an artifact that other runs
    complete, as with a part of the shards.

    Args:
        then: Stage and parameters, such as ``promote model={model}``.
        ended: The run that has ended.
        params: Its parameters.
    """
    stage, *settings = then.split()
    values = {**params, "run": ended.run_id, "model": tags(ended.run_id).get("registered")}
    missing = [field for field in re.findall(r"{(\w+)}", then) if values.get(field) is None]
    artifact = re.search(r"{run}/(\w+)", then)
    if missing or (artifact and artifact[1] not in store.artifacts(ended.run_id)):
        return ""
    return store.command(stage, [setting.format(**values) for setting in settings], run_id=ended.run_id)
