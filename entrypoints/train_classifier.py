"""Train the genre classifier that TCAV probes and register it."""

import argparse
import base64
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from conceptcaps import tracking
from conceptcaps.probing import classifier, clips, evaluation, heads
from conceptcaps.tags import carried, sampling
from conceptcaps.workspace import cache

TRAINING = ("epochs", "batch_size", "learning_rate", "weight_decay", "patience", "seed")


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audio", required=True, help="audio of generate_audio, or a folder <genre>/*.wav|au|mp3|ogg")
    parser.add_argument("--split_file", default="none", help="for a folder: CSV with file, split; or folder of lists")
    parser.add_argument("--head", choices=heads.HEADS, default="linear", help="linear or mlp on musicnn, or a cnn")
    parser.add_argument("--genres", default="none", help="genres that clips were made for; none: any genre counts")
    parser.add_argument("--min_clips", type=int, default=6, help="training clips that a genre needs")
    parser.add_argument(
        "--permute_labels", type=int, choices=[0, 1], default=0, help="1: shuffle labels; a control that must not learn"
    )
    parser.add_argument("--epochs", type=int, default=60, help="maximum number of epochs")
    parser.add_argument("--batch_size", type=int, default=32, help="clips in a step")
    parser.add_argument("--learning_rate", type=float, default=0.001, help="learning rate of AdamW")
    parser.add_argument("--weight_decay", type=float, default=1.0, help="weight decay of AdamW")
    parser.add_argument("--patience", type=int, default=8, help="epochs without a better val/nll before stopping")
    parser.add_argument("--seed", type=int, default=0, help="seed of split, weights and order")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("train_classifier", vars(args)), tempfile.TemporaryDirectory() as folder:
        split_file = tracking.fetch_unless(args.split_file, "none")
        found = clips.read(tracking.fetch(args.audio), split_file=split_file).readable()
        tracking.log_json(found.unreadable, "unreadable.json")
        taxonomy, genres = carried.taxonomy_of(found.folder), sampling.split_tags(args.genres)
        data = clips.label(found, taxonomy=taxonomy, min_clips=args.min_clips, seed=args.seed, genres=genres)
        rows = data.clips.rows
        tracking.log_frame(rows, "clips.parquet")
        tracking.log_metrics(data.counts)
        inputs = classifier.features(data.clips, head=args.head, cache=cache.embeddings())
        parts = classifier.parts(inputs, rows, classes=data.classes, permute=bool(args.permute_labels), seed=args.seed)
        for name in parts:
            tracking.log_dataset(rows[rows["split"] == name], name=f"clips/{name}", source=args.audio, context=name)
        model = classifier.fit(
            head=args.head,
            train=parts["train"],
            validation=parts["validation"],
            genres=data.classes,
            **{name: value for name, value in vars(args).items() if name in TRAINING},
            device="cuda" if torch.cuda.is_available() else "cpu",
            on_epoch=lambda epoch, metrics: tracking.log_metrics(metrics, step=epoch),
        )
        metrics, per_item, figure = evaluation.evaluate(model, parts)
        tracking.log_metrics(metrics)
        per_item.insert(0, "id", rows["id"][rows["split"] == "validation"].to_list())
        tracking.log_frame(per_item, "per_item.parquet")
        tracking.log_figure(figure, "confusion")
        facts = {"head": args.head, "interpretable": bool(metrics["test/interpretable"])}
        facts["learnt"] = rows["group"][rows["split"] == "train"]
        classifier.save(model, weights := Path(folder, "classifier"), **facts)
        example = pd.DataFrame({"audio": [base64.b64encode(next(iter(data.clips))).decode()]})
        chosen = {name: metrics[name] for name in ("val/nll", "val/accuracy", "test/accuracy", "test/interpretable")}
        tracking.register(
            "conceptcaps-classifier", weights, module="conceptcaps.probing.classifier", example=example, metrics=chosen
        )


if __name__ == "__main__":
    tracking.execute(main)
