"""Listening: embeddings, taggers, distances between sets of clips, verification of concepts."""
