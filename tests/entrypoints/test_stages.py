"""Every stage for real, one after another, with a tiny language model: what it logs, and that its output is used."""

import json

import datasets
import mlflow
import nbclient
import nbformat
import numpy as np
import pandas as pd
import pytest
import requests

from conceptcaps import tracking
from conceptcaps.publishing import dataset
from conceptcaps.tags import splits
from conceptcaps.tags.priors import PRIORS
from conceptcaps.tags.rivals import RIVALS
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import project, shards
from tests import stages
from tests.tracking.test_server import serving

COUNT = 120


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory, empty_store):
    """Run ids of all stages on the demo corpus, in one store."""
    folder = tmp_path_factory.mktemp("pipeline")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "Default")
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        base = stages.tiny_base(folder)
        runs = {"distill_tags": stages.run("distill_tags")}
        tag_sets = f"runs:/{runs['distill_tags']}/tag_sets"
        runs["sweep_vae"] = stages.run("sweep_vae", tag_sets=tag_sets, trials=2, epochs=2)
        runs["train_vae"] = stages.run(
            "train_vae", tag_sets=tag_sets, epochs=4, params_from=f"runs:/{runs['sweep_vae']}"
        )
        runs["promote"] = stages.run("promote", model="models:/conceptcaps-vae@candidate", metric="val/iwae")
        runs["sample_tags"] = stages.run("sample_tags", tag_sets=tag_sets, count=COUNT)
        runs["audit_taxonomy"] = stages.run("audit_taxonomy", top=3)
        runs["compare_priors"] = stages.run("compare_priors", tag_sets=tag_sets, count=60)
        small = {"tag_sets": tag_sets, "base_model": base, "max_examples": 16}
        runs["sweep_captioner"] = stages.run("sweep_captioner", trials=1, **small)
        runs["finetune_captioner"] = stages.run("finetune_captioner", rank=4, **small)
        stages.run("promote", model="models:/conceptcaps-captioner@candidate", metric="val/loss")
        samples = f"runs:/{runs['sample_tags']}/samples"
        runs["write_captions"] = stages.run(
            "write_captions", samples=samples, max_new_tokens=8, attempts=1, batch_size=64
        )
        captions = f"runs:/{runs['write_captions']}/captions"
        runs["evaluate_captions"] = stages.run(
            "evaluate_captions", captions=captions, references=tag_sets, perplexity_model=base
        )
        writers = f"ours={captions},again={captions}"
        runs["compare_captions"] = stages.run("compare_captions", writers=writers, references=tag_sets)
        runs["generate_audio"] = stages.run("generate_audio", captions=captions, duration=4, shard_size=25)
        audio = f"runs:/{runs['generate_audio']}/audio"
        runs["evaluate_audio"] = stages.run("evaluate_audio", audio=audio, embedding="musicnn_mtt")
        design = {"tags": "piano,drums,slow tempo", "contexts": samples, "duration": 4}
        runs["design_concepts"] = stages.run("design_concepts", count=14, balance=2.0, **design)
        concepts = f"runs:/{runs['design_concepts']}/concepts"
        runs["make_pairs"] = stages.run("make_pairs", count=6, **design)
        pairs = f"runs:/{runs['make_pairs']}/pairs"
        runs["train_verifier"] = stages.run("train_verifier", concepts=concepts)
        stages.run("promote", model="models:/conceptcaps-verifier@candidate", metric="val/nll")
        runs["verify_concepts"] = stages.run("verify_concepts", audio=audio)
        told = {"one_of": "jazz,rock", "realisable_by": "soundfont", "min_categories": 1, "apart_from": samples}
        runs["sample_tags more"] = stages.run("sample_tags", tag_sets=tag_sets, count=80, seed=1, **told)
        more = f"runs:/{runs['sample_tags more']}/samples"
        runs["generate_audio more"] = stages.run("generate_audio", captions=more, duration=4)
        clips = f"runs:/{runs['generate_audio more']}/audio"
        runs["train_classifier"] = stages.run("train_classifier", audio=clips, epochs=2, min_clips=5)
        stages.run("promote", model="models:/conceptcaps-classifier@candidate", metric="val/nll")
        runs["intervene"] = stages.run("intervene", classifier="musicnn_mtt", pairs=pairs)
        changes = f"runs:/{runs['intervene']}/interventions.parquet"
        asked = {"classifier": "musicnn_mtt", "audio": concepts, "target_audio": audio, "interventions": changes}
        runs["run_tcav"] = stages.run("run_tcav", random_sets=20, **asked)
        verification = f"runs:/{runs['verify_concepts']}/verification"
        made = {"tag_sets": tag_sets, "captions": captions, "audio": audio, "verification": verification}
        runs["build_dataset"] = stages.run("build_dataset", **made, pairs=pairs, concepts=concepts, license="cc-by-4.0")
        runs["report"] = stages.run("report", runs=json.dumps(runs))
        yield runs


