"""The task file for mteb loads what a dataset holds; two small classes stand for mteb, which is no requirement."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from conceptcaps.publishing import dataset
from tests.publishing.test_dataset import build

FILE = Path(__file__).resolve().parents[2] / "docs" / "mteb_task.py"


class TaskMetadata:
    def __init__(self, **fields):
        vars(self).update(fields)


class AbsTaskRetrieval:
    data_loaded = False


@pytest.fixture
def task_file(monkeypatch):
    for name, held in {"retrieval": AbsTaskRetrieval, "task_metadata": TaskMetadata}.items():
        module = ModuleType(name)
        setattr(module, held.__name__, held)
        monkeypatch.setitem(sys.modules, f"mteb.abstasks.{name}", module)
    spec = importlib.util.spec_from_file_location("mteb_task", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_columns_and_split_are_the_dataset_s(task_file):
    assert set(task_file.COLUMNS) <= set(dataset.TEXT | dataset.SOUND) and task_file.SPLIT in dataset.SPLITS


def test_each_clip_and_its_caption_are_relevant_to_each_other(task_file, tmp_path, monkeypatch):
    build(tmp_path / "dataset", count=60)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for task in task_file.tasks(str(tmp_path / "dataset")):
        task.load_data()
        queries, corpus = task.queries["test"], task.corpus["test"]
        sides = {"a": {"id", "audio"}, "t": {"id", "text"}}
        assert set(queries.column_names) == sides[task.metadata.category[0]]
        assert set(corpus.column_names) == sides[task.metadata.category[2]]
        assert list(queries["id"]) == list(corpus["id"]) == list(task.relevant_docs["test"])
        assert all(found == {row: 1} for row, found in task.relevant_docs["test"].items()) and len(queries)
