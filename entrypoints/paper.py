"""Run the pipeline at the scale of arXiv 2601.14157: the driver of ``main`` with other defaults."""

import argparse
from collections.abc import Sequence

from conceptcaps import tracking
from entrypoints import main as pipeline


def command_line() -> argparse.ArgumentParser:
    parser = pipeline.command_line()
    parser.description = __doc__
    parser.set_defaults(
        corpus="google/MusicCaps",
        count=21_433,
        beta=0.25,
        trials=50,
        base_model="meta-llama/Llama-3.1-8B-Instruct",
        quantization="nf4",
        max_examples=0,
        attempts=3,
        audio_backend="musicgen",
        audio_model="facebook/musicgen-large",
        duration=30.0,
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    pipeline.run_pipeline("paper", command_line().parse_args(argv))


if __name__ == "__main__":
    tracking.execute(main)
