import pytest

from conceptcaps.publishing import upload


class Hub:
    """What stands in for the hub's client: it notes what it is asked for."""

    def __init__(self) -> None:
        self.asked = []

    def __getattr__(self, name):
        return lambda *given, **named: self.asked.append((name, *given, named))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.parquet").write_bytes(b"12345")
    (tmp_path / "README.md").write_text("card")
    return tmp_path


def test_a_dry_run_lists_every_file_with_its_size(folder):
    listed = upload.to_send(folder)
    assert listed.to_dict("list") == {"file": ["README.md", "data/train.parquet"], "bytes": [4, 5]}


@pytest.mark.parametrize("version", ["v1.0.0", ""])
def test_the_upload_is_tagged_with_its_version(folder, monkeypatch, version):
    hub = Hub()
    monkeypatch.setattr(upload, "HfApi", lambda: hub)
    upload.push(folder, "me/music", version=version)
    kind = {"repo_type": "dataset"}
    sent = ("upload_folder", {"folder_path": folder, "repo_id": "me/music", **kind})
    tagged = ("create_tag", "me/music", {"tag": version, **kind})
    assert hub.asked == [("create_repo", "me/music", {"exist_ok": True, **kind}), sent, *([tagged] if version else [])]
