"""Evaluate captions against real ones of the test split."""

import argparse
from collections.abc import Sequence
from typing import Any

import pandas as pd

from conceptcaps import tracking
from conceptcaps.captions import caption_corpus, evaluation, language_model, metrics, table
from conceptcaps.tags.taxonomy import Taxonomy


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", required=True, help="folder or runs:/<id>/captions, or a CSV of other captions")
    parser.add_argument("--references", required=True, help="folder or runs:/<id>/tag_sets; its test split is read")
    parser.add_argument("--baseline", default="none", help="runs:/<id>/per_item.parquet to compare with, or none")
    parser.add_argument("--feature_model", default="minilm", help="minilm, a folder of a sentence encoder, or a Hub id")
    parser.add_argument(
        "--feature_layer", type=int, default=metrics.MINILM_LAYER, help="hidden layer that BERTScore compares"
    )
    parser.add_argument("--perplexity_model", default="smollm2", help="language model that wrote no caption, or none")
    parser.add_argument("--learnt", default="none", help="caption_corpus that the captioner learnt from, or none")
    parser.add_argument("--judge_model", default="none", help="chat model to judge captions and references, or none")
    parser.add_argument("--seed", type=int, default=0, help="seed of intervals, shuffles and clusterings")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("evaluate_captions", vars(args)):
        folder = tracking.fetch(args.references)
        taxonomy = Taxonomy.load(folder / "taxonomy.yaml")
        written = table.open_table(str(tracking.fetch(args.captions)), taxonomy=taxonomy)
        real = pd.read_parquet(folder / "test.parquet")
        tracking.log_dataset(written, name="captions", source=args.captions, context="evaluation")
        tracking.log_dataset(real, name="tag_sets/test", source=args.references, context="evaluation")
        model, _ = language_model.source(args.feature_model)
        scorer = metrics.bert_scorer(model, layer=args.feature_layer)
        tracking.set_tags({"bertscore.hash": scorer.hash.replace(model, args.feature_model)})
        learnt = str(tracking.fetch(args.learnt)) if args.learnt.startswith("runs:/") else args.learnt
        given = {"taxonomy": taxonomy, "seed": args.seed}
        found = evaluation.evaluate(
            written,
            real,
            **given,
            scorer=scorer,
            encoder=model,
            learnt=None if learnt == "none" else caption_corpus.load_for(folder, source=learnt, **given),
            outside=model_of(args.perplexity_model),
            judge=model_of(args.judge_model),
        )
        tracking.log_frame(found.items, "per_item.parquet")
        tracking.log_frame(found.disagreements, "disagreements.parquet")
        summary = found.summary
        if args.baseline != "none":
            baseline = pd.read_parquet(tracking.fetch(args.baseline))
            summary |= table.paired(found.items, baseline, seed=args.seed)
        tracking.log_metrics(summary)
        if "captions/whole_parses" not in summary:
            tracking.set_tags(
                {"note": "whole_parses was left out: link-parser (Debian's link-grammar) is not installed"}
            )
        if summary.get("captions/mauve_n", 0) < metrics.MAUVE_NEEDS:
            tracking.set_tags({"warning": "MAUVE of few texts: compare it within this project only"})
        evaluation.require_few_failures(found.items)


def model_of(name: str) -> Any:
    return None if name == "none" else language_model.load(name, quantization="none")


if __name__ == "__main__":
    tracking.execute(main)
