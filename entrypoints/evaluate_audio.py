"""Evaluate clips: FAD, FAD-inf and KAD, CLAP score, loudness."""

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from conceptcaps import tracking
from conceptcaps.audio.clips import Clips
from conceptcaps.listening import clap, clap_score, distances, embeddings, neighbours
from conceptcaps.results import figures, intervals
from conceptcaps.workspace import cache, shards

FEWEST = 400  # clips; twice the dimensions of musicnn's embedding


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audio", required=True, help="folder or runs:/<id>/audio of generate_audio")
    parser.add_argument("--reference", default="self", help="audio to compare with; self: its halves with each other")
    parser.add_argument("--clap_checkpoint", default="none", help="LAION-CLAP checkpoint: file or runs:/ URI, or none")
    parser.add_argument("--embedding", default="musicnn_mtt,musicnn_msd", help="musicnn_mtt, musicnn_msd, or both")
    parser.add_argument("--seed", type=int, default=0, help="seed of subsets, halves and intervals")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    kept = cache.embeddings()

    def listen(uri: str, name: str) -> tuple[Clips, dict[str, str]]:
        clips = Clips.open(tracking.fetch(uri, foreign=name == "reference"))
        tracking.log_dataset(pd.DataFrame({"id": clips.ids}), name=name, source=uri, context="evaluation")
        return clips.readable()

    with tracking.run("evaluate_audio", vars(args)):
        clips, bad = listen(args.audio, "audio")
        reference = None if args.reference == "self" else listen(args.reference, "reference")[0]
        items = pd.DataFrame({"id": [*clips.ids, *bad], "error": [""] * len(clips) + list(bad.values())})
        scores = pd.DataFrame({"loudness": embeddings.loudness(clips, cache=kept)})
        metrics: dict[str, float] = {"audio/clips": len(clips), "audio/failed": len(bad)}
        lines: dict[str, distances.Extrapolation] = {}
        for name in args.embedding.split(","):
            parts = [clips] if reference is None else [clips, reference]
            sets = [embeddings.musicnn_means(part, model=name, cache=kept)["penultimate"] for part in parts]
            found, line = distances.compare(sets[0], sets[1] if reference else None, name=name, seed=args.seed)
            metrics |= found
            lines |= {name: line} if line is not None else {}
            if reference is not None:
                density, coverage = neighbours.density_coverage(*distances.of_one_size(*sets, seed=args.seed))
                metrics |= {f"audio/density_{name}": density, f"audio/coverage_{name}": coverage}
        if args.clap_checkpoint != "none":
            device = "cuda" if torch.cuda.is_available() else "cpu"
            model = clap.load(tracking.fetch(args.clap_checkpoint), device=device)
            tracking.set_tags({"clap_sha256": model.sha256})
            made = embeddings.stream(clips, function=model.embed_clip, name="clap", cache=kept, weights=model.sha256)
            captions = shards.read(str(tracking.fetch(args.audio)), columns=["id", "caption"]).set_index("id")
            sounds = np.stack([arrays["clap"] for arrays in made])
            texts = model.embed_text(captions.loc[list(clips.ids), "caption"].tolist())
            own, others = clap_score.clap_scores(sounds, texts)
            scores = scores.assign(**{"audio/clap_score": own, "audio/clap_control": others})
            metrics |= intervals.bootstrap_mean(own, seed=args.seed).metrics("audio/clap_score")
            metrics |= intervals.paired_difference(own, others, seed=args.seed).metrics("audio/clap_gain")
            ranks = {**clap_score.retrieval(sounds, texts), "control": others.mean()}
            metrics |= {f"audio/clap_{name}": value for name, value in ranks.items()}
        tracking.log_metrics(metrics)
        tracking.log_frame(items.join(scores), "per_item.parquet")
        if lines:
            tracking.log_figure(distances.extrapolation_figure(lines), "fad_inf")
        heard = scores["loudness"].dropna()
        title = f"loudness of {len(heard)} clips, {len(bad) + len(clips) - len(heard)} too quiet or broken"
        tracking.log_figure(figures.histogram(heard, title=title, label="LUFS", ylabel="clips"), "loudness")
        if len(clips) < FEWEST:
            tracking.set_tags({"warning": f"distances of {len(clips)} clips: compare with sets of this size only"})


if __name__ == "__main__":
    tracking.execute(main)
