"""Peak memory of a piece of code in a process of its own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Linux carries getrusage's peak over from the process that starts another (a test suite of 2 GB); this one starts anew.
PRINT = """
print("\\npeak", next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak(code: str, *arguments: object) -> float:
    """The largest resident memory, in megabytes, of a Python process that runs `code` with `sys.argv[1:]` as given."""
    done = subprocess.run(
        [sys.executable, "-c", code + PRINT, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1]) / 1024
