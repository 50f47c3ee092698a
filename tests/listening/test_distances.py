"""Distances against closed forms, against scipy's general matrix root, and on draws of known distributions."""

import numpy as np
import pytest
from scipy import linalg

from conceptcaps.listening import distances
from conceptcaps.listening.distances import (
    KAD_SCALE,
    compare,
    distance_interval,
    frechet_distance,
    frechet_inf,
    kernel_distance,
    noise_floor,
)


def draw(n, d=4, *, seed, mean=0.0, scale=1.0):
    return mean + scale * np.random.default_rng(seed).normal(size=(n, d))


def standardised(n, *, seed):
    """Numbers ``(n, 1)`` with mean 0 and unbiased variance 1 exactly."""
    x = np.random.default_rng(seed).normal(size=(n, 1))
    return (x - x.mean()) / x.std(ddof=1)


def by_sqrtm(x, y):
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = linalg.sqrtm(a @ b)
    return np.square(x.mean(0) - y.mean(0)).sum() + np.trace(a + b - 2 * root.real)


# --- Fréchet distance


@pytest.mark.parametrize(("mean", "scale"), [(3.0, 1.0), (0.0, 2.0), (-1.0, 0.5), (0.0, 0.0)])
def test_frechet_distance_of_one_dimensional_gaussians(mean, scale):
    x, y = standardised(50, seed=0), mean + scale * standardised(70, seed=1)
    assert frechet_distance(x, y) == pytest.approx(mean**2 + (1 - scale) ** 2, abs=1e-9)


def test_frechet_distance_of_a_moved_set_is_the_squared_move():
    x = draw(300, 20, seed=0)
    assert frechet_distance(x, x + np.full(20, 0.5)) == pytest.approx(20 * 0.25, rel=1e-6)


def test_frechet_distance_of_a_scaled_set():
    x = draw(300, 5, seed=0)
    x -= x.mean(0)
    assert frechet_distance(x, 3 * x) == pytest.approx(4 * np.trace(np.cov(x, rowvar=False)))


def test_frechet_distance_agrees_with_scipy_s_matrix_root():
    mixing = np.random.default_rng(2).normal(size=(6, 6))
    x, y = draw(200, 6, seed=0) @ mixing, draw(150, 6, seed=1, mean=0.3, scale=1.4)
    assert frechet_distance(x, y) == pytest.approx(by_sqrtm(x, y), rel=1e-9)


def test_frechet_distance_ignores_order_rotation_and_which_set_is_first():
    x, y = draw(100, 6, seed=0), draw(80, 6, seed=1, mean=0.3)
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(6, 6)))
    assert frechet_distance(y, x) == pytest.approx(frechet_distance(x, y))
    assert frechet_distance(x[::-1], y) == pytest.approx(frechet_distance(x, y))
    assert frechet_distance(x @ rotation, y @ rotation) == pytest.approx(frechet_distance(x, y))


def test_frechet_distance_is_zero_and_real_with_fewer_clips_than_dimensions():
    x = 1e3 + draw(10, 200, seed=0)
    assert 0 <= frechet_distance(x, x) < 1e-3
    assert frechet_distance(x.astype(np.float32), x.astype(np.float32)[::-1]) < 1e-3


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_distances_refuse_what_has_no_covariance(distance):
    x = draw(5, seed=0)
    with pytest.raises(ValueError, match=r"2 clips or more, got \(1, 4\)"):
        distance(x[:1], x)
    with pytest.raises(ValueError, match="one dimension, got 4 and 3"):
        distance(x, x[:, :3])
    with pytest.raises(ValueError, match=r"got \(5,\)"):
        distance(x[:, 0], x)
    with pytest.raises(ValueError, match="1 of 5 rows"):
        distance(np.where(np.arange(5)[:, None] == 2, np.nan, x), x)


# --- FAD-inf


def test_frechet_inf_takes_the_bias_away():
    x, y = draw(400, 8, seed=2), draw(400, 8, seed=3)  # truth: 0
    line = frechet_inf(x, y, seed=0, draws=16)
    assert line.slope > 0 and line.r2 > 0.9
    assert abs(line.value) < frechet_distance(x, y) / 2 < frechet_distance(x[:100], y[:100]) / 4


def test_frechet_inf_is_the_line_through_its_points():
    line = frechet_inf(draw(64, seed=0), draw(64, seed=1), seed=3)
    slope, value = np.polyfit(1 / np.array(line.sizes), line.distances, 1)
    assert (line.slope, line.value) == pytest.approx((slope, value))
    assert line == frechet_inf(draw(64, seed=0), draw(64, seed=1), seed=3)
    assert line != frechet_inf(draw(64, seed=0), draw(64, seed=1), seed=4)
    assert min(line.sizes) == 16 and max(line.sizes) == 64


