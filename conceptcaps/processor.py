"""What this machine's processor can do, and how many of its cores torch works on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def multiplies_bfloat16() -> bool:
    """Whether this processor multiplies matrices of bfloat16 by itself, faster than those of float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


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
