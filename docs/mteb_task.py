"""Retrieval between clips and captions of a ConceptCaps dataset, as two tasks for mteb (2.x).

    import mteb, mteb_task
    mteb.evaluate(mteb.get_model("laion/clap-htsat-unfused"), mteb_task.tasks("<owner>/<dataset>", revision="v1.0.0"))

A folder that `build_dataset` wrote does in place of a Hub id. Queries and documents are the rows of config ``audio``;
a clip's own caption is the one that is right, so that captions which say the same of two clips count as errors.
"""

from datasets import Audio, Dataset, load_dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

CONFIG, SPLIT = "audio", "test"
COLUMNS = {"id": "id", "audio": "audio", "caption": "text"}  # of the dataset, as mteb calls them
SAMPLE_RATE = 48_000  # Hz; clips are resampled to it when they are decoded


def metadata(category: str, path: str, revision: str, license: str) -> TaskMetadata:
    """What mteb has to know of one direction, ``a2t`` or ``t2a``."""
    asked, found = ({"a": "clip", "t": "caption"}[category[side]] for side in (0, 2))
    return TaskMetadata(
        name=f"ConceptCaps{category.upper()}Retrieval",
        description=f"Find the {found} of a {asked}: music made from concept tags, with captions of the same tags.",
        reference="https://arxiv.org/abs/2601.14157",
        dataset={"path": path, "revision": revision},
        type="Any2AnyRetrieval",
        category=category,
        modalities=["audio", "text"],
        eval_splits=[SPLIT],
        eval_langs=["eng-Latn"],
        main_score="cv_recall_at_5",
        date=("2026-01-01", "2026-12-31"),
        domains=["Music"],
        task_subtypes=["Music Caption Retrieval"],
        license=license,
        annotations_creators="LM-generated",
        dialect=[],
        sample_creation="LM-generated and verified",
        bibtex_citation="",
    )


class ConceptCapsRetrieval(AbsTaskRetrieval):
    """One direction; ``tasks`` gives it its metadata."""

    def load_data(self, **_: object) -> None:
        """Queries and documents by row id, each relevant to the one of its own id."""
        if self.data_loaded:
            return
        rows = load_dataset(**self.metadata.dataset, name=CONFIG, split=SPLIT).select_columns(list(COLUMNS))
        rows = rows.rename_columns({name: own for name, own in COLUMNS.items() if name != own})
        rows = rows.cast_column("audio", Audio(sampling_rate=SAMPLE_RATE))
        sides: dict[str, Dataset] = {
            "a": rows.select_columns(["id", "audio"]),
            "t": rows.select_columns(["id", "text"]),
        }
        self.queries = {SPLIT: sides[self.metadata.category[0]]}
        self.corpus = {SPLIT: sides[self.metadata.category[2]]}
        self.relevant_docs = {SPLIT: {row: {row: 1} for row in rows["id"]}}
        self.data_loaded = True


def tasks(path: str, *, revision: str = "main", license: str = "not specified") -> list[AbsTaskRetrieval]:
    """Audio to caption, and caption to audio, of a dataset on the Hub or in a folder."""
    named = {category: metadata(category, path, revision, license) for category in ("a2t", "t2a")}
    return [type(one.name, (ConceptCapsRetrieval,), {"metadata": one})() for one in named.values()]
