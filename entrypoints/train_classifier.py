"""Train the genre classifier that TCAV probes and register it as ``conceptcaps-classifier``."""

import argparse
import base64
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from conceptcaps import cache, tracking
from conceptcaps.listening import embeddings
from conceptcaps.probing import classifier, clips
from conceptcaps.tags.taxonomy import Taxonomy


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audio", required=True, help="audio of generate_audio, or a folder <genre>/*.wav|au (GTZAN)")
    parser.add_argument("--taxonomy", default="builtin", help="builtin, or a file: runs:/<id>/tag_sets/taxonomy.yaml")
    parser.add_argument("--min_clips", type=int, default=6, help="training clips that a genre needs")
    parser.add_argument("--epochs", type=int, default=20, help="most epochs")
    parser.add_argument("--batch_size", type=int, default=16, help="clips in a step")
    parser.add_argument("--learning_rate", type=float, default=0.001, help="learning rate of AdamW")
    parser.add_argument("--patience", type=int, default=5, help="epochs without a better val/nll before stopping")
    parser.add_argument("--seed", type=int, default=0, help="seed of split, weights and order")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("train_classifier", vars(args)), tempfile.TemporaryDirectory() as folder:
        taxonomy = Taxonomy.load(None if args.taxonomy == "builtin" else tracking.fetch(args.taxonomy))
        rows, unreadable = clips.read(tracking.fetch(args.audio))
        tracking.log_json(unreadable, "unreadable.json")
        data = clips.label(rows, taxonomy=taxonomy, min_clips=args.min_clips, seed=args.seed)
        tracking.log_frame(data.rows.drop(columns="clip"), "clips.parquet")
        tracking.log_metrics({**data.counts, "data/unreadable": len(unreadable)})
        kept = cache.embeddings()
        made = embeddings.compute(
            list(data.rows["clip"]), function=classifier.features, name="log_mel_pairs", cache=kept
        )
        spectra = classifier.stack([array["log_mel"] for array in made])
        labels = torch.tensor([data.classes.index(name) for name in data.rows["class"]])
        split = {name: torch.tensor((data.rows["split"] == name).to_numpy()) for name in clips.SPLITS}
        parts = {name: (spectra[mask], labels[mask]) for name, mask in split.items()}
        for name, mask in split.items():
            described = data.rows[mask.numpy()].drop(columns="clip")
            tracking.log_dataset(described, name=f"clips/{name}", source=args.audio, context=name)

        model = classifier.fit(
            train=parts["train"],
            validation=parts["validation"],
            genres=data.classes,
            epochs=args.epochs,
            batch_size=args.batch_size,
            learning_rate=args.learning_rate,
            patience=args.patience,
            seed=args.seed,
            device="cuda" if torch.cuda.is_available() else "cpu",
            on_epoch=lambda epoch, metrics: tracking.log_metrics(metrics, step=epoch),
        )
        metrics, per_item, figure = classifier.assess(model, parts, seed=args.seed)
        tracking.log_metrics(metrics)
        ids = data.rows["id"][split["validation"].numpy()].to_list()
        tracking.log_frame(per_item.assign(id=ids)[["id", *per_item.columns]], "per_item.parquet")
        tracking.log_figure(figure, "confusion")
        weights = Path(folder, "classifier")
        classifier.save(model, weights)
        example = pd.DataFrame({"audio": [base64.b64encode(data.rows["clip"].iloc[0]).decode()]})
        chosen = {name: metrics[name] for name in ("val/nll", "val/accuracy", "test/accuracy")}
        tracking.register(
            "conceptcaps-classifier", weights, module="conceptcaps.probing.classifier", example=example, metrics=chosen
        )


if __name__ == "__main__":
    tracking.execute(main)
