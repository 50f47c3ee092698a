"""Fine-tuning, saving and writing with a tiny model: it learns, it is refused untrained, batches change nothing."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import NoRepeatNGramLogitsProcessor, RepetitionPenaltyLogitsProcessor

from conceptcaps.captions import captioner, decoding, finetuning, language_model, sft_trainer, table
from conceptcaps.captions.decoding import Sampling
from conceptcaps.tags.taxonomy import Taxonomy
from tests import tiny_model

TAXONOMY = Taxonomy.load()
TAGS = [["jazz", "piano"], ["rock", "drums"], ["folk", "banjo"], ["metal", "fast tempo"]]
CAPTIONS = ["A jazz piece for piano.", "A rock song with drums.", "A folk tune on the banjo.", "Fast tempo metal."]
ROWS = pd.DataFrame({"id": [str(row) for row in range(8)], "faithful_tags": TAGS * 2, "faithful_caption": CAPTIONS * 2})


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> str:
    texts = [*CAPTIONS, *TAXONOMY.tags, *captioner.PROMPT.values()]
    return str(tiny_model.save(tmp_path_factory.mktemp("base"), texts=texts))


def fit(base: str, folder, *, epochs: float = 1, **changes) -> tuple[PeftModel, list[dict[str, float]]]:
    model, tokenizer = language_model.load(base, device="cpu")
    rows = finetuning.examples(ROWS, taxonomy=TAXONOMY, most=0, seed=0)
    log: list[dict[str, float]] = []
    dials = {"rank": 32, "alpha": 64, "dropout": 0.0, "learning_rate": 5e-3, "batch_size": 4, "max_tokens": 256}
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


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    """A captioner that has learnt its eight rows by heart, and its folder."""
    folder = tmp_path_factory.mktemp("trained")
    tuned, log = fit(base, folder / "checkpoints", epochs=20)
    tokenizer = language_model.load(base, device="cpu")[1]
    captioner.save(folder / "captioner", adapter=tuned, tokenizer=tokenizer, taxonomy=TAXONOMY, base=base)
    return tuned, tokenizer, folder / "captioner", log


def test_learns_its_rows_by_heart_and_reports_losses(base, trained):
    tuned, tokenizer, _, log = trained
    rows = finetuning.examples(ROWS, taxonomy=TAXONOMY, most=0, seed=0)
    before = finetuning.caption_losses(language_model.load(base, device="cpu")[0], tokenizer, rows, batch_size=4)
    after = finetuning.caption_losses(tuned, tokenizer, rows, batch_size=4)
    assert before.min() > 4 and after.max() < 0.5
    assert {"train/loss", "val/loss"} <= {name for entry in log for name in entry}


def test_loss_is_the_completion_s_alone_and_its_end_is_learnt(trained):
    tuned, tokenizer, _, _ = trained
    rows = finetuning.examples(ROWS, taxonomy=TAXONOMY, most=0, seed=0)
    tokens, begin = finetuning._encode(tokenizer, rows["prompt"][0], rows["completion"][0])
    assert tokenizer.decode(tokens[begin:]).startswith(CAPTIONS[0])
    assert tokens[-1] == tokenizer.eos_token_id
    assert tokens.count(tokenizer.bos_token_id) == 3, "one begin mark for each message, none doubled"
    with torch.inference_mode():
        logits = tuned(torch.tensor([tokens])).logits[0]
    nll = torch.nn.functional.cross_entropy(logits[begin - 1 : -1], torch.tensor(tokens[begin:]))
    assert finetuning.caption_losses(tuned, tokenizer, rows[:1], batch_size=1)[0] == pytest.approx(float(nll), abs=1e-5)


def test_losses_do_not_depend_on_the_batch(trained):
    tuned, tokenizer, _, _ = trained
    rows = finetuning.examples(ROWS, taxonomy=TAXONOMY, most=0, seed=0)
    by_batch = [finetuning.caption_losses(tuned, tokenizer, rows, batch_size=size) for size in (1, 3, 8)]
    np.testing.assert_allclose(by_batch[0], by_batch[1], atol=1e-5)
    np.testing.assert_allclose(by_batch[0], by_batch[2], atol=1e-5)


def test_writes_what_it_learnt_and_merged_equals_unmerged(trained):
    tuned, tokenizer, folder, _ = trained
    merged = captioner.load(folder)
    unmerged = dataclasses.replace(merged, model=tuned)
    sampling = Sampling(temperature=0, max_new_tokens=30, repetition_penalty=1.0, no_repeat_ngram=0)
    texts = [
        [
            row.caption
            for row in captioner.write(
                one, TAGS, seeds=[0] * 4, sampling=sampling, batch_size=4, attempts=1, steering=0
            )
        ]
        for one in (merged, unmerged)
    ]
    assert texts[0] == texts[1] == CAPTIONS


PLAIN = Sampling(temperature=0, max_new_tokens=30, repetition_penalty=1.0, no_repeat_ngram=0)


@pytest.fixture
def vllm(monkeypatch):
    """An importable vllm."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "fake_vllm")
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "vllm"]:
        del sys.modules[name]


