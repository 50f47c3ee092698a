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


def probe(name: str, *, fetch: Callable[[str], Path]) -> tuple[Probe, bool | None, frozenset[str]]:
    """The network that a name stands for.

    Args:
        name: As ``HELP`` says.
        fetch: Gives the folder of a URI or path.

    Returns:
        The network; whether it knows its classes, where its training says so, else None; and the groups of the clips
        that it was trained on, as far as they are known.

    Raises:
        InputError: If there is no such network.
    """
    if name in networks.MUSICNN:
        return networks.of_musicnn(name), None, frozenset()
    if ":" in name and "/" not in name:
        return networks.of_function(name), None, frozenset()
    folder = fetch(name)
    if (folder / networks.MODEL).exists():
        return networks.of_torchscript(folder), None, frozenset()
    facts = classifier.config(folder)
    return classifier.load(folder).probe(), bool(facts["interpretable"]), classifier.learnt(folder)
