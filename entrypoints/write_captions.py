"""Write a caption for every tag set and check what it says."""

import argparse
from collections.abc import Sequence
from functools import partial

import pandas as pd

from conceptcaps import tracking
from conceptcaps.audio import table as sounds
from conceptcaps.captions import captioner, language_model, sampling, table
from conceptcaps.results import figures
from conceptcaps.tags import carried
from conceptcaps.workspace import executor, project, shards

NO_SETTINGS = {"captioner", "out", "executor", "ray_address", "workers", "batch_size", "upload"}  # weights: its hash


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captioner", default="models:/conceptcaps-captioner@champion", help="model URI, or a folder")
    parser.add_argument("--samples", required=True, help="folder or runs:/<id>/samples of sample_tags")
    parser.add_argument("--duration", type=float, default=0.0, help="length of clips to describe (s); 0: say all tags")
    parser.add_argument("--variant", choices=captioner.VARIANTS, default="tuned", help="tuned: with the adapter")
    parser.add_argument("--engine", choices=captioner.ENGINES, default="torch", help="vllm: see make vllm")
    parser.add_argument("--precision", choices=language_model.PRECISIONS, default="auto", help="precision of weights")
    parser.add_argument("--batch_size", type=int, default=256, help="texts decoded at once, counting every candidate")
    parser.add_argument("--candidates", type=int, help="candidates for each sentence; the best is kept")
    parser.add_argument("--attempts", type=int, help="most rounds while all are faulty; 2 or more: new plans too")
    parser.add_argument("--temperature", type=float, help="divides the logits; 0 decodes greedily")
    parser.add_argument("--top_k", type=int, help="number of likeliest tokens kept")
    parser.add_argument("--top_p", type=float, help="total probability of the kept tokens, 0 to 1")
    parser.add_argument("--repetition_penalty", type=float, help="over 1 discourages repetition")
    parser.add_argument("--no_repeat_ngram", type=int, help="length of token n-grams that must not repeat; 0: none")
    parser.add_argument("--max_new_tokens", type=int, help="longest sentence, or unplanned text (tokens)")
    parser.add_argument("--max_words", type=int, default=0, help="longer ones lose sentences (CLAP hears ~55); 0: any")
    parser.add_argument("--shard_size", type=int, default=1024, help="captions in a shard")
    parser.add_argument("--executor", choices=executor.EXECUTORS, default="local", help="where shards are made")
    parser.add_argument("--ray_address", default="local", help="ray: a running cluster, or local to start one")
    parser.add_argument("--workers", type=int, default=2, help="maximum number of processes or actors without a GPU")
    parser.add_argument("--out", default="auto", help="folder or URL of the shards, resumable after a kill, or auto")
    parser.add_argument("--upload", type=int, choices=[0, 1], default=1, help="0: log only the manifest and the URL")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw")
    parser.set_defaults(**captioner.DECODING)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("write_captions", vars(args)):
        rows = pd.read_parquet(tracking.fetch(args.samples) / "samples.parquet")
        tracking.log_dataset(rows, name="samples", source=args.samples, context="generation")
        folder = tracking.fetch(args.captioner)
        writer = captioner.load(folder, variant=args.variant, engine=args.engine, precision=args.precision)
        if args.duration:
            rows["present"] = sounds.foreseen(rows, taxonomy=writer.taxonomy, duration=args.duration, seed=args.seed)
        dials = {name: getattr(args, name) for name in ("batch_size", "candidates", "attempts", "max_words", "seed")}
        settings = {name: value for name, value in vars(args).items() if name not in NO_SETTINGS}
        settings |= {"weights": captioner.weights(folder), "precision": writer.precision}
        out = project.out_folder("write_captions", args.out, settings)
        shards.map_shards(
            partial(table.write_rows, captioner=writer, sampling=sampling.Sampling.of(vars(args)), **dials),
            rows,
            out=out,
            schema=table.SCHEMA,
            shard_size=args.shard_size,
            settings=settings,
            description="write_captions",
            files=carried.files(writer.taxonomy),
            workers=args.workers if args.executor == "ray" or writer.on_processor else 1,
            cluster=executor.cluster(args.executor, args.ray_address),
        )
        tracking.log_shards(out, "captions", rows=(written := shards.read(out)), upload=bool(args.upload))
        tracking.log_metrics(table.summarise(written, taxonomy=writer.taxonomy, seed=args.seed))
        for name, label in {"tag_recall": "tag recall", "words": "words"}.items():
            tracking.log_figure(figures.histogram(written[name], title=label, label=label, ylabel="captions"), name)


if __name__ == "__main__":
    tracking.execute(main)
