"""One training epoch of the tag VAE against plain DataLoader loops over the same rows, batch 32."""

import time
import warnings

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from conceptcaps.tags import vae, vae_training
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace.processor import one_thread

ROWS, BATCH, EPOCHS = 4500, 32, 5
PUBLISHED = {"latent_dim": 128, "hidden_dim": 512}
OURS = {"latent_dim": 32, "hidden_dim": 128, "head": True}
WORKERS = 4  # of the published data configuration


def network(*, latent_dim: int, hidden_dim: int, head: bool = False) -> vae.BetaVAE:
    torch.manual_seed(0)
    taxonomy = Taxonomy.load()
    return vae.BetaVAE(
        taxonomy=taxonomy, latent_dim=latent_dim, hidden_dim=hidden_dim, dropout=0.25, batch_norm=False, head=head
    )


def plain(rows: torch.Tensor, *, workers: int) -> float:
    """Seconds of an epoch of the published network: the fastest of several, as below."""
    model = network(**PUBLISHED)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)

    def epoch() -> None:
        for (batch,) in DataLoader(TensorDataset(rows), batch_size=BATCH, shuffle=True, num_workers=workers):
            mean, log_variance = model.encode(batch)
            logits = model.decode(mean + torch.randn_like(mean) * (log_variance / 2).exp())
            value, _ = vae.loss(logits, batch, mean, log_variance, beta=0.25)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            value.item()

    return fastest(epoch)


def ours(rows: torch.Tensor, **sizes: int) -> float:
    model = network(**sizes)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    dials = {"beta": 0.25, "penalty": 0.001, "batch_size": BATCH, "generator": np.random.default_rng(0)}
    with one_thread():
        return fastest(lambda: vae_training.train_epoch(model, optimiser, rows, **dials))


def fastest(epoch) -> float:
    seconds = []
    for _ in range(EPOCHS):
        started = time.perf_counter()
        epoch()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> None:
    """The goal is against the published loop; the other figures tell loop, workers and network apart."""
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    rows = torch.as_tensor(np.random.default_rng(0).random((ROWS, 200)) < 0.03, dtype=torch.float32)
    loops = {f"plain loop, {workers} workers": plain(rows, workers=workers) for workers in (WORKERS, 0)}
    for name, sizes in {
        "our network": OURS,
        "without its head": {**OURS, "head": False},
        "the published network": PUBLISHED,
    }.items():
        seconds = ours(rows, **sizes)
        against = ", ".join(f"{other / seconds:.1f} times faster than the {loop}" for loop, other in loops.items())
        print(f"VAE epoch, {ROWS} rows, batch {BATCH}, {name} {sizes}: {seconds:.3f} s, {against}")
    print("plain loops run the published network:", ", ".join(f"{loop} {s:.3f} s" for loop, s in loops.items()))


if __name__ == "__main__":
    main()
