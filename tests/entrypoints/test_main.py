"""The steps of ``main`` and ``paper`` and what goes from one to the next, without running any."""

import pytest

from conceptcaps import tracking
from conceptcaps.tracking.pipeline import GATES, StageFailed
from conceptcaps.workspace import project
from entrypoints import main, paper


class Steps(tracking.Pipeline):
    """A pipeline that notes its steps in place of running them, and leaves some out."""

    def __init__(self, *, pull: str) -> None:
        super().__init__(pull=pull)
        self.given: dict[str, dict[str, object]] = {}

    def step(self, entry_point, artifact="", *, label=None, **parameters):
        defaults, _ = project.entry_point(entry_point)
        given = {name: value for name, value in parameters.items() if value is not None}
        assert set(given) <= set(defaults) and {name for name in defaults if defaults[name] is None} <= set(given)
        name = label or entry_point
        if name in self.impossible:
            with tracking.child_run(name, {}) as run_id:
                pass
            raise StageFailed(entry_point, run_id, "it cannot be", "input")
        self.given[name], self.runs[name] = given, name
        return f"runs:/{name}/{artifact}"

    def promoted(self, model):
        return f"models:/conceptcaps-{model}/1" if GATES[model][0] in self.runs else None

    def summarise(self, keys, **links):
        return {}


@pytest.fixture
def steps(store, monkeypatch):
    def run(*flags: str, of=main, impossible: tuple[str, ...] = ()) -> dict[str, dict[str, object]]:
        made = []

        def begin(**options):
            made.append(Steps(**options))
            made[0].impossible = impossible
            return made[0]

        monkeypatch.setattr(tracking, "Pipeline", begin)
        monkeypatch.setattr(main.feasibility, "require", lambda dials: None)
        monkeypatch.setattr(main.report, "summary", lambda found, runs: "")
        of.main(flags)
        return made[0].given

    return run


def test_sweeps_are_shown_by_main_and_followed_by_paper(steps):
    shown = steps()
    assert shown["sweep_captioner"]["max_examples"] == 8 and shown["finetune_captioner"]["max_examples"] == 240
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


def test_the_dataset_is_built_without_a_classifier_and_its_clips(steps):
    given = steps("--count", "1", impossible=("sample_tags more", "design_concepts"))
    assert {"build_dataset", "report"} <= set(given)
    below = {"generate_audio more", "train_classifier", "run_tcav", "run_tcav musicnn", "train_verifier"}
    assert not below & set(given)
