"""Statistics of spikes beside processes whose statistics are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inmateria.protocols.activity import (
    activity_figures,
    avalanche_exponent,
    avalanche_sizes,
    network_bursts,
    pair_correlation,
    power_law_exponent,
)


def poisson(rate: float, bin_: float, bins: int = 40_000, outputs: int = 20, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(rate * bin_, (bins, outputs)).astype(float)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.5, 3.5), st.integers(0, 1000), st.sampled_from([(1, 20), (1, 500), (3, 40)]))
def test_the_exponent_of_a_power_law_is_found_within_its_standard_error(
    exponent: float, seed: int, span: tuple[int, int]
) -> None:
    sizes = np.arange(span[0], span[1] + 1)
    chances = sizes**-exponent / (sizes**-exponent).sum()
    drawn = np.random.default_rng(seed).choice(sizes, 4000, p=chances)
    spread = np.sqrt((chances * np.log(sizes) ** 2).sum() - (chances * np.log(sizes)).sum() ** 2)
    # The inverse of the Fisher information is the variance of ln s over the number of sizes.
    assert abs(power_law_exponent(drawn, *span) - exponent) < 5 / (spread * np.sqrt(4000))
    outside = np.concatenate((drawn, np.full(1000, span[1] + 1), np.full(1000, span[0] - 1)))
    assert power_law_exponent(outside, *span) == pytest.approx(power_law_exponent(drawn, *span))


def test_a_range_without_sizes_is_refused() -> None:
    with pytest.raises(ValueError, match="range of sizes is 5 to 5"):
        power_law_exponent([1, 2], 5, 5)
    with pytest.raises(ValueError, match="none of 2 sizes is from 5 to 9"):
        power_law_exponent([1, 2], 5, 9)


def test_avalanches_of_independent_spikes_are_those_of_chance() -> None:
    # A bin with m spikes on average is empty with the chance e^-m; an avalanche begins where a full one follows that.
    counts = poisson(5.0, 1e-3, bins=400_000)
    sizes = avalanche_sizes(counts, 1e-3)
    assert sizes is not None
    width = round(1 / (counts.sum() / len(counts)))
    mean = counts.sum() / len(counts) * width
    assert sizes.mean() == pytest.approx(mean / (np.exp(-mean) * (1 - np.exp(-mean))), rel=0.05)
    assert sizes.sum() == counts[: len(counts) // width * width].sum()


def test_two_stretches_of_spikes_are_two_avalanches() -> None:
    counts = np.zeros((40, 3))
    counts[0:4, 0], counts[3, 1], counts[25, 2] = 1, 2, 3  # 9 spikes in 40 bins: 4 bins make one
    sizes = avalanche_sizes(counts, 0.01)
    assert sizes is not None
    assert sizes.tolist() == [6, 3]


def test_bins_longer_than_the_interval_give_no_avalanches_and_long_ones_no_correlation() -> None:
    counts = np.full((100, 4), 5.0)
    assert avalanche_sizes(counts, 0.25) is None
    assert avalanche_exponent(counts, 0.25) is None
    assert avalanche_sizes(np.zeros((100, 4)), 0.01) is None
    assert pair_correlation(counts, 0.25) is None
    assert set(activity_figures(counts, 0.25)) == set(activity_figures(np.zeros((100, 4)), 0.01)) - {
        "duration of a burst (s, median)"
    }


def test_spikes_in_common_are_the_correlation_of_pairs() -> None:
    common, own = poisson(2.0, 0.02, outputs=1, seed=1), poisson(6.0, 0.02, outputs=12, seed=2)
    # The variance of a Poisson count is its mean: a quarter of it is shared.
    assert pair_correlation(common + own, 0.02) == pytest.approx(0.25, abs=0.02)
    assert pair_correlation(own, 0.02) == pytest.approx(0.0, abs=0.01)
    silent = np.concatenate((own, np.zeros((len(own), 3))), axis=1)
    assert pair_correlation(silent, 0.02) == pytest.approx(pair_correlation(own, 0.02))


def test_network_bursts_are_found_where_they_are() -> None:
    counts = poisson(1.0, 0.01, bins=6000)
    for begin in (1000, 2500, 5000):
        counts[begin : begin + 20] += 1  # 0.2 s at 100 Hz, all outputs
    bursts, within = network_bursts(counts, 0.01)
    assert bursts[:, 0].tolist() == [10.0, 25.0, 50.0]
    assert bursts[:, 1].tolist() == pytest.approx([10.2, 25.2, 50.2])
    assert within == pytest.approx(3 * 20 * 20 / counts.sum(), rel=0.02)
    assert len(network_bursts(poisson(1.0, 0.01, bins=6000), 0.01)[0]) <= 2
