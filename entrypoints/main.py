"""Run the whole pipeline, from corpus to report, as nested runs."""

import argparse
from collections.abc import Sequence

from conceptcaps import tracking
from conceptcaps.publishing import feasibility, report


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", default="demo", help="demo, a MusicCaps CSV, or a Hub id with @revision")
    parser.add_argument("--taxonomy", default="builtin", help="builtin, or a taxonomy file")
    parser.add_argument("--count", type=int, default=200, help="rows of the dataset")
    parser.add_argument("--trials", type=int, default=2, help="trials of each sweep; 0: no sweeps")
    parser.add_argument("--from_sweeps", type=int, choices=[0, 1], default=0, help="1: train with what they find")
    parser.add_argument("--base_model", default="smollm2", help="smollm2, a folder, or a Hub id with @revision")
    parser.add_argument("--quantization", default="none", help="of the base weights: none, or nf4 (needs a GPU)")
    parser.add_argument("--caption_corpus", default="builtin", help="text to learn: builtin, tag_sets, or a file")
    parser.add_argument("--max_examples", type=int, default=640, help="captions to fine-tune on; 0 takes all")
    parser.add_argument("--batch_size", type=int, default=1, help="captions in a step of fine-tuning")
    parser.add_argument("--audio_backend", default="soundfont", help="soundfont or musicgen")
    parser.add_argument("--audio_model", default="none", help="text-to-audio model of the backend, or none")
    parser.add_argument("--duration", type=float, default=7.0, help="length of a clip (s)")
    parser.add_argument("--concepts", default=feasibility.CONCEPTS, help="tags with designed sets and pairs, or all")
    parser.add_argument("--concept_count", type=int, default=32, help="positives of a concept; half as many pairs")
    parser.add_argument("--balance", type=float, default=2.0, help="largest imbalance of concept sets; .05 to publish")
    parser.add_argument("--tries", type=int, default=3, help="contexts tried for a pair; 24 to publish")
    parser.add_argument("--genres", default=feasibility.GENRES, help="classes of the classifier, one in each clip")
    parser.add_argument("--classifier_count", type=int, default=1900, help="clips made for the genre classifier")
    parser.add_argument("--pull", choices=["trained", "champion"], default="trained", help="models for later stages")
    parser.add_argument("--parallel_steps", type=int, default=2, help="stages that run side by side; 1 on one GPU")
    parser.add_argument("--license", default="derived", help="of the dataset: the Hub's identifier, or derived")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw")
    return parser


def main(argv: Sequence[str] | None = None, name: str = "main", parser: argparse.ArgumentParser | None = None) -> None:
    args = (parser := parser or command_line()).parse_args(argv)
    seed, lasts = {"seed": args.seed}, {"duration": args.duration if args.audio_backend == "soundfont" else 0.0}
    with tracking.run(name, vars(args)), tracking.Pipeline(pull=args.pull, at_once=args.parallel_steps) as pipeline:
        vars(args).update(feasibility.require(vars(args), usual=vars(parser.parse_args([]))))
        step, optional, promoted = pipeline.step, pipeline.optional, pipeline.promoted
        same = seed | {"tag_sets": step("distill_tags", "tag_sets", corpus=args.corpus, taxonomy=args.taxonomy, **seed)}
        base = same | {key: vars(args)[key] for key in ("base_model", "quantization", "caption_corpus", "batch_size")}
        most = args.max_examples if args.from_sweeps else 8  # a demonstration needs no more
        searches = {"sweep_vae": same, "sweep_captioner": base | {"max_examples": most}}
        found = {name: step(name, trials=args.trials, **dials) for name, dials in searches.items() if args.trials}
        sought = {name: {"after": run, "params_from": run if args.from_sweeps else None} for name, run in found.items()}
        step("train_vae", **sought.get("sweep_vae", {}), **same)
        drawn = same | {"vae": promoted("vae"), "realisable_by": args.audio_backend}
        samples = step("sample_tags", "samples", count=args.count, **drawn)
        step("finetune_captioner", max_examples=args.max_examples, **sought.get("sweep_captioner", {}), **base)
        captions = step("write_captions", "captions", captioner=promoted("captioner"), samples=samples, **lasts, **seed)
        optional("evaluate_captions", captions=captions, references=same["tag_sets"], **seed)
        sound = {"backend": args.audio_backend, "model": args.audio_model, "duration": args.duration, **seed}
        audio = step("generate_audio", "audio", captions=captions, **sound)
        optional("evaluate_audio", audio=audio, **seed)
        design = {"tags": args.concepts, "contexts": samples, "duration": args.duration, "tries": args.tries, **seed}
        even = {"count": args.concept_count, "balance": args.balance, "unbalanced": "leave_out", **design}
        concepts = optional("design_concepts", "concepts", **even)
        pairs = optional("make_pairs", "pairs", count=max(args.concept_count // 2, 1), **design)
        told = {"label": "sample_tags more", "one_of": args.genres, "count": args.classifier_count, "seed": 1}
        more = optional("sample_tags", "samples", apart_from=samples, **drawn | told)
        clips = optional("generate_audio", "audio", label="generate_audio more", captions=more, **sound)
        optional("train_verifier", concepts=concepts, beside={"clips": clips}, **seed)
        heard = optional("verify_concepts", "verification", audio=audio, verifier=promoted("verifier"), **seed)
        optional("train_classifier", audio=clips, genres=args.genres, min_clips=20, **seed)
        for of, net in {"": promoted("classifier"), " musicnn": "musicnn_mtt"}.items():
            asked = {"audio": concepts, "target_audio": clips, "classifier": net, **seed}
            moved = optional("intervene", "interventions.parquet", label=f"intervene{of}", classifier=net, pairs=pairs)
            optional("run_tcav", label=f"run_tcav{of}", interventions=moved, **asked)
        made = {"captions": captions, "audio": audio, "verification": heard, "pairs": pairs, "concepts": concepts}
        dataset = step("build_dataset", "dataset", license=args.license, **made, **same)
        page = step("report", "report.html", runs=pipeline.runs)
        print(report.summary(pipeline.summarise(report.KEYS_BY_STEP, dataset=dataset, report=page), runs=pipeline.runs))


if __name__ == "__main__":
    tracking.execute(main)
