"""Train calibrated tag detectors and register them as ``conceptcaps-verifier``."""

import argparse
import base64
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from conceptcaps import tracking
from conceptcaps.audio.clips import Clips
from conceptcaps.listening import hearing, verification, verifier
from conceptcaps.tags.carried import taxonomy_of
from conceptcaps.workspace import cache, shards


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--concepts", required=True, help="runs:/<id>/concepts of design_concepts, or several, comma-separated"
    )
    parser.add_argument(
        "--clips", default="none", help="runs:/<id>/audio of generate_audio, to learn from too, or none"
    )
    parser.add_argument("--most", type=int, default=600, help="of these clips at most, drawn by seed")
    parser.add_argument("--seed", type=int, default=0, help="seed of the principal components and of such a draw")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("train_verifier", vars(args)), tempfile.TemporaryDirectory() as scratch:
        columns = ["id", "present", "absent", "group", "soundfont", "error"]
        sets = [Clips.open(tracking.fetch(uri)) for uri in args.concepts.split(",")]
        if (more := tracking.fetch_unless(args.clips, "none")) is not None:
            sets.append(Clips.open(more).some(args.most, seed=args.seed))
        taxonomy = taxonomy_of(sets[0].folder)
        tables, features = [], hearing.Features()
        for number, clips in enumerate(sets):  # each for itself: the same pieces in two fonts have the same ids
            good, _ = clips.readable()
            folder = str(good.folder)
            there = [name for name in columns if name in shards.schema(folder).names]
            table = shards.read(folder, columns=there).set_index("id").loc[list(good.ids)].reset_index()
            table = table if "group" in there else table.assign(group=table["id"])
            tables.append(table.assign(id=[f"{number}:{row_id}" for row_id in table["id"]] if number else table["id"]))
            features.extend(good, cache=cache.embeddings())
        rows = pd.concat(tables, ignore_index=True)
        source = args.concepts if more is None else f"{args.concepts},{args.clips}"
        tracking.log_dataset(rows[["id", "group"]], name="concepts", source=source, context="training")
        truth = verification.labels(rows["present"], rows["absent"], tags=taxonomy.tags)
        model, table, losses = verifier.fit(
            features,
            dict(zip(taxonomy.tags, truth.T, strict=True)),
            groups=rows["group"].tolist(),
            sources=rows["soundfont"].tolist(),
            seed=args.seed,
        )
        tracking.log_frame(table, "detectors.parquet")
        tracking.log_frame(pd.DataFrame({"id": rows["id"], "val/nll": losses}).dropna(), "per_item.parquet")
        found = {"val/detectors": len(model.tags), "val/auc": table.loc[table["kept"], "auc"].mean()}
        found["val/auc_low"] = table.loc[table["kept"], "auc_low"].mean()
        tracking.log_metrics(found)
        weights = Path(scratch, "verifier")
        verifier.save(model, weights)
        example = pd.DataFrame({"audio": [base64.b64encode(next(iter(sets[0]))).decode()]})
        tracking.register(
            "conceptcaps-verifier", weights, module="conceptcaps.listening.served", example=example, metrics=found
        )


if __name__ == "__main__":
    tracking.execute(main)
