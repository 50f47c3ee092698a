"""The part of vLLM's interface that the project uses, decoding greedily with transformers."""

from dataclasses import dataclass
from types import SimpleNamespace

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer


@dataclass
class SamplingParams:
    temperature: float
    top_k: int
    top_p: float
    min_tokens: int
    max_tokens: int
    seed: int


class LLM:
    def __init__(self, *, model, revision, enable_lora, max_model_len, gpu_memory_utilization, max_lora_rank=16):
        self._model = AutoModelForCausalLM.from_pretrained(model, revision=revision)
        self._tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)
        self._rank = max_lora_rank if enable_lora else 0

    def chat(self, chats, params, lora_request=None):
        model = self._model
        if lora_request is not None:
            model = PeftModel.from_pretrained(model, lora_request.lora_path)
            assert model.peft_config["default"].r <= self._rank
        return [self._answer(model.eval(), chat, own) for chat, own in zip(chats, params, strict=True)]

    def _answer(self, model, chat, params):
        assert params.temperature == 0, "decodes greedily"
        prompt = self._tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        lengths = {"min_new_tokens": params.min_tokens, "max_new_tokens": params.max_tokens}
        with torch.inference_mode():
            output = model.generate(**prompt, do_sample=False, pad_token_id=self._tokenizer.pad_token_id, **lengths)[0]
        new = output[prompt["input_ids"].shape[1] :]
        text = self._tokenizer.decode(new, skip_special_tokens=True)
        reason = "stop" if new[-1] == self._tokenizer.eos_token_id else "length"
        return SimpleNamespace(outputs=[SimpleNamespace(text=text, finish_reason=reason)])
