from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from conceptcaps.workspace.spool import Spool


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16, torch.int16, torch.bool])
def test_gives_back_what_was_written_in_any_type_and_shape(kind):
    spool = Spool()
    tensors = [torch.randn(shape).to(kind) for shape in ((3, 4), (1,), (0, 2), ())]
    assert [spool.append(values) for values in tensors] == [0, 1, 2, 3]
    for number in (2, 0, 3, 1, 2):
        found = spool[number]
        assert (found.dtype, found.shape) == (kind, tensors[number].shape)
        assert torch.equal(found, tensors[number])
    assert len(spool) == 4


def test_what_a_reader_does_with_its_copy_is_its_own():
    spool = Spool()
    spool.append(torch.ones(3).expand(2, 3).T)
    spool[0].zero_()
    assert torch.equal(spool[0], torch.ones(3, 2))


def test_several_threads_write_and_read_at_once():
    spool = Spool()

    def one(value):
        return int(spool[spool.append(torch.full((value % 50 + 1,), value))][0])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(400))) == list(range(400))
