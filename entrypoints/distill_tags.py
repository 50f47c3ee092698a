"""Distil a captioned corpus into rows of canonical tags and split them."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from conceptcaps import tracking
from conceptcaps.results import figures
from conceptcaps.tags import corpus, splits
from conceptcaps.tags.taxonomy import Taxonomy


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", default="demo", help="demo, a CSV or Parquet file, or a Hub id with @revision")
    parser.add_argument("--caption_column", default="auto", help="column of captions; auto: the first known name")
    parser.add_argument("--aspect_column", default="auto", help="column of aspects, or auto; none: read from captions")
    parser.add_argument("--id_column", default="auto", help="column of ids; auto: first known name, else row numbers")
    parser.add_argument(
        "--taxonomy", default="builtin", help="builtin, or a taxonomy file (YAML, or the reference's JSON)"
    )
    parser.add_argument("--min_categories", type=int, default=3, help="minimum number of categories among a row's tags")
    parser.add_argument(
        "--split", choices=["grouped", "official"], default="grouped", help="how the test rows are chosen"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the split")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("distill_tags", vars(args)), tempfile.TemporaryDirectory() as folder:
        taxonomy = Taxonomy.load(tracking.fetch_unless(args.taxonomy, "builtin"))
        columns = {"caption": args.caption_column, "aspects": args.aspect_column, "id": args.id_column}
        rows = corpus.load_corpus(args.corpus, columns=columns, taxonomy=taxonomy)
        tracking.log_dataset(rows, name="corpus", source=args.corpus, context="source")
        distilled = corpus.distil(rows, taxonomy=taxonomy, min_categories=args.min_categories)
        parts = splits.split_rows(distilled.rows, taxonomy=taxonomy, split=args.split, seed=args.seed)

        out = Path(folder)
        taxonomy.save(out / "taxonomy.yaml")
        for name, part in parts.items():
            part.to_parquet(out / f"{name}.parquet", index=False)
        facts = {**vars(args), "counts": distilled.counts}
        files = [out / f"{name}.parquet" for name in parts]
        certificate = splits.certificate(files, parts, taxonomy=taxonomy, facts=facts)
        splits.write_certificate(out, certificate)
        tracking.log_folder(out, "tag_sets")
        tracking.log_frame(distilled.uncovered, "uncovered.parquet")

        sizes = {f"rows/{name}": len(part) for name, part in parts.items()}
        tracking.log_metrics({**{f"corpus/{name}": value for name, value in distilled.metrics.items()}, **sizes})
        tag_sets = list(distilled.rows["tags"])
        categories = {tag: taxonomy.category(tag) for tag in taxonomy.tags}
        words = [len(caption.split()) for caption in distilled.rows["caption"]]
        tracking.log_figure(figures.tag_frequency(tag_sets, categories=categories), "tag_frequency")
        tracking.log_figure(figures.tags_per_row(tag_sets, categories=categories), "tags_per_row")
        tracking.log_figure(figures.histogram(words, title="caption length", label="words"), "caption_length")


if __name__ == "__main__":
    tracking.execute(main)
