"""Run the whole pipeline as nested runs: corpus, tags, VAE, captions, audio, verification, TCAV, dataset, report."""

import argparse
import json
import time

from conceptcaps import tracking
from conceptcaps.publishing import report


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", required=True, help="demo, a MusicCaps CSV, or a Hub id with @revision")
    parser.add_argument("--taxonomy", required=True, help="builtin, or a taxonomy file")
    parser.add_argument("--min_categories", type=int, required=True, help="categories that a tag set must span")
    parser.add_argument("--count", type=int, required=True, help="rows of the dataset")
    parser.add_argument("--beta", type=float, required=True, help="weight of the VAE's KL term")
    parser.add_argument("--trials", type=int, required=True, help="trials of each sweep; 0 leaves the sweeps out")
    parser.add_argument("--base_model", required=True, help="smollm2, a folder, or a Hub id with @revision")
    parser.add_argument("--quantization", required=True, help="of the base weights: none, or nf4 (needs a GPU)")
    parser.add_argument("--max_examples", type=int, required=True, help="captions to fine-tune on; 0 takes all")
    parser.add_argument("--attempts", type=int, required=True, help="most attempts at one caption")
    parser.add_argument("--audio_backend", required=True, help="soundfont or musicgen")
    parser.add_argument("--audio_model", required=True, help="text-to-audio model of the backend, or none")
    parser.add_argument("--duration", type=float, required=True, help="length of a clip (s)")
    parser.add_argument("--pull", choices=["trained", "champion"], required=True, help="models that later stages use")
    parser.add_argument("--seed", type=int, required=True, help="seed of every draw")
    return parser.parse_args(argv)


def main(argv=None, name="main"):
    args = parse_args(argv)
    started = time.monotonic()
    with tracking.run(name, vars(args)):
        runs = {}

        def step(stage, artifact=None, label=None, **parameters):
            runs[label or stage] = tracking.submit(stage, parameters)
            return f"runs:/{runs[label or stage]}/{artifact}"

        def promoted(model, stage, metric):
            trained = tracking.registered_by(runs[stage])
            step("promote", label=f"promote_{model}", model=trained, metric=metric)
            return trained if args.pull == "trained" else tracking.resolve(f"models:/{model}@champion")

        seed = {"seed": args.seed}
        corpus = {"corpus": args.corpus, "taxonomy": args.taxonomy, "min_categories": args.min_categories}
        tag_sets = step("distill_tags", "tag_sets", **corpus, **seed)
        base = {"base_model": args.base_model, "quantization": args.quantization}
        if args.trials:
            step("sweep_vae", tag_sets=tag_sets, trials=args.trials, **seed)
            step("sweep_captioner", tag_sets=tag_sets, trials=args.trials, **base, **seed)
        step("train_vae", tag_sets=tag_sets, beta=args.beta, **seed)
        vae = promoted("conceptcaps-vae", "train_vae", "val/iwae")
        samples = step("sample_tags", "samples", vae=vae, tag_sets=tag_sets, count=args.count, **seed)
        step("finetune_captioner", tag_sets=tag_sets, max_examples=args.max_examples, **base, **seed)
        captioner = promoted("conceptcaps-captioner", "finetune_captioner", "val/loss")
        writing = {"captioner": captioner, "samples": samples, "attempts": args.attempts}
        captions = step("write_captions", "captions", **writing, **seed)
        step("evaluate_captions", captions=captions, references=tag_sets, **seed)
        sound = {"backend": args.audio_backend, "model": args.audio_model, "duration": args.duration}
        audio = step("generate_audio", "audio", captions=captions, **sound, **seed)
        step("evaluate_audio", audio=audio, **seed)
        verification = step("verify_concepts", "verification", audio=audio)
        step("train_classifier", audio=audio, **seed)
        classifier = promoted("conceptcaps-classifier", "train_classifier", "val/nll")
        step("run_tcav", classifier=classifier, audio=audio, **seed)
        step("run_tcav", label="run_tcav_musicnn", classifier="musicnn_mtt", audio=audio, **seed)
        made = {"tag_sets": tag_sets, "captions": captions, "audio": audio, "verification": verification}
        step("build_dataset", **made, **seed)
        page = step("report", "report.html", runs=json.dumps(runs))
        tracking.log_json(runs, "runs.json")
        tracking.log_metrics({"pipeline/wall_seconds": time.monotonic() - started})
        metrics = {key: tracking.metrics(run) for key, run in runs.items()}
        dataset = tracking.local_path(f"runs:/{runs['build_dataset']}/dataset")
        print(report.text_table(report.key_figures(metrics, runs=runs)))
        print(f"dataset: {dataset}\nreport:  {tracking.local_path(page)}\nruns:    {tracking.ui_command()}")


if __name__ == "__main__":
    tracking.execute(main)
