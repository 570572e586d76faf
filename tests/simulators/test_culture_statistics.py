"""The default culture beside what is published of dissociated cultures, over five seeds that it was not fitted on."""

import numpy as np
import pytest

from inmateria.protocols.activity import activity_figures
from inmateria.simulators import Activity, Bursting, NeuralCulture, Pulses

pytestmark = pytest.mark.slow

SEEDS = range(5)
BIN = 0.002
VOLLEY = np.arange(8, 24)


def counts(activity: Activity) -> np.ndarray:
    """Spikes that each electrode detected, in bins of 2 ms."""
    found = np.zeros((round(activity.duration / BIN), 32))
    np.add.at(found, ((activity.spikes["time"] / BIN).astype(int), activity.spikes["channel"]), 1)
    return found


def volley(at: float) -> Pulses:
    return Pulses(np.full(len(VOLLEY), at), VOLLEY, 3e-6)


@pytest.fixture(scope="module")
def listened() -> list[np.ndarray]:
    """A minute of each culture, left alone."""
    found = []
    for seed in SEEDS:
        culture = NeuralCulture(seed=seed)
        culture.run(8.0)
        found.append(counts(culture.run(60.0)))
    return found


def test_cultures_fire_in_network_bursts(listened: list[np.ndarray]) -> None:
    for each in listened:
        figures = activity_figures(each, BIN)
        # Bursts dominate: Wagenaar, Madhavan, Pine and Potter (2005). They come a few times a minute and last tenths of
        # a second to seconds: Wagenaar, Pine and Potter (2006).
        assert figures["spikes in bursts (fraction)"] > 0.5
        assert 2 <= figures["network bursts a minute"] <= 30
        assert 0.15 <= figures["duration of a burst (s, median)"] <= 1.0
        # Two electrodes fire together, which independent spikes do not: Schneidman et al. (2006).
        assert figures["correlation of two outputs (mean)"] > 0.1
        assert 0.1 <= figures["mean rate of active outputs (Hz)"] <= 15


def test_the_sizes_of_avalanches_fall_nearly_as_in_mature_cultures(listened: list[np.ndarray]) -> None:
    exponents = [activity_figures(each, BIN)["exponent of avalanche sizes"] for each in listened]
    # 1.5 is published: Pasquale et al. (2008), Tetzlaff et al. (2010). A model that bursts as regularly is steeper.
    assert np.mean(exponents) == pytest.approx(1.5, abs=0.3)
    assert all(each < 2.0 for each in exponents)
    independent = NeuralCulture(seed=0, regime=Bursting(excitation=0.0))
    independent.run(3.0)
    assert abs(activity_figures(counts(independent.run(20.0)), BIN)["correlation of two outputs (mean)"]) < 0.05


def test_responses_outlast_a_tenth_of_a_second_and_a_burst_leaves_the_network_tired_for_seconds() -> None:
    """Late responses: Marom and Shahaf (2002); less of them after a burst, for seconds: Weihberger et al. (2013)."""
    for seed in SEEDS:
        culture = NeuralCulture(seed=seed)
        culture.run(12.0)
        without = len(culture.copy(noise="same").run(0.2).spikes)
        first = culture.run(1.0, volley(0.0)).spikes["time"]
        later = {}
        for gap in (0.0, 9.0):  # s after the first second
            twin = culture.copy()
            twin.run(gap + 1e-3)
            time = twin.run(0.6, volley(0.0)).spikes["time"]
            later[gap] = np.count_nonzero(time > 0.03)
        assert np.count_nonzero((first > 0.1) & (first < 0.2)) > 5 * max(without, 10)
        rested = np.count_nonzero((first > 0.03) & (first < 0.63))
        assert later[0.0] < 0.6 * rested
        assert later[9.0] > 0.85 * rested


@pytest.mark.slow
@pytest.mark.parametrize("days", [0.0, 60.0])
def test_bursts_neither_die_out_nor_become_tonic_firing_in_an_hour(days: float) -> None:
    culture = NeuralCulture(seed=0, days=days)
    culture.run(8.0)
    figures = []
    for _ in range(6):
        figures.append(activity_figures(counts(culture.run(100.0)), BIN))
        culture.run(500.0)
    for each in figures:
        assert each["network bursts a minute"] >= 1
        assert each["spikes in bursts (fraction)"] > 0.4
    fractions = [each["spikes in bursts (fraction)"] for each in figures]
    assert np.mean(fractions[3:]) == pytest.approx(np.mean(fractions[:3]), abs=0.15)