@pytest.mark.parametrize("variant", captioner.VARIANTS)
def test_vllm_gives_the_same_captions_in_the_same_form(trained, variant, vllm):
    rows = pd.DataFrame({"id": list("abcd"), "tags": TAGS})
    dials = {"sampling": PLAIN, "batch_size": 4, "attempts": 1, "steering": 0, "seed": 0}
    tables = [
        table.write_rows(rows, captioner.load(trained[2], variant=variant, engine=engine), **dials)
        for engine in captioner.ENGINES
    ]
    pd.testing.assert_frame_equal(*tables)
    writer = captioner.load(trained[2], variant=variant, engine="vllm")
    for changes, message in [
        ({"steering": 2.0}, "expected steering=0 with engine=vllm"),
        ({"sampling": Sampling()}, "expected no_repeat_ngram=0 and repetition_penalty=1 with engine=vllm"),
    ]:
        with pytest.raises(ValueError, match=message):
            table.write_rows(rows, writer, **{**dials, **changes})


def test_vllm_has_to_be_installed(trained):
    with pytest.raises(ValueError, match="expected the package vllm for engine=vllm, got none; make vllm"):
        captioner.load(trained[2], engine="vllm")
    with pytest.raises(ValueError, match="engine torch, vllm, got 'tuned' and 'onnx'"):
        captioner.load(trained[2], engine="onnx")


def test_captions_are_as_long_as_their_prompt_lets_them(trained):
    writer = captioner.load(trained[2])
    fewest, most = captioner.lengths(["jazz", "piano"], tokenizer=writer.tokenizer)
    assert 0 < fewest < most < captioner.lengths(TAXONOMY.tags[:20], tokenizer=writer.tokenizer)[1]
    chats = [captioner.messages(TAGS[0], prompt=writer.prompt, taxonomy=TAXONOMY)] * 3
    short, free, long = decoding.generate(
        writer.model,
        writer.tokenizer,
        chats,
        streams=[(0, 0)] * 3,
        sampling=PLAIN,
        batch_size=3,
        lengths=[(0, 3), (0, 30), (29, 30)],
    )
    assert free.text == CAPTIONS[0] and free.ended
    assert free.text.startswith(short.text) and short.text and not short.ended, "cut off"
    assert long.text.startswith(free.text) and len(long.text) > len(free.text), "not let end"


def test_an_untrained_adapter_is_refused(base, tmp_path):
    model, tokenizer = language_model.load(base, device="cpu")
    untrained = get_peft_model(model, LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM"))
    with pytest.raises(ValueError, match="changes no logit"):
        captioner.save(tmp_path, adapter=untrained, tokenizer=tokenizer, taxonomy=TAXONOMY, base=base)


def test_variants_differ_and_an_unknown_one_is_refused(trained):
    _, _, folder, _ = trained
    sampling = Sampling(temperature=0, max_new_tokens=30)
    texts = {
        variant: captioner.write(
            captioner.load(folder, variant=variant),
            TAGS,
            seeds=[0] * 4,
            sampling=sampling,
            batch_size=4,
            attempts=1,
            steering=0,
        )[0].caption
        for variant in captioner.VARIANTS
    }
    assert texts["tuned"] != texts["base"]
    with pytest.raises(ValueError, match="expected variant tuned, base, zero_shot and engine torch, vllm, got 'none'"):
        captioner.load(folder, variant="none")


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_captions_do_not_depend_on_the_batch(trained, temperature):
    _, _, folder, _ = trained
    writer = captioner.load(folder, variant="base")
    sampling = Sampling(temperature=temperature, max_new_tokens=12)
    rows = pd.DataFrame({"id": ["a", "b", "c", "d"], "tags": TAGS})

    def write(part: pd.DataFrame, batch_size: int) -> pd.DataFrame:
        return table.write_rows(part, writer, sampling=sampling, batch_size=batch_size, attempts=2, steering=0, seed=0)

    whole = write(rows, 4)
    pd.testing.assert_frame_equal(whole, write(rows, 1))
    pd.testing.assert_frame_equal(whole.iloc[2:].reset_index(drop=True), write(rows.iloc[2:], 2))
    assert whole["id"].is_unique


def test_a_better_attempt_is_kept(trained):
    _, _, folder, _ = trained
    writer = captioner.load(folder)
    sampling = Sampling(temperature=3.0, max_new_tokens=16)
    dials = {"seeds": list(range(4)), "sampling": sampling, "batch_size": 4, "steering": 0}
    once = captioner.write(writer, TAGS, attempts=1, **dials)
    often = captioner.write(writer, TAGS, attempts=6, **dials)
    assert sum(row.faithfulness.faults for row in often) < sum(row.faithfulness.faults for row in once)
    assert all(row.attempts == 1 for row in once) and max(row.attempts for row in often) > 1


def test_served_answers_have_the_signature_s_columns(trained):
    frame = captioner.predict(captioner.load(trained[2]), pd.DataFrame({"tags": ["jazz, piano", "rock, drums"]}))
    assert list(frame.columns) == ["caption", "tag_recall", "missed", "hallucinated"]
    with pytest.raises(ValueError, match="200 tags, got 'polka metal'"):
        captioner.predict(captioner.load(trained[2]), pd.DataFrame({"tags": ["polka metal"]}))


def test_training_resumes_where_it_was_and_ends_the_same(base, tmp_path):
    whole, _ = fit(base, tmp_path / "whole", epochs=3)
    fit(base, tmp_path / "parts", epochs=3)
    last = sorted((tmp_path / "parts").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))[-1]
    for file in last.iterdir():
        file.unlink()
    last.rmdir()
    resumed, log = fit(base, tmp_path / "parts", epochs=3)
    assert min(entry["step"] for entry in log if "train/loss" in entry) > 2, "the first epochs were not trained again"
    for name, value in whole.state_dict().items():
        if "lora" in name:
            torch.testing.assert_close(resumed.state_dict()[name], value)


