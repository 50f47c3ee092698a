"""Runs stages in this process."""

import importlib
from pathlib import Path

import pandas as pd

from conceptcaps import tracking
from conceptcaps.captions import captioner
from conceptcaps.tags import corpus
from tests import tiny_model


def run(stage: str, **changes: object) -> str:
    """Call a stage's ``main`` with what differs from its defaults and give the id of its run."""
    flags = [text for name, value in changes.items() for text in (f"--{name}", str(value))]
    importlib.import_module(f"entrypoints.{stage}").main(flags)
    return tracking.latest(stage)


def tiny_base(folder: Path) -> str:
    """A tiny language model that knows the demo corpus's words."""
    return str(
        tiny_model.save(folder / "base", texts=[*corpus.load_corpus("demo")["caption"], *captioner.PROMPT.values()])
    )


def rows(folder: Path, *, count: int) -> dict[str, str]:
    """Run ids of the stages that make rows of the dataset, without verdicts, as small as they go."""
    runs = {"distill_tags": run("distill_tags")}
    tag_sets = f"runs:/{runs['distill_tags']}/tag_sets"
    runs["train_vae"] = run("train_vae", tag_sets=tag_sets, epochs=1, hidden_dim=16, latent_dim=4)
    vae = "models:/conceptcaps-vae@candidate"
    runs["sample_tags"] = run("sample_tags", tag_sets=tag_sets, vae=vae, count=count)
    small = {"base_model": tiny_base(folder), "max_examples": 8, "rank": 2}
    runs["finetune_captioner"] = run("finetune_captioner", tag_sets=tag_sets, **small)
    decoding = {"captioner": "models:/conceptcaps-captioner@candidate", "max_new_tokens": 8, "attempts": 1}
    samples = f"runs:/{runs['sample_tags']}/samples"
    runs["write_captions"] = run("write_captions", samples=samples, candidates=2, **decoding)
    captions = f"runs:/{runs['write_captions']}/captions"
    runs["generate_audio"] = run("generate_audio", captions=captions, duration=2, workers=1)
    silent = pd.DataFrame(columns=["id", "tag", "probability", "verdict", "truth"])
    (folder / "verification").mkdir()
    silent.to_parquet(folder / "verification" / "verification.parquet", index=False)
    made = {"tag_sets": tag_sets, "captions": captions, "audio": f"runs:/{runs['generate_audio']}/audio"}
    verification = str(folder / "verification")
    runs["build_dataset"] = run("build_dataset", **made, verification=verification, license="cc-by-4.0")
    return runs
