"""What this machine's processor can do, and how many of its cores torch works on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def multiplies_bfloat16() -> bool:
    """Whether this processor multiplies matrices of bfloat16 in less time than those of float32.

    Intel's are taken to by their AMX tiles alone: on a Xeon with AVX-512 products of bfloat16 and without AMX, one of
    600 x 576 by 576 x 1536 took 7.5 ms in bfloat16 and 4.3 ms in float32.
    """
    has = torch.cpu.get_capabilities()
    by_vectors = has.get("avx512_bf16", False) and "Intel" not in str(has.get("cpu_name"))
    return bool(has.get("amx_bf16", False) or by_vectors)


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