def test_a_kill_between_epochs_changes_nothing(base, tmp_path, monkeypatch):
    """The process dies in its second epoch, two steps after a checkpoint, while a later one is torn."""
    dials = {"epochs": 2, "batch_size": 2, "dropout": 0.1}
    code = (
        "import os, pathlib, sys\nfrom conceptcaps.captions import sft_trainer\n"
        "from tests.captions.test_captioner import fit\n"
        "sft_trainer.CHECKPOINT_STEPS = 3\n"
        "die = lambda step, metrics: step == 8 and os.kill(os.getpid(), 9)\n"
        f"fit(sys.argv[1], pathlib.Path(sys.argv[2]), **{dials}, report=die)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, base, tmp_path / "killed"], check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr.decode()
    (tmp_path / "killed" / "checkpoint-7").mkdir()
    (tmp_path / "killed" / "checkpoint-7" / "trainer_state.json").write_text('{"epoch"')

    monkeypatch.setattr(sft_trainer, "CHECKPOINT_STEPS", 3)
    resumed, log = fit(base, tmp_path / "killed", **dials)
    assert [entry["step"] for entry in log if "train/loss" in entry] == [7, 8]
    whole, _ = fit(base, tmp_path / "whole", **dials)
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


def test_padding_and_speed_are_reported_and_the_model_is_shown_each_epoch(base, tmp_path):
    shown = []
    _, log = fit(base, tmp_path, epochs=2, on_epoch=lambda step, model: shown.append((step, model.training)))
    assert shown == [(2, False), (4, False)]
    steps = [entry for entry in log if "train/loss" in entry]
    assert len(steps) == 4 and all(entry["train/tokens_per_second"] > 0 for entry in steps)
    model, tokenizer = language_model.load(base, device="cpu")
    rows = finetuning.examples(ROWS, taxonomy=TAXONOMY, most=0, seed=0)
    lengths = [
        len(finetuning._encode(tokenizer, *pair)[0]) for pair in zip(rows["prompt"], rows["completion"], strict=True)
    ]
    assert 0 < steps[-1]["train/padding"] < 1 - np.mean(lengths) / max(lengths)


@pytest.mark.parametrize("adapter", ["rslora", "dora"])
def test_other_adapters_learn_and_merge(base, tmp_path, adapter):
    tuned, log = fit(base, tmp_path / "checkpoints", epochs=8, adapter=adapter, target_modules="q_proj,v_proj,up_proj")
    losses = [entry["val/loss"] for entry in log if "val/loss" in entry]
    assert losses[-1] < losses[0] - 0.5
    tokenizer = language_model.load(base, device="cpu")[1]
    captioner.save(tmp_path / "captioner", adapter=tuned, tokenizer=tokenizer, taxonomy=TAXONOMY, base=base)
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        torch.testing.assert_close(captioner.load(tmp_path / "captioner").model(ids).logits, tuned(ids).logits)


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
    model, tokenizer = language_model.load(base, device="cpu")
    tokenizer.chat_template = None
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="expected a model with a chat template"):
        language_model.load(str(tmp_path))


