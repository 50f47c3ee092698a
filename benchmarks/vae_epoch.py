"""One training epoch of the tag VAE against a plain DataLoader loop on the same rows, batch 32."""

import time

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from conceptcaps import vae
from conceptcaps.taxonomy import Taxonomy
from conceptcaps.threads import one_thread

ROWS, BATCH, EPOCHS = 4500, 32, 3


def plain(model: vae.BetaVAE, optimiser: torch.optim.Optimizer, rows: torch.Tensor) -> None:
    for (batch,) in DataLoader(TensorDataset(rows), batch_size=BATCH, shuffle=True):
        mean, log_variance = model.encode(batch)
        logits = model.decode(mean + torch.randn_like(mean) * (log_variance / 2).exp())
        value, _ = vae.loss(logits, batch, mean, log_variance, beta=0.25)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        value.item()


def main() -> None:
    """The loop alone is compared on the published network; the last figure is that of the network that we train."""
    rows = torch.as_tensor(np.random.default_rng(0).random((ROWS, 200)) < 0.03, dtype=torch.float32)
    model = network(latent_dim=128, hidden_dim=512)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    started = time.perf_counter()
    for _ in range(EPOCHS):
        plain(model, optimiser, rows)
    seconds = (time.perf_counter() - started) / EPOCHS
    print(f"VAE epoch, {ROWS} rows, batch {BATCH}: plain loop, latent 128, hidden 512: {seconds:.3f} s")
    for sizes in ({"latent_dim": 128, "hidden_dim": 512}, {"latent_dim": 32, "hidden_dim": 256}):
        model = network(**sizes)
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        with one_thread():
            started = time.perf_counter()
            for _ in range(EPOCHS):
                vae.train_epoch(model, optimiser, rows, beta=0.25, batch_size=BATCH)
        ours = (time.perf_counter() - started) / EPOCHS
        print(f"ours, {sizes}: {ours:.3f} s, {seconds / ours:.1f} times faster")


def network(*, latent_dim: int, hidden_dim: int) -> vae.BetaVAE:
    torch.manual_seed(0)
    taxonomy = Taxonomy.load()
    return vae.BetaVAE(taxonomy=taxonomy, latent_dim=latent_dim, hidden_dim=hidden_dim, dropout=0.25, batch_norm=False)


if __name__ == "__main__":
    main()
