"""The steps of ``main`` and ``paper`` and what goes from one to the next, without running any."""

import pytest

from conceptcaps import tracking
from conceptcaps.tracking import pipeline
from conceptcaps.tracking.pipeline import StageFailed
from conceptcaps.tracking.runs import active
from conceptcaps.workspace import project
from entrypoints import main, paper


@pytest.fixture
def steps(store, monkeypatch):
    def run(
        *flags: str, of=main, impossible: tuple[str, ...] = (), fitting: dict[str, str] | None = None
    ) -> dict[str, dict[str, object]]:
        made: dict[str, dict[str, object]] = {}

        def submit(entry_point, parameters, *, label=None, reuse=True):
            """Note a step in place of running it, or leave it out."""
            defaults, _ = project.entry_point(entry_point)
            assert set(parameters) <= set(defaults)
            assert {name for name in defaults if defaults[name] is None} <= set(parameters)
            name = label or entry_point
            if name in impossible:
                raise StageFailed(entry_point, active(), "it cannot be", "input")
            made[name] = parameters
            return name

        monkeypatch.setattr(pipeline, "submit", submit)
        monkeypatch.setattr(pipeline, "registered_by", lambda run: f"models:/{run}/1")
        monkeypatch.setattr(tracking.Pipeline, "summarise", lambda self, keys, **links: {})
        monkeypatch.setattr(main.feasibility, "require", lambda dials, usual: fitting or {})
        monkeypatch.setattr(main.report, "summary", lambda found, runs: "")
        of.main(flags)
        return made

    return run


def test_sweeps_are_shown_by_main_and_followed_by_paper(steps):
    shown = steps()
    assert shown["sweep_captioner"]["max_examples"] == 8 and shown["finetune_captioner"]["max_examples"] == 640
    assert not {"params_from"} & {*shown["train_vae"], *shown["finetune_captioner"]}
    followed = steps(of=paper)
    assert followed["train_vae"]["params_from"] == "runs:/sweep_vae/"
    assert followed["finetune_captioner"]["params_from"] == "runs:/sweep_captioner/"
    same = set(followed["sweep_captioner"]) & set(followed["finetune_captioner"])
    assert same >= {"caption_corpus", "batch_size", "max_examples", "base_model", "quantization"}
    assert all(followed["sweep_captioner"][name] == followed["finetune_captioner"][name] for name in same)


def test_the_classifier_learns_the_genres_that_its_clips_were_made_for(steps):
    given = steps("--genres", "jazz,pop")
    assert given["sample_tags more"]["one_of"] == given["train_classifier"]["genres"] == "jazz,pop"


def test_without_sweeps_nothing_is_followed(steps):
    given = steps("--trials", "0")
    assert not [name for name in given if name.startswith("sweep")] and "params_from" not in given["train_vae"]


def test_a_stated_licence_is_the_dataset_s(steps):
    assert steps()["build_dataset"]["license"] == "derived"
    assert steps("--license", "cc0-1.0")["build_dataset"]["license"] == "cc0-1.0"


def test_lists_that_fit_the_taxonomy_are_used(steps):
    given = steps(fitting={"concepts": "trumpets", "genres": "rock,jazz"})
    assert given["design_concepts"]["tags"] == given["make_pairs"]["tags"] == "trumpets"
    assert given["sample_tags more"]["one_of"] == given["train_classifier"]["genres"] == "rock,jazz"


def test_detectors_learn_from_the_classifier_s_clips_where_there_are_some(steps):
    assert steps()["train_verifier"]["clips"] == "runs:/generate_audio more/audio"
    without = steps(of=paper, impossible=("generate_audio more",))
    assert "clips" not in without["train_verifier"] and {"verify_concepts", "promote verifier"} <= set(without)


def test_the_dataset_is_built_without_a_classifier_and_its_clips(steps):
    given = steps("--count", "1", impossible=("sample_tags more", "design_concepts"))
    assert {"build_dataset", "report"} <= set(given)
    below = {"generate_audio more", "train_classifier", "run_tcav", "run_tcav musicnn", "train_verifier"}
    assert not below & set(given)
