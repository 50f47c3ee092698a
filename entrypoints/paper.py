"""Run the whole pipeline at the scale of arXiv 2601.14157."""

import argparse
from collections.abc import Sequence

from conceptcaps import tracking
from conceptcaps.publishing import feasibility
from entrypoints import main as pipeline


def command_line() -> argparse.ArgumentParser:
    parser = pipeline.command_line()
    parser.description = __doc__
    parser.set_defaults(
        corpus="google/MusicCaps",
        count=21_433,
        trials=50,
        from_sweeps=1,
        base_model="meta-llama/Llama-3.1-8B-Instruct",
        quantization="nf4",
        max_examples=0,
        batch_size=16,
        caption_corpus="tag_sets",
        audio_backend="musicgen",
        audio_model="facebook/musicgen-large",
        duration=30.0,
        concepts=feasibility.CONCEPTS + ",choir,happy,sad,slow tempo,fast tempo,jazz",
        concept_count=100,
        balance=0.05,
        tries=24,
        parallel_steps=1,
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    pipeline.main(argv, name="paper", parser=command_line())


if __name__ == "__main__":
    tracking.execute(main)
