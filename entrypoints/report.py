"""Write a pipeline's figures, numbers and rows into one HTML file."""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from conceptcaps import tracking
from conceptcaps.publishing import examples, report

ROWS = 8


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", required=True, help="run id of main, or a JSON object of stage names and run ids")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("report", vars(args)) as own, tempfile.TemporaryDirectory() as folder:
        named = args.runs.startswith("{")
        runs = json.loads(args.runs if named else tracking.fetch(f"runs:/{args.runs}/runs.json").read_text())
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
        facts = {"made": source["date"], "commit": source["commit"][:12]}
        if "distill_tags" in runs:
            facts = {"corpus": tracking.params(runs["distill_tags"])["corpus"], **facts}
        page = Path(folder, "report.html")
        figures = report.key_figures(metrics, runs=runs)
        parent = own if named else args.runs
        told = {"left_out": tracking.left_out(parent), "decisions": tracking.decisions(parent)}
        text = report.render(title="ConceptCaps", facts=facts, figures=figures, stages=stages, rows=rows, **told)
        page.write_text(text, encoding="utf-8")
        tracking.log_file(page)
        tracking.log_metrics({"report/stages": len(stages), "report/rows": len(rows)})


if __name__ == "__main__":
    tracking.execute(main)
