"""Decoding: draws by their probabilities, dials as transformers has them, candidates that share what was chosen."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from transformers import (
    FalconConfig,
    FalconForCausalLM,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
)

from conceptcaps.captions import chat, decoding, desk, sampling
from conceptcaps.captions.lanes import Lanes, fast_attention
from conceptcaps.captions.sampling import Sampling
from conceptcaps.tags.taxonomy import Taxonomy
from tests import tiny_model

TAXONOMY = Taxonomy.load()
GREEDY = Sampling(temperature=0, max_new_tokens=40)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tiny_model.save(tmp_path_factory.mktemp("base"), texts=[*TAXONOMY.tags, "A. B. C!"])
    return tiny_model.load(folder)


def chats(number: int) -> list[list[dict[str, str]]]:
    """Requests of different lengths."""
    return [
        [{"role": "user", "content": " ".join(TAXONOMY.tags[7 * row : 7 * row + 1 + row % 4])}] for row in range(number)
    ]


def streams(number: int) -> list[tuple[int, int]]:
    return [(row, 0) for row in range(number)]


def test_draws_follow_the_probabilities():
    """Inverse transform: 4,000 rows with the same logits draw tokens in proportion to their softmax."""
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2]])).repeat(4000, 1)
    dials = Sampling(temperature=1, top_k=3, top_p=1)
    uniform = torch.as_tensor(np.random.default_rng(0).random(4000))
    chosen, likelihoods = sampling.draw(logits, uniform=uniform, heats=torch.ones(len(uniform)), sampling=dials)
    np.testing.assert_allclose(likelihoods, logits[torch.arange(4000), chosen], rtol=1e-5)
    shares = torch.bincount(chosen, minlength=3) / 4000
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=0.03)


def test_a_warmer_row_draws_more_of_what_is_unlikely_and_leaves_the_others_alone():
    logits = torch.log(torch.tensor([[0.9, 0.1]])).repeat(4000, 1)
    uniform = torch.linspace(0, 0.9999, 4000)
    heats = torch.where(torch.arange(4000) % 2 == 0, sampling.heat(0), sampling.heat(2))
    chosen, _ = sampling.draw(logits, uniform=uniform, heats=heats, sampling=Sampling(temperature=0.5, top_p=1))
    cool, warm = chosen[::2].double().mean(), chosen[1::2].double().mean()
    np.testing.assert_allclose([cool, warm], [0.1**2 / (0.9**2 + 0.1**2), 0.1], atol=0.001)


def test_dials_cut_off_what_is_unlikely():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).repeat(500, 1)
    uniform = torch.linspace(0, 0.999, 500)

    def drawn(**dials) -> set[int]:
        given = Sampling(**{"temperature": 1, "top_k": 4, "top_p": 1, **dials})
        return set(sampling.draw(logits, uniform=uniform, heats=torch.ones(500), sampling=given)[0].tolist())

    assert drawn() == {0, 1, 2, 3}
    assert drawn(top_k=2) == {0, 1}
    assert drawn(top_p=0.6) == {0, 1}
    assert drawn(temperature=0) == {0}
    with pytest.raises(ValueError, match="expected temperature >= 0"):
        decoding.generate(None, None, [], streams=[], sampling=Sampling(temperature=-1), batch_size=1)
    with pytest.raises(ValueError, match="expected .*top_k and max_new_tokens >= 1"):
        decoding.generate(None, None, [], streams=[], sampling=Sampling(max_new_tokens=0), batch_size=1)
    with pytest.raises(ValueError, match="candidates and rounds of at least 1, got 1, 0, 1"):
        decoding.generate(None, None, [], streams=[], sampling=Sampling(), batch_size=1, candidates=0)


def test_repetition_penalty_is_that_of_transformers():
    """Keskar et al. (2019), arXiv 1909.05858: a positive logit is divided by the penalty, a negative one multiplied."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(64, 30, generator=generator)
    earlier = torch.randint(30, (64, 12), generator=generator)
    expected = RepetitionPenaltyLogitsProcessor(1.8)(earlier, logits.clone())
    sampling.penalise(logits, earlier.tolist(), penalty=1.8)
    torch.testing.assert_close(logits, expected)


