from types import SimpleNamespace

import pytest
from huggingface_hub.utils import filter_repo_objects

from conceptcaps.publishing import upload


class Hub:
    """What stands in for the hub's client: it notes what it is asked for, and keeps files and tags."""

    def __init__(self) -> None:
        self.asked, self.files, self.tags = [], set(), {}

    def create_repo(self, name, **named):
        self.asked.append(("create_repo", name, named))

    def list_repo_refs(self, name, **named):
        return SimpleNamespace(tags=[SimpleNamespace(name=tag) for tag in self.tags])

    def upload_folder(self, *, folder_path, delete_patterns=None, **named):
        self.asked.append(("upload_folder", folder_path, named))
        self.files -= set(filter_repo_objects(self.files, allow_patterns=delete_patterns or []))
        self.files |= set(upload.to_send(folder_path)["file"])
        return SimpleNamespace(oid=f"commit {len(self.asked)}")

    def create_tag(self, name, *, tag, revision=None, **named):
        assert tag not in self.tags
        self.asked.append(("create_tag", name, named))
        self.tags[tag] = revision


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.parquet").write_bytes(b"12345")
    (tmp_path / "README.md").write_text("card")
    return tmp_path


def test_a_dry_run_lists_every_file_with_its_size(folder):
    listed = upload.to_send(folder)
    assert listed.to_dict("list") == {"file": ["README.md", "data/train.parquet"], "bytes": [4, 5]}


@pytest.fixture
def hub(monkeypatch):
    hub = Hub()
    monkeypatch.setattr(upload, "HfApi", lambda: hub)
    return hub


@pytest.mark.parametrize("version", ["v1.0.0", ""])
def test_the_commit_of_the_upload_is_tagged_with_its_version(folder, hub, version):
    upload.push(folder, "me/music", version=version)
    kind = {"repo_type": "dataset"}
    sent = ("upload_folder", folder, {"repo_id": "me/music", **kind})
    tagged = ("create_tag", "me/music", kind)
    assert hub.asked == [("create_repo", "me/music", {"exist_ok": True, **kind}), sent, *([tagged] if version else [])]
    assert hub.tags == ({version: "commit 2"} if version else {})


def test_a_second_upload_leaves_nothing_of_the_first_and_a_version_is_sent_once(folder, hub):
    upload.push(folder, "me/music", version="v1.0.0")
    hub.files |= {".gitattributes", "data/audio/old.parquet", "old.json"}
    upload.push(folder, "me/music", version="v1.0.1")
    assert hub.files == {".gitattributes", "README.md", "data/train.parquet"}
    assert set(hub.tags) == {"v1.0.0", "v1.0.1"}
    before = list(hub.asked)
    with pytest.raises(ValueError, match="expected a version that me/music does not have, got v1.0.0"):
        upload.push(folder, "me/music", version="v1.0.0")
    assert [name for name, *_ in hub.asked[len(before) :]] == ["create_repo"]
