import numpy as np
import pandas as pd
import pytest

from conceptcaps.captions import evaluation, fluency, metrics
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import assets
from tests import tiny_model

TAXONOMY = Taxonomy.load()
PAIRS = [(mood, genre, sound) for mood in ("calm", "sad", "dark") for genre in ("jazz", "folk", "rock", "disco")
         for sound in ("piano", "harp", "violin", "cello")]  # fmt: skip
REAL = pd.DataFrame(
    {
        "id": [f"real {row}" for row in range(len(PAIRS))],
        "tags": [list(pair) for pair in PAIRS],
        "caption": [f"A {mood} {genre} tune in which a {sound} plays the theme." for mood, genre, sound in PAIRS],
    }
)


@pytest.fixture(scope="module")
def scorer():
    return metrics.bert_scorer(str(assets.fetch("minilm")), layer=5)


def judged(captions, scorer, **options):
    frame = REAL.head(len(captions)).assign(caption=captions, sample_id=REAL["id"])
    encoder = str(assets.fetch("minilm"))
    return evaluation.evaluate(frame, REAL, taxonomy=TAXONOMY, scorer=scorer, encoder=encoder, seed=0, **options)


def test_rows_without_text_keep_their_place_and_say_why(scorer):
    texts = REAL["caption"].head(24).tolist()
    texts[3], texts[7], texts[9] = "", "   ", None
    found = judged(texts, scorer)
    scores = found.items.select_dtypes("number").drop(columns=["reference_jaccard"])
    assert found.items["error"].ne("").to_numpy().nonzero()[0].tolist() == [3, 7, 9]
    assert scores.loc[[3, 7, 9]].isna().all(axis=None) and found.summary["captions/failed"] == 3
    whole = judged([text or "A tune." for text in texts], scorer).items
    assert found.summary["captions/second_readable"] == 1
    assert found.items["bertscore_f1"][10] == pytest.approx(whole["bertscore_f1"][10], abs=1e-5)
    with pytest.raises(
        ValueError, match=r"at most 10% of captions without a score, got 3 of 24, the first being real 3"
    ):
        evaluation.require_few_failures(found.items)
    evaluation.require_few_failures(whole)
    with pytest.raises(
        ValueError, match="expected captions to judge and real ones, got 2 of 2 and 0 of 48 without text"
    ):
        judged(["", " "], scorer)


def test_real_rows_without_text_are_left_out_and_counted(scorer, tmp_path):
    texts = REAL["caption"].head(24).tolist()
    real = REAL.assign(caption=["", None, *REAL["caption"][2:]])
    outside = tiny_model.load(tiny_model.save(tmp_path, texts=texts))
    given = {"taxonomy": TAXONOMY, "scorer": scorer, "encoder": str(assets.fetch("minilm")), "seed": 0}
    written = REAL.head(24).assign(sample_id=REAL["id"])
    found = evaluation.evaluate(written, real, **given, outside=outside)
    assert found.summary["real/failed"] == 2 and not {"real 0", "real 1"} & set(found.items["reference_id"])
    assert evaluation.evaluate(written, REAL, **given).summary["real/failed"] == 0
    with pytest.raises(ValueError, match="got 0 of 24 and 48 of 48 without text"):
        evaluation.evaluate(written, REAL.assign(caption=""), **given)


def test_real_captions_reach_the_ceiling_and_others_do_not(scorer):
    learnt = REAL.assign(split=np.where(np.arange(len(REAL)) % 5 % 2, "train", "test"))
    same = judged(REAL["caption"].tolist(), scorer, learnt=learnt)
    other = judged(
        [f"Revenue rose {row} percent on sales. Tags: none." for row in range(40)] * 1, scorer, learnt=learnt
    )
    assert same.summary["captions/bertscore_rescaled"] == pytest.approx(1, abs=1e-4)
    assert abs(other.summary["captions/bertscore_rescaled"]) < 0.2 < other.summary["captions/bertscore_f1"]
    assert other.summary["captions/leaked_prompts"] == 40 and same.summary["captions/leaked_prompts"] == 0
    assert same.summary["captions/mauve"] > other.summary["captions/mauve"]
    assert other.summary["captions/mauve"] < same.summary["captions/mauve_ceiling"] <= 1
    assert other.summary["captions/auc_ngrams"] > 0.95 and other.summary["captions/auc_embeddings"] > 0.95
    assert other.summary["captions/auc_null_embeddings"] < 0.8
    assert same.summary["real/second_recall"] == same.summary["captions/second_recall"] == 1
    assert other.summary["captions/second_recall"] == 0


