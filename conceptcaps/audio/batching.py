"""Batches of items of similar length, halved when memory runs out."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_LOG = logging.getLogger(__name__)
_NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")


def in_batches(
    items: Sequence[Item],
    make: Callable[[Sequence[Item]], Sequence[Result]],
    *,
    key: Callable[[Item], int],
    batch_size: int,
    equal: bool = False,
) -> list[Result]:
    """What ``make`` gives for all items, in their order.

    Args:
        items: n things.
        make: Takes a batch and gives one result for each of its items.
        key: Length of an item; batches are formed in its order.
        batch_size: Most items in a batch; halved, for good, each time memory does not suffice.
        equal: Whether only items of one length share a batch.

    Raises:
        RuntimeError: If memory does not suffice for one item, or ``make`` raises another error.
    """
    lengths = [key(item) for item in items]
    order = sorted(range(len(items)), key=lambda number: (lengths[number], number))
    made: dict[int, Result] = {}
    while len(made) < len(items):
        part = order[len(made) : len(made) + batch_size]
        if equal:
            part = [number for number in part if lengths[number] == lengths[part[0]]]
        try:
            results = make([items[number] for number in part])
        except RuntimeError as error:  # torch.OutOfMemoryError is one
            if batch_size == 1 or not any(text in str(error).lower() for text in _NO_MEMORY):
                raise
            batch_size //= 2
            _LOG.warning("out of memory with %d clips at once; going on with %d", len(part), batch_size)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            continue
        made |= dict(zip(part, results, strict=True))
    return [made[number] for number in range(len(items))]