pytestmark = pytest.mark.slow


def test_every_run_is_finished_and_says_which_data_it_used(pipeline):
    for stage, run in pipeline.items():
        assert tracking.info(run)["status"] == "FINISHED"
        if stage not in {"promote", "report", "run_tcav", "design_concepts", "make_pairs"}:
            assert mlflow.get_run(run).inputs.dataset_inputs, stage


def test_splits_are_certified(pipeline):
    folder = tracking.fetch(f"runs:/{pipeline['distill_tags']}/tag_sets")
    certificate = json.loads((folder / "split_certificate.json").read_text())
    assert all(number == 0 for counts in certificate["overlaps"].values() for number in counts.values())
    assert len(Taxonomy.load(folder / "taxonomy.yaml").tags) == 200


def test_models_are_registered_with_signature_example_and_aliases(pipeline):
    for name in ("conceptcaps-vae", "conceptcaps-captioner", "conceptcaps-verifier", "conceptcaps-classifier"):
        assert tracking.alias_version(name, "champion") and tracking.alias_version(name, "candidate")
        info = mlflow.models.get_model_info(f"models:/{name}@champion")
        assert info.signature is not None and info.saved_input_example_info is not None
    answer = mlflow.pyfunc.load_model("models:/conceptcaps-vae@champion").predict(
        pd.DataFrame({"condition": ["jazz"], "seed": [0]})
    )
    assert "jazz" in answer["tags"][0].split(", ")


def test_a_captioner_version_holds_no_base_weights(pipeline):
    folder = tracking.fetch("models:/conceptcaps-captioner@champion")
    assert not list(folder.rglob("model.safetensors")) and not list(folder.rglob("*.bin"))
    assert (folder / "adapter" / "adapter_model.safetensors").exists()


def test_sweeps_nest_their_trials_and_keep_the_best(pipeline):
    for stage, trials in {"sweep_vae": 2, "sweep_captioner": 1}.items():
        children = tracking.children(pipeline[stage])
        assert len(children) == trials and {status for _, _, status in children} == {"FINISHED"}
        assert any(tag.startswith("best.") for tag in tracking.tags(pipeline[stage]))


@pytest.mark.parametrize(("sweep", "trains"), [("sweep_vae", "train_vae"), ("sweep_captioner", "finetune_captioner")])
def test_what_a_sweep_does_not_search_is_as_the_training_has_it(pipeline, sweep, trains):
    best = {name.removeprefix("best.") for name in tracking.tags(pipeline[sweep]) if name.startswith("best.")}
    defaults, _ = project.entry_point(trains)
    searched = set(pd.read_parquet(tracking.fetch(f"runs:/{pipeline[sweep]}/trials.parquet")).columns) & best
    assert best - searched and best < set(defaults)
    for name in best - searched:
        assert tracking.tags(pipeline[sweep])[f"best.{name}"] == defaults[name]


def test_a_training_takes_its_dials_from_a_sweep(pipeline):
    best = {name: value for name, value in tracking.tags(pipeline["sweep_vae"]).items() if name.startswith("best.")}
    taken = tracking.tags(pipeline["train_vae"])
    assert best and all(taken[f"dial.{name.removeprefix('best.')}"] == value for name, value in best.items())


