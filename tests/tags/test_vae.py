import numpy as np
import pytest
import torch

from conceptcaps.results import figures
from conceptcaps.tags import ancestral, vae, vae_training
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()
DIALS = {"latent_dim": 8, "hidden_dim": 64, "dropout": 0.0, "beta": 0.25, "learning_rate": 3e-3}
DIALS |= {"batch_size": 16, "head": True, "penalty": 0.001, "batch_norm": False, "warmup": 0}


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


def epoch(rows: torch.Tensor, model: vae.BetaVAE, *, learning_rate: float = 0.1, batch_size: int = 8, **changes):
    optimiser = torch.optim.SGD(model.parameters(), lr=learning_rate)
    dials = {"beta": 0.7, "penalty": 0.0, "batch_size": batch_size, "generator": np.random.default_rng(0), **changes}
    return vae_training.train_epoch(model, optimiser, rows, **dials)


def network(**changes) -> vae.BetaVAE:
    torch.manual_seed(0)
    sizes = {"latent_dim": 8, "hidden_dim": 16, "dropout": 0.5, "batch_norm": False, "head": True}
    return vae.BetaVAE(taxonomy=TAXONOMY, **{**sizes, **changes})


def test_an_epoch_of_one_batch_follows_the_gradient_of_the_loss():
    """Without dropout, against the loss written out with torch's own distributions."""
    values, model = torch.from_numpy(rows(24).astype(np.float32)), network(dropout=0.0)
    before = {name: value.clone() for name, value in model.named_parameters()}
    metrics = epoch(values, model, batch_size=24)
    other = network(dropout=0.0)
    generator = np.random.default_rng(0)
    shuffled = values[torch.from_numpy(generator.permutation(24))]
    noise = torch.from_numpy(generator.standard_normal((24, 8), dtype=np.float32))
    mean, log_variance = other.encode(shuffled)
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    logits = other.chain().logits(other.decode(mean + posterior.scale * noise), shuffled)
    kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    value = -torch.distributions.Bernoulli(logits=logits).log_prob(shuffled).sum(1).mean() + 0.7 * kl
    value.backward()
    assert metrics == pytest.approx({"train/loss": value.item(), "train/kl": kl.item()}, rel=1e-4)
    for name, parameter in other.named_parameters():
        step = (before[name] - dict(model.named_parameters())[name]) / 0.1
        torch.testing.assert_close(step, parameter.grad, rtol=1e-3, atol=1e-5)


def test_dropout_is_scaled_and_drawn_anew_for_each_row():
    model, values = network(dropout=0.5), torch.from_numpy(rows(2000).astype(np.float32))
    seen: list[torch.Tensor] = []
    forward = model.encoder.forward
    model.encoder.forward = lambda inputs, kept: seen.append(kept) or forward(inputs, kept)
    epoch(values, model, batch_size=500)
    kept = torch.cat(seen)
    assert set(kept.unique().tolist()) == {0.0, 2.0} and kept.mean() == pytest.approx(1, abs=0.02)
    assert kept.mean(1).std() > 0.1 and len(seen) == 4


def test_the_penalty_shrinks_the_links_alone():
    values = torch.from_numpy(rows(24).astype(np.float32))
    links = []
    for penalty in (0.0, 1.0):
        model = network(dropout=0.0)
        torch.nn.init.constant_(model.links, 0.5)
        epoch(values, model, penalty=penalty, batch_size=24)
        links.append(model.links.detach())
    torch.testing.assert_close(links[0] - links[1], torch.full((200, 200), 0.1 * 2 * 0.5))


def test_the_bound_comes_near_the_likelihood_of_a_chain_without_latents():
    """A decoder that ignores its latents: the bound is the likelihood, which the chain gives exactly."""
    model = network(dropout=0.0)
    with torch.no_grad():
        model.decoder.last.weight.zero_()
        model.decoder.last.bias.uniform_(-4, -2)
        model.links.normal_()
        for parameter in model.encoder.last.parameters():
            parameter.zero_()
        exact = ancestral.log_likelihood(model.decoder.last.bias, model.chain(), rows(16))
    np.testing.assert_allclose(vae.bounds(model, rows(16), seed=0, samples=4)["iwae"], exact, rtol=1e-5)


