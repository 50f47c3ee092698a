"""Build the Hugging Face dataset: text, audio, evidence, card, checksums."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from conceptcaps import tracking
from conceptcaps.publishing import dataset, evidence, licence, report, upload
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import shards


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tag_sets", required=True, help="runs:/<id>/tag_sets of distill_tags")
    parser.add_argument("--captions", required=True, help="runs:/<id>/captions of write_captions")
    parser.add_argument("--audio", required=True, help="runs:/<id>/audio of generate_audio")
    parser.add_argument("--verification", default="none", help="runs:/<id>/verification of verify_concepts, or none")
    parser.add_argument("--pairs", default="none", help="runs:/<id>/pairs of make_pairs, a config of its own, or none")
    parser.add_argument("--concepts", default="none", help="runs:/<id>/concepts of design_concepts, or none")
    parser.add_argument("--license", default="derived", help="the Hub's licence identifier, or derived")
    parser.add_argument("--push_to", default="none", help="Hub id of a dataset to upload to (needs HF_TOKEN), or none")
    parser.add_argument("--version", default="v1.0.0", help="version tag of the upload")
    parser.add_argument("--dry_run", type=int, default=0, help="1 lists what push_to would send and sends nothing")
    parser.add_argument("--seed", type=int, default=0, help="seed of the subsets")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("build_dataset", vars(args)), tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "dataset")
        taxonomy = Taxonomy.load(tracking.fetch(args.tag_sets) / "taxonomy.yaml")
        captions = shards.read(str(tracking.fetch(args.captions)))
        heard = {}
        if args.verification != "none":
            heard = evidence.verdicts_by_row(
                pd.read_parquet(tracking.fetch(args.verification) / "verification.parquet")
            )
        audio = str(tracking.fetch(args.audio))
        made = [args.captions, args.audio, args.tag_sets, args.verification, args.pairs, args.concepts]
        runs, origin = tracking.ancestors(made), tracking.origin(made[:2])
        template: dict[str, Any] = {"stages": [tracking.provenance(run) for run in runs.values()]}
        materials = licence.materials((tracking.tags(run)["stage"], tracking.params(run)) for run in runs.values())
        identifier, credits = licence.derive(materials, stated=args.license)
        template |= {"corpus": ", ".join(materials["corpus"]), "backend": origin.get("backend", licence.UNKNOWN)}
        dials = {"taxonomy": taxonomy, "seed": args.seed, "origin": origin}
        contents = dataset.write_rows(folder, captions, shards.batches(audio, size=32), heard, **dials)
        tables = {}
        for name, column in {"pairs": "split", "concepts": "part"}.items():
            if getattr(args, name) != "none":
                own = str(tracking.fetch(getattr(args, name)))
                rows, schema = shards.batches(own, size=32), shards.schema(own)
                tables[name] = dataset.write_table(folder, name, rows, schema=schema, split=column)
        template |= {"contents": contents, "tables": tables, "kinds": evidence.KINDS, "credits": credits}
        template["stated"] = args.license != "derived"
        metrics = {stage: tracking.metrics(run) for stage, run in runs.items()}
        template["figures"] = report.key_figures(metrics, runs=runs)
        dataset.finish(folder, licence=identifier, template=template, version=args.version)
        dataset.verify(folder)
        tracking.log_folder(folder, "dataset")
        counts = {name: getattr(contents, name) for name in ("hours", "failed", "verified", "contradicting")}
        counts |= {"rows": sum(contents.sizes.values()), **contents.sizes}
        tracking.log_metrics({f"dataset/{name}": count for name, count in counts.items()})
        tracking.log_dataset(captions, name="conceptcaps", source=args.captions, context="published")
        tracking.log_frame(upload.to_send(folder), "files.parquet")
        if args.push_to != "none" and not args.dry_run:
            upload.push(folder, args.push_to, version=args.version)


if __name__ == "__main__":
    tracking.execute(main)
