"""Make a clip for every caption, with a seed of its own, in shards that a killed run goes on with."""

import argparse
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa

from conceptcaps import project, shards, tracking
from conceptcaps.audio import musicgen, table
from conceptcaps.tags.taxonomy import Taxonomy

EXAMPLES = 4


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", required=True, help="folder or runs:/<id>/captions of write_captions")
    parser.add_argument(
        "--taxonomy", default="builtin", help="builtin, or a taxonomy file; the soundfont backend reads it"
    )
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
    parser.add_argument("--executor", choices=["local"], default="local", help="where shards are made")
    parser.add_argument("--out", default="auto", help="folder or URL of the shards that survives a crash, or auto")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("generate_audio", vars(args)), tempfile.TemporaryDirectory() as scratch:
        rows = shards.read(str(tracking.fetch(args.captions)), columns=["id", "tags", "caption"])
        tracking.log_dataset(rows, name="captions", source=args.captions, context="generation")
        common = {"duration": args.duration, "seed": args.seed}
        if args.backend == "soundfont":
            taxonomy = Taxonomy.load(None if args.taxonomy == "builtin" else tracking.fetch(args.taxonomy))
            make = partial(
                table.play_rows, taxonomy=taxonomy, sample_rate=args.sample_rate, channels=args.channels, **common
            )
        else:
            guidance = musicgen.Guidance(scale=args.guidance, temperature=args.temperature, top_k=args.top_k)
            model = musicgen.load(args.model)
            make = partial(musicgen.generate_rows, model=model, guidance=guidance, batch_size=args.batch_size, **common)
        out = project.default_folder("generate_audio", vars(args)) if args.out == "auto" else args.out
        shards.map_shards(
            make,
            rows,
            out=out,
            schema=pa.schema(table.FIELDS),
            shard_size=args.shard_size,
            settings={
                name: value for name, value in vars(args).items() if name not in {"out", "executor", "batch_size"}
            },
            description="generate_audio",
        )
        tracking.log_folder(tracking.fetch(out), "audio")
        made = shards.read(out)
        tracking.log_metrics(table.summary(made))
        tracking.log_figure(table.spectra(made), "spectra")
        for row in made.head(EXAMPLES).to_dict("records"):
            path = Path(scratch, row["audio"]["path"])
            path.write_bytes(row["audio"]["bytes"])
            tracking.log_file(path, "examples")


if __name__ == "__main__":
    tracking.execute(main)
