"""Trace rows to their runs, and make the rows again."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from conceptcaps import tracking
from conceptcaps.errors import Failure
from conceptcaps.publishing import chain
from conceptcaps.workspace import shards


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", required=True, help="ids of rows, comma-separated")
    parser.add_argument("--dataset", required=True, help="runs:/<id>/dataset of build_dataset, or a folder")
    parser.add_argument("--replay", type=int, choices=[0, 1], default=0, help="1: make rows again and compare bytes")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("trace", vars(args)), tempfile.TemporaryDirectory() as scratch:
        rows = chain.find(tracking.fetch(args.dataset), args.row.split(","))
        lines = [line for row in rows for line in chain.describe(row)]
        print("\n".join(lines))
        tracking.log_text("\n".join(lines) + "\n", "trace.txt")
        if args.replay:
            equal = chain.compare(rows, **replay(rows, Path(scratch)))
            tracking.log_frame(equal, "replay.parquet")
            tracking.log_metrics({f"replay/same_{made}": equal[made].mean() for made in chain.MADE})
            differing = equal[~equal[list(chain.MADE)].all(axis=1)]
            if len(differing):
                raise Failure(f"expected {len(rows)} rows equal when made again, got {chain.differences(differing)}")
            print(f"  replayed {len(rows)} of {len(rows)} alike: {', '.join(chain.MADE)}")


def replay(rows: Sequence[dict[str, Any]], scratch: Path) -> dict[str, pd.DataFrame]:
    runs = chain.makers(rows)
    drawn = tracking.fetch(f"runs:/{tracking.repeat(runs['sample_tags'])}/samples/samples.parquet")
    samples = pd.read_parquet(drawn).query("id in @wanted", local_dict={"wanted": [row["sample_id"] for row in rows]})
    samples.to_parquet(scratch / "samples.parquet", index=False)
    written = tracking.repeat(runs["write_captions"], samples=scratch, out=scratch / "captions")
    captions = f"runs:/{written}/captions"
    played = tracking.repeat(runs["generate_audio"], captions=captions, out=scratch / "audio", shard_range="all")
    texts = shards.read(str(tracking.fetch(captions)), columns=["sample_id", "caption"])
    clips = shards.read(str(tracking.fetch(f"runs:/{played}/audio")), columns=["id", "audio", "midi"])
    return {"samples": samples, "captions": texts, "clips": clips}


if __name__ == "__main__":
    tracking.execute(main)
