"""Print and log what a taxonomy covers in a corpus and what it leaves out."""

import argparse
from collections.abc import Sequence

from conceptcaps import tracking
from conceptcaps.tags import corpus
from conceptcaps.tags.taxonomy import Taxonomy


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", default="demo", help="demo, a CSV or Parquet file, or a Hub id with @revision")
    parser.add_argument("--caption_column", default="auto", help="column of captions; auto: the first known name")
    parser.add_argument("--aspect_column", default="auto", help="column of aspects, or auto; none: read from captions")
    parser.add_argument("--id_column", default="auto", help="column of ids; auto: first known name, else row numbers")
    parser.add_argument("--taxonomy", default="builtin", help="builtin, or a taxonomy file")
    parser.add_argument("--top", type=int, default=40, help="aspects printed of each table")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("audit_taxonomy", vars(args)):
        taxonomy = Taxonomy.load(tracking.fetch_unless(args.taxonomy, "builtin"))
        columns = {"caption": args.caption_column, "aspects": args.aspect_column, "id": args.id_column}
        rows = corpus.load_corpus(args.corpus, columns=columns, taxonomy=taxonomy)
        tracking.log_dataset(rows, name="corpus", source=args.corpus, context="source")
        found = corpus.coverage(rows, taxonomy=taxonomy)
        tracking.log_frame(found.covered, "covered.parquet")
        tracking.log_frame(found.uncovered, "uncovered.parquet")
        tracking.log_metrics({"corpus/coverage": found.share, "corpus/distinct_coverage": found.distinct})
        print(f"covered: {found.share:.1%} of occurrences, {found.distinct:.1%} of distinct aspects")
        print(found.covered.head(args.top).to_string(index=False))
        print("\nnot covered:")
        print(found.uncovered.head(args.top).to_string(index=False))


if __name__ == "__main__":
    tracking.execute(main)
