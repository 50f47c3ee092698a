import numpy as np
import pandas as pd
import pytest
import torch
from captum.attr import LayerGradientXActivation
from captum.concept import TCAV, Classifier
from captum.concept import Concept as CaptumConcept
from scipy import stats
from sklearn.linear_model import LogisticRegression
from torch import nn

from conceptcaps.audio import spectrum
from conceptcaps.listening import musicnn
from conceptcaps.probing import activations, classifier, concepts, networks, tcav
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.threads import one_thread
from tests import toy_clips

TAXONOMY = Taxonomy.load()


class Linear(nn.Module):
    """Logits are known sums of hidden units: output 0 rises with unit 0 and falls with unit 1, output 1 reversed."""

    def __init__(self, width=8):
        super().__init__()
        self.hidden = nn.Identity()
        self.output = nn.Linear(width, 2, bias=False)
        with torch.no_grad():
            self.output.weight.zero_()
            self.output.weight[0, :2] = torch.tensor([1.0, -1.0])
            self.output.weight[1, :2] = torch.tensor([-1.0, 1.0])

    def forward(self, inputs):
        return self.output(self.hidden(inputs))


class Deep(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Sequential(nn.Linear(16, 32), nn.ReLU())
        self.second = nn.Sequential(nn.Linear(32, 16), nn.ReLU())
        self.output = nn.Linear(16, 3)

    def forward(self, inputs):
        return self.output(self.second(self.first(inputs)))


def planted(count=160, width=8):
    """Clips of which concept 0, 1 and 2 lift one hidden unit each; concept 3 is heard in none."""
    generator = np.random.default_rng(0)
    has = generator.random((count, 4)) < 0.3
    points = 0.3 * generator.normal(size=(count, width))
    points[:, :3] += 2 * has[:, :3]
    return torch.tensor(points, dtype=torch.float32)[:, None], has


def planted_concepts(has):
    none = np.zeros((len(has), len(has)))
    return [
        concepts.Concept(f"c{k}", np.flatnonzero(has[:, k])[:35], np.flatnonzero(~has[:, k]), none)
        for k in range(has.shape[1])
    ]


def run_planted(sets=20, seed=0):
    inputs, has = planted()
    rows = np.arange(0, 60)
    return tcav.run(
        Linear().eval(), inputs, concepts=planted_concepts(has), targets={"up": (0, rows), "down": (1, rows)},
        layers=["hidden"], random_sets=sets, seed=seed,
    )  # fmt: skip


# --- planted truth ---


def test_known_weights_give_scores_of_exactly_0_and_1():
    scores, runs = run_planted()
    found = scores.set_index(["concept", "target"])
    assert found["score"]["c0", "up"] == 1 and found["score"]["c0", "down"] == 0
    assert found["score"]["c1", "up"] == 0 and found["score"]["c1", "down"] == 1
    assert found["significant"][["c0", "c1"]].all()
    assert not found["significant"][["c2", "c3"]].any()  # heard but unused; meaningless
    assert (found["cav_accuracy"][["c0", "c1", "c2"]] > 0.95).all()  # unit 2 is as plain as the others
    assert found["cav_accuracy"]["c3"].iloc[0] < 0.65
    assert found["effect"]["c0", "up"] == pytest.approx(2, abs=0.3)  # unit 0 is lifted by 2, and weighs 1
    assert (scores["q_value"] >= scores["p_value"]).all()
    assert len(runs) == 4 * 2 * (20 + 20 * 5)  # none is dropped, whatever its accuracy
    assert (scores["low"] <= scores["score"]).all() and (scores["score"] <= scores["high"]).all()


def test_meaningless_concepts_are_significant_no_more_often_than_they_may():
    """p is below .05 for about one in twenty random concepts, where a t-test between runs says so for most."""
    torch.manual_seed(0)
    generator = np.random.default_rng(1)
    inputs = torch.tensor(generator.normal(size=(120, 16)) * np.linspace(3, 0.1, 16), dtype=torch.float32)[:, None]
    everyone = np.arange(120)
    random = []
    for number in range(40):
        positives = np.sort(generator.choice(120, 25, replace=False))
        random.append(
            concepts.Concept(f"r{number}", positives, np.setdiff1d(everyone, positives), np.zeros((120, 120)))
        )
    targets = {f"t{k}": (k, everyone[k::3]) for k in range(3)}
    scores, runs = tcav.run(
        Deep().eval(), inputs, concepts=random, targets=targets, layers=["first"], random_sets=10, seed=0
    )
    assert 0.005 <= (scores["p_value"] < 0.05).mean() <= 0.1
    assert not scores["significant"].any()
    naive = [
        stats.ttest_ind(part["score"][part["random"] < 0], part["score"][part["random"] >= 0], equal_var=False).pvalue
        for _, part in runs.groupby(["concept", "target"])
        if part["score"][part["random"] < 0].std() > 0
    ]
    assert np.mean(np.array(naive) < 0.05) > 0.3


def test_gradient_of_the_pooled_space_is_the_derivative_along_a_direction():
    """Moving all positions of all windows along v changes the mean logit by gradient . v."""
    torch.manual_seed(0)
    model = classifier.GenreCNN(("a", "b", "c"), frames=32).eval().double()
    inputs = torch.randn(3, 2, 32, 96).double()
    direction = torch.randn(64).double()
    found = activations.gradients(model, inputs, layers=["conv3"], target=1)["conv3"] @ direction.numpy()

    def moved(step):
        handle = model.conv3.register_forward_hook(lambda _, __, output: output + step * direction[:, None, None])
        with torch.no_grad():
            logits = model(inputs.flatten(0, 1))[:, 1].unflatten(0, (3, 2)).mean(1)
        handle.remove()
        return logits.numpy()

    np.testing.assert_allclose((moved(1e-6) - moved(-1e-6)) / 2e-6, found, rtol=1e-4)


def test_activations_are_means_and_do_not_depend_on_the_batch():
    torch.manual_seed(0)
    model = classifier.GenreCNN(("a", "b"), frames=32).eval()
    inputs = torch.randn(7, 2, 32, 96)
    found = activations.activations(model, inputs, layers=["conv1", "embedding"])
    with torch.no_grad():
        normal = model.conv1(inputs.flatten(0, 1)[:, None]).mean((2, 3)).unflatten(0, (7, 2)).mean(1)
    np.testing.assert_allclose(found["conv1"], normal, atol=1e-5)
    assert found["embedding"].shape == (7, 64)
    alone = activations.activations(model, inputs[3:4], layers=["conv1"])["conv1"]
    np.testing.assert_allclose(alone[0], found["conv1"][3], atol=1e-6)


# --- references ---


def test_cav_is_scikit_learns_logistic_regression():
    generator = np.random.default_rng(0)
    positives, negatives = generator.normal(0.3, 2, size=(20, 50)), generator.normal(0, 2, size=(20, 50))
    values = np.concatenate([positives, negatives])
    values -= values.mean(0)
    values /= np.sqrt(np.square(values).sum(1).mean())
    reference = LogisticRegression(C=10, tol=1e-10, max_iter=10_000).fit(values, np.repeat([1, 0], 20)).coef_[0]
    cav = tcav.fit_cav(positives, negatives, layer="x", seed=0)
    np.testing.assert_allclose(cav.direction, reference / np.linalg.norm(reference), atol=1e-5)
    assert np.linalg.norm(cav.direction) == pytest.approx(1)


class Skilled(Classifier):
    """Captum's interface around scikit-learn, without the shuffling of captum's default."""

    def __init__(self):
        self.normal, self.labels = None, [0, 1]

    def train_and_eval(self, dataloader, **kwargs):
        batches = [(points, labels) for points, labels in dataloader]
        points, labels = (torch.cat([batch[at] for batch in batches]).numpy() for at in (0, 1))
        values = points - points.mean(0)
        values /= np.sqrt(np.square(values).sum(1).mean())
        normal = LogisticRegression(C=10, tol=1e-10, max_iter=10_000).fit(values, labels).coef_[0]
        self.normal = normal
        return {"accs": torch.tensor(1.0)}

    def weights(self):
        return torch.tensor(np.stack([-self.normal, self.normal]), dtype=torch.float32)

    def classes(self):
        return self.labels


def test_score_is_captums(tmp_path):
    inputs, has = planted(width=16)
    model = Deep(seed=3).eval()
    rows, positives, negatives = np.arange(40), np.flatnonzero(has[:, 0])[:20], np.flatnonzero(~has[:, 0])[:20]
    flat = inputs[:, 0]
    concept = CaptumConcept(1, "concept", [flat[positives]])
    random = CaptumConcept(0, "random", [flat[negatives]])
    reference = TCAV(
        model, ["first"], model_id="deep", classifier=Skilled(), save_path=str(tmp_path),
        layer_attr_method=LayerGradientXActivation(model, None, multiply_by_inputs=False),
    )  # fmt: skip
    for target in range(3):
        found = reference.interpret(flat[rows], experimental_sets=[[random, concept]], target=target)
        expected = found["0-1"]["first"]["sign_count"][1].item()
        points = activations.activations(model, inputs, layers=["first"])["first"]
        cav = tcav.fit_cav(points[positives], points[negatives], layer="first", seed=0)
        slope = activations.gradients(model, inputs[rows], layers=["first"], target=target)["first"]
        assert tcav.tcav_score(tcav.sensitivities(slope, cav.direction[None]))[0] == pytest.approx(expected, abs=1e-6)


def test_p_value_is_the_two_sample_t_test_with_one_observation():
    null = np.random.default_rng(0).normal(size=20)
    for observed in (-2.0, 0.1, 4.0):
        assert tcav.p_value(observed, null) == pytest.approx(stats.ttest_ind([observed], null).pvalue)
    assert tcav.p_value(0.0, [0.0, 0.0]) == 1
    with pytest.raises(ValueError, match="expected a null of shape"):
        tcav.p_value(0.0, [1.0])


# --- invariance ---


def test_row_order_seed_and_other_concepts():
    inputs, has = planted()
    rows = np.arange(60)
    arguments = {"targets": {"up": (0, rows)}, "layers": ["hidden"], "random_sets": 4, "seed": 0}
    chosen = planted_concepts(has)
    scores, _ = tcav.run(Linear(), inputs, concepts=chosen, **arguments)
    again, _ = tcav.run(Linear(), inputs, concepts=chosen, **arguments)
    pd.testing.assert_frame_equal(scores, again)
    alone, _ = tcav.run(Linear(), inputs, concepts=chosen[1:2], **arguments)
    assert alone["p_value"][0] == pytest.approx(scores["p_value"][1])
    other, _ = tcav.run(Linear(), inputs, concepts=chosen, **(arguments | {"seed": 1}))
    assert not np.allclose(other["p_value"], scores["p_value"])


def test_accuracy_of_what_cannot_be_told_apart_is_chance():
    points = np.random.default_rng(0).normal(size=(400, 20))
    draws = [(rows[:50], rows[50:100]) for rows in (np.random.default_rng(k).permutation(400) for k in range(40))]
    with one_thread():
        found = tcav.fit_cavs(points, draws, layer="x", seed=0)
    assert np.mean([cav.accuracy for cav in found]) == pytest.approx(0.5, abs=0.04)
    single = tcav.fit_cav(points[draws[3][0]], points[draws[3][1]], layer="x", seed=0)
    np.testing.assert_allclose(found[3].direction, single.direction, atol=1e-7)
    assert found[3].accuracy == single.accuracy


def test_matched_pairs_stay_together_so_that_chance_stays_chance():
    """Were a clip tested by a CAV that its twin on the other side has taught, it would always be called wrongly."""
    twins = np.random.default_rng(0).normal(size=(60, 10))
    accuracy = [
        tcav.fit_cav(
            twins, twins + 1e-3 * np.random.default_rng(k).normal(size=twins.shape), layer="x", seed=k
        ).accuracy
        for k in range(10)
    ]
    assert np.mean(accuracy) == pytest.approx(0.5, abs=0.06)


# --- concepts ---


def test_negatives_lack_the_tag_and_its_relatives():
    tag_sets = (
        [["electric guitar", "rock"]] * 6 + [["distorted guitar", "rock"]] * 2 + [["guitar", "pop"]] * 5
        + [["piano", "jazz"]] * 20
    )  # fmt: skip
    found = concepts.concept("electric guitar", tag_sets, taxonomy=TAXONOMY, seed=0)
    assert found.positives.tolist() == list(range(8))  # a distorted guitar is an electric one
    assert found.candidates.tolist() == list(range(13, 33))  # `guitar` may be one too: on no side
    with pytest.raises(ValueError, match="expected 5 clips or more with 'viola'"):
        concepts.concept("viola", tag_sets, taxonomy=TAXONOMY, seed=0)
    with pytest.raises(ValueError, match="expected one of the taxonomy's 200 tags"):
        concepts.concept("vuvuzela", tag_sets, taxonomy=TAXONOMY, seed=0)


def test_negatives_are_matched_in_the_other_categories():
    tag_sets = [["piano", "jazz"]] * 10 + [["flute", "jazz"]] * 20 + [["flute", "metal"]] * 40
    found = concepts.concept("piano", tag_sets, taxonomy=TAXONOMY, seed=0)
    for positives, negatives in found.draws(5, seed=0):
        assert len(set(negatives)) == len(negatives) == len(positives) == 10
        assert (negatives < 30).all()  # all of them jazz
    assert any(
        set(one[1]) != set(other[1]) for one, other in zip(found.draws(5, seed=0), found.draws(5, seed=1), strict=True)
    )


def test_null_draws_are_disjoint_and_of_the_same_size():
    tag_sets = [["piano", "jazz"]] * 10 + [["flute", "jazz"]] * 30
    found = concepts.concept("piano", tag_sets, taxonomy=TAXONOMY, seed=0)
    draws = found.null_draws(4, negatives=3, seed=0)
    assert len(draws) == 12
    for positives, negatives in draws:
        assert len(positives) == len(set(negatives)) == 10 and not set(positives) & set(negatives)
    assert (draws[0][0] == draws[2][0]).all() and set(draws[0][0]) != set(draws[3][0])


def test_frequent_concepts_are_no_genres():
    tag_sets = [["piano", "jazz"]] * 20 + [["flute", "jazz"]] * 15 + [["harp", "pop"]] * 11 + [["pop"]] * 10
    assert concepts.frequent(tag_sets, taxonomy=TAXONOMY, most=8) == ["piano", "wind instruments", "flute"]
    assert concepts.frequent(tag_sets, taxonomy=TAXONOMY, most=1) == ["piano"]
    with pytest.raises(ValueError, match="expected a tag with 12 clips"):
        concepts.frequent(tag_sets[:10], taxonomy=TAXONOMY, most=8)


# --- probes ---


def test_targets_of_musicnn_stand_for_tags():
    probe = networks.Probe(nn.Identity(), tuple(musicnn.TAGS["MTT"]), (), lambda audio, cache: torch.empty(0))
    tag_sets = [["piano", "slow tempo"]] * 6 + [["techno", "female vocals"]] * 7 + [["flute"]] * 2 + [["techno"]] * 60
    found = networks.targets(probe, tag_sets, taxonomy=TAXONOMY, names="auto", most=20, seed=0)
    assert found["piano"][1].tolist() == list(range(6))
    assert found["slow"][1].tolist() == list(range(6))
    assert len(found["techno"][1]) == 50 and found["techno"][0] == musicnn.TAGS["MTT"].index("techno")
    assert len([name for name in found if "female" in name]) == 1  # musicnn has three words for it
    assert "flute" not in found
    with pytest.raises(ValueError, match="expected 5 clips or more of target 'flute', got 2"):
        networks.targets(probe, tag_sets, taxonomy=TAXONOMY, names="flute", most=6, seed=0)
    with pytest.raises(ValueError, match="expected targets among guitar, classical"):
        networks.targets(probe, tag_sets, taxonomy=TAXONOMY, names="zither", most=6, seed=0)


def test_musicnn_from_its_first_layers_on_is_musicnn(monkeypatch):
    torch.manual_seed(0)
    model = musicnn.Musicnn(musicnn.TAGS["MTT"]).eval().requires_grad_(False)
    monkeypatch.setattr(musicnn, "load", lambda name: model)
    probe = networks.of_musicnn("musicnn_mtt")
    audio = [toy_clips.flac(toy_clips.waveform(["piano"], seed=seed, seconds=6.2)) for seed in range(2)]
    inputs = probe.inputs(audio, None)
    assert inputs.shape == (2, 2, 561, 187)
    log_mel = torch.stack([torch.from_numpy(spectrum.windows(spectrum.spectrum(clip), count=2)) for clip in audio])
    torch.testing.assert_close(
        probe.network(inputs.flatten(0, 1)), model.tagger(log_mel.flatten(0, 1)), rtol=1e-4, atol=1e-5
    )
    names = ["timbral", "temporal", "cnn1", "cnn3", "penultimate"]
    for function, changes in ((activations.activations, {}), (activations.gradients, {"target": 3})):
        found = function(probe.network, inputs, layers=names, **changes)
        whole = function(model.tagger, log_mel, layers=names, **changes)
        for name in names:
            np.testing.assert_allclose(found[name], whole[name], rtol=1e-3, atol=1e-5)


def test_musicnns_layers_can_be_probed():
    torch.manual_seed(0)
    tagger = musicnn.Tagger().eval()
    inputs = torch.rand(2, 1, 187, 96)
    names = ["timbral", "cnn1", "cnn3", "penultimate"]
    found = activations.gradients(tagger, inputs, layers=names, target=4)
    points = activations.activations(tagger, inputs, layers=names)
    assert [points[name].shape[1] for name in names] == [408, 64, 64, 200]
    assert all(found[name].shape == points[name].shape for name in names)
    np.testing.assert_allclose(found["penultimate"][0], tagger.output.weight[4].detach(), atol=1e-6)


# --- it refuses ---


def test_refuses_unknown_layers_and_empty_questions():
    inputs, has = planted()
    arguments = {"concepts": planted_concepts(has), "targets": {"up": (0, np.arange(9))}, "random_sets": 3, "seed": 0}
    with pytest.raises(ValueError, match="expected a layer among hidden, output .*, got 'conv9'"):
        tcav.run(Linear(), inputs, layers=["conv9"], **arguments)
    with pytest.raises(ValueError, match="expected 2 random sets or more"):
        tcav.run(Linear(), inputs, layers=["hidden"], **(arguments | {"random_sets": 1}))
    with pytest.raises(ValueError, match="expected two sets of 3 clips or more"):
        tcav.fit_cav(np.zeros((2, 4)), np.zeros((2, 4)), layer="x", seed=0)


def test_benjamini_hochberg_by_hand():
    np.testing.assert_allclose(tcav.benjamini_hochberg([0.005, 0.5, 0.02, 0.03]), [0.02, 0.5, 0.04, 0.04])


def test_heat_map_marks_what_is_significant():
    scores, _ = run_planted(sets=4)
    texts = [text.get_text() for text in tcav.heat_map(scores, layer="hidden").axes[0].texts]
    assert len(texts) == 8
    assert sum(text.endswith("*") for text in texts) == scores["significant"].sum()
