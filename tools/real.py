"""Do detectors trained on soundfonts hear recordings? Free music of Debian, and a table: ``make real``.

Thirty seconds from the middle of each piece of two kinds: orchestral (The Battle for Wesnoth) and electronic (Nexuiz,
Endgame: Singularity). Nobody labelled the pieces; the kinds are the labels, so that an area under the curve says how
well a detector tells one kind from the other. Needs apt, which checks what it fetches, and a verifier: ``make demo``.
"""

import io
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import soundfile

from conceptcaps import tracking
from conceptcaps.errors import InputError
from conceptcaps.workspace import cache, hashing
from conceptcaps.workspace.files import whole_folder
from entrypoints import verify_concepts

PACKAGES = {  # sha256 of each, and its kind
    "wesnoth-1.16-music=1:1.16.9-1": ("f9bc3cde92b4ab30db5d7b85f89b4bcc3d788dd92602956d0347250850bf59bb", "orchestral"),
    "nexuiz-music=2.5.2-12": ("d1a7d6e2c0a5bbe6670dbf73354e38f742597310d425e373250fc71a636f8dda", "electronic"),
    "singularity-music=007-2": ("139ba1e408eeb0a72f1fff3760ca46558b9f81bed97dc8c0efa108c4007f4845", "electronic"),
}
TOLD = {"orchestral": ["orchestra", "strings", "violin"], "electronic": ["electronic", "techno", "drums"]}
SECONDS = 30


def pieces(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every recording below a folder, those in archives among them, sorted."""
    for path in sorted(folder.rglob("*.ogg")):
        yield path.stem, path.read_bytes()
    for path in sorted(folder.rglob("*.pk3")):
        with zipfile.ZipFile(path) as archive:
            yield from (
                (Path(name).stem, archive.read(name)) for name in sorted(archive.namelist()) if name.endswith(".ogg")
            )


def excerpt(recording: bytes, target: Path) -> bool:
    """Write the middle of a recording as FLAC; False for one that is too short."""
    with soundfile.SoundFile(io.BytesIO(recording)) as file:
        size = SECONDS * file.samplerate
        if file.frames < size:
            return False
        file.seek((file.frames - size) // 2)
        soundfile.write(target, file.read(size), file.samplerate)
    return True


def fetch(folder: Path) -> None:
    """Fill a folder with excerpts, one folder for each kind."""
    for package, (sha256, kind) in PACKAGES.items():
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run(["apt-get", "download", package], cwd=scratch, check=True)
            (archive,) = Path(scratch).glob("*.deb")
            if hashing.file_sha256(archive) != sha256:
                raise InputError(f"expected {package} with sha256 {sha256}, got another file")
            subprocess.run(["dpkg-deb", "-x", str(archive), str(Path(scratch, "files"))], check=True)
            (folder / kind).mkdir(exist_ok=True, parents=True)
            for name, recording in pieces(Path(scratch, "files")):
                excerpt(recording, folder / kind / f"{package.split('-')[0]}-{name}.flac")


def main() -> None:
    """Print how well detectors of the champion tell one kind of music from the other."""
    if not shutil.which("apt-get"):
        raise SystemExit(
            "expected apt-get, of Debian, got none: give verify_concepts recordings and labels of your own"
        )
    folder = cache.root() / "real" / hashing.digest([PACKAGES, SECONDS])[:12]
    if not folder.exists():
        with whole_folder(folder) as target:
            fetch(target)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*.flac"))
    rows = [(path.as_posix(), tag, int(path.parts[0] == kind)) for path in files for kind in TOLD for tag in TOLD[kind]]
    with tempfile.TemporaryDirectory() as scratch:
        labels = Path(scratch, "labels.csv")
        pd.DataFrame(rows, columns=["id", "tag", "truth"]).to_csv(labels, index=False)
        verify_concepts.main(["--audio", str(folder), "--labels", str(labels)])
    found = pd.read_parquet(
        tracking.fetch(f"runs:/{tracking.latest('verify_concepts')}/verification/detectors.parquet")
    )
    wanted = [tag for tags in TOLD.values() for tag in tags]
    table = found.set_index("tag").reindex(wanted)[["positives", "negatives", "auc", "calibration_error"]]
    print(table.to_string(float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