def test_priors_stand_side_by_side(pipeline):
    table = pd.read_parquet(tracking.fetch(f"runs:/{pipeline['compare_priors']}/priors.parquet")).set_index("prior")
    children = tracking.children(pipeline["compare_priors"])
    assert sorted(table.index) == sorted(name for name, _, _ in children) == sorted([*PRIORS, *RIVALS])
    assert table.loc["independent", "cooccurrence"] > table.loc["random", "cooccurrence"]
    assert (table.loc[list(PRIORS), "contradictions"] == 0).all()
    assert table["log_likelihood"].notna().sum() == 7, "all but the random sets and the bootstrap"


def test_writers_stand_side_by_side(pipeline):
    table = pd.read_parquet(tracking.fetch(f"runs:/{pipeline['compare_captions']}/differences.parquet"))
    assert table["paired"].all() and (table["difference"] == 0).all() and (table["q_value"] == 1).all()
    assert {"tag_recall", "second_recall", "bertscore_f1"} <= set(table["score"])


def test_samples_carry_their_split_and_what_they_imply(pipeline):
    folder = tracking.fetch(f"runs:/{pipeline['sample_tags']}/samples")
    samples = pd.read_parquet(folder / "samples.parquet")
    assert set(samples["split"]) == {"train", "validation", "test"}
    certificate = json.loads((folder / "split_certificate.json").read_text())
    assert all(number == 0 for counts in certificate["overlaps"].values() for number in counts.values())
    taxonomy = Taxonomy.load()
    for tags, implied in zip(samples["tags"], samples["implied"], strict=True):
        assert taxonomy.closure(tags) == {*tags, *implied} and not {*tags} & {*implied}
    table = pd.read_parquet(tracking.fetch(f"runs:/{pipeline['sample_tags']}/tags.parquet"))
    assert tracking.metrics(pipeline["sample_tags"])["samples/worst_tag_loss"] <= 1 and len(table) == 200


def test_a_taxonomy_s_coverage_is_tabled(pipeline):
    covered = pd.read_parquet(tracking.fetch(f"runs:/{pipeline['audit_taxonomy']}/covered.parquet"))
    left = pd.read_parquet(tracking.fetch(f"runs:/{pipeline['audit_taxonomy']}/uncovered.parquet"))
    assert covered["count"].is_monotonic_decreasing and (covered["tags"] != "").all()
    share = tracking.metrics(pipeline["audit_taxonomy"])["corpus/coverage"]
    assert share == covered["count"].sum() / (covered["count"].sum() + left["count"].sum())


def test_rows_keep_their_identity_from_sample_to_clip(pipeline):
    samples = pd.read_parquet(tracking.fetch(f"runs:/{pipeline['sample_tags']}/samples/samples.parquet"))
    captions = shards.read(str(tracking.fetch(f"runs:/{pipeline['write_captions']}/captions")))
    audio = shards.read(str(tracking.fetch(f"runs:/{pipeline['generate_audio']}/audio")))
    assert len(samples) == len(captions) == len(audio) == COUNT
    assert captions["sample_id"].tolist() == samples["id"].tolist()
    assert audio["id"].tolist() == captions["id"].tolist()
    assert captions["id"].is_unique
    taxonomy = Taxonomy.load()
    assert not any(taxonomy.contradictions(tags) for tags in samples["tags"])


def test_the_dataset_opens_and_its_checksums_hold(pipeline):
    folder = tracking.fetch(f"runs:/{pipeline['build_dataset']}/dataset")
    dataset.verify(folder)
    text = datasets.load_dataset(str(folder))
    sound = datasets.load_dataset(str(folder), "audio")
    assert sum(len(part) for part in text.values()) == sum(len(part) for part in sound.values()) == COUNT
    row = sound["train"][0]
    assert row["audio"]["bytes"][:4] == b"fLaC" and row["duration"] == 4 and row["midi"][:4] == b"MThd"
    assert not set(row["present"]) & set(row["absent"]) and set(row["unrealised"]) == set(row["aspect_list"]) - set(
        row["present"]
    )
    assert {"pairs", "concepts"} <= set(datasets.get_dataset_config_names(str(folder)))
    card = (folder / "README.md").read_text()
    assert pipeline["write_captions"] in card and "cc-by-4.0" in card
    (folder / "README.md").write_text("changed")
    with pytest.raises(ValueError, match="expected .*README.md with sha256"):
        dataset.verify(folder)
    (folder / "README.md").write_text(card)


