"""Write a pipeline's figures, numbers and rows into one HTML file."""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from conceptcaps import tracking
from conceptcaps.publishing import examples, report
from conceptcaps.workspace import project

ROWS = 8


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", required=True, help="run id of main, or a JSON object of stage names and run ids")
    parser.add_argument("--against", default="none", help="runs of another pipeline to show beside these, or none")
    return parser


def named(runs: str) -> dict[str, str]:
    text = runs if runs.startswith("{") else tracking.fetch(f"runs:/{runs}/runs.json", foreign=True).read_text()
    return {str(stage): str(run) for stage, run in json.loads(text).items()}


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("report", vars(args)) as own, tempfile.TemporaryDirectory() as folder:
        runs = named(args.runs)
        metrics = {stage: tracking.metrics(run) for stage, run in runs.items()}
        stages = [
            report.Stage(
                name=stage,
                run=run,
                seconds=tracking.info(run)["duration"],
                params=tracking.params(run),
                metrics=metrics[stage],
                figures=tracking.figures(run),
                outcome=tracking.outcome(run),
            )
            for stage, run in runs.items()
        ]
        rows = []
        if "build_dataset" in runs:
            dataset = tracking.fetch(f"runs:/{runs['build_dataset']}/dataset")
            chosen = [*examples.choose(dataset, split="test", most=ROWS)] or examples.choose(
                dataset, split="*", most=ROWS
            )
            rows = [examples.describe(row) for row in chosen]
        source = tracking.provenance(own)
        facts = {"made": source["date"], "commit": project.short(source["commit"])}
        if "distill_tags" in runs:
            facts = {"corpus": tracking.params(runs["distill_tags"])["corpus"], **facts}
        page = Path(folder, "report.html")
        figures = report.key_figures(metrics, runs=runs)
        if args.against != "none":
            others = named(args.against)
            theirs = report.key_figures({stage: tracking.metrics(run) for stage, run in others.items()}, runs=others)
            figures = report.beside(figures, theirs)
            facts["beside"] = args.against if not args.against.startswith("{") else "another pipeline"
        registered = dict.fromkeys(tracking.tags(run).get("registered", "") for run in runs.values())
        facts["models"] = ", ".join(uri.removeprefix("models:/conceptcaps-") for uri in registered if uri) or "none"
        parent = own if args.runs.startswith("{") else args.runs
        told = {"left_out": tracking.left_out(parent), "decisions": tracking.decisions(parent)}
        text = report.render(title="ConceptCaps", facts=facts, figures=figures, stages=stages, rows=rows, **told)
        page.write_text(text, encoding="utf-8")
        tracking.log_file(page)
        tracking.log_metrics({"report/stages": len(stages), "report/rows": len(rows)})


if __name__ == "__main__":
    tracking.execute(main)