def test_repeated_sequences_are_barred_as_by_transformers():
    tokens = torch.randint(6, (1, 40), generator=torch.Generator().manual_seed(1))
    for size in (2, 3):
        scores = NoRepeatNGramLogitsProcessor(size)(tokens, torch.zeros(1, 6))
        assert sampling.repeating(tokens[0].tolist(), size=size) == set((scores[0] < 0).nonzero()[:, 0].tolist())
    assert sampling.repeating([1, 1, 1], size=0) == set()


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_greedy_texts_are_those_of_transformers(model, batch_size):
    """Rows of different prompts and lengths, read together, and lanes that others take over."""
    network, tokenizer = model
    answers = decoding.generate(
        network, tokenizer, chats(20), streams=streams(20), sampling=GREEDY, batch_size=batch_size
    )
    for messages, answer in zip(chats(20), answers, strict=True):
        prompt = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            output = network.generate(**prompt, do_sample=False, max_new_tokens=40, pad_token_id=tokenizer.pad_token_id)
        expected = tokenizer.decode(output[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
        assert answer.text == expected.strip()
        assert answer.ended == bool((output[0] == tokenizer.eos_token_id)[prompt["input_ids"].shape[1] :].any())
    assert len({len(answer.text) for answer in answers}) > 3, "rows end at different steps"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_are_those_of_the_model_and_the_same_in_any_company(model, dtype):
    """Texts of 3 to 70 tokens, then four more for each: alone, and among others in a wider store."""
    network = model[0].to(dtype)
    generator = torch.Generator().manual_seed(0)
    texts = [torch.randint(3, 600, (size,), generator=generator).tolist() for size in (3, 70, 31, 32, 33)]

    def logits(rows: list[int], begin: int = 0) -> torch.Tensor:
        with torch.inference_mode(), fast_attention(network):
            lanes = Lanes(network, len(rows))
            for lane, states in enumerate(lanes.read([texts[row][: len(texts[row]) - 3] or [0] for row in rows])):
                lanes.fill(slice(lane, lane + 1), states)
            found = []
            for place in (-3, -2, -1):
                found.append(lanes.step(torch.tensor([texts[row][place] for row in rows]), range(len(rows))))
                lanes.lengths += 1
            return torch.stack(found, 1)

    together = logits([1, 2, 3, 4])
    for lane, row in enumerate([1, 2, 3, 4]):
        assert torch.equal(together[lane], logits([row])[0])
        with torch.inference_mode():
            whole = network(torch.tensor([texts[row]])).logits[0, -3:]
        torch.testing.assert_close(together[lane], whole, atol=1e-4 if dtype == torch.float32 else 0.1, rtol=0.02)
    assert network.config._attn_implementation == "sdpa", "put back"
    network.to(torch.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("ours", [True, False])
def test_idle_lanes_wait_and_change_nothing(model, dtype, ours):
    network = model[0].to(dtype)
    texts = [[3 + (7 * row + place) % 500 for place in range(5 + 6 * row)] for row in range(12)]
    passed: list[int] = []
    hook = network.register_forward_pre_hook(
        lambda _, __, given: passed.append(len(given["input_ids"])), with_kwargs=True
    )
    with torch.inference_mode(), fast_attention(network) if ours else nullcontext():
        lanes = Lanes(network, 12)
        for lane, states in enumerate(lanes.read(texts)):
            lanes.fill(slice(lane, lane + 1), states)
        every = lanes.step(torch.arange(40, 52), range(12))
        for busy in ([1, 5, 6], [2], [0, 3, 4, 7, 8, 9, 10, 11], [11]):
            passed.clear()
            found = lanes.step(torch.arange(40, 52)[busy], busy)
            assert torch.equal(found, every[busy])
            assert passed == [-(-len(busy) // 4) * 4 if ours else 12]
    hook.remove()
    network.to(torch.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("ours", [True, False])
def test_lanes_that_say_the_same_are_worked_out_once(model, dtype, ours):
    """Two texts of four lanes each: twins go on together for a while, part, and are as if each had a text alone."""
    network = model[0].to(dtype)
    prompts = [[3 + place % 500 for place in range(40)], [7 + place % 300 for place in range(9)]]
    said = torch.tensor([[40, 41, 42], [40, 41, 43], [40, 44, 42], [45, 41, 42], [40, 41, 42], [46] * 3, [46] * 3])
    passed: list[int] = []
    hook = network.register_forward_pre_hook(
        lambda _, __, given: passed.append(len(given["input_ids"])), with_kwargs=True
    )

    def logits(alone: bool, sharing: int = 4) -> torch.Tensor:
        lanes = Lanes(network, 8, sharing=sharing)
        for text, states in enumerate(lanes.read(prompts)):
            for begin in range(4 * text, 4 * text + 4, sharing):
                lanes.fill(slice(begin, begin + sharing), states)
        passed.clear()
        found = []
        for place in range(3):
            heads = [(lane // 4, tuple(row[: place + 1].tolist())) for lane, row in enumerate(said)]
            alike = None if alone else [heads.index(head) for head in heads]
            found.append(lanes.step(said[:, place], range(7), alike=alike))
            lanes.lengths[:7] += 1
        return torch.stack(found)

    with torch.inference_mode(), fast_attention(network) if ours else nullcontext():
        near = {"atol": 1e-5 if dtype == torch.float32 else 0.1, "rtol": 0.02}
        assert torch.equal(logits(alone=False), logits(alone=True))
        assert passed == [8, 8, 8]
        torch.testing.assert_close(logits(alone=True), logits(alone=True, sharing=1), **near)
        found = logits(alone=True)
        passed.clear()
        logits(alone=False)
        assert passed == ([4, 8, 8] if ours else [8, 8, 8])
    hook.remove()
    with torch.inference_mode():
        for lane, row in enumerate(said.tolist()):
            whole = network(torch.tensor([prompts[lane // 4] + row])).logits[0, -3:]
            torch.testing.assert_close(found[:, lane], whole, **near)
    network.to(torch.float32)


@pytest.mark.parametrize("candidates", [1, 3])
def test_any_number_of_candidates_and_texts_gives_greedy_sentences_alike(model, candidates):
    """Lanes are filled up to a multiple of four, also after those of texts that are done were closed."""
    network, tokenizer = model
    dials = {"streams": streams(5), "parts": [[6, 9], [12], [5], [8, 4, 7], [3]], "sampling": GREEDY}
    few = decoding.generate(network, tokenizer, chats(5), batch_size=5 * candidates, candidates=candidates, **dials)
    plain = decoding.generate(network, tokenizer, chats(5), batch_size=1, candidates=1, **dials)
    assert [answer.text for answer in few] == [answer.text for answer in plain]


def test_threads_share_a_model(model):
    def attention() -> str:
        return model[0].config._attn_implementation

    first, second = fast_attention(model[0]), fast_attention(model[0])
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert attention() == "grouped_matmul", "the second goes on"
    second.__exit__(None, None, None)
    assert attention() == "sdpa"


def test_models_that_bring_their_own_attention_keep_it():
    config = FalconConfig(
        vocab_size=600, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, multi_query=False, alibi=False
    )
    network = FalconForCausalLM(config).eval()
    with fast_attention(network):
        assert network.config._attn_implementation != "grouped_matmul"


def test_sentences_end_where_their_plan_does_and_the_chosen_candidate_goes_on(model):
    """The text is what the model says, greedily, behind what was chosen before, whichever candidate that was."""
    network, tokenizer = model
    seen: dict[tuple[int, int], list[str]] = {}

    def choose(row, part, said, found):
        seen[row, part] = [answer.text for answer in found]
        return (row + part) % len(found), True

    drawn = Sampling(temperature=2.0, top_k=400)
    dials = {"streams": streams(6), "sampling": drawn, "parts": [[12, 5, 8]] * 6}
    answers = decoding.generate(network, tokenizer, chats(6), batch_size=8, candidates=4, choose=choose, **dials)
    for row, answer in enumerate(answers):
        assert answer.text == " ".join(seen[row, part][(row + part) % 4] for part in range(3)).strip()
        assert len(set(seen[row, 0])) > 1
    for row in range(6):
        alone = decoding.generate(
            network,
            tokenizer,
            chats(6)[row:][:1],
            batch_size=1,
            candidates=4,
            rounds=1,
            choose=lambda _, part, said, found, row=row: choose(row, part, said, found),
            streams=streams(6)[row:][:1],
            sampling=drawn,
            parts=[[12, 5, 8]],
        )
        assert alone[0].text == answers[row].text


def test_the_likelihood_is_that_of_the_text(model):
    network, tokenizer = model
    dials = Sampling(temperature=0, top_k=700, max_new_tokens=9)
    answer = decoding.generate(network, tokenizer, chats(1), streams=streams(1), sampling=dials, batch_size=1)[0]
    asked = torch.tensor([chat.encode(tokenizer, chats(1)[0])[0]])
    with torch.inference_mode():
        tokens = network.generate(asked, do_sample=False, max_new_tokens=9, pad_token_id=tokenizer.pad_token_id)[0]
        logits = network(tokens[None]).logits[0, asked.shape[1] - 1 : -1]
    expected = -torch.nn.functional.cross_entropy(logits, tokens[asked.shape[1] :])
    assert answer.likelihood == pytest.approx(float(expected), abs=1e-4)


def test_what_will_not_do_is_drawn_again_and_the_best_stays(model):
    network, tokenizer = model
    rounds: list[list[str]] = []

    def choose(row, part, said, found):
        rounds.append([answer.text for answer in found])
        return 1, False

    dials = {"streams": streams(1), "sampling": Sampling(temperature=2.0, top_k=400), "parts": [[10]]}
    answer = decoding.generate(
        network, tokenizer, chats(1), batch_size=4, candidates=3, rounds=3, choose=choose, **dials
    )[0]
    assert len(rounds) == 3 and {texts[1] for texts in rounds} == {answer.text}
    assert len({texts[0] for texts in rounds}) == 3


def test_ends_of_sentences(model):
    tokenizer = model[1]
    ends = {tokenizer.decode([token]) for token in desk.sentence_ends(tokenizer)}
    assert {".", "!", "?"} <= ends and not any(text.strip().isalnum() for text in ends)


def test_one_candidate_that_will_not_do_is_kept(model):
    network, tokenizer = model
    (answer,) = decoding.generate(
        network,
        tokenizer,
        chats(1),
        streams=streams(1),
        sampling=Sampling(),
        batch_size=4,
        parts=[[6, 6]],
        candidates=1,
        rounds=3,
        choose=lambda row, part, text, found: (0, False),
    )
    assert answer.text