def test_the_report_shows_figures_stages_and_clips(pipeline):
    page = tracking.fetch(f"runs:/{pipeline['report']}/report.html").read_text()
    assert page.count("<audio") >= 1 and page.count("data:image/png") >= 8
    assert all(stage in page and run in page for stage, run in pipeline.items() if stage != "report")


def test_tcav_reports_every_test(pipeline):
    scores = pd.read_parquet(tracking.fetch(f"runs:/{pipeline['run_tcav']}/tcav/scores.parquet"))
    assert {"concept", "target", "layer", "score", "p_value", "q_value", "significant"} <= set(scores.columns)
    told = scores.dropna(subset=["score", "p_value"])  # NaN where a concept is not identifiable
    assert told["score"].between(0, 1).all() and told["p_value"].between(0, 1).all()


def test_verdicts_cover_every_asked_tag(pipeline):
    folder = tracking.fetch(f"runs:/{pipeline['verify_concepts']}/verification")
    verdicts = pd.read_parquet(folder / "verification.parquet")
    audio = shards.read(str(tracking.fetch(f"runs:/{pipeline['generate_audio']}/audio")), columns=["id", "tags"])
    asked = {(row, tag) for row, tags in zip(audio["id"], audio["tags"], strict=True) for tag in tags}
    assert asked <= set(zip(verdicts["id"], verdicts["tag"], strict=True))
    assert set(verdicts["verdict"]) <= {"present", "absent", "uncertain", "none"}
    assert set(verdicts["truth"]) <= {"present", "absent", "unknown"}


def test_one_split_is_carried_from_tag_set_to_classifier_and_dataset(pipeline):
    """What trained the classifier is in no other part of the samples, the captions, the clips or the dataset."""
    samples = pd.read_parquet(tracking.fetch(f"runs:/{pipeline['sample_tags']}/samples/samples.parquet"))
    captions = shards.read(str(tracking.fetch(f"runs:/{pipeline['write_captions']}/captions")))
    audio = shards.read(str(tracking.fetch(f"runs:/{pipeline['generate_audio']}/audio")), columns=["id", "split"])
    home = captions.set_index("id")["split"]
    assert captions["split"].tolist() == samples.set_index("id").loc[captions["sample_id"], "split"].tolist()
    assert audio["split"].tolist() == home.loc[audio["id"]].tolist()
    learnt = pd.read_parquet(tracking.fetch(f"runs:/{pipeline['train_classifier']}/clips.parquet"))
    more = pd.read_parquet(tracking.fetch(f"runs:/{pipeline['sample_tags more']}/samples/samples.parquet"))
    assert learnt["split"].tolist() == more.set_index("id").loc[learnt["id"], "split"].tolist()
    assert set(learnt["class"]) == {"jazz", "rock"}
    taxonomy = Taxonomy.load()
    own, others = (taxonomy.encode(frame["tags"].tolist()) for frame in (samples, more))
    pairs = splits.near_equal(np.concatenate([own, others]))
    assert not ((pairs[:, 0] < len(own)) & (pairs[:, 1] >= len(own))).any()
    heard = shards.read(str(tracking.fetch(f"runs:/{pipeline['generate_audio more']}/audio")), columns=["id", "split"])
    assert learnt["split"].tolist() == heard.set_index("id").loc[learnt["id"], "split"].tolist()
    folder = tracking.fetch(f"runs:/{pipeline['build_dataset']}/dataset")
    for split, rows in datasets.load_dataset(str(folder)).items():
        assert set(home.loc[rows["id"]]) == {split}


