import numpy as np
import pytest
import torch
from captum.attr import LayerGradientXActivation
from captum.concept import TCAV, Classifier
from captum.concept import Concept as CaptumConcept
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression, RidgeClassifier

from conceptcaps.probing import activations, cav, tcav
from tests.probing.nets import Deep, encoded, windows


def scaled(first, second):
    values = np.concatenate([first, second])
    values = values - values.mean(0)
    return values / np.sqrt(np.square(values).sum(1).mean())


def test_normal_is_scikit_learns_logistic_regression():
    generator = np.random.default_rng(0)
    positives, negatives = generator.normal(0.3, 2, size=(20, 50)), generator.normal(0, 2, size=(20, 50))
    values, labels = scaled(positives, negatives), np.repeat([1, 0], 20)
    reference = LogisticRegression(C=10, tol=1e-10, max_iter=10_000).fit(values, labels)
    normal = cav.fit_normal(positives, negatives, seed=0)
    np.testing.assert_allclose(normal.direction, reference.coef_[0] / np.linalg.norm(reference.coef_), atol=1e-5)
    found = cav.Cav("c", "x", normal.direction, normal).rank(np.concatenate([positives, negatives]))
    expected = reference.decision_function(values)
    np.testing.assert_allclose(found / found.std(), expected / expected.std(), atol=1e-4)  # the plane's place too


class Skilled(Classifier):
    """Captum's interface around scikit-learn, without the shuffling of captum's default."""

    def __init__(self):
        self.normal, self.labels = None, [0, 1]

    def train_and_eval(self, dataloader, **kwargs):
        batches = [(points, labels) for points, labels in dataloader]
        points, labels = (torch.cat([batch[at] for batch in batches]).numpy() for at in (0, 1))
        half = len(points) // 2
        self.normal = LogisticRegression(C=10, tol=1e-10, max_iter=10_000).fit(
            scaled(points[:half], points[half:]), labels
        )
        return {"accs": torch.tensor(1.0)}

    def weights(self):
        return torch.tensor(np.concatenate([-self.normal.coef_, self.normal.coef_]), dtype=torch.float32)

    def classes(self):
        return self.labels


def test_score_along_a_normal_is_captums(tmp_path):
    generator = np.random.default_rng(0)
    inputs = torch.tensor(generator.normal(size=(160, 16)), dtype=torch.float32)
    inputs[:20, 0] += 2
    model, rows = Deep(seed=3).eval(), np.arange(40)
    concept, random = CaptumConcept(1, "concept", [inputs[:20]]), CaptumConcept(0, "random", [inputs[20:40]])
    reference = TCAV(
        model, ["first"], model_id="deep", classifier=Skilled(), save_path=str(tmp_path),
        layer_attr_method=LayerGradientXActivation(model, None, multiply_by_inputs=False),
    )  # fmt: skip
    read = activations.read(
        model, encoded(inputs.numpy()), windows=windows, layers=["first"], wanted=[range(3)] * len(inputs)
    )
    points = read.points["first"]
    normal = cav.fit_normal(points[:20], points[20:40], seed=0)
    for target in range(3):
        found = reference.interpret(inputs[rows], experimental_sets=[[random, concept]], target=target)
        expected = found["0-1"]["first"]["sign_count"][1].item()
        along = tcav.sensitivities(read.slopes["first"][target][rows], normal.direction[None])
        assert tcav.tcav_score(along)[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("width", [12, 300])  # fewer dimensions than clips, and more
def test_closed_form_accuracy_is_scikit_learns_ridge_classifier_fitted_fold_by_fold(width):
    generator = np.random.default_rng(0)
    points = generator.normal(size=(160, width)) * np.geomspace(3, 0.1, width)
    points[:80] += 0.2 * generator.normal(size=width)
    draws = [(generator.choice(80, 60, replace=False), 80 + generator.choice(80, 60, replace=False)) for _ in range(5)]
    fold, labels, found = cav._folds(60, seed=0), np.repeat([1, 0], 60), cav.accuracies(points, draws, seed=0)
    for draw, accuracy in zip(draws, found, strict=True):
        values, correct = scaled(*(points[side] for side in draw)), np.empty(120)
        for number in range(3):
            fit, held = fold != number, fold == number
            reference = RidgeClassifier(alpha=0.1).fit(values[fit], labels[fit])
            correct[held] = reference.predict(values[held]) == labels[held]
        assert accuracy == pytest.approx(correct.mean(), abs=1e-9)
    assert 0.6 < found.mean() < 1


@pytest.mark.parametrize("width", [20, 300])  # fewer dimensions than clips, and more
def test_accuracy_of_what_cannot_be_told_apart_is_chance(width):
    points = np.random.default_rng(0).normal(size=(400, width))
    draws = [(rows[:50], rows[50:100]) for rows in (np.random.default_rng(k).permutation(400) for k in range(40))]
    assert cav.accuracies(points, draws, seed=0).mean() == pytest.approx(0.5, abs=0.04)
    found = cav.fit_normals(points, draws, seed=0)
    assert np.mean([normal.accuracy for normal in found]) == pytest.approx(0.5, abs=0.04)
    single = cav.fit_normal(points[draws[3][0]], points[draws[3][1]], seed=0)
    np.testing.assert_allclose(found[3].direction, single.direction, atol=1e-7)
    assert found[3].accuracy == single.accuracy


def test_matched_pairs_stay_together_so_that_chance_stays_chance():
    """Were a clip tested by a CAV that its twin on the other side has taught, it would always be called wrongly."""
    twins = np.random.default_rng(0).normal(size=(60, 10))
    found, closed = [], []
    for k in range(10):
        moved = twins + 1e-3 * np.random.default_rng(k).normal(size=twins.shape)
        found.append(cav.fit_normal(twins, moved, seed=k).accuracy)
        draws = [(np.arange(60), np.arange(60, 120))]
        closed.append(cav.accuracies(np.concatenate([twins, moved]), draws, seed=k)[0])
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)
    assert np.mean(closed) == pytest.approx(0.5, abs=0.06)


def test_saved_cavs_come_back_and_rank_clips(tmp_path):
    points = np.random.default_rng(0).normal(size=(40, 6))
    points[:20, 2] += 5
    made = cav.Cav(
        "piano", "conv", points[:20].mean(0) - points[20:].mean(0), cav.fit_normal(points[:20], points[20:], seed=0)
    )
    cav.save([made, made], tmp_path / "cavs.safetensors")
    first, second = cav.load(tmp_path / "cavs.safetensors")
    assert (first.concept, first.layer, first.normal.accuracy) == ("piano", "conv", made.normal.accuracy)
    np.testing.assert_array_equal(second.effect, made.effect)
    assert (first.rank(points)[:20] > 0).all() and (first.rank(points)[20:] < 0).all()
    save_file({"weight": points}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="expected CAVs saved by run_tcav in .*, got tensors weight"):
        cav.load(tmp_path / "other.safetensors")


def test_refuses_sets_that_are_too_small_and_gives_nan_for_a_dead_layer():
    with pytest.raises(ValueError, match="expected two sets of 3 clips or more"):
        cav.fit_normal(np.zeros((2, 4)), np.zeros((2, 4)), seed=0)
    draws = [(np.arange(5), np.arange(5, 10))]
    assert np.isnan(cav.accuracies(np.zeros((10, 4)), draws, seed=0)).all()
