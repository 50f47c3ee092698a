"""The report: one HTML file with key figures, every stage's numbers and figures, and clips to listen to."""

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from conceptcaps.publishing.evidence import KINDS


class Key(NamedTuple):
    """A figure that matters: its label, the stage and metric it comes from, its format, and which end is best."""

    label: str
    stage: str
    metric: str
    form: str = "{:.3f}"
    best: str = "↑"


KEYS = (
    Key("aspects that map to a tag", "distill_tags", "corpus/coverage", "{:.1%}"),
    Key("rows with enough categories", "distill_tags", "corpus/kept", "{:.1%}"),
    Key("VAE bound on validation rows (nats)", "train_vae", "val/iwae", "{:.2f}"),
    Key("co-occurrence of sampled tags, of its ceiling", "sample_tags", "samples/cooccurrence_of_ceiling"),
    Key("samples against held-out rows, AUC", "sample_tags", "samples/two_sample_auc", best="½"),
    Key("contradictory tag sets", "sample_tags", "samples/contradictions", "{:.1%}", best="↓"),
    Key("captioner's loss on validation captions (nats)", "finetune_captioner", "val/loss", best="↓"),
    Key("the same without its adapter (nats)", "finetune_captioner", "val/base_loss", best=""),
    Key("tags that captions say, by the matcher", "write_captions", "captions/tag_recall", "{:.1%}"),
    Key("captions that say every tag", "write_captions", "captions/all_tags", "{:.1%}"),
    Key("captions that say something else", "write_captions", "captions/hallucinating", "{:.1%}", best="↓"),
    Key("tags that captions say, by a second reader", "evaluate_captions", "captions/second_recall", "{:.1%}"),
    Key("BERTScore F1 with the nearest real captions", "evaluate_captions", "captions/bertscore_f1"),
    Key("MAUVE against real captions", "evaluate_captions", "captions/mauve"),
    Key("hours of audio", "generate_audio", "audio/hours", "{:.2f}", best=""),
    Key("asked tags that do not sound", "generate_audio", "audio/unrealised", "{:.1%}", best="↓"),
    Key("detectors of tags", "train_verifier", "val/detectors", "{:.0f}"),
    Key("detectors against the score, mean AUC", "verify_concepts", "verify/auc_mean"),
    Key(
        "heard, though the score says it does not sound",
        "verify_concepts",
        "verify/false_present_rate",
        "{:.1%}",
        best="↓",
    ),
    Key("asked tags with a verdict", "verify_concepts", "verify/decided_rate", "{:.1%}"),
    Key("genre classifier, test accuracy", "train_classifier", "test/accuracy", "{:.1%}"),
    Key("the same by guessing the commonest genre", "train_classifier", "test/accuracy_majority", "{:.1%}", best=""),
    Key("TCAV stars: significant and confirmed", "run_tcav", "tcav/confirmed_share", "{:.1%}", best=""),
    Key("the same for musicnn", "run_tcav musicnn", "tcav/confirmed_share", "{:.1%}", best=""),
    Key("rows of the dataset that are verified", "build_dataset", "dataset/verified", "{:.0f}"),
)
KEYS_BY_STEP = tuple((key.stage, key.metric) for key in KEYS)


def key_figures(metrics: Mapping[str, Mapping[str, float]], *, runs: Mapping[str, str]) -> list[dict[str, object]]:
    """Those of ``KEYS`` that were measured.

    Args:
        metrics: Metrics by stage.
        runs: Run id by stage.

    Returns:
        For each: ``label``, ``value`` (text, with its interval in brackets where ``_low`` and ``_high`` were logged),
        ``best`` (↑, ↓, ½ or nothing) and ``run``.
    """
    found: list[dict[str, object]] = []
    for key in KEYS:
        numbers = metrics.get(key.stage, {})
        if key.metric in numbers:
            ends = [numbers.get(f"{key.metric}_{end}") for end in ("low", "high")]
            text = key.form.format(numbers[key.metric])
            if ends[0] is not None and ends[1] is not None:
                text += f" [{key.form.format(ends[0])}, {key.form.format(ends[1])}]"
            found.append({"label": key.label, "value": text, "best": key.best, "run": runs[key.stage]})
    return found


def beside(figures: Sequence[Mapping[str, object]], others: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Key figures of a pipeline with those of another as ``other`` and ``other_run``, – where one has none."""
    ours, theirs = ({figure["label"]: figure for figure in each} for each in (figures, others))
    nothing = {"value": "–", "run": ""}
    found: list[dict[str, object]] = []
    for key in [key for key in KEYS if key.label in {*ours, *theirs}]:
        one, other = ours.get(key.label, nothing), theirs.get(key.label, nothing)
        about = {"label": key.label, "best": key.best}
        found.append({**about, **one, "other": other["value"], "other_run": other["run"]})
    return found


def text_table(figures: Sequence[Mapping[str, object]]) -> str:
    """Key figures as lines of text, values in one column."""
    width = max((len(str(figure["label"])) for figure in figures), default=0)
    return "\n".join(f"  {figure['label']!s:<{width}}  {figure['value']}" for figure in figures)


def summary(metrics: Mapping[str, Mapping[str, float]], *, runs: Mapping[str, str]) -> str:
    """``text_table`` of ``key_figures``."""
    return text_table(key_figures(metrics, runs=runs))


class Stage(NamedTuple):
    """What the report shows of a run; ``outcome`` says what it registered or decided."""

    name: str
    run: str
    seconds: float
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    figures: Sequence[Path]
    outcome: str = ""


def render(
    *,
    title: str,
    facts: Mapping[str, str],
    figures: list[dict[str, object]],
    stages: list[Stage],
    rows: list[dict[str, object]],
    left_out: Mapping[str, str] | None = None,
    decisions: Mapping[str, str] | None = None,
) -> str:
    """The page as HTML that needs no other file: pictures and sound are in it.

    Args:
        title: Heading.
        facts: What the page is about, such as corpus, commit and date.
        figures: Of ``key_figures`` or ``beside``.
        stages: In the pipeline's order.
        rows: Of ``examples.describe``.
        left_out: Why a stage did not run, by its name.
        decisions: What was decided of a model, by its name: promoted, or why not.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, autoescape=True, trim_blocks=True
    )
    shown = [
        {
            **stage._asdict(),
            "metrics": {name: _short(value) for name, value in sorted(stage.metrics.items())},
            "figures": [(path.stem.replace("_", " "), _encoded(path)) for path in stage.figures],
        }
        for stage in stages
    ]
    template = environment.get_template("report.html.j2")
    told = {"left_out": left_out or {}, "decisions": decisions or {}}
    return template.render(title=title, facts=facts, figures=figures, stages=shown, rows=rows, kinds=KINDS, **told)


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _short(value: float) -> str:
    return "not a number" if math.isnan(value) else f"{value:.4g}"