def test_frechet_inf_of_sets_without_spread_is_flat():
    line = frechet_inf(np.zeros((8, 2)), np.ones((8, 2)), seed=0)
    assert (line.value, line.slope, line.r2) == (2.0, 0.0, 1.0)


def test_frechet_inf_needs_four_clips():
    with pytest.raises(ValueError, match="4 clips or more"):
        frechet_inf(draw(3, seed=0), draw(9, seed=1), seed=0)


# --- KAD


def test_kernel_distance_of_two_pairs_by_hand():
    x, y = np.array([[0.0], [2.0]]), np.array([[0.0], [1.0]])  # bandwidth 1
    between = np.mean(np.exp([0, -1 / 2, -4 / 2, -1 / 2]))
    assert kernel_distance(x, y) == pytest.approx(KAD_SCALE * (np.exp(-2) + np.exp(-1 / 2) - 2 * between))


def test_kernel_distance_is_unbiased():
    values = [kernel_distance(draw(12, seed=seed), draw(12, seed=seed + 10_000)) for seed in range(400)]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error
    assert min(values) < 0 < max(values)


def test_kernel_distance_of_sets_far_apart_is_what_is_within_them():
    x, y = np.full((3, 1), 1e3), np.array([[0.0], [1.0]])
    assert kernel_distance(x, y) == pytest.approx(KAD_SCALE * (1 + np.exp(-1 / 2)))


def test_kernel_distance_depends_neither_on_scale_nor_on_place():
    x, y = draw(40, seed=0, mean=0.5), draw(40, seed=1)
    assert kernel_distance(10 * x + 1e4, 10 * y + 1e4) == pytest.approx(kernel_distance(x, y), rel=1e-6)


def test_kernel_distance_refuses_a_reference_of_one_clip_repeated():
    with pytest.raises(ValueError, match="different clips"):
        kernel_distance(draw(5, seed=0), np.zeros((5, 4)))


# --- intervals and floors


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_distance_interval_is_as_wide_as_independent_sets_vary(distance):
    fresh = [distance(draw(100, seed=s, mean=1.0), draw(100, seed=s + 5000)) for s in range(200)]
    widths = []
    for seed in range(10):
        x, y = draw(100, seed=seed, mean=1.0), draw(100, seed=seed + 5000)
        interval, half = distance_interval(x, y, distance=distance, seed=0, draws=100)
        assert interval.mean == distance(x, y) and interval.low < interval.mean < interval.high and interval.n == 100
        assert half == pytest.approx(interval.mean, rel=0.2)
        widths.append(interval.high - interval.low)
    assert np.mean(widths) == pytest.approx(3.92 * np.std(fresh), rel=0.25)


def test_noise_floor_is_the_distance_of_sets_of_one_distribution():
    x = draw(200, seed=0)
    fresh = np.mean([frechet_distance(draw(100, seed=s), draw(100, seed=s + 5000)) for s in range(1, 60)])
    floor = noise_floor(x, distance=frechet_distance, seed=0)
    assert floor.n == 100 and floor.low < floor.mean < floor.high
    assert floor.mean == pytest.approx(fresh, rel=0.3)


def test_compare_names_what_it_compares():
    x, y = draw(60, seed=0, mean=1.0), draw(90, seed=1)
    metrics, line = compare(x, y, name="e", seed=0)
    assert metrics["audio/n_e"] == 60 and max(line.sizes) == 60
    assert metrics["audio/fad_e_low"] < metrics["audio/fad_e"] < metrics["audio/fad_e_high"]
    assert metrics["audio/fad_half_e"] > 5 * metrics["audio/fad_floor_e"]
    assert metrics["audio/kad_half_e"] > 5 * metrics["audio/kad_floor_e"]
    alone, _ = compare(x, None, name="e", seed=0)
    assert alone["audio/n_e"] == 30
    assert alone["audio/fad_split_half_e"] < metrics["audio/fad_e"]
    assert not {name for name in alone if "split_half" not in name and name != "audio/n_e"}
    assert (metrics, line) == compare(x, y, name="e", seed=0)


def test_fad_inf_is_left_out_where_it_would_be_biased():
    """At 200 dimensions and 100 clips of one distribution the line fits well and ends far from the true 0."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 100, 200))
    biased = frechet_inf(x, y, seed=0)
    assert biased.r2 > 0.9 and biased.value > 2
    metrics, line = compare(x, y, name="e", seed=0)
    assert line is None and not {name for name in metrics if "inf" in name}


def test_figure_has_a_panel_for_each_embedding():
    line = frechet_inf(draw(64, seed=0), draw(64, seed=1), seed=3)
    figure = distances.extrapolation_figure({"mtt": line, "msd": line})
    assert [axes.get_title() for axes in figure.axes] == ["mtt", "msd"]
