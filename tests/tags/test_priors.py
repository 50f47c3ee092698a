import itertools

import numpy as np
import pytest
import torch

from conceptcaps.tags import priors, vae_training
from tests.tags.test_ancestral import taxonomy_of
from tests.tags.test_vae import fit


def test_a_mixture_s_first_draws_are_like_its_last():
    model = fit(epochs=150, head=False, beta=0.05)
    mixture = priors._mixture(model, seed=0)
    assert mixture.n_components > 1
    generator = np.random.default_rng(0)
    latents = priors.latents(model, prior="gmm", mixture=mixture, generator=generator, size=4000)
    logits = model.decode(latents).detach()
    first, last = torch.sigmoid(logits).chunk(2)
    assert (first.mean(0) - last.mean(0)).abs().max() < 0.05


@pytest.mark.parametrize("prior", ["standard", "aggregate", "gmm", "independent"])
def test_likelihoods_sum_to_one_over_all_sets(prior):
    taxonomy = taxonomy_of([[0, 2]], 5)
    every = np.array(list(itertools.product([False, True], repeat=5)))
    sound = np.array([not taxonomy.contradictions(tags) for tags in taxonomy.decode(every)])
    small = {"latent_dim": 2, "hidden_dim": 8, "dropout": 0.0, "beta": 0.1, "learning_rate": 1e-2, "batch_size": 8}
    small |= {"batch_norm": False, "warmup": 0}
    given = {"taxonomy": taxonomy, **small, "head": True, "penalty": 0.0, "patience": 9, "seed": 0}
    model = vae_training.fit(train=every[sound], validation=every[sound], epochs=30, **given)
    found = [np.exp(priors.log_likelihood(model, every, prior=prior, seed=seed)).sum() for seed in range(20)]
    assert np.mean(found) == pytest.approx(1, abs=0.03)
