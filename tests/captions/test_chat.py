"""One chat for every family of templates: what is learnt is what is written, and it ends."""

from pathlib import Path

import pytest
import trl
from transformers import AutoTokenizer

from conceptcaps.captions import chat, llm_judge
from tests import tiny_model

SHIPPED = Path(trl.__file__).parent / "chat_templates"
REFUSE = "{{ raise_exception('Conversation roles must alternate user/assistant') }}"
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    + REFUSE
    + "{% endif %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ GAP + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
"""The shape of Mistral's own: no system role, instructions in brackets, an answer without a header."""
TEMPLATES = {
    "Llama 3": ((SHIPPED / "llama3.jinja").read_text(), "<|eot_id|>"),
    "Qwen 2.5": ((SHIPPED / "qwen2_5.jinja").read_text(), "<|im_end|>"),
    "Qwen 3": ((SHIPPED / "qwen3.jinja").read_text(), "<|im_end|>"),
    "Gemma 2": ((SHIPPED / "gemma.jinja").read_text(), "<end_of_turn>"),
    "Gemma 3": ((SHIPPED / "gemma3.jinja").read_text(), "<end_of_turn>"),
    "Phi 3": ((SHIPPED / "phi3.jinja").read_text(), "<|end|>"),
    "Mistral v0.1": (MISTRAL.replace("GAP", "''"), "</s>"),
    "Mistral v0.3": (MISTRAL.replace("GAP", "' '"), "</s>"),
    "Mixtral": (MISTRAL.replace("GAP + m['content']", "' ' + m['content'] | trim"), "</s>"),
    "drops the system": (
        "{% for m in messages if m['role'] != 'system' %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}",
        "<|end|>",
    ),
}
MESSAGES = [{"role": "system", "content": "Write a caption."}, {"role": "user", "content": "Tags: jazz | piano"}]
ANSWER = "A jazz tune. A piano plays."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model.save(tmp_path_factory.mktemp("base"), texts=[ANSWER, *(text["content"] for text in MESSAGES)])


@pytest.fixture(params=TEMPLATES)
def family(request, folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    template, end = TEMPLATES[request.param]
    tokenizer.add_special_tokens({"additional_special_tokens": sorted({mark for _, mark in TEMPLATES.values()})})
    tokenizer.chat_template = template
    if end == "</s>":
        tokenizer.eos_token = end
    return tokenizer, end


def test_every_family_is_asked_and_answers_in_its_own_way(family):
    tokenizer, end = family
    asked = chat.prompt(tokenizer, MESSAGES)
    assert asked.count("Write a caption.") == 1 and asked.count("Tags: jazz | piano") == 1
    assert chat.end(tokenizer) == end and tokenizer.convert_tokens_to_ids(end) in chat.end_ids(tokenizer)


def test_what_is_learnt_stands_behind_what_is_asked_and_ends(family):
    tokenizer, end = family
    tokens, begin = chat.encode(tokenizer, MESSAGES, ANSWER)
    asked, length = chat.encode(tokenizer, MESSAGES)
    assert tokens[:begin] == asked and begin == length
    assert tokenizer.decode(tokens[begin:]).strip() == ANSWER + end
    assert "think" not in tokenizer.decode(tokens[begin:])


def test_learnt_text_is_the_template_s_own(family):
    """As the template itself renders the whole chat, where it takes one with a system message or one without."""
    tokenizer, end = family
    request = MESSAGES[1:]
    tokens, _ = chat.encode(tokenizer, request, ANSWER)
    whole = tokenizer.apply_chat_template(
        [*request, {"role": "assistant", "content": ANSWER}], tokenize=False, enable_thinking=False
    )
    assert whole.startswith(tokenizer.decode(tokens)), whole


def test_an_answer_with_white_space_and_no_system(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for answer in (ANSWER, f" {ANSWER}\n"):
        tokens, begin = chat.encode(tokenizer, MESSAGES[1:], answer)
        assert tokenizer.decode(tokens[begin:]) == f"{ANSWER}<|end|>"


def test_a_judge_is_asked_by_the_same_rule(monkeypatch, family):
    """The judge's questions go through ``decoding.generate``, which renders with ``chat``."""
    tokenizer, _ = family
    asked = []

    def generate(model, own, chats, **_):
        asked.extend(chat.prompt(own, messages) for messages in chats)
        return [llm_judge.decoding.Answer('{"better": "A"}', True)] * len(chats)

    monkeypatch.setattr(llm_judge.decoding, "generate", generate)
    llm_judge.preferences([["jazz"]], ["One."], ["Two."], model=None, tokenizer=tokenizer)
    assert len(asked) == 2 and all("think" not in text or "</think>" in text for text in asked)
