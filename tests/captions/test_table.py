"""Tables of captions: of others, judged by the matcher, compared in pairs; a language model as judge."""

import numpy as np
import pandas as pd
import pytest

from conceptcaps.captions import decoding, llm_judge, table
from conceptcaps.tags.taxonomy import Taxonomy
from tests import tiny_model

TAXONOMY = Taxonomy.load()


def frame(texts: list[str], tags: list[list[str]]) -> pd.DataFrame:
    return pd.DataFrame({"caption": texts, "tags": tags})


def test_a_caption_is_judged_by_what_it_says():
    tags = [["jazz", "piano"]] * 4
    texts = [
        "A jazz piece for piano.",
        "A slow jazz piece for piano.",
        "A jazz piece with a trumpet.",
        "A sad song.",
    ]
    found = table.check_all(frame(texts, tags), taxonomy=TAXONOMY)
    assert found["tag_recall"].tolist() == [1, 1, 0.5, 0]
    assert found["all_tags"].tolist() == [1, 1, 0, 0]
    assert found["hallucinating"].tolist() == [0, 1, 1, 1]
    assert found["inventing"].tolist() == [0, 0, 1, 0]


def test_captions_of_others_are_read_with_their_aspects_mapped(tmp_path):
    path = tmp_path / "other.csv"
    rows = {"aspect_list": ["['acoustic piano', 'jazzy']", "['nothing known']"], "prediction": ["One.", "Two."]}
    pd.DataFrame(rows).to_csv(path, index=False)
    found = table.open_table(str(path), taxonomy=TAXONOMY)
    assert found["caption"].tolist() == ["One."] and "piano" in found["tags"][0]

    pd.DataFrame({"aspect_list": ["['nothing known']"], "caption": ["Two."]}).to_csv(path, index=False)
    with pytest.raises(ValueError, match="expected rows with a tag of the taxonomy.*none in 1"):
        table.open_table(str(path), taxonomy=TAXONOMY)
    pd.DataFrame({"aspect_list": ["piano"], "caption": ["Two."]}).to_csv(path, index=False)
    with pytest.raises(ValueError, match="row 0 of .*other.csv"):
        table.open_table(str(path), taxonomy=TAXONOMY)
    pd.DataFrame({"tags": ["piano"]}).to_csv(path, index=False)
    with pytest.raises(ValueError, match="expected columns aspect_list and caption or prediction"):
        table.open_table(str(path), taxonomy=TAXONOMY)


def test_tables_of_others_share_the_samples_whose_tags_they_share(tmp_path):
    sets = {
        "one": ["['jazz']", "['piano']", "['jazz']"],
        "same": ["['jazz']", "['jazz']", "['piano']"],
        "other": ["['harp']"] * 3,
    }
    found = {}
    for name, aspects in sets.items():
        rows = {"aspect_list": aspects, "caption": ["A.", "B.", "C."], "prediction": ["X.", "Y.", "Z."]}
        pd.DataFrame(rows).to_csv(tmp_path / f"{name}.csv", index=False)
        found[name] = table.open_table(str(tmp_path / f"{name}.csv"), taxonomy=TAXONOMY)
    assert all(opened["sample_id"].is_unique and opened["id"].is_unique for opened in found.values())
    assert set(found["one"]["sample_id"]) == set(found["same"]["sample_id"])
    assert not set(found["one"]["sample_id"]) & set(found["other"]["sample_id"])
    assert found["one"]["caption"].tolist() == ["A.", "B.", "C."], "a caption goes before a prediction"


def test_pairs_are_compared_where_set_and_reference_agree():
    generator = np.random.default_rng(0)
    ids = [str(row) for row in range(60)]
    noise = generator.random(60)
    ours = pd.DataFrame(
        {"id": ids, "sample_id": ids, "reference_id": "r", "bertscore_f1": noise + 0.1, "judge": np.nan}
    )
    theirs = ours.assign(bertscore_f1=noise + generator.normal(0, 0.05, 60)).iloc[::-1].drop(columns="judge")
    found = table.paired(ours, theirs[theirs["sample_id"] != "3"], seed=0)
    assert found["paired/n"] == 59 and found["paired/bertscore_f1"] == pytest.approx(0.1, abs=0.03)
    assert found["paired/bertscore_f1_p"] < 0.001 < found["paired/bertscore_f1_low"] < found["paired/bertscore_f1_high"]
    assert not any("judge" in name for name in found)
    with pytest.raises(ValueError, match="got 0 of 60 rows in common"):
        table.paired(ours, theirs.assign(reference_id="other"), seed=0)


def test_a_score_that_failed_for_some_rows_is_averaged_over_the_others():
    found = table.means(pd.DataFrame({"judge": [1.0, np.nan, 0.0, 0.5]}), seed=0)
    assert found["captions/judge"] == 0.5


def answering(monkeypatch, answer):
    """A judge that gives ``answer(question)``."""

    def generate(model, tokenizer, chats, **_):
        return [decoding.Answer(answer(chat[0]["content"]), True) for chat in chats]

    monkeypatch.setattr(llm_judge.decoding, "generate", generate)


def compare(first: str, second: str) -> float:
    return float(llm_judge.preferences([["jazz"]], [first], [second], model=None, tokenizer=None)[0])


def test_a_judge_that_likes_what_stands_first_prefers_nothing(monkeypatch):
    answering(monkeypatch, lambda question: '{"better": "A"}')
    assert compare("A jazz piece.", "A sad song.") == 0.5


def test_a_judge_that_reads_is_heard_in_both_orders(monkeypatch):
    def reads(question: str) -> str:
        first, second = question.index("A:"), question.index("B:")
        return '{"better": "%s"}' % ("A" if first < question.index("jazz piece") < second else "B")

    answering(monkeypatch, reads)
    assert compare("A jazz piece.", "A sad song.") == 1 and compare("A sad song.", "A jazz piece.") == 0


def test_an_answer_that_is_not_the_json_asked_for_is_nan(monkeypatch):
    for answer in ("A", '{"better": "C"}', '{"better": ["A"]}', "{A}", ""):
        answering(monkeypatch, lambda question, answer=answer: answer)
        assert np.isnan(compare("A jazz piece.", "A sad song."))


def test_a_real_model_judges_without_a_crash(tmp_path):
    model, tokenizer = tiny_model.load(tiny_model.save(tmp_path, texts=["A jazz piece.", llm_judge.QUESTION]))
    found = llm_judge.preferences(
        [["jazz"], ["rock", "sad"]], ["A jazz piece.", "Sad."], ["Jazz.", "Rock."], model=model, tokenizer=tokenizer
    )
    assert np.isnan(found).all(), "it has learnt nothing"
