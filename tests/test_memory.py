"""Peak memory of what stages do with a folder of clips is the same for ten times the clips."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conceptcaps.audio import table, waveform
from conceptcaps.workspace import shards
from tests import memory

RATE = 192_000  # heavy, and quick to listen to
HEAD = """
import sys
from pathlib import Path
import numpy as np
import pandas as pd
import torch
from conceptcaps.workspace import shards
from conceptcaps.tags.taxonomy import Taxonomy
torch.set_num_threads(2)
folder, cache = map(Path, sys.argv[1:3])
taxonomy = Taxonomy.load()
"""
CLASSIFIER = """
from conceptcaps.probing import classifier, clips, evaluation
data = clips.label(clips.read(folder).readable(), taxonomy=taxonomy, min_clips=2, seed=0, genres=[])
inputs = classifier.features(data.clips, head="HEAD", cache=cache)
parts = classifier.parts(inputs, data.clips.rows, classes=data.classes, permute=False, seed=0)
dials = {"epochs": 1, "batch_size": 32, "learning_rate": 0.001, "weight_decay": 1.0, "patience": 8, "seed": 0}
model = classifier.fit(
    head="HEAD", train=parts["train"], validation=parts["validation"], genres=data.classes, **dials
)
evaluation.evaluate(model, parts)
"""
STEPS = {
    "evaluate_audio": """
from conceptcaps.audio.clips import Clips
from conceptcaps.listening import distances, embeddings
clips, _ = Clips.open(folder).readable()
embeddings.loudness(clips, cache=cache)
means = embeddings.musicnn_means(clips, model="musicnn_mtt", cache=cache)["penultimate"]
distances.compare(means, None, name="musicnn_mtt", seed=0)
""",
    "compare_audio": """
from conceptcaps.audio.clips import Clips
from conceptcaps.listening import distances, embeddings, neighbours
clips, _ = Clips.open(folder).readable()
embeddings.loudness(clips, cache=cache)
means = embeddings.musicnn_means(clips, model="musicnn_mtt", cache=cache)["penultimate"]
moved = means + np.random.default_rng(0).normal(size=means.shape)
neighbours.nearest(moved, means)
neighbours.density_coverage(moved, means)
distances.compare(moved, means, name="musicnn_mtt", seed=0)
""",
    "verify_concepts": """
from conceptcaps.audio.clips import Clips
from conceptcaps.listening import hearing, verification, verifier
clips, _ = Clips.open(folder).readable()
rows = shards.read(str(folder), columns=["id", "tags", "present", "absent"])
truth = verification.labels(rows["present"], rows["absent"], tags=taxonomy.tags)
tags, draw = tuple(taxonomy.tags[:120]), np.random.default_rng(0).normal
heard, worth = hearing.features(clips, cache=cache), dict.fromkeys(tags, 0.9)
model = verifier.Verifier(
    tags, draw(size=3668), draw(size=(1024, 3668)), draw(size=(120, 1024)), *draw(size=(5, 120)), worth, worth
)
frame = verification.verify(
    rows["id"].tolist(), rows["tags"].tolist(), truth, heard, verifier=model, taxonomy=taxonomy, bad={}
)
verification.summarise(frame, verification.evaluate(frame, taxonomy=taxonomy), seed=0)
""",
    "train_verifier": """
from conceptcaps.audio.clips import Clips
from conceptcaps.listening import hearing, verification, verifier
clips, _ = Clips.open(folder).readable()
rows = shards.read(str(folder), columns=["id", "present", "absent"])
truth = verification.labels(rows["present"], rows["absent"], tags=taxonomy.tags)
heard = hearing.features(clips, cache=cache)
known = {tag: truth[:, number] for number, tag in enumerate(taxonomy.tags)}
verifier.fit(heard, known, groups=rows["id"].tolist(), sources=["font"] * len(rows), seed=0)
""",
    "train_classifier": CLASSIFIER.replace("HEAD", "linear"),
    "run_tcav": """