def test_the_null_of_a_set_is_of_as_many_texts(scorer):
    texts = REAL["caption"].sample(frac=1, random_state=0).tolist()
    learnt = pd.DataFrame({"caption": texts * 2, "split": ["train"] * len(texts) + ["test"] * len(texts)})
    found = judged(texts[:12], scorer, learnt=learnt).summary
    train, held = (evaluation._some(texts, 12, seed=0) for _ in range(2))
    assert found["captions/auc_null_ngrams"] == fluency.two_sample_auc(train, held, seed=0)
    assert found["captions/auc_ngrams"] == fluency.two_sample_auc(
        evaluation._some(texts[:12], 12, seed=0), held, seed=0
    )
    assert "captions/auc_ngrams" not in judged(texts[:9], scorer, learnt=learnt).summary


def test_what_the_second_reader_says(scorer):
    texts = [
        "A calm jazz tune in which a piano plays the theme.",
        "A calm jazz tune, without a piano.",
        "A calm jazz tune in which a piano plays as softly as a flute would.",
        "A calm jazz tune in which a trumpet and a piano play.",
        "A calm jazz tune in which a piano plays the theme.",
    ]
    frame = pd.DataFrame({"id": list("abcde"), "caption": texts, "tags": [["calm", "jazz", "piano"]] * 5})
    reader = evaluation.MentionReader(TAXONOMY)
    found, apart = evaluation.second_reading(frame, taxonomy=TAXONOMY, reader=reader)
    assert found["second_recall"].tolist() == pytest.approx([1, 2 / 3, 1, 1, 1])
    assert found["denying"].tolist() == [0, 1, 0, 0, 0] and found["second_inventing"].tolist() == [0, 0, 0, 1, 0]
    assert apart[["id", "matcher_only"]].to_numpy().tolist() == [["c", ["flute"]]]
    assert found["agreement"].tolist() == pytest.approx([1, 1, 0.8, 1, 1])


def test_tags_that_the_second_reader_cannot_read_are_not_held_against_captions(tmp_path):
    path = tmp_path / "taxonomy.json"
    path.write_text('{"genre": ["jazz", "enka"], "instrument": ["piano", "guqin"]}')
    taxonomy = Taxonomy.load(path)
    reader = evaluation.MentionReader(taxonomy)
    texts = ["An enka jazz tune on the guqin.", "A guqin plays enka.", "A jazz tune for piano."]
    tags = [["jazz", "enka", "guqin"], ["enka", "guqin"], ["enka", "jazz"]]
    frame = pd.DataFrame({"id": list("abc"), "caption": texts, "tags": tags})
    found, apart = evaluation.second_reading(frame, taxonomy=taxonomy, reader=reader)
    assert found["second_recall"].tolist() == pytest.approx([1, np.nan, 1], nan_ok=True)
    assert found["second_inventing"].tolist() == pytest.approx([0, np.nan, 1], nan_ok=True)
    assert found["agreement"].tolist() == pytest.approx([1, np.nan, 1], nan_ok=True) and apart.empty


def test_grammar_repetition_and_words():
    texts = ["A harp plays the melody.", "A harp melody the of plays harp a. A harp plays."]
    parses = fluency.whole_parses([*texts, ""])
    assert np.isnan(parses).all() or ((parses[0], parses[1]) == (1, 0.5) and np.isnan(parses[2]))
    assert fluency.repetition(["a b a b a"], n=2)[0] == pytest.approx(0.5)
    assert fluency.strangeness(texts[:1], vocabulary=fluency.vocabulary(texts))[0] == 0


def test_grammar_is_not_judged_without_its_program(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert np.isnan(fluency.whole_parses(["A tune."])).all()


def test_two_samples_of_one_text_cannot_be_told_apart():
    texts = REAL["caption"].sample(frac=1, random_state=0).tolist()
    assert fluency.two_sample_auc(texts * 2, texts * 2, seed=0) < 0.6
    assert fluency.two_sample_auc(texts, [text.upper() + " no" for text in texts], seed=0) == 1
    with pytest.raises(ValueError, match="ten texts on each side, got 48 and 3"):
        fluency.two_sample_auc(texts, texts[:3], seed=0)
