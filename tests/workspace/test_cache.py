import os
from pathlib import Path

from conceptcaps.workspace import cache


def test_the_variable_names_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CONCEPTCAPS_CACHE", str(tmp_path))
    assert cache.root() == tmp_path and cache.embeddings() == tmp_path / "embeddings"
    monkeypatch.delenv("CONCEPTCAPS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    assert cache.root() == tmp_path / "own" / "conceptcaps"


def test_what_was_used_longest_ago_goes_first(tmp_path):
    for age, name in enumerate(["new", "middle", "old"]):
        path = tmp_path / "some" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(100))
        os.utime(path, (1000 - age, 1000 - age))
    assert cache.size(tmp_path) == 300
    assert cache.prune(tmp_path, limit=300) == 0
    assert cache.prune(tmp_path, limit=150) == 2
    assert [path.name for path in Path(tmp_path, "some").iterdir()] == ["new"]
