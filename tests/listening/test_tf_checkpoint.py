import numpy as np
import pytest

from conceptcaps.listening import tf_checkpoint
from conceptcaps.workspace import assets


@pytest.fixture(scope="module")
def folder():
    return assets.fetch("musicnn_mtt")


@pytest.fixture
def copy(folder, tmp_path):
    for name in (".index", ".data-00000-of-00001"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    return tmp_path


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum, masked as LevelDB and TensorFlow store it."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_shapes_are_those_of_the_paper(folder):
    tensors = tf_checkpoint.read(f"{folder}/")
    weights = {name: value for name, value in tensors.items() if "Adam" not in name}
    assert weights["conv2d/kernel"].shape == (7, 38, 1, 204)
    assert weights["conv2d_1/kernel"].shape == (7, 67, 1, 204)
    assert weights["conv2d_5/kernel"].shape == (7, 561, 1, 64)
    assert weights["dense/kernel"].shape == (1506, 200)
    assert weights["beta1_power"].shape == ()
    assert all(value.dtype == np.float32 for value in tensors.values())


def test_values_agree_with_the_checksums_that_tensorflow_stored(folder):
    """The index keeps a checksum of every tensor's bytes; the reader does not use it, so it is an outside witness."""
    index = (folder / ".index").read_bytes()
    tensors = tf_checkpoint.read(f"{folder}/")
    small = {name: value for name, value in tensors.items() if value.nbytes <= 30_000}
    assert len(small) > 100
    for value in small.values():
        assert b"\x35" + crc32c(value.tobytes()).to_bytes(4, "little") in index


def test_truncated_data_is_refused(copy):
    data = copy / ".data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"expected \S+ of shape .* inside \d+ bytes"):
        tf_checkpoint.read(f"{copy}/")


def test_anything_but_an_index_is_refused(copy):
    (copy / ".index").write_bytes(b"not a table" * 10)
    with pytest.raises(ValueError, match="without its magic number"):
        tf_checkpoint.read(f"{copy}/")


def test_compressed_blocks_are_refused(copy):
    """The byte behind a block names its compression; the first block's is the first zero before its checksum."""
    table = bytearray((copy / ".index").read_bytes())
    footer = table[-48:]
    assert footer.count(0) > 30
    offset = footer.index(0)
    table[len(table) - 48 + offset - 1] ^= 0x7F
    (copy / ".index").write_bytes(table)
    with pytest.raises(ValueError, match="expected an uncompressed block"):
        tf_checkpoint.read(f"{copy}/")
