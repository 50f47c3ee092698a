"""When training ends, and which weights it keeps: those of the best epoch on validation rows."""

from dataclasses import dataclass, field

from torch import Tensor, nn


@dataclass
class EarlyStopping:
    """The best epoch so far.

    Attributes:
        patience: Epochs without a better value after which training ends.
        best: Highest value of an epoch.
        waited: Epochs since then.
        weights: The network's weights after that epoch, on the CPU; none before the first finite value.
    """

    patience: int
    best: float = -float("inf")
    waited: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether training should end."""
        return self.waited >= self.patience

    def note(self, value: float, model: nn.Module) -> None:
        """Take an epoch's value, higher is better, and the weights with which it was reached."""
        self.waited += 1
        if value > self.best:
            self.best, self.waited = value, 0
            self.weights = {name: each.detach().cpu().clone() for name, each in model.state_dict().items()}