def test_rows_without_a_faithful_caption_teach_nothing():
    rows = ROWS.assign(faithful_caption="")
    with pytest.raises(ValueError, match="expected rows with a faithful caption"):
        finetuning.examples(rows, taxonomy=TAXONOMY, most=0, seed=0)
    assert len(finetuning.examples(ROWS, taxonomy=TAXONOMY, most=3, seed=0)) == 3


def test_draws_follow_the_probabilities():
    """Inverse transform: 4,000 rows with the same logits draw tokens in proportion to their softmax."""
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2]])).repeat(4000, 1)
    sampling = Sampling(temperature=1, top_k=3, top_p=1)
    uniform = torch.as_tensor(np.random.default_rng(0).random(4000))
    chosen = decoding.draw(logits, uniform=uniform, sampling=sampling)
    shares = torch.bincount(chosen, minlength=3) / 4000
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=0.03)


def test_dials_cut_off_what_is_unlikely():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).repeat(500, 1)
    uniform = torch.linspace(0, 0.999, 500)

    def drawn(**dials) -> set[int]:
        sampling = Sampling(**{"temperature": 1, "top_k": 4, "top_p": 1, **dials})
        return set(decoding.draw(logits, uniform=uniform, sampling=sampling).tolist())

    assert drawn() == {0, 1, 2, 3}
    assert drawn(top_k=2) == {0, 1}
    assert drawn(top_p=0.6) == {0, 1}
    assert drawn(temperature=0) == {0}
    with pytest.raises(ValueError, match="expected temperature >= 0"):
        decoding.generate(None, None, [], streams=[], sampling=Sampling(temperature=-1), batch_size=1)


def test_repetition_penalty_is_that_of_transformers():
    """Keskar et al. (2019), arXiv 1909.05858: a positive logit is divided by the penalty, a negative one multiplied."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(64, 30, generator=generator)
    earlier = torch.randint(30, (64, 12), generator=generator)
    expected = RepetitionPenaltyLogitsProcessor(1.8)(earlier, logits.clone())
    decoding.penalise(logits, earlier.tolist(), penalty=1.8)
    torch.testing.assert_close(logits, expected)


def test_repeated_sequences_are_barred_as_by_transformers():
    tokens = torch.randint(6, (1, 40), generator=torch.Generator().manual_seed(1))
    for size in (2, 3):
        scores = NoRepeatNGramLogitsProcessor(size)(tokens, torch.zeros(1, 6))
        assert decoding.repeating(tokens[0].tolist(), size=size) == set((scores[0] < 0).nonzero()[:, 0].tolist())
    assert decoding.repeating([1, 1, 1], size=0) == set()


@pytest.mark.parametrize("bonus", [0.5, 4.0])
def test_steered_captions_say_more_and_nothing_else(trained, bonus):
    """An untuned model writes noise; steering adds what was asked for and takes back what was not."""
    writer = captioner.load(trained[2], variant="base")
    sampling = Sampling(temperature=1.0, max_new_tokens=60)
    rows = pd.DataFrame({"id": list("abcdefgh"), "tags": TAGS * 2})

    def write(steering: float, batch_size: int = 8) -> pd.DataFrame:
        return table.write_rows(
            rows, writer, sampling=sampling, batch_size=batch_size, attempts=1, steering=steering, seed=0
        )

    plain, steered = write(0), write(bonus)
    assert steered["tag_recall"].mean() >= plain["tag_recall"].mean()
    assert steered["hallucinated"].map(len).sum() <= plain["hallucinated"].map(len).sum()
    pd.testing.assert_frame_equal(steered, write(bonus, batch_size=3))


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_greedy_texts_are_those_of_transformers(base, batch_size):
    """Rows of different prompts and lengths: the longest cache is packed and filled up again while others go on."""
    model, tokenizer = language_model.load(base, device="cpu")
    chats = [
        [{"role": "user", "content": " ".join(TAXONOMY.tags[7 * row : 7 * row + 1 + row % 4])}] for row in range(20)
    ]
    sampling = Sampling(temperature=0, repetition_penalty=1.0, no_repeat_ngram=0, max_new_tokens=40)
    answers = decoding.generate(
        model, tokenizer, chats, streams=[(row, 0) for row in range(20)], sampling=sampling, batch_size=batch_size
    )
    for chat, answer in zip(chats, answers, strict=True):
        prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        with torch.inference_mode():
            output = model.generate(**prompt, do_sample=False, max_new_tokens=40, pad_token_id=tokenizer.pad_token_id)
        expected = tokenizer.decode(output[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
        assert answer.text == expected.strip()
        assert answer.ended == bool((output[0] == tokenizer.eos_token_id)[prompt["input_ids"].shape[1] :].any())
    assert len({len(answer.text) for answer in answers}) > 3, "rows end at different steps"
