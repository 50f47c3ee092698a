"""Distinct tag sets of three categories drawn a second, exclusions kept, from networks of the default size."""

import time

import torch

from conceptcaps.tags import sampling, vae
from conceptcaps.tags.taxonomy import Taxonomy

COUNT = 400_000
DIALS = {"prior": "aggregate", "temperature": 1.0, "condition": [], "min_categories": 3, "seed": 0}


def drawn_per_second(taxonomy: Taxonomy, *, head: bool) -> tuple[float, float]:
    """Distinct sets in a second, and in a second of one core."""
    torch.manual_seed(0)
    model = vae.BetaVAE(taxonomy=taxonomy, latent_dim=32, hidden_dim=128, dropout=0.25, batch_norm=False, head=head)
    with torch.no_grad():
        model.decoder.last.bias.fill_(-3.0)
        if model.links is not None:
            model.links.normal_(std=0.1)
    model.remember((torch.rand(2000, 200) < 0.05).float())
    sampling.sample(model, count=1000, **DIALS)
    started, busy = time.perf_counter(), time.process_time()
    found = sampling.sample(model, count=COUNT, **DIALS)
    return len(found.rows) / (time.perf_counter() - started), len(found.rows) / (time.process_time() - busy)


def main() -> None:
    for name, head in {"with the head": True, "without": False}.items():
        wall, core = drawn_per_second(Taxonomy.load(), head=head)
        print(f"sampling {name}: {wall:,.0f} distinct tag sets a second, {core:,.0f} a second of one core")


if __name__ == "__main__":
    main()
