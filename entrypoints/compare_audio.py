"""Compare the audio of several runs."""

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conceptcaps import tracking
from conceptcaps.audio.clips import Clips
from conceptcaps.captions import comparison
from conceptcaps.listening import distances, embeddings, neighbours
from conceptcaps.results import figures
from conceptcaps.workspace import cache


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--makers", required=True, help="name=runs:/<id>/audio,name=folder,…: two or more, the first is the base"
    )
    parser.add_argument("--reference", required=True, help="folder or runs:/<id>/audio that all are compared with")
    parser.add_argument("--embedding", default="musicnn_mtt,musicnn_msd", help="musicnn_mtt, musicnn_msd, or both")
    parser.add_argument("--seed", type=int, default=0, help="seed of subsets, intervals and tests")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    kept, names = cache.embeddings(), args.embedding.split(",")
    with tracking.run("compare_audio", vars(args)):
        sources = comparison.sources(args.makers)
        reference, _ = Clips.open(tracking.fetch(args.reference, foreign=True)).readable()
        real = {name: embeddings.musicnn_means(reference, model=name, cache=kept)["penultimate"] for name in names}
        items: dict[str, pd.DataFrame] = {}
        heard: dict[str, dict[str, NDArray[np.float32]]] = {}
        counts: dict[str, dict[str, float]] = {}
        for maker, source in sources.items():
            clips, bad = Clips.open(tracking.fetch(source, foreign=True)).readable()
            rows = pd.DataFrame({"sample_id": clips.ids, "reference_id": ""})
            tracking.log_dataset(rows, name=f"audio/{maker}", source=source, context="evaluation")
            rows["loudness"] = embeddings.loudness(clips, cache=kept)
            counts[maker] = {"audio/clips": len(clips), "audio/failed": len(bad)}
            heard[maker] = {
                name: embeddings.musicnn_means(clips, model=name, cache=kept)["penultimate"] for name in names
            }
            for name, own in heard[maker].items():
                rows[f"nearest_{name}"] = neighbours.nearest(own, real[name])
            items[maker] = rows
        least = min(len(rows) for rows in items.values())
        for maker, embedded in heard.items():
            found = [
                distances.compare(embedded[name], real[name], name=name, most=least, seed=args.seed)[0]
                for name in names
            ]
            with tracking.child_run(maker, {"maker": maker, "source": sources[maker]}):
                tracking.log_metrics(counts[maker] | {name: value for part in found for name, value in part.items()})
        differences = comparison.compare(items, seed=args.seed)
        means = comparison.means(items, seed=args.seed)
        tracking.log_frame(differences, "differences.parquet")
        tracking.log_frame(means, "means.parquet")
        tracking.log_figure(figures.writers(means), "makers")
        significant = (differences["q_value"] < 0.05).sum()
        tracking.log_metrics({"makers/count": len(items), "differences/significant": significant})
        print(means.pivot(index="score", columns="writer", values="mean").to_string(float_format="{:.3f}".format))


if __name__ == "__main__":
    tracking.execute(main)