def test_checkpoints_and_curves_are_logged(pipeline):
    for stage, metric in {"train_vae": "val/iwae", "finetune_captioner": "train/loss"}.items():
        assert len(tracking.history(pipeline[stage], metric)) >= 2
        assert list(tracking.fetch(f"runs:/{pipeline[stage]}/checkpoints").rglob("*.safetensors"))


def test_the_registered_captioner_answers_over_http(pipeline, tmp_path):
    command = ["models", "serve", "-m", "models:/conceptcaps-captioner@champion", "--env-manager", "local"]
    with serving(command, path="/ping", cwd=tmp_path) as address:
        question = {"dataframe_records": [{"tags": "jazz, piano, slow tempo"}]}
        answer = requests.post(f"{address}/invocations", json=question, timeout=120)
    row = answer.json()["predictions"][0]
    assert isinstance(row["caption"], str) and 0 <= row["tag_recall"] <= 1 and "missed" in row


@pytest.mark.parametrize("path", sorted((project.PROJECT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_run_on_these_runs(pipeline, path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(project.PROJECT))
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300).execute()


@pytest.mark.parametrize(
    ("stage", "changes", "message"),
    [
        ("sample_tags", {"count": 0}, "expected count of at least 1, got 0"),
        ("sample_tags", {"condition": "jazz,polka metal"}, "200 tags, got 'polka metal'"),
        ("sample_tags", {"vae": "models:/conceptcaps-vae@best"}, "alias 'best', got aliases: candidate, champion"),
        ("promote", {"model": "models:/conceptcaps-vae@candidate", "metric": "test/iwae"}, "begins with val/"),
        ("sweep_vae", {"objective": "test/iwae"}, "expected an objective that begins with val/"),
        ("sweep_vae", {"objective": "val/beta_loss"}, "does not contain beta"),
    ],
)
def test_bad_input_is_one_line_and_a_failed_run(pipeline, stage, changes, message):
    tag_sets = f"runs:/{pipeline['distill_tags']}/tag_sets"
    given = changes if stage == "promote" else {"tag_sets": tag_sets, **changes}
    with pytest.raises(ValueError, match=message) as error:
        stages.run(stage, **given)
    assert "\n" not in str(error.value)
    failed = mlflow.search_runs(output_format="list", max_results=1)[0]
    assert (failed.info.run_name, failed.info.status) == (stage, "FAILED")


CSV = "ytid,aspect_list,caption\n"


@pytest.mark.parametrize(
    ("corpus", "taxonomy", "message"),
    [
        (
            "ytid,caption\na,A waltz.\n",
            None,
            "expected column aspect_list .*in .*corpus.csv, got columns ytid, caption",
        ),
        (CSV + "a,\"['jazz']\",A\nb,jazz,B\n", None, r"in row 2 \(ytid b\) of .*corpus.csv, got 'jazz'"),
        (CSV, None, "expected at least one row in .*corpus.csv, got none"),
        ("", None, "expected a CSV file in UTF-8, or a Parquet file, in .*corpus.csv"),
        (CSV + "a,\"['noise']\",A\n", None, "expected a row with tags of 3 categories, got none in 1 rows"),
        (CSV, "tags: [{name: polka, category: dance}]", "expected a category of genre, .* got 'dance'"),
    ],
)
def test_a_bad_corpus_is_one_line_and_a_failed_run_without_tag_sets(store, corpus, taxonomy, message):
    (store / "corpus.csv").write_text(corpus)
    (store / "taxonomy.yaml").write_text(taxonomy or "")
    with pytest.raises(ValueError, match=message) as error:
        stages.run("distill_tags", corpus="corpus.csv", taxonomy="taxonomy.yaml" if taxonomy else "builtin")
    assert "\n" not in str(error.value)
    failed = mlflow.search_runs(output_format="list", max_results=1)[0]
    assert (failed.info.run_name, failed.info.status) == ("distill_tags", "FAILED")
    artifacts = [file.path for file in mlflow.MlflowClient().list_artifacts(failed.info.run_id)]
    assert artifacts == ["traceback.txt"]
