"""Tags: the taxonomy and its matcher, corpora, splits, the tag VAE and sampling from it."""
