import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing

from conceptcaps.captions import metrics
from conceptcaps.workspace import assets
from tests import tiny_model

REAL = [f"A {mood} {genre} tune for {voice}." for mood in ("calm", "sad", "loud") for genre in ("jazz", "folk", "rock")
        for voice in ("piano", "harp", "violin")]  # fmt: skip
OTHER = [f"Quarterly revenue rose {number} percent on strong demand." for number in range(27)]


@pytest.fixture(scope="module")
def minilm():
    return str(assets.fetch("minilm"))


def test_nearest_reference_is_itself_where_it_is_there():
    tags = np.random.default_rng(0).random((30, 20)) < 0.3
    tags[:, 0] = True  # no empty set, which is like none
    rows, jaccard = metrics.nearest_references(tags, tags)
    assert np.array_equal(tags[rows], tags) and np.all(jaccard == 1)
    with pytest.raises(ValueError, match="expected tag sets and references, got 30 and 0"):
        metrics.nearest_references(tags, tags[:0])


def test_bert_score_of_equal_texts_is_one_and_falls_with_distance(minilm):
    scorer = metrics.bert_scorer(minilm, layer=5)
    assert not scorer.rescale_with_baseline and "L5" in scorer.hash
    scores = metrics.bert_score(
        ["A calm tune for harp."] * 3, [REAL[1], "A calm tune for harp.", OTHER[0]], scorer=scorer
    )
    assert scores[1] == pytest.approx(1, abs=1e-5) and scores[1] > scores[0] > scores[2]


def test_overlap_scores_have_their_ends():
    same = metrics.overlap(REAL, REAL)
    none = metrics.overlap(["xyz"], ["qqq"])
    for name in ("bleu", "chrf", "rouge_l"):
        np.testing.assert_allclose(same[name], 1, atol=1e-9)
        assert none[name][0] == pytest.approx(0, abs=1e-9)
    assert np.all(same["meteor"] > 0.98) and none["meteor"][0] == 0
    with pytest.raises(ValueError, match="expected as many references as captions, got 1 and 2"):
        metrics.overlap(["a"], ["a", "b"])


def test_embeddings_do_not_depend_on_the_batch(minilm):
    whole = metrics.embed(REAL, model=minilm)
    np.testing.assert_allclose(whole, metrics.embed(REAL, model=minilm, batch_size=4), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-6)


def test_mauve_tells_like_from_unlike(minilm):
    real, other = (metrics.embed(texts, model=minilm) for texts in (REAL, OTHER))
    like = metrics.mauve_score(real, real, seeds=[0, 1])
    unlike = metrics.mauve_score(other, real, seeds=[0, 1])
    assert like.mean > 0.9 > 0.3 > unlike.mean and like.n == 27
    with pytest.raises(ValueError, match="expected at least 20 texts on each side, got 5 and 27"):
        metrics.mauve_score(real[:5], real, seeds=[0])


def test_perplexity_of_a_uniform_model_is_its_vocabulary(tmp_path):
    model, tokenizer = tiny_model.load(tiny_model.save(tmp_path, texts=REAL))
    with torch.no_grad():
        model.lm_head.weight.zero_()
    values = metrics.perplexities(REAL[:3], model=model, tokenizer=tokenizer)
    np.testing.assert_allclose(values, model.config.vocab_size, rtol=1e-4)


def test_a_text_begins_once_also_where_the_tokenizer_begins_it(tmp_path):
    model, tokenizer = tiny_model.load(tiny_model.save(tmp_path, texts=REAL))
    plain = metrics.perplexities(REAL[:3], model=model, tokenizer=tokenizer)
    begin = [(tokenizer.bos_token, tokenizer.bos_token_id)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<|start|> $A", special_tokens=begin)
    assert tokenizer("A")["input_ids"][0] == tokenizer.bos_token_id
    np.testing.assert_allclose(metrics.perplexities(REAL[:3], model=model, tokenizer=tokenizer), plain)


def test_distinct_counts_n_grams_over_all_texts():
    assert metrics.distinct(["a b c", "a b d"], n=2) == pytest.approx(3 / 4)
    with pytest.raises(ValueError, match="texts of at least 2 words"):
        metrics.distinct(["a"], n=2)


def test_self_bleu_is_one_for_equal_texts_and_low_for_others():
    assert metrics.self_bleu(["A calm tune for harp."] * 4, seed=0) == pytest.approx(1)
    mixed = metrics.self_bleu([REAL[0], "Quarterly revenue rose sharply.", "Dogs bark at night in town"], seed=0)
    assert mixed < 0.1 < metrics.self_bleu(REAL, seed=0)
    assert metrics.self_bleu(REAL, seed=0, most=9) == metrics.self_bleu(REAL, seed=0, most=9)
    with pytest.raises(ValueError, match="two texts or more"):
        metrics.self_bleu(["one"], seed=0)