from conceptcaps.probing import clips, experiment, networks
probe = networks.of_musicnn("musicnn_mtt")
dials = {"most_targets": 2, "layers": probe.layers, "intervened": None, "interpretable": None, "random_sets": 100}
experiment.run(
    probe, clips.read(folder), None, names=["piano"], targets="auto", taxonomy=taxonomy, seed=0, **dials
)
""",
    "intervene": """
from conceptcaps.probing import clips, networks
networks.of_musicnn("musicnn_mtt").read(clips.read(folder), description="pairs")
""",
    "probe_encoders": """
from conceptcaps.probing import clips, encoders, linear_probes, zoo
sounds = clips.read(folder).readable()
sounds.rows["concept"] = [taxonomy.tags[number // 40] for number in range(len(sounds))]
sounds.rows["positive"] = [number % 2 == 0 for number in range(len(sounds))]
sounds.rows["part"] = ["test" if number % 4 > 1 else "train" for number in range(len(sounds))]
listeners = encoders.named("musicnn_mtt", fetch=Path, cache=cache)
zoo.run(listeners, sounds, linear_probes.tasks(sounds.rows, taxonomy=taxonomy), random_weights=True, seed=0)
""",
    "listening_test": """
from conceptcaps.audio.clips import Clips
from conceptcaps.listening import trials
clips, _ = Clips.open(folder).readable()
rows = shards.read(str(folder), columns=["id", "present", "absent"])
chosen = trials.choose(rows, tags="auto", count=20, taxonomy=taxonomy, seed=0)
wanted = set(chosen["id"])
trials.page(chosen, {name: clip for name, clip in zip(clips.ids, clips) if name in wanted}, title="What?")
""",
    "build_dataset": """
from conceptcaps.publishing import dataset, evidence
rows = shards.read(str(folder), columns=["id", "tags", "caption", "split", "seed"])
rows = rows.assign(tag_recall=1.0, missed=[[]] * len(rows), hallucinated=[[]] * len(rows), sample_id=rows["id"])
dataset.write_rows(cache / "dataset", rows, shards.batches(str(folder), size=32), {}, taxonomy=taxonomy, seed=0)
""",
    "report": """
from conceptcaps.publishing import dataset, examples
for name in ("text", "audio"):
    list(map(examples.describe, examples.choose(cache / "dataset", split="train", most=8)))
""",
}


def folder(path: Path, count: int, *, seconds: float = 1.0, rate: int = RATE, channels: int = 2) -> Path:
    """A finished folder of clips of noise, ten different ones in turn."""
    generator = np.random.default_rng(0)
    noise = generator.uniform(-0.5, 0.5, (10, channels, round(rate * seconds))).astype(np.float32)
    files = [waveform.encode_flac(sound, rate) for sound in noise]
    tags = [["jazz", "piano"], ["rock", "drums"]]
    names = [f"clip-{number}" for number in range(count)]
    split = ["train", "train", "validation", "validation", "test", "test"]
    rows = pd.DataFrame({"id": names, "number": range(count)})

    def make(part: pd.DataFrame) -> pd.DataFrame:
        clips = [
            {
                "id": name,
                "tags": tags[number % 2],
                "caption": "A tune.",
                "split": split[number % 6],
                **table.failed([], seed=number, reason=""),
                "audio": {"bytes": files[number % 10], "path": f"{name}.flac"},
                "present": tags[number % 2],
                "absent": tags[1 - number % 2],
                "sample_rate": rate,
                "duration": seconds,
                "error": None,
            }
            for name, number in zip(part["id"], part["number"], strict=True)
        ]
        return pd.DataFrame(clips, dtype=object)

    plan = {"out": str(path), "schema": table.SCHEMA, "shard_size": 20, "settings": {}, "description": "clips"}
    shards.map_shards(make, rows, **plan)
    return path


@pytest.mark.slow
def test_ten_times_the_clips_need_no_more_memory(tmp_path):
    peaks: dict[str, list[float]] = {step: [] for step in STEPS}
    for count in (40, 400):
        clips = folder(tmp_path / str(count), count)
        for step, code in STEPS.items():
            peaks[step].append(memory.peak(HEAD + code, clips, tmp_path / f"cache{count}"))
    grown = {step: round(many / few, 3) for step, (few, many) in peaks.items()}
    assert max(grown.values()) < 1.1, (grown, peaks)
