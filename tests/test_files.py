import pytest

from conceptcaps.files import whole, whole_folder


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "folder" / "file"
    with whole(path) as temporary:
        temporary.write_text("old")
    with pytest.raises(OSError, match="full"), whole(path) as temporary:
        temporary.write_text("ne")
        raise OSError("full")
    assert path.read_text() == "old" and [found.name for found in path.parent.iterdir()] == ["file"]


def test_a_failed_folder_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "model"
    for text in ("older", "old"):
        with whole_folder(path) as temporary:
            (temporary / text).write_text(text)
    with pytest.raises(OSError, match="full"), whole_folder(path) as temporary:
        (temporary / "new").write_text("ne")
        raise OSError("full")
    assert [found.name for found in tmp_path.iterdir()] == ["model"] and [file.name for file in path.iterdir()] == [
        "old"
    ]
