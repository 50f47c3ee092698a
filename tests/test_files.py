import pytest

from conceptcaps.files import whole


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "folder" / "file"
    with whole(path) as temporary:
        temporary.write_text("old")
    with pytest.raises(OSError, match="full"), whole(path) as temporary:
        temporary.write_text("ne")
        raise OSError("full")
    assert path.read_text() == "old" and [found.name for found in path.parent.iterdir()] == ["file"]
