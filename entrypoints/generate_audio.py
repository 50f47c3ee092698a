"""Make a clip for every caption, in shards, resumable after a kill; with the soundfont, say what sounds in it."""

import argparse
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from conceptcaps import assets, hashing, project, shards, tracking
from conceptcaps.audio import clips, musicgen, table
from conceptcaps.tags import carried

EXAMPLES = 4
NO_SETTINGS = {"captions", "out", "executor", "batch_size", "workers", "shard_range"}  # what clips do not depend on


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", required=True, help="folder or runs:/<id>/captions of write_captions")
    parser.add_argument("--soundfont", default="embedded", help="embedded, or sf2 and sf3 files, a,b,c")
    parser.add_argument("--backend", choices=table.BACKENDS, default="soundfont", help="what makes the sound")
    parser.add_argument("--model", default="none", help="musicgen: a folder or a Hub id with @revision; otherwise none")
    parser.add_argument("--guidance", type=float, default=3.0, help="musicgen: weight of the caption, above 1")
    parser.add_argument("--temperature", type=float, default=1.0, help="musicgen: divides the logits")
    parser.add_argument("--top_k", type=int, default=250, help="musicgen: most likely codes that are kept")
    parser.add_argument("--duration", type=float, default=10.0, help="length of a clip (s)")
    parser.add_argument("--sample_rate", type=int, default=32_000, help="soundfont: samples a second (Hz)")
    parser.add_argument("--channels", type=int, choices=[1, 2], default=1, help="soundfont: 1 for mono, 2 for stereo")
    parser.add_argument("--batch_size", type=int, default=8, help="clips that musicgen makes at once")
    parser.add_argument("--shard_size", type=int, default=64, help="clips in a shard")
    parser.add_argument("--shard_range", default="all", help="shards that this run makes, such as 0:100, or all")
    parser.add_argument("--workers", type=int, default=2, help="soundfont: most processes that make shards at once")
    parser.add_argument("--executor", choices=["local"], default="local", help="where shards are made")
    parser.add_argument("--out", default="auto", help="folder or URL of the shards that survives a crash, or auto")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("generate_audio", vars(args)), tempfile.TemporaryDirectory() as scratch:
        folder = tracking.fetch(args.captions)
        rows = shards.read(str(folder), columns=["id", "tags", "caption", "split"])
        tracking.log_dataset(rows, name="captions", source=args.captions, context="generation")
        taxonomy, common = carried.taxonomy_of(folder), {"duration": args.duration, "seed": args.seed}
        if args.backend == "soundfont":
            names = args.soundfont.split(",")
            read = [assets.fetch("soundfont") if name == "embedded" else tracking.fetch(name) for name in names]
            sound = {"fonts": read, "sample_rate": args.sample_rate, "channels": args.channels}
            make = partial(table.play_rows, taxonomy=taxonomy, **sound, **common)
        else:
            dials = {"guidance": musicgen.Guidance(args.guidance, args.temperature, args.top_k), **common}
            make = partial(musicgen.generate_rows, model=musicgen.load(args.model), batch_size=args.batch_size, **dials)
            read = [Path(args.model)] if Path(args.model).exists() else []
        settings = {name: value for name, value in vars(args).items() if name not in NO_SETTINGS}
        settings["read"] = [hashing.content(path) for path in read]
        work = {**settings, "rows": shards.content(rows)}
        out = project.default_folder("generate_audio", work) if args.out == "auto" else args.out
        manifest = shards.map_shards(
            make,
            rows,
            out=out,
            schema=table.SCHEMA,
            shard_size=args.shard_size,
            settings=settings,
            description="generate_audio",
            files=carried.files(taxonomy),
            workers=args.workers if args.backend == "soundfont" else 1,
            shard_range=shards.parse_range(args.shard_range),
        )
        if manifest is None:
            return  # other runs make the other shards; the last of them goes on from here
        made = shards.read(out, columns=["id", "tags", "duration", "unrealised", "added", "error"])
        tracking.log_metrics(table.summary(made))
        bad = made[made["error"].notna()]
        clips.require_few(dict(zip(bad["id"], bad["error"], strict=True)), total=len(made))
        tracking.log_folder(tracking.fetch(out), "audio")
        shown = next(shards.batches(out, size=EXAMPLES)).query("error.isna()")
        tracking.log_figure(table.spectra(shown), "spectra")
        table.write_examples(shown, Path(scratch))
        tracking.log_folder(Path(scratch), "examples")


if __name__ == "__main__":
    tracking.execute(main)
