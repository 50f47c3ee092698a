"""Build the Hugging Face dataset: text and audio configs, a card whose numbers name their runs, checksums."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from conceptcaps import shards, tracking
from conceptcaps.publishing import dataset, report
from conceptcaps.tags.taxonomy import Taxonomy


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tag_sets", required=True, help="folder or runs:/<id>/tag_sets of distill_tags")
    parser.add_argument("--captions", required=True, help="folder or runs:/<id>/captions of write_captions")
    parser.add_argument("--audio", required=True, help="folder or runs:/<id>/audio of generate_audio")
    parser.add_argument("--verification", required=True, help="folder or runs:/<id>/verification of verify_concepts")
    parser.add_argument("--push_to", default="none", help="Hub id of a dataset to upload to (needs HF_TOKEN), or none")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("build_dataset", vars(args)), tempfile.TemporaryDirectory() as scratch:
        taxonomy = Taxonomy.load(tracking.fetch(args.tag_sets) / "taxonomy.yaml")
        captions = shards.read(str(tracking.fetch(args.captions)))
        audio = shards.read(str(tracking.fetch(args.audio)))
        verification = pd.read_parquet(tracking.fetch(args.verification) / "verification.parquet")
        rows = dataset.assemble(captions, audio, verification, taxonomy=taxonomy, seed=args.seed)

        sources = {
            "distill_tags": args.tag_sets,
            "write_captions": args.captions,
            "generate_audio": args.audio,
            "verify_concepts": args.verification,
        }
        stages = {stage: tracking.run_of(uri) for stage, uri in sources.items()}
        known = {stage: run for stage, run in stages.items() if run is not None}
        params = {stage: tracking.params(run) for stage, run in known.items()}
        corpus = params.get("distill_tags", {}).get("corpus", "unknown")
        backend = params.get("generate_audio", {}).get("backend", "unknown")
        facts = {
            "corpus": Path(corpus).name if corpus.endswith(".csv") else corpus,
            "backend": backend,
            "licence": dataset.licence(corpus=corpus, backend=backend),
            "stages": {stage: run or "not tracked" for stage, run in stages.items()},
        }
        figures = report.key_figures({stage: tracking.metrics(run) for stage, run in known.items()}, runs=known)
        folder = Path(scratch, "dataset")
        sizes = dataset.write(folder, rows, facts=facts, figures=figures)
        dataset.verify(folder)
        tracking.log_folder(folder, "dataset")
        tracking.log_metrics({"dataset/rows": len(rows), **{f"dataset/{name}": size for name, size in sizes.items()}})
        tracking.log_metrics({"dataset/hours": rows["duration"].sum() / 3600})
        tracking.log_dataset(rows.drop(columns="audio"), name="conceptcaps", source=args.captions, context="published")
        if args.push_to != "none":
            dataset.push(folder, args.push_to)


if __name__ == "__main__":
    tracking.execute(main)
