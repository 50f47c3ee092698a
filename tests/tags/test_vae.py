import numpy as np
import pytest
import torch

from conceptcaps.tags import vae, vae_epoch, vae_training
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()
DIALS = {"latent_dim": 8, "hidden_dim": 64, "dropout": 0.0, "beta": 0.25, "learning_rate": 3e-3, "batch_size": 16}


def rows(count: int = 64, seed: int = 0) -> np.ndarray:
    """Rows of four families of tags that always go together."""
    families = [["jazz", "piano", "double bass"], ["metal", "distorted guitar"], ["folk", "banjo"], ["techno", "dark"]]
    chosen = np.random.default_rng(seed).integers(4, size=count)
    return TAXONOMY.encode([families[place] for place in chosen])


def fit(**changes) -> vae.BetaVAE:
    given = {**DIALS, "epochs": 3, "patience": 50, "seed": 0, "taxonomy": TAXONOMY, **changes}
    return vae_training.fit(train=rows(), validation=rows(16, 1), **given)


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


@pytest.mark.parametrize("batch_norm", [False, True])
def test_written_gradients_are_autograd_s(batch_norm):
    torch.manual_seed(0)
    model = vae.BetaVAE(taxonomy=TAXONOMY, latent_dim=8, hidden_dim=16, dropout=0.5, batch_norm=batch_norm)
    batch = torch.from_numpy(rows(24).astype(np.float32))
    noise, kept = torch.randn(24, 8), [2 * (torch.rand(24, 16) < 0.5).float() for _ in range(2)]

    def half(layers, inputs, mask):
        return layers[-1](torch.nn.functional.relu(layers[:-3](inputs)) * mask)

    mean, log_variance = half(model.encoder, batch, kept[0]).chunk(2, 1)
    logits = half(model.decoder, mean + (log_variance / 2).exp() * noise, kept[1])
    value, _ = vae.loss(logits, batch, mean, log_variance, beta=0.7)
    value.backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    optimiser = vae_epoch.AdamW.of(model)
    with torch.inference_mode():
        halves = [vae_epoch.Half.of(layers) for layers in (model.encoder, model.decoder)]
        found, code = vae_epoch.gradients(*halves, batch, batch, noise, *kept, beta=0.7)
    torch.testing.assert_close(found, logits)
    torch.testing.assert_close(code, torch.cat([mean, log_variance], 1))
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert optimiser.gradient.any() and optimiser.gradient.numel() == sum(map(torch.numel, model.parameters()))


def test_the_optimiser_is_torch_s_own():
    torch.manual_seed(0)
    one, other = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    other.load_state_dict(one.state_dict())
    ours, theirs = vae_epoch.AdamW.of(one), torch.optim.AdamW(other.parameters(), lr=0.1, weight_decay=0.01)
    for _ in range(4):
        for mine, own in zip(one.parameters(), other.parameters(), strict=True):
            own.grad = torch.randn(own.shape)
            mine.grad.copy_(own.grad)
        ours.step(learning_rate=0.1)
        theirs.step()
    for mine, own in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, own)


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
        vae_training.fit(
            train=rows()[:, :5], validation=rows(), taxonomy=TAXONOMY, **DIALS, epochs=1, patience=1, seed=0
        )
