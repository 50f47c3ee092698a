from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest

from conceptcaps.publishing import dataset
from conceptcaps.tags.taxonomy import Taxonomy
from tests import memory

TAXONOMY = Taxonomy.load()
STAGES = [{"name": "write_captions", "run": "1f", "commit": "c0ffee", "date": "2026-01-01"}]


def table(count: int, *, bytes_each: int = 100, name: str = "row") -> tuple[pd.DataFrame, list[pd.DataFrame], dict]:
    """Captions, clips in batches of ten, and verdicts: every third clip contradicts its score, the last one failed."""
    random = np.random.default_rng(0)
    tags = [sorted(random.choice(TAXONOMY.tags, 4, replace=False).tolist()) for _ in range(count)]
    ids = [f"{name}-{number}" for number in range(count)]
    captions = pd.DataFrame(
        {
            "id": ids,
            "tags": tags,
            "caption": "A tune.",
            "tag_recall": 1.0,
            "missed": [[] for _ in ids],
            "hallucinated": [[] for _ in ids],
            "sample_id": ids,
            "split": [("train", "validation", "test")[number % 10 // 8 + number % 10 // 9] for number in range(count)],
            "seed": range(count),
        }
    )
    clips = pd.DataFrame(
        {
            "id": ids,
            "audio": [{"bytes": random.bytes(bytes_each), "path": f"{row}.flac"} for row in ids],
            "seed": range(count),
            "present": tags,
            "absent": [["drums"] if "drums" not in own else [] for own in tags],
            "unrealised": [[] for _ in ids],
            "added": [[] for _ in ids],
            "facts": [{"bpm": 120.0, "key": "C", "mode": "major", "meter": 4} for _ in ids],
            "midi": b"MThd",
            "duration": 36.0,
            "sample_rate": 32_000,
            "error": [None] * (count - 1) + ["silent"],
        }
    )
    verdicts = {
        row: {own[0]: "absent" if place % 3 == 0 else "present"}
        for place, (row, own) in enumerate(zip(ids, tags, strict=True))
    }
    return captions, [clips.iloc[start : start + 10] for start in range(0, count, 10)], verdicts


def build(folder: Path, count: int = 200, *, bytes_each: int = 100, name: str = "row", **changes) -> dataset.Contents:
    captions, clips, verdicts = table(count, bytes_each=bytes_each, name=name)
    contents = dataset.write_rows(folder, captions, clips, verdicts, taxonomy=TAXONOMY, seed=0, **changes)
    credits = ["the corpus"]
    template = {"contents": contents, "tables": {}, "corpus": "demo", "backend": "soundfont", "credits": credits}
    template |= {
        "figures": [{"label": "hours", "value": "2", "run": "1f"}],
        "stages": STAGES,
        "kinds": {"missaid": "x"},
    }
    dataset.finish(folder, licence="cc-by-4.0", template=template, version="v1.0.0")
    return contents


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, dataset.Contents]:
    folder = tmp_path_factory.mktemp("dataset")
    return folder, build(folder)


def opened(folder: Path, config: str, **options) -> datasets.DatasetDict:
    return datasets.load_dataset(str(folder), config, cache_dir=str(folder.parent / "cache"), **options)


def test_every_clip_but_the_failed_one_is_there_once(built):
    folder, contents = built
    assert (sum(contents.sizes.values()), contents.failed) == (199, 1)
    assert contents.contradicting == 67 and contents.verified == 132 and contents.hours == pytest.approx(1.99)
    for config in ("default", "audio"):
        ids = [row for part in opened(folder, config).values() for row in part["id"]]
        assert sorted(ids) == sorted(f"row-{number}" for number in range(199))


def test_another_dataset_of_the_same_shape_is_not_read_from_the_cache_of_the_first(tmp_path):
    """``load_dataset`` knows a local folder by its configs alone."""
    for name in ("one", "two"):
        folder = tmp_path / name / "dataset"
        build(folder, 20, name=name)
        rows = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
        assert {row for part in rows.values() for row in part["id"]} == {f"{name}-{number}" for number in range(19)}


def test_configs_are_choices_of_the_same_rows(built):
    folder, contents = built
    ids = {
        config: {split: set(part["id"]) for split, part in opened(folder, config).items()}
        for config in ("default", "audio", "verified", "25pct", "10pct", "25pct-audio", "10pct-audio")
    }
    for split, whole in ids["audio"].items():
        assert ids["verified"][split] <= whole == ids["default"][split]
        assert ids["10pct"][split] <= ids["25pct"][split] <= whole
        assert ids["10pct"][split] == ids["10pct-audio"][split] and ids["25pct"][split] == ids["25pct-audio"][split]
    assert sum(map(len, ids["verified"].values())) == contents.verified
    assert 0.15 < sum(map(len, ids["25pct"].values())) / 199 < 0.35


def test_no_config_moves_a_row_to_another_split(built):
    folder, _ = built
    home = {row: split for split, part in opened(folder, "default").items() for row in part["id"]}
    for config in ("audio", "verified", "25pct", "10pct-audio"):
        assert all(home[row] == split for split, part in opened(folder, config).items() for row in part["id"])


def test_rows_hold_the_reference_s_fields_and_the_evidence(built):
    row = next(row for row in opened(built[0], "audio")["train"] if row["id"] == "row-0")
    assert row["aspect_list"] == row["asked"] == row["present"] and row["file_name"] == "row-0.flac"
    by_category = [f"{category}_aspects" for category in TAXONOMY.categories]
    assert sorted(tag for name in by_category for tag in row[name]) == sorted(row["aspect_list"])
    assert row["contradictions"] == [f"unheard: {row['aspect_list'][0]}"] and not row["verified"]
    assert row["audio"]["path"] == "row-0.flac" and len(row["audio"]["bytes"]) == 100
    assert (row["bpm"], row["key"], row["meter"]) == (120.0, "C", 4)


def test_a_caption_says_none_of_the_tags_that_it_was_not_asked_for():
    captions, clips, _ = table(2)
    caption = captions.iloc[0].to_dict() | {"tags": ["piano", "drums"], "asked": ["piano"]}
    clip = clips[0].iloc[0].to_dict() | {"present": ["piano"], "absent": ["drums"], "unrealised": ["drums"]}
    assert dataset.row(caption, clip, {}, taxonomy=TAXONOMY)["contradictions"] == ["unrealised: drums"]
    caption |= {"hallucinated": ["drums"]}
    said = dataset.row(caption, clip, {}, taxonomy=TAXONOMY)["contradictions"]
    assert said == ["missaid: drums", "unrealised: drums"]


def test_streams(built):
    rows = opened(built[0], "audio", streaming=True)["test"]
    assert next(iter(rows))["audio"]["bytes"]


def test_files_are_ended_at_their_size_and_nothing_is_half_written(tmp_path):
    build(tmp_path, count=1500, bytes_each=1800, most_bytes=500_000)
    files = list((tmp_path / "data" / "audio").glob("train-all-verified-*.parquet"))
    sizes = [path.stat().st_size for path in sorted(files)]
    assert len(files) >= 2 and max(sizes) <= 500_000, sizes
    assert all(size > 250_000 for size in sizes[:-1]), "no file is ended long before its size"
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_changed_file_is_found(built):
    folder, _ = built
    dataset.verify(folder)
    text = (folder / "README.md").read_text()
    (folder / "README.md").write_text("changed")
    with pytest.raises(ValueError, match=r"expected .*README.md with sha256"):
        dataset.verify(folder)
    (folder / "README.md").write_text(text)
    (folder / "more").write_text("")
    with pytest.raises(ValueError, match="differences: .'more'"):
        dataset.verify(folder)
    (folder / "more").unlink()


def test_the_card_has_every_number_with_its_run(built):
    card = (built[0] / "README.md").read_text()
    assert "| hours | 2 | `1f` |" in card and "| write_captions | `1f` | `c0ffee` | 2026-01-01 |" in card
    assert "`cc-by-4.0`, derived from what went in:" in card
    assert "license: cc-by-4.0" in card and "config_name: verified" in card and "What this is not" in card


def test_rows_that_do_not_belong_together_are_refused(tmp_path):
    captions, clips, verdicts = table(20)
    dials = {"taxonomy": TAXONOMY, "seed": 0}
    with pytest.raises(ValueError, match="10 captions with none, such as 'row-10'"):
        dataset.write_rows(tmp_path / "a", captions, clips[:1], verdicts, **dials)
    with pytest.raises(ValueError, match="got clip 'row-0' without one left"):
        dataset.write_rows(tmp_path / "b", captions, [*clips, clips[0]], verdicts, **dials)
    with pytest.raises(ValueError, match="got 20 repeated ones"):
        dataset.write_rows(tmp_path / "c", pd.concat([captions, captions]), clips, verdicts, **dials)
    with pytest.raises(ValueError, match="at least one clip .* got none .20 could not be made"):
        failed = [clip.assign(error="silent") for clip in clips]
        dataset.write_rows(tmp_path / "d", captions, failed, verdicts, **dials)


def test_a_table_of_its_own_is_a_config_without_rows_that_could_not_be_made(tmp_path):
    rows = pd.DataFrame({"pair_id": list("abcd"), "part": ["train", "train", "test", "test"]})
    rows["error"] = ["silent", None, None, None]
    assert isinstance(rows["error"][1], float), "pandas reads a missing text as NaN"
    schema = datasets.Features(dict.fromkeys(rows, datasets.Value("string"))).arrow_schema
    sizes = dataset.write_table(tmp_path, "pairs", [rows[:3], rows[3:]], schema=schema, split="part")
    assert sizes == {"train": 1, "test": 2}
    assert [config["config_name"] for config in dataset.configs(tmp_path)] == ["pairs"]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_audio(tmp_path):
    """A gigabyte of noise in one split: the process needs far less, and the files stay under their bound."""
    code = (
        "import sys; from pathlib import Path; import pandas as pd\n"
        "from tests.publishing import test_dataset as t\n"
        "count, each = int(sys.argv[2]), 500_000\n"
        "captions, clips, verdicts = t.table(count)\n"
        "random = t.np.random.default_rng(0)\n"
        "noise = lambda n: [{'bytes': random.bytes(each), 'path': 'x'} for i in range(n)]\n"
        "clips = (clip.assign(audio=noise(len(clip))) for clip in clips)\n"
        "captions['split'] = 'train'\n"
        "t.dataset.write_rows(Path(sys.argv[1]), captions, clips, verdicts, taxonomy=t.TAXONOMY, seed=0)\n"
    )
    peak = memory.peak(code, tmp_path, 2000)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.parquet")) > 0.9e9
    assert peak < 1000
