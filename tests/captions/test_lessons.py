from pathlib import Path

import pytest

from conceptcaps.captions import caption_corpus, lessons
from conceptcaps.captions.idiom import Idiom
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()
FURTHER = "A jazz tune led by a violin."


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Counts how often further captions are drawn; the cache is an empty one."""
    counted = []

    def further(source: str, *, seed: int) -> list[str]:
        counted.append((source, seed))
        return [FURTHER] * 9

    monkeypatch.setenv("CONCEPTCAPS_CACHE", str(tmp_path))
    monkeypatch.setattr(caption_corpus, "further", further)
    return counted


def idiom(captions: list[str], folder: Path, *, seed: int = 0):
    found = lessons._idiom(captions, source="builtin", seed=seed, taxonomy=TAXONOMY)
    found.save(folder / "idiom.json")
    return (folder / "idiom.json").read_text()


def test_an_idiom_is_made_once_for_the_same_captions_and_kept_as_it_was(drawn, tmp_path):
    first = idiom(["A slow waltz."], tmp_path)
    assert idiom(["A slow waltz."], tmp_path) == first and len(drawn) == 1
    Idiom.of(["A slow waltz.", *[FURTHER] * 9], taxonomy=TAXONOMY).save(tmp_path / "direct.json")
    assert first == (tmp_path / "direct.json").read_text()
    assert idiom(["A fast polka."], tmp_path) != first and len(drawn) == 2
    idiom(["A slow waltz."], tmp_path, seed=1)
    assert len(drawn) == 3


def test_other_code_makes_it_anew(drawn, tmp_path, monkeypatch):
    idiom(["A slow waltz."], tmp_path)
    monkeypatch.setattr(lessons.project, "code_hash", lambda file: "another")
    idiom(["A slow waltz."], tmp_path)
    assert len(drawn) == 2
