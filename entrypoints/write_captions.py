"""Write a caption for every tag set with a registered captioner, and check what each caption says."""

import argparse
from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from conceptcaps import figures, project, shards, tracking
from conceptcaps.captions import captioner, table
from conceptcaps.captions.decoding import Sampling


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--captioner",
        default="models:/conceptcaps-captioner@champion",
        help="models:/conceptcaps-captioner@<alias>, or a folder",
    )
    parser.add_argument("--samples", required=True, help="folder or runs:/<id>/samples of sample_tags")
    parser.add_argument(
        "--variant", choices=captioner.VARIANTS, default="tuned", help="with adapter, without, or asked"
    )
    parser.add_argument(
        "--engine", choices=captioner.ENGINES, default="torch", help="what decodes; vllm: see make vllm"
    )
    parser.add_argument("--batch_size", type=int, default=64, help="captions decoded at once")
    parser.add_argument("--temperature", type=float, default=0.5, help="divides the logits; 0 decodes greedily")
    parser.add_argument("--top_k", type=int, default=50, help="most likely tokens that are kept")
    parser.add_argument("--top_p", type=float, default=0.97, help="probability that the kept tokens hold, 0 to 1")
    parser.add_argument("--repetition_penalty", type=float, default=1.1, help="over 1 discourages repetition")
    parser.add_argument("--no_repeat_ngram", type=int, default=4, help="tokens in a row that may stand once; 0 any")
    parser.add_argument("--steering", type=float, default=2.0, help="bonus of tags not yet said (nats); 0: no steering")
    parser.add_argument("--max_new_tokens", type=int, default=110, help="longest caption (tokens)")
    parser.add_argument("--attempts", type=int, default=3, help="most attempts at one caption")
    parser.add_argument("--shard_size", type=int, default=64, help="captions in a shard")
    parser.add_argument("--executor", choices=["local"], default="local", help="where shards are made")
    parser.add_argument("--out", default="auto", help="folder or URL of the shards that survives a crash, or auto")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("write_captions", vars(args)):
        version = tracking.resolve(args.captioner)
        rows = pd.read_parquet(tracking.fetch(args.samples) / "samples.parquet")
        tracking.log_dataset(rows, name="samples", source=args.samples, context="generation")
        writer = captioner.load(tracking.fetch(args.captioner), variant=args.variant, engine=args.engine)
        sampling = Sampling(**{name: getattr(args, name) for name in Sampling.__dataclass_fields__})
        dials = {name: getattr(args, name) for name in ("batch_size", "attempts", "steering", "seed")}
        settings = {**vars(args), "captioner": version}
        out = project.default_folder("write_captions", settings) if args.out == "auto" else args.out
        shards.map_shards(
            lambda part: table.write_rows(part, writer, sampling=sampling, **dials),
            rows,
            out=out,
            schema=pa.schema(table.FIELDS),
            shard_size=args.shard_size,
            settings={name: settings[name] for name in settings if name not in {"out", "executor", "batch_size"}},
            description="write_captions",
        )
        tracking.log_folder(tracking.fetch(out), "captions")
        written = shards.read(out)
        tracking.log_metrics(table.summary(written, taxonomy=writer.taxonomy, seed=args.seed))
        recall = figures.histogram(written["tag_recall"], title="tags said", label="tag recall", ylabel="captions")
        tracking.log_figure(recall, "tag_recall")
        lengths = figures.histogram(written["words"], title="caption length", label="words", ylabel="captions")
        tracking.log_figure(lengths, "caption_length")


if __name__ == "__main__":
    tracking.execute(main)
