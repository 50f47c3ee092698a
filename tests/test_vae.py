import numpy as np
import pytest
import torch

from conceptcaps import vae
from conceptcaps.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()
DIALS = {"latent_dim": 8, "hidden_dim": 64, "dropout": 0.0, "beta": 0.25, "learning_rate": 3e-3, "batch_size": 16}


def rows(count: int = 64, seed: int = 0) -> np.ndarray:
    """Rows of four families of tags that always go together."""
    families = [["jazz", "piano", "double bass"], ["metal", "distorted guitar"], ["folk", "banjo"], ["techno", "dark"]]
    chosen = np.random.default_rng(seed).integers(4, size=count)
    return TAXONOMY.encode([families[place] for place in chosen])


def fit(**changes) -> vae.BetaVAE:
    given = {**DIALS, "epochs": 3, "patience": 50, "seed": 0, "taxonomy": TAXONOMY, **changes}
    return vae.fit(train=rows(), validation=rows(16, 1), **given)


def test_divergence_of_a_standard_normal_is_zero_and_the_loss_is_a_mean_over_rows():
    zero = torch.zeros(4, 3)
    _, divergence = vae.loss(zero, zero, zero, zero, beta=1)
    assert divergence == 0
    once, _ = vae.loss(zero, zero, zero + 1, zero, beta=1)
    twice, _ = vae.loss(zero.repeat(2, 1), zero.repeat(2, 1), zero.repeat(2, 1) + 1, zero.repeat(2, 1), beta=1)
    assert once == pytest.approx(float(twice), rel=1e-6)


def test_divergence_is_torch_s_own():
    mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
    _, found = vae.loss(torch.zeros(5, 2), torch.zeros(5, 2), mean, log_variance, beta=1)
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_learns_which_tags_go_together():
    model = fit(epochs=150, dropout=0.0)
    found = vae.assess(model, rows(16, 1), prefix="val", seed=0)
    assert found["val/reconstruction_jaccard"] > 0.95
    assert found["val/iwae"] > -3.5, "log 1/4 = -1.4 nats would be perfect"
    assert found["val/elbo"] <= found["val/iwae"] <= 0


def test_the_bound_of_a_decoder_that_ignores_its_latents_is_its_likelihood():
    model = fit(epochs=1)
    with torch.no_grad():
        for parameter in [*model.encoder[-1].parameters(), model.decoder[-1].weight, model.decoder[-1].bias]:
            parameter.zero_()
    for samples in (1, 8):
        values = vae.bounds(model, rows(4), seed=0, samples=samples)
        for bound in values.values():
            np.testing.assert_allclose(bound, -200 * np.log(2), rtol=1e-5)


def test_the_best_epoch_is_kept_not_the_last():
    bounds = []
    model = fit(
        epochs=30, learning_rate=0.1, on_epoch=lambda epoch, metrics: bounds.append(metrics["val/iwae"]) or None
    )
    kept = vae.bounds(model, rows(16, 1), seed=0)["iwae"].mean()
    assert kept == pytest.approx(max(bounds), abs=1e-4) and kept > bounds[-1]


def test_same_seed_same_weights_and_resume_ends_where_one_go_does(tmp_path):
    whole = fit(epochs=4).state_dict()
    assert all(torch.equal(value, fit(epochs=4).state_dict()[name]) for name, value in whole.items())

    def stop(epoch, metrics):
        return epoch == 1

    fit(epochs=4, folder=tmp_path, on_epoch=stop)
    seen = []
    resumed = fit(epochs=4, folder=tmp_path, on_epoch=lambda epoch, metrics: seen.append(epoch))
    assert seen == [2, 3]
    for name, value in whole.items():
        torch.testing.assert_close(resumed.state_dict()[name], value)
    with pytest.raises(ValueError, match="expected checkpoints of the same rows and parameters"):
        fit(epochs=4, folder=tmp_path, beta=0.5)


def test_saved_models_are_the_same(tmp_path):
    model = fit()
    vae.save(model, tmp_path / "model")
    again = vae.load(tmp_path / "model")
    assert again.config == model.config and again.taxonomy.tags == model.taxonomy.tags
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match="expected a folder with config.json"):
        vae.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_dim": 0}, "expected latent_dim and hidden_dim of at least 1"),
        ({"dropout": 1.0}, r"dropout in \[0, 1\)"),
        ({"beta": -1}, "expected beta of at least 0"),
        ({"epochs": 0}, "batch_size, epochs and patience of at least 1"),
    ],
)
def test_refuses_dials_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        fit(**changes)
    with pytest.raises(ValueError, match=r"expected rows \(n, 200\)"):
        vae.fit(train=rows()[:, :5], validation=rows(), taxonomy=TAXONOMY, **DIALS, epochs=1, patience=1, seed=0)
