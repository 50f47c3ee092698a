"""The part of vLLM's interface that the project uses, decoding greedily with transformers."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer


@dataclass
class SamplingParams:
    temperature: float
    top_k: int
    top_p: float
    max_tokens: int
    seed: int
    n: int = 1
    logprobs: int | None = None
    stop: list[str] = field(default_factory=list)
    stop_token_ids: list[int] = field(default_factory=list)
    include_stop_str_in_output: bool = False
    logit_bias: dict[int, float] = field(default_factory=dict)


class LLM:
    def __init__(self, *, model, revision, enable_lora, max_model_len, gpu_memory_utilization, max_lora_rank=16):
        self._model = AutoModelForCausalLM.from_pretrained(model, revision=revision)
        self._tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)
        self._rank = max_lora_rank if enable_lora else 0
        assert max_lora_rank in (8, 16, 32, 64, 128, 256, 320, 512)

    def generate(self, prompts, params, lora_request=None):
        model = self._model
        if lora_request is not None:
            model = PeftModel.from_pretrained(model, lora_request.lora_path)
            assert model.peft_config["default"].r <= self._rank
        return [self._answer(model.eval(), prompt, own) for prompt, own in zip(prompts, params, strict=True)]

    @torch.inference_mode()
    def _answer(self, model, prompt, params):
        assert params.temperature == 0, "decodes greedily"
        said, total, reason = [], 0.0, "length"
        while len(said) < params.max_tokens:
            logits = model(torch.tensor([prompt["prompt_token_ids"] + said])).logits[0, -1]
            for token, bias in params.logit_bias.items():
                logits[token] += bias
            said.append(int(logits.argmax()))
            total += float(logits.log_softmax(0)[said[-1]])
            text = self._tokenizer.decode(said, skip_special_tokens=True)
            if said[-1] in params.stop_token_ids or any(mark in text for mark in params.stop):
                reason = "stop"
                break
        output = SimpleNamespace(text=text, token_ids=said, cumulative_logprob=total, finish_reason=reason)
        return SimpleNamespace(outputs=[output] * params.n)
