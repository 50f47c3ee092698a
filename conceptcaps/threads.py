"""How many cores torch works on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch work on one core, for the whole process.

    Small convolutions and many small systems of equations lose on a second core more than they gain, up to thirtyfold
    on a machine whose cores are shared.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
