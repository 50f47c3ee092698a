"""Put a pipeline's figures, numbers and clips into one HTML file."""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from conceptcaps import tracking
from conceptcaps.publishing import report

CLIPS = 8


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", required=True, help="run id of main, or a JSON object of stage names and run ids")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("report", vars(args)), tempfile.TemporaryDirectory() as folder:
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
            )
            for stage, run in runs.items()
        ]
        examples = []
        if "build_dataset" in runs:
            made = tracking.fetch(f"runs:/{runs['build_dataset']}/dataset/data/audio/test.parquet")
            examples = report.clips(pd.read_parquet(made), most=CLIPS)
        page = Path(folder, "report.html")
        figures = report.key_figures(metrics, runs=runs)
        page.write_text(report.render(title="ConceptCaps", figures=figures, stages=stages, examples=examples))
        tracking.log_file(page)
        tracking.log_metrics({"report/stages": len(stages), "report/clips": len(examples)})


if __name__ == "__main__":
    tracking.execute(main)
