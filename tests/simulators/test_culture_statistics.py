"""The default culture beside what is published of dissociated cultures, over five seeds that it was not fitted on."""

import numpy as np
import pytest

from inmateria.protocols.activity import activity_figures, network_bursts
from inmateria.simulators import Activity, NeuralCulture, Pulses

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


def test_cultures_fire_in_network_bursts_of_many_sizes(listened: list[np.ndarray]) -> None:
    figures = [activity_figures(each, BIN) for each in listened]

    def mean(name: str) -> float:
        return float(np.mean([each[name] for each in figures]))

    # Bursts dominate: Wagenaar, Madhavan, Pine and Potter (2005); last tenths of a second to seconds, a few a minute,
    # of different lengths and at irregular times: Wagenaar, Pine and Potter (2006).
    assert mean("spikes in bursts (fraction)") > 0.5
    assert all(2 <= each["network bursts a minute"] <= 30 for each in figures)
    assert 0.15 <= mean("duration of a burst (s, median)") <= 1.0
    gaps = [np.diff(network_bursts(each, BIN)[0][:, 0]) for each in listened]
    assert np.mean([each.std() / each.mean() for each in gaps]) > 0.3
    # Two electrodes fire together, which spikes at independent times do not: Schneidman et al. (2006).
    assert all(each["correlation of two outputs (mean)"] > 0.1 for each in figures)
    assert 0.1 <= mean("mean rate of active outputs (Hz)") <= 15


def test_the_sizes_of_avalanches_fall_as_in_mature_cultures(listened: list[np.ndarray]) -> None:
    # About 1.5: Pasquale et al. (2008), Tetzlaff et al. (2010).
    exponents = [activity_figures(each, BIN)["exponent of avalanche sizes"] for each in listened]
    assert 1.35 <= np.mean(exponents) <= 1.8
    assert all(1.2 <= each <= 2.1 for each in exponents)


def test_responses_outlast_a_tenth_of_a_second_and_tire_for_seconds() -> None:
    """Late responses: Marom and Shahaf (2002); a network that has burst answers less for seconds: Weihberger (2013)."""
    late, ratio = [], []
    for seed in SEEDS:
        culture = NeuralCulture(seed=seed)
        culture.run(3.0)
        rested, tired = [], []
        for _ in range(2):
            culture.run(8.0)
            before = len(culture.run(0.2).spikes) / 2
            for k in range(5):  # one a second
                activity = culture.run(1.0, volley(0.0))
                time = activity.spikes["time"]
                (tired if k else rested).append(np.count_nonzero((time > 0.03) & (time < 0.4)))
                if k == 0:
                    late.append(np.count_nonzero((time > 0.1) & (time < 0.2)) - before)
        ratio.append(np.mean(tired) / np.mean(rested))
    assert np.mean(late) > 20  # spikes on 32 electrodes beyond those without a volley
    assert np.mean(ratio) < 0.7


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
        assert each["network bursts a minute"] >= 2
        assert each["spikes in bursts (fraction)"] > 0.3
    first, last = (np.mean([each["spikes in bursts (fraction)"] for each in part]) for part in (figures[:3], figures[3:]))
    assert last == pytest.approx(first, abs=0.15)
