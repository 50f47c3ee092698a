"""Run the whole pipeline as nested runs: corpus, tags, VAE, captions, audio, verification, TCAV, dataset, report."""

import argparse
import json
import time
from collections.abc import Sequence

from conceptcaps import tracking
from conceptcaps.publishing import report


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", default="demo", help="demo, a MusicCaps CSV, or a Hub id with @revision")
    parser.add_argument("--taxonomy", default="builtin", help="builtin, or a taxonomy file")
    parser.add_argument("--min_categories", type=int, default=3, help="categories that a tag set must span")
    parser.add_argument("--count", type=int, default=200, help="rows of the dataset")
    parser.add_argument("--beta", type=float, default=0.5, help="weight of the VAE's KL term")
    parser.add_argument("--trials", type=int, default=2, help="trials of each sweep; 0 leaves the sweeps out")
    parser.add_argument("--base_model", default="smollm2", help="smollm2, a folder, or a Hub id with @revision")
    parser.add_argument("--quantization", default="none", help="of the base weights: none, or nf4 (needs a GPU)")
    parser.add_argument("--max_examples", type=int, default=64, help="captions to fine-tune on; 0 takes all")
    parser.add_argument("--attempts", type=int, default=1, help="most attempts at one caption")
    parser.add_argument("--audio_backend", default="soundfont", help="soundfont or musicgen")
    parser.add_argument("--audio_model", default="none", help="text-to-audio model of the backend, or none")
    parser.add_argument("--duration", type=float, default=7.0, help="length of a clip (s)")
    parser.add_argument(
        "--pull", choices=["trained", "champion"], default="trained", help="models that later stages use"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_pipeline("main", command_line().parse_args(argv))


def run_pipeline(name: str, args: argparse.Namespace) -> None:
    started = time.monotonic()
    with tracking.run(name, vars(args)):
        pipeline = tracking.Pipeline(pull=args.pull)
        step = pipeline.step
        seed = {"seed": args.seed}
        corpus = {"corpus": args.corpus, "taxonomy": args.taxonomy, "min_categories": args.min_categories}
        tag_sets = step("distill_tags", "tag_sets", **corpus, **seed)
        base = {"base_model": args.base_model, "quantization": args.quantization}
        if args.trials:
            step("sweep_vae", tag_sets=tag_sets, trials=args.trials, **seed)
            step("sweep_captioner", tag_sets=tag_sets, trials=args.trials, **base, **seed)
        step("train_vae", tag_sets=tag_sets, beta=args.beta, **seed)
        vae = pipeline.promoted("conceptcaps-vae", trained_by="train_vae", metric="val/iwae")
        samples = step("sample_tags", "samples", vae=vae, tag_sets=tag_sets, count=args.count, **seed)
        step("finetune_captioner", tag_sets=tag_sets, max_examples=args.max_examples, **base, **seed)
        captioner = pipeline.promoted("conceptcaps-captioner", trained_by="finetune_captioner", metric="val/loss")
        writing = {"captioner": captioner, "samples": samples, "attempts": args.attempts}
        captions = step("write_captions", "captions", **writing, **seed)
        step("evaluate_captions", captions=captions, references=tag_sets, **seed)
        sound = {"backend": args.audio_backend, "model": args.audio_model, "duration": args.duration}
        audio = step("generate_audio", "audio", captions=captions, **sound, **seed)
        step("evaluate_audio", audio=audio, **seed)
        verification = step("verify_concepts", "verification", audio=audio)
        step("train_classifier", audio=audio, **seed)
        classifier = pipeline.promoted("conceptcaps-classifier", trained_by="train_classifier", metric="val/nll")
        step("run_tcav", classifier=classifier, audio=audio, **seed)
        step("run_tcav", label="run_tcav_musicnn", classifier="musicnn_mtt", audio=audio, **seed)
        made = {"tag_sets": tag_sets, "captions": captions, "audio": audio, "verification": verification}
        step("build_dataset", **made, **seed)
        page = step("report", "report.html", runs=json.dumps(pipeline.runs))
        tracking.log_json(pipeline.runs, "runs.json")
        tracking.log_metrics({"pipeline/wall_seconds": time.monotonic() - started})
        metrics = {key: tracking.metrics(run) for key, run in pipeline.runs.items()}
        dataset = tracking.local_path(f"runs:/{pipeline.runs['build_dataset']}/dataset")
        print(report.text_table(report.key_figures(metrics, runs=pipeline.runs)))
        print(f"dataset: {dataset}\nreport:  {tracking.local_path(page)}\nruns:    {tracking.ui_command()}")


if __name__ == "__main__":
    tracking.execute(main)
