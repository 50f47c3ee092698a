"""Compare the captions of several writers, with tests of every difference."""

import argparse
from collections.abc import Sequence
from functools import partial

import pandas as pd

from conceptcaps import tracking
from conceptcaps.captions import comparison, evaluation, language_model, llm_judge, metrics, table
from conceptcaps.results import figures
from conceptcaps.tags.taxonomy import Taxonomy


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--writers", required=True, help="name=runs:/<id>/captions,name=file.csv,…: two or more, the first is the base"
    )
    parser.add_argument("--references", required=True, help="folder or runs:/<id>/tag_sets; its test split is read")
    parser.add_argument("--feature_model", default="minilm", help="minilm, a folder of a sentence encoder, or a Hub id")
    parser.add_argument(
        "--feature_layer", type=int, default=metrics.MINILM_LAYER, help="hidden layer that BERTScore compares"
    )
    parser.add_argument("--judge_model", default="none", help="chat model that wrote none of the captions, or none")
    parser.add_argument("--count", type=int, default=500, help="maximum number of captions per writer, drawn by seed")
    parser.add_argument("--seed", type=int, default=0, help="seed of draws, intervals, tests and planted faults")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("compare_captions", vars(args)):
        folder = tracking.fetch(args.references)
        taxonomy = Taxonomy.load(folder / "taxonomy.yaml")
        real = pd.read_parquet(folder / "test.parquet")
        tracking.log_dataset(real, name="tag_sets/test", source=args.references, context="evaluation")
        model, _ = language_model.source(args.feature_model)
        tools = {"scorer": metrics.bert_scorer(model, layer=args.feature_layer), "encoder": model, "seed": args.seed}
        prefer = None
        if args.judge_model != "none":
            judge, tokenizer = language_model.load(args.judge_model, quantization="none")
            prefer = partial(llm_judge.preferences, model=judge, tokenizer=tokenizer)
        items = {}
        for name, source in comparison.sources(args.writers).items():
            written = table.open_table(str(tracking.fetch(source)), taxonomy=taxonomy)
            written = written.sample(min(args.count, len(written)), random_state=args.seed).reset_index(drop=True)
            tracking.log_dataset(written, name=f"captions/{name}", source=source, context="evaluation")
            with tracking.child_run(name, {"writer": name, "source": source}):
                found = evaluation.evaluate(written, real, taxonomy=taxonomy, **tools)
                tracking.log_metrics(found.summary)
                evaluation.require_few_failures(found.items)
            items[name] = comparison.judged(found.items, written, real, prefer=prefer)
        differences = comparison.compare(items, seed=args.seed)
        means = comparison.means(items, seed=args.seed)
        tracking.log_frame(differences, "differences.parquet")
        tracking.log_frame(means, "means.parquet")
        tracking.log_figure(figures.writers(means), "writers")
        if prefer is not None:
            few = real.sample(min(60, len(real)), random_state=args.seed)
            tracking.log_metrics(comparison.agreement(few, prefer=prefer, taxonomy=taxonomy, seed=args.seed))
        tracking.log_metrics(
            {"writers/count": len(items), "differences/significant": (differences["q_value"] < 0.05).sum()}
        )
        print(means.pivot(index="score", columns="writer", values="mean").to_string(float_format="{:.3f}".format))


if __name__ == "__main__":
    tracking.execute(main)
