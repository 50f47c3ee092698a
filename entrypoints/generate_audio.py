"""Make a clip for every caption, and state what sounds where its score is known."""

import argparse
from collections.abc import Sequence

from conceptcaps import tracking
from conceptcaps.audio import backends, clips, pictures, soundfont, table
from conceptcaps.tags import carried
from conceptcaps.workspace import executor, project, shards

# What clips do not depend on:
NO_SETTINGS = {"captions", "melody", "out", "executor", "ray_address", "workers", "shard_range", "upload"}


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", required=True, help="captions of write_captions, or samples of sample_tags")
    parser.add_argument("--soundfont", default="embedded", help="embedded, or sf2 and sf3 files a,b,c")
    parser.add_argument(
        "--backend", choices=backends.BACKENDS, default="soundfont", help="what plays or generates the clips"
    )
    parser.add_argument("--model", default="none", help="neural backends: folder, Hub id, or debug of audiocraft")
    parser.add_argument("--guidance", type=float, default=3.0, help="neural models: guidance scale, above 1")
    parser.add_argument("--temperature", type=float, default=1.0, help="neural models: divides the logits")
    parser.add_argument("--top_k", type=int, default=250, help="neural models: number of likeliest codes kept")
    parser.add_argument("--melody", default="none", help="musicgen: clips whose melody those of the same ids follow")
    parser.add_argument("--duration", type=float, default=10.0, help="length of a clip (s)")
    parser.add_argument("--sample_rate", type=int, default=32_000, help="soundfont: samples a second (Hz)")
    parser.add_argument("--channels", type=int, choices=[1, 2], default=1, help="soundfont: 1 for mono, 2 for stereo")
    parser.add_argument("--batch_size", type=int, default=8, help="clips that a neural model makes at once")
    parser.add_argument("--shard_size", type=int, default=64, help="clips in a shard")
    parser.add_argument("--shard_range", default="all", help="shards that this run makes, such as 0:100, or all")
    parser.add_argument("--workers", type=int, default=2, help="maximum number of processes, or actors without a GPU")
    parser.add_argument("--executor", choices=executor.EXECUTORS, default="local", help="where shards are made")
    parser.add_argument("--ray_address", default="local", help="ray: a running cluster, or local to start one")
    parser.add_argument("--out", default="auto", help="folder or URL of the shards, resumable after a kill, or auto")
    parser.add_argument("--upload", type=int, choices=[0, 1], default=1, help="0: log only the manifest and the URL")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    played = args.backend == "soundfont"
    with tracking.run("generate_audio", vars(args)):
        rows = table.to_play(folder := tracking.fetch(args.captions), wordless=played)
        tracking.log_dataset(rows, name="captions", source=args.captions, context="generation")
        taxonomy = carried.taxonomy_of(folder)
        fonts = [tracking.fetch(name) for name in soundfont.named(args.soundfont)] if played else []
        dials = {name: value for name, value in vars(args).items() if name in backends.DIALS}
        followed = tracking.fetch_unless(args.melody, "none")
        dials["melody"] = clips.files(followed, rows["id"]) if followed else None
        make, read = backends.maker(args.backend, fonts=fonts, taxonomy=taxonomy, **dials)
        settings = {name: value for name, value in (vars(args) | {"read": read}).items() if name not in NO_SETTINGS}
        out = project.out_folder("generate_audio", args.out, {**settings, "rows": shards.content(rows)})
        if not shards.map_shards(
            make,
            rows,
            out=out,
            schema=table.SCHEMA,
            shard_size=args.shard_size,
            settings=settings,
            description="generate_audio",
            files=carried.files(taxonomy),
            workers=args.workers if played or args.executor == "ray" else 1,
            cluster=executor.cluster(args.executor, args.ray_address),
            shard_range=shards.parse_range(args.shard_range),
        ):
            return  # other runs make the other shards; the last of them goes on from here
        made = shards.read(out, columns=["id", "tags", "duration", "unrealised", "added", "error"])
        tracking.log_metrics(table.summarise(made))
        clips.require_few(table.failures(made), total=len(made))
        tracking.log_shards(out, "audio", rows=made, upload=bool(args.upload))
        tracking.log_figure(pictures.spectra(shown := table.examples(out)), "spectra")
        tracking.log_folder(table.write_examples(shown, tracking.scratch()), "examples")


if __name__ == "__main__":
    tracking.execute(main)
