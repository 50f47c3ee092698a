"""Run the pipeline at the scale of arXiv 2601.14157: the driver of ``main``, with defaults of its own in MLproject."""

from conceptcaps import tracking
from entrypoints import main as pipeline

parse_args = pipeline.parse_args


def main(argv=None):
    pipeline.main(argv, name="paper")


if __name__ == "__main__":
    tracking.execute(main)
