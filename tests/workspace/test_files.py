import pytest

from conceptcaps.workspace.files import first_folder, whole, whole_folder


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


def test_the_first_of_two_folders_stays(tmp_path):
    path = tmp_path / "cache" / "model"
    with first_folder(path) as late:
        with first_folder(path) as early:
            (early / "file").write_text("first")
        (late / "file").write_text("second")
    assert (path / "file").read_text() == "first" and list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_take_its_place_is_an_error_and_leaves_nothing(tmp_path):
    path = tmp_path / "model"
    path.write_text("a file")
    with pytest.raises(NotADirectoryError), first_folder(path) as temporary:
        (temporary / "file").write_text("x")
    assert list(tmp_path.iterdir()) == [path] and path.read_text() == "a file"
