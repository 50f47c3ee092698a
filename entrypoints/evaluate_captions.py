"""Compare written captions with real ones of the test split that have the most similar tags."""

import argparse

import pandas as pd

from conceptcaps import assets, base_model, shards, text_metrics, tracking
from conceptcaps.intervals import bootstrap_mean
from conceptcaps.taxonomy import Taxonomy

MAUVE_SEEDS = 3


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", required=True, help="folder or runs:/<id>/captions of write_captions")
    parser.add_argument("--references", required=True, help="folder or runs:/<id>/tag_sets; its test split is read")
    parser.add_argument("--feature_model", required=True, help="minilm, or a folder of a sentence encoder")
    parser.add_argument("--feature_layer", type=int, required=True, help="hidden layer that BERTScore compares")
    parser.add_argument("--perplexity_model", required=True, help="causal LM that wrote none of the captions, or none")
    parser.add_argument("--seed", type=int, required=True, help="seed of intervals and of MAUVE's clusterings")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    with tracking.run("evaluate_captions", vars(args)):
        folder = tracking.fetch(args.references)
        taxonomy = Taxonomy.load(folder / "taxonomy.yaml")
        written = shards.read(str(tracking.fetch(args.captions)))
        real = pd.read_parquet(folder / "test.parquet")
        tracking.log_dataset(written, name="captions", source=args.captions, context="evaluation")
        tracking.log_dataset(real, name="tag_sets/test", source=args.references, context="evaluation")
        named_asset = args.feature_model in assets.ASSETS
        model = assets.fetch(args.feature_model) if named_asset else tracking.fetch(args.feature_model)

        texts, all_real = written["caption"].tolist(), real["caption"].tolist()
        rows, jaccard = text_metrics.nearest_references(
            taxonomy.encode(written["tags"].tolist()), taxonomy.encode(real["tags"].tolist())
        )
        references = [all_real[row] for row in rows]
        scores = text_metrics.overlap(texts, references)
        scores["bertscore_f1"] = text_metrics.bert_score(texts, references, model=model, layer=args.feature_layer)
        if args.perplexity_model != "none":
            judge, tokenizer = base_model.load(args.perplexity_model)
            scores["perplexity"] = text_metrics.perplexities(texts, model=judge, tokenizer=tokenizer)
        items = pd.DataFrame({"id": written["id"], "reference_id": real["id"].to_numpy()[rows]})
        items = items.assign(reference_jaccard=jaccard, **scores)
        tracking.log_frame(items.assign(tag_recall=written["tag_recall"]), "per_item.parquet")

        metrics = {"captions/reference_jaccard": float(jaccard.mean())}
        for name, values in scores.items():
            interval = bootstrap_mean(values, seed=args.seed)
            metrics[f"captions/{name}"] = interval.mean
            metrics |= {f"captions/{name}_low": interval.low, f"captions/{name}_high": interval.high}
        seeds = range(args.seed, args.seed + MAUVE_SEEDS)
        features, real_features = (text_metrics.embed(part, model=model) for part in (texts, all_real))
        found = text_metrics.mauve_score(features, real_features, seeds=seeds)
        metrics |= {"captions/mauve": found.mean, "captions/mauve_spread": found.spread, "captions/mauve_n": found.n}
        metrics |= {f"captions/distinct_{n}": text_metrics.distinct(texts, n=n) for n in (1, 2)}
        tracking.log_metrics(metrics)
        if found.n < text_metrics.MAUVE_NEEDS:
            tracking.set_tags({"warning": f"MAUVE of {found.n} texts: compare it within this project only"})


if __name__ == "__main__":
    tracking.execute(main)
