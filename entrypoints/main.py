"""Run the whole pipeline as nested runs: corpus, tags, VAE, captions, audio, verification, dataset, TCAV, report."""

import argparse
import json
import time

from conceptcaps import tracking


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", required=True, help="demo, a MusicCaps CSV, or a Hub id with @revision")
    parser.add_argument("--taxonomy", required=True, help="builtin, or a taxonomy file")
    parser.add_argument("--min_categories", type=int, required=True, help="categories that a tag set must span")
    parser.add_argument("--count", type=int, required=True, help="rows of the dataset")
    parser.add_argument("--beta", type=float, required=True, help="weight of the VAE's KL term")
    parser.add_argument("--trials", type=int, required=True, help="trials of each sweep; 0 leaves the sweeps out")
    parser.add_argument("--base_model", required=True, help="smollm2, a folder, or a Hub id with @revision")
    parser.add_argument("--max_examples", type=int, required=True, help="captions to fine-tune on; 0 takes all")
    parser.add_argument("--audio_backend", required=True, help="soundfont or musicgen")
    parser.add_argument("--audio_model", required=True, help="text-to-audio model of the backend, or none")
    parser.add_argument("--duration", type=float, required=True, help="length of a clip (s)")
    parser.add_argument("--pull", choices=["trained", "champion"], required=True, help="models that later stages use")
    parser.add_argument("--seed", type=int, required=True, help="seed of every draw")
    return parser.parse_args(argv)


def main(argv=None, name="main"):
    args = parse_args(argv)
    started = time.monotonic()
    with tracking.run(name, vars(args)) as run_id:
        runs = {}

        def step(stage, *, label=None, **parameters):
            runs[label or stage] = tracking.submit(stage, parameters)
            return runs[label or stage]

        def promoted(model, training_run, metric):
            trained = tracking.registered_by(training_run)
            step("promote", label=f"promote_{model}", model=trained, metric=metric)
            return trained if args.pull == "trained" else tracking.resolve(f"models:/{model}@champion")

        corpus = {"corpus": args.corpus, "taxonomy": args.taxonomy, "min_categories": args.min_categories}
        tag_sets = f"runs:/{step('distill_tags', **corpus, seed=args.seed)}/tag_sets"
        training = {"tag_sets": tag_sets, "seed": args.seed}
        captioning = {**training, "base_model": args.base_model, "max_examples": args.max_examples}
        if args.trials:
            step("sweep_vae", **training, trials=args.trials, study=f"vae-{run_id}")
            step("sweep_captioner", **captioning, trials=args.trials, study=f"captioner-{run_id}")
        vae = promoted("conceptcaps-vae", step("train_vae", **training, beta=args.beta), "val/iwae")
        captioner = promoted("conceptcaps-captioner", step("finetune_captioner", **captioning), "val/loss")

        sampled = step("sample_tags", vae=vae, **training, count=args.count)
        written = step("write_captions", captioner=captioner, samples=f"runs:/{sampled}/samples", seed=args.seed)
        captions = f"runs:/{written}/captions"
        step("evaluate_captions", captions=captions, references=tag_sets, seed=args.seed)

        made = step(
            "generate_audio",
            captions=captions,
            backend=args.audio_backend,
            model=args.audio_model,
            duration=args.duration,
            seed=args.seed,
        )
        audio = f"runs:/{made}/audio"
        step("evaluate_audio", audio=audio, seed=args.seed)
        verification = f"runs:/{step('verify_concepts', audio=audio)}/verification"
        classifier = promoted(
            "conceptcaps-classifier", step("train_classifier", audio=audio, seed=args.seed), "val/nll"
        )
        step("run_tcav", classifier=classifier, audio=audio, seed=args.seed)
        everything = {"tag_sets": tag_sets, "captions": captions, "audio": audio, "verification": verification}
        step("build_dataset", **everything, seed=args.seed)
        step("report", runs=json.dumps(runs))

        tracking.log_json(runs, "runs.json")
        tracking.log_metrics({"pipeline/wall_seconds": time.monotonic() - started})
        print(tracking.summary(run_id, runs))


if __name__ == "__main__":
    tracking.execute(main)
