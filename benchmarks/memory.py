"""Peak memory of what stages do with 400 and with 4,000 clips of ten seconds: ``python -m benchmarks.memory``.

Clips are noise at 8 kHz, ten different ones in turn, so that what is kept by content is made quickly.
"""

import argparse
import tempfile
from pathlib import Path

from tests import memory
from tests.test_memory import CLASSIFIER, HEAD, STEPS, folder

ALL = STEPS | {"train_classifier head=cnn": CLASSIFIER.replace("HEAD", "cnn")}


def main() -> None:
    """Print the peaks of each step (MB) and what they grow by."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs=2, default=[400, 4000], help="clips: few and many")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a clip; verdicts need no more than 1")
    parser.add_argument("--steps", nargs="+", choices=ALL, default=list(ALL), help="what to measure")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        places = [folder(Path(scratch, str(n)), n, seconds=args.seconds, rate=8_000, channels=1) for n in args.counts]
        for step in args.steps:
            few, many = (memory.peak(HEAD + ALL[step], clips, f"{clips}-cache") for clips in places)
            print(f"{step:28} {few:6.0f} {many:6.0f}  {many / few - 1:+.1%}", flush=True)


if __name__ == "__main__":
    main()
