"""Tag sets drawn a second, exclusions kept, from a network of the demo's size."""

import time

import torch

from conceptcaps import priors, vae
from conceptcaps.taxonomy import Taxonomy

CHUNKS = 12


def main() -> None:
    taxonomy = Taxonomy.load()
    model = vae.BetaVAE(taxonomy=taxonomy, latent_dim=32, hidden_dim=256, dropout=0.25, batch_norm=False)
    with torch.no_grad():
        model.decoder[-1].bias.fill_(-3.0)
    model.remember((torch.rand(2000, 200) < 0.05).float())
    generator = torch.Generator().manual_seed(0)
    nothing = torch.zeros(200, dtype=torch.bool)
    exclusions = priors.Exclusions.of(taxonomy)
    stream = priors.decoded(model, prior="aggregate", condition=nothing, generator=generator, seed=0)
    started, drawn = time.perf_counter(), 0
    for _ in range(CHUNKS):
        drawn += len(priors.draw(next(stream), exclusions=exclusions, generator=generator))
    print(f"sampling: {drawn / (time.perf_counter() - started):,.0f} tag sets a second")


if __name__ == "__main__":
    main()
