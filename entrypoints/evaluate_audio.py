"""Measure clips: distance to reference audio (FAD, FAD-inf, KAD) or between halves, CLAP score, loudness."""

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from conceptcaps import cache, figures, shards, tracking
from conceptcaps.audio.clips import Clips
from conceptcaps.intervals import bootstrap_mean, paired_difference
from conceptcaps.listening import clap, distances, embeddings

FEWEST = 400  # clips; twice the dimensions of musicnn's embedding


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audio", required=True, help="folder or runs:/<id>/audio of generate_audio")
    parser.add_argument("--reference", default="self", help="audio to compare with, or self: halves with each other")
    parser.add_argument("--clap_checkpoint", default="none", help="LAION-CLAP checkpoint: file or runs:/ URI, or none")
    parser.add_argument(
        "--embedding", default="musicnn_mtt,musicnn_msd", help="musicnn_mtt and musicnn_msd, or one, joined by commas"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of subsets, halves and intervals")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    kept = cache.embeddings()

    def load(uri, name):
        folder = str(tracking.fetch(uri))
        rows = shards.read(folder, columns=["id", "caption", "duration"])
        tracking.log_dataset(rows, name=name, source=uri, context="evaluation")
        return rows, Clips(folder)

    with tracking.run("evaluate_audio", vars(args)):
        rows, clips = load(args.audio, "audio")
        reference = None if args.reference == "self" else load(args.reference, "reference")[1]
        items = pd.DataFrame({"id": rows["id"], "duration": rows["duration"]})
        items["loudness"] = embeddings.loudness(clips, cache=kept)

        metrics, lines = {"audio/clips": len(rows), "audio/hours": rows["duration"].sum() / 3600}, {}
        for name in args.embedding.split(","):
            sets = [
                None if part is None else embeddings.musicnn_means(part, model=name, cache=kept)["penultimate"]
                for part in (clips, reference)
            ]
            found, lines[name] = distances.compare(*sets, name=name, seed=args.seed)
            metrics |= found
        if args.clap_checkpoint != "none":
            device = "cuda" if torch.cuda.is_available() else "cpu"
            model = clap.load(tracking.fetch(args.clap_checkpoint), device=device)
            tracking.set_tags({"clap_sha256": model.sha256})
            made = embeddings.compute(clips, function=model.embed_clip, name="clap", cache=kept, weights=model.sha256)
            own, others = distances.clap_scores(
                np.stack([arrays["clap"] for arrays in made]), model.embed_text(rows["caption"].tolist())
            )
            items = items.assign(**{"audio/clap_score": own, "audio/clap_control": others})
            gain = paired_difference(own, others, seed=args.seed)
            for name, interval in {"score": bootstrap_mean(own, seed=args.seed), "gain": gain}.items():
                metrics |= interval.metrics(f"audio/clap_{name}")
            metrics["audio/clap_control"] = others.mean()
        tracking.log_metrics(metrics)
        tracking.log_frame(items, "per_item.parquet")
        tracking.log_figure(distances.extrapolation_figure(lines), "fad_inf")
        heard = items["loudness"][items["loudness"] > -70]
        title = f"loudness of {len(heard)} clips, {len(items) - len(heard)} silent"
        tracking.log_figure(figures.histogram(heard, title=title, label="LUFS", ylabel="clips"), "loudness")
        if len(rows) < FEWEST:
            tracking.set_tags({"warning": f"distances of {len(rows)} clips: compare with sets of this size only"})


if __name__ == "__main__":
    tracking.execute(main)
