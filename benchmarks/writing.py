"""Writing captions against a plain ``generate`` loop: batches of 8 in the order of the rows, greedy, SmolLM2."""

import time

import numpy as np
import torch

from conceptcaps.captions import captioner, decoding, language_model
from conceptcaps.tags.taxonomy import Taxonomy

ROWS, PLAIN_BATCH, BATCH, LENGTH = 128, 8, 64, 80


def main() -> None:
    taxonomy = Taxonomy.load()
    generator = np.random.default_rng(0)
    sets = [generator.choice(taxonomy.tags, size, replace=False) for size in generator.integers(2, 9, ROWS)]
    chats = [captioner.messages([list(tags)]) for tags in sets]
    model, tokenizer = language_model.load("smollm2", quantization="none", device="cpu")

    started = time.perf_counter()
    plain: list[str] = []
    for start in range(0, ROWS, PLAIN_BATCH):
        texts = [
            tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
            for chat in chats[start : start + PLAIN_BATCH]
        ]
        batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
        with torch.inference_mode():
            written = model.generate(
                **batch, do_sample=False, max_new_tokens=LENGTH, pad_token_id=tokenizer.pad_token_id
            )
        plain += tokenizer.batch_decode(written[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    seconds = {"plain": time.perf_counter() - started}

    started = time.perf_counter()
    sampling = decoding.Sampling(temperature=0, repetition_penalty=1.0, no_repeat_ngram=0, max_new_tokens=LENGTH)
    ours = decoding.generate(
        model, tokenizer, chats, streams=[(row, 0) for row in range(ROWS)], sampling=sampling, batch_size=BATCH
    )
    seconds["ours"] = time.perf_counter() - started
    equal = np.mean([one.strip() == other.text for one, other in zip(plain, ours, strict=True)])
    print(
        f"writing, {ROWS} captions: plain loop {seconds['plain']:.1f} s, ours {seconds['ours']:.1f} s, "
        f"{seconds['plain'] / seconds['ours']:.1f} times faster; {equal:.1%} of the texts equal"
    )


if __name__ == "__main__":
    main()
