"""One way to render every chat, for learning, writing and judging, whatever the template of the model.

Templates differ in what they bear: some refuse a system message or drop it, some think aloud, some put more behind an
answer than its end.
"""

from collections.abc import Mapping, Sequence

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

Chat = Sequence[Mapping[str, str]]
_PROBE = "Zanzibar"  # a text that stands in no template


def prompt(tokenizer: PreTrainedTokenizerBase, messages: Chat) -> str:
    """A chat with the beginning of an answer, as text.

    A system message stands in the request where the template has no place for it; models that can think are told not
    to.
    """
    return _render(tokenizer, messages, add_generation_prompt=True)


def encode(tokenizer: PreTrainedTokenizerBase, messages: Chat, answer: str | None = None) -> tuple[list[int], int]:
    """Tokens of a chat, and the position of the answer's first token.

    Args:
        tokenizer: Has a chat template.
        messages: System message or none, then requests.
        answer: What is answered, which stands behind the very prompt that it is written for, and before the token that
            ends it. None leaves the chat open: the place is its length.
    """
    asked = prompt(tokenizer, messages)
    if answer is None:
        tokens = tokenizer(asked, add_special_tokens=False)["input_ids"]
        return tokens, len(tokens)
    text = asked + _gap(tokenizer) + answer.strip() + end(tokenizer)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    begin = next(place for place, (_, stop) in enumerate(encoded["offset_mapping"]) if stop > len(asked))
    return encoded["input_ids"], begin


def end(tokenizer: PreTrainedTokenizerBase) -> str:
    """The token that the template puts after an answer, as text; the end-of-text token if it puts none."""
    behind = _answered(tokenizer).partition(_PROBE)[2].lstrip()
    marks = [mark for mark in tokenizer.get_added_vocab() if behind.startswith(mark)]
    return max(marks, key=len, default=tokenizer.eos_token)


def end_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Tokens that end an answer."""
    return {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(end(tokenizer))}


def _gap(tokenizer: PreTrainedTokenizerBase) -> str:
    """White space that the template has between the prompt and an answer."""
    opened = _render(tokenizer, [{"role": "user", "content": "?"}], add_generation_prompt=True)
    before = _answered(tokenizer).partition(_PROBE)[0]
    return before[len(opened) :] if before.startswith(opened) and before[len(opened) :].isspace() else ""


def _answered(tokenizer: PreTrainedTokenizerBase) -> str:
    return _render(tokenizer, [{"role": "user", "content": "?"}, {"role": "assistant", "content": _PROBE}])


def _render(tokenizer: PreTrainedTokenizerBase, messages: Chat, *, add_generation_prompt: bool = False) -> str:
    options = {"tokenize": False, "enable_thinking": False, "add_generation_prompt": add_generation_prompt}
    system = messages[0]["content"] if messages[0]["role"] == "system" else ""
    chat = [dict(message) for message in messages]
    try:
        text = tokenizer.apply_chat_template(chat, **options)
    except TemplateError:
        if not system:
            raise
        text = ""
    if system in text and text:
        return text
    first, *others = chat[1:]
    return tokenizer.apply_chat_template([{**first, "content": f"{system}\n\n{first['content']}"}, *others], **options)
