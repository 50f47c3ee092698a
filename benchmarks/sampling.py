"""Distinct tag sets of three categories drawn a second, exclusions kept, from a network of the default size."""

import time

import torch

from conceptcaps.tags import sampling, vae
from conceptcaps.tags.taxonomy import Taxonomy

COUNT = 400_000
DIALS = {"prior": "aggregate", "temperature": 1.0, "condition": [], "min_categories": 3, "seed": 0}


def main() -> None:
    taxonomy = Taxonomy.load()
    model = vae.BetaVAE(taxonomy=taxonomy, latent_dim=32, hidden_dim=128, dropout=0.25, batch_norm=False)
    with torch.no_grad():
        model.decoder[-1].bias.fill_(-3.0)
    model.remember((torch.rand(2000, 200) < 0.05).float())
    sampling.sample(model, count=1000, **DIALS)
    started = time.perf_counter()
    drawn = sampling.sample(model, count=COUNT, **DIALS)
    print(f"sampling: {len(drawn) / (time.perf_counter() - started):,.0f} distinct tag sets a second")


if __name__ == "__main__":
    main()