def test_a_head_learns_what_latents_are_not_given():
    """One latent for four families and a companion that is there every second time: the head links the pairs."""
    bounds = [vae.bounds(fit(epochs=60, latent_dim=1, hidden_dim=4, head=head), rows(16, 1), seed=0) for head in (0, 1)]
    assert bounds[1]["iwae"].mean() > bounds[0]["iwae"].mean() + 0.5


def test_rows_that_contradict_themselves_are_refused():
    with pytest.raises(ValueError, match="expected rows without contradictions, .* got 1 with some"):
        vae_training.fit(
            train=np.concatenate([rows(), TAXONOMY.encode([["slow tempo", "fast tempo"]])]),
            validation=rows(16, 1),
            taxonomy=TAXONOMY,
            **DIALS,
            epochs=1,
            patience=1,
            seed=0,
        )


def test_learns_which_tags_go_together():
    model = fit(epochs=150, dropout=0.0)
    found = vae.evaluate(model, rows(16, 1), prefix="val", seed=0)
    assert found["val/reconstruction_jaccard"] > 0.95
    assert found["val/iwae"] > -3.5, "log 1/4 = -1.4 nats would be perfect"
    assert found["val/elbo"] <= found["val/iwae"] <= 0


def test_the_bound_of_a_decoder_that_ignores_its_latents_is_its_likelihood():
    model = fit(epochs=1)
    with torch.no_grad():
        for parameter in [*model.encoder.last.parameters(), *model.decoder.last.parameters(), model.links]:
            parameter.zero_()
    place = {TAXONOMY.tags[column]: rank for rank, column in enumerate(model.order.tolist())}
    for samples in (1, 8):
        for bound in vae.bounds(model, rows(4), seed=0, samples=samples).values():
            for tags, value in zip(TAXONOMY.decode(rows(4)), bound, strict=True):
                before = {tag: [other for other in tags if place[other] < place[tag]] for tag in TAXONOMY.tags}
                free = [tag for tag in place if not TAXONOMY.contradictions([tag, *before[tag]])]
                assert value == pytest.approx(-len(free) * np.log(2), rel=1e-5), "a coin for each tag still possible"


def test_the_best_epoch_is_kept_not_the_last():
    bounds = []
    model = fit(
        epochs=60, learning_rate=0.1, on_epoch=lambda epoch, metrics: bounds.append(metrics["val/iwae"]) or None
    )
    kept = vae.bounds(model, rows(16, 1), seed=0)["iwae"].mean()
    assert kept == pytest.approx(max(bounds), abs=1e-4) and kept > bounds[-1]


def test_same_seed_same_weights_and_resume_ends_where_one_go_does(tmp_path):
    whole = fit(epochs=4).state_dict()
    assert all(torch.equal(value, fit(epochs=4).state_dict()[name]) for name, value in whole.items())

    seen, again = [], []
    fit(epochs=2, folder=tmp_path, on_epoch=lambda epoch, metrics: seen.append((epoch, metrics)))
    fit(epochs=4, folder=tmp_path, on_epoch=lambda epoch, metrics: epoch == 1)
    resumed = fit(epochs=4, folder=tmp_path, on_epoch=lambda epoch, metrics: again.append((epoch, metrics)))
    assert [epoch for epoch, _ in again] == [0, 1, 2, 3] and again[:2] == seen, "the curves of a resumed run are whole"
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
        ({"beta": -1}, "expected beta and penalty of at least 0"),
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


def test_one_latent_variable_is_drawn_in_two_dimensions_too():
    means = np.random.default_rng(0).normal(size=(20, 1))
    drawn = figures.latent_map(means, [["jazz"], []] * 10, seed=0)
    assert sum(len(dots.get_offsets()) for dots in drawn.axes[0].collections) == 20
