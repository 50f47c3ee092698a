"""Compare written captions with real ones of the test split that have the most similar tags."""

import argparse
from collections.abc import Sequence

import pandas as pd

from conceptcaps import tracking
from conceptcaps.captions import language_model, llm_judge, metrics, table
from conceptcaps.tags.taxonomy import Taxonomy

MAUVE_SEEDS = 3


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", required=True, help="folder or runs:/<id>/captions, or a CSV of other captions")
    parser.add_argument("--references", required=True, help="folder or runs:/<id>/tag_sets; its test split is read")
    parser.add_argument("--baseline", default="none", help="runs:/<id>/per_item.parquet to compare with, or none")
    parser.add_argument("--feature_model", default="minilm", help="minilm, a folder of a sentence encoder, or a Hub id")
    parser.add_argument("--feature_layer", type=int, default=5, help="hidden layer that BERTScore compares")
    parser.add_argument("--perplexity_model", default="none", help="causal LM that wrote none of the captions, or none")
    parser.add_argument("--judge_model", default="none", help="chat model that compares with the references, or none")
    parser.add_argument("--seed", type=int, default=0, help="seed of intervals and of MAUVE's clusterings")
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
        texts, tags, all_real = written["caption"].tolist(), written["tags"].tolist(), real["caption"].tolist()
        rows, jaccard = metrics.nearest_references(taxonomy.encode(tags), taxonomy.encode(real["tags"].tolist()))
        references = [all_real[row] for row in rows]
        scorer = metrics.bert_scorer(model, layer=args.feature_layer)
        tracking.set_tags({"bertscore.hash": scorer.hash.replace(model, args.feature_model)})

        scores = table.judge(written, taxonomy=taxonomy).assign(
            reference_jaccard=jaccard,
            **metrics.overlap(texts, references),
            bertscore_f1=metrics.bert_score(texts, references, scorer=scorer),
        )
        if args.perplexity_model != "none":
            outside, tokenizer = language_model.load(args.perplexity_model)
            scores["perplexity"] = metrics.perplexities(texts, model=outside, tokenizer=tokenizer)
        summary = {"captions/count": len(texts)}
        if args.judge_model != "none":
            outside, tokenizer = language_model.load(args.judge_model)
            scores["judge"] = llm_judge.preferences(tags, texts, references, model=outside, tokenizer=tokenizer)
            summary["captions/judge_failures"] = int(scores["judge"].isna().sum())
        summary |= table.means(scores.loc[:, scores.count() >= 2], seed=args.seed)
        named = {"id": written["id"], "sample_id": written["sample_id"], "reference_id": real["id"].to_numpy()[rows]}
        items = pd.concat([pd.DataFrame(named), scores], axis=1)
        tracking.log_frame(items, "per_item.parquet")
        if args.baseline != "none":
            summary |= table.paired(items, pd.read_parquet(tracking.fetch(args.baseline)), seed=args.seed)

        seeds = range(args.seed, args.seed + MAUVE_SEEDS)
        features, real_features = (metrics.embed(part, model=model) for part in (texts, all_real))
        found = metrics.mauve_score(features, real_features, seeds=seeds)
        summary |= {"captions/mauve": found.mean, "captions/mauve_spread": found.spread, "captions/mauve_n": found.n}
        summary |= {f"captions/distinct_{n}": metrics.distinct(texts, n=n) for n in (1, 2)}
        summary["captions/self_bleu"] = metrics.self_bleu(texts, seed=args.seed)
        tracking.log_metrics(summary)
        if found.n < metrics.MAUVE_NEEDS:
            tracking.set_tags({"warning": f"MAUVE of {found.n} texts: compare it within this project only"})


if __name__ == "__main__":
    tracking.execute(main)
