"""Captions: language models, fine-tuning, decoding, faithfulness, text metrics, a judge."""
