import pytest
import torch

from conceptcaps.tags.early_stopping import EarlyStopping


@pytest.mark.parametrize("bad", [1.0, float("nan")])
def test_keeps_the_best_epoch_and_is_over_after_as_many_worse_ones(bad):
    stopping, model = EarlyStopping(2), torch.nn.Linear(1, 1)
    for epoch, value in enumerate([0.5, bad, 2.0, 2.0, bad]):
        assert not stopping.over
        torch.nn.init.constant_(model.weight, epoch)
        stopping.note(value, model)
    assert stopping.over and stopping.best == 2.0 and stopping.weights["weight"].item() == 2


def test_without_a_finite_value_there_are_no_weights():
    stopping = EarlyStopping(1)
    stopping.note(float("nan"), torch.nn.Linear(1, 1))
    assert stopping.over and not stopping.weights
