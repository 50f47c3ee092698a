"""Which network a stage's parameter ``classifier`` names."""

from collections.abc import Callable
from pathlib import Path

from conceptcaps.probing import classifier, networks
from conceptcaps.probing.networks import Probe

CHAMPION = "models:/conceptcaps-classifier@champion"
HELP = (
    "network: models:/conceptcaps-classifier/…, musicnn_mtt, musicnn_msd, module:function (one that gives a "
    "networks.Probe), or a folder with model.pt (TorchScript) and model.json"
)


def probe(name: str, *, fetch: Callable[[str], Path]) -> tuple[Probe, bool | None]:
    """The network that a name stands for.

    Args:
        name: As ``HELP`` says.
        fetch: Gives the folder of a URI or path.

    Returns:
        The network, and whether it knows its classes, where its training says so; None where it does not.

    Raises:
        ValueError: If there is no such network.
    """
    if name in networks.MUSICNN:
        return networks.of_musicnn(name), None
    if ":" in name and "/" not in name:
        return networks.of_function(name), None
    folder = fetch(name)
    if (folder / networks.MODEL).exists():
        return networks.of_torchscript(folder), None
    return classifier.load(folder).probe(), bool(classifier.config(folder)["interpretable"])
