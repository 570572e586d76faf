"""Fingerprints answer with the error rates they state: on known statistics, and on simulated networks."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, kstest

from inmateria.adapters import SimulatedSubstrate
from inmateria.devices import Fingerprint, Probe, calibrate, compare, recognise, settling_p_value, stranger_rate
from inmateria.devices.drift_bounds import lower_limits, smallest_alpha
from inmateria.devices.fingerprints import noise_of
from inmateria.simulators import NanowireNetwork, Variability
from inmateria.substrate import SPIKE, Channel, Response, StimulusRejected, Substrate, SubstrateInfo

SMALL = Probe(steps=12, repeats=8, discarded=1, step=0.02, rest=0.5)
DAY = 86400.0


def fingerprint(responses, device="chip-1", digest="d"):
    responses = np.asarray(responses, dtype="<f8")
    return Fingerprint(
        device=device,
        kind="chip",
        taken="2026-11-24T00:00:00+00:00",
        clock=0.0,
        probe={"seed": 0},
        digest=digest,
        outputs=tuple(f"v{i}" for i in range(responses.shape[2])),
        shape=responses.shape,
        data=responses.tobytes(),
    )


def repeats_of(rng, mean, repeats=8, noise=0.2):
    # Heavy tails and outputs of very different noise: nothing that a normal theory would allow for.
    scale = noise * np.linspace(0.1, 3, mean.shape[1])
    return mean + scale * rng.standard_t(2.5, (repeats, *mean.shape))


def uniform_on_ranks(p_values, ranks):
    """KS test of p-values that are multiples of 1 / ranks, spread over the steps between them."""
    jitter = np.random.default_rng(1).uniform(0, 1 / ranks, len(p_values))
    return kstest(np.array(p_values) - jitter, "uniform").pvalue


class Pretended(Substrate):
    """Answers the drive times a matrix, plus a noise and a trend."""

    def __init__(self, inputs, outputs=4, noise=0.0, trend=0.0, spiking=False, seed=0, samples=3):
        self.info = SubstrateInfo(
            id=f"pretended-{seed}",
            kind="pretended",
            inputs=tuple(inputs),
            outputs=tuple(Channel(name=f"o{i}", unit="V", low=-9, high=9) for i in range(outputs)),
            step=0.01,
            sampling_rate=None if spiking else 100.0 * samples,
            spiking=spiking,
        )
        self.rng = np.random.default_rng(seed)
        self.matrix = self.rng.normal(size=(len(inputs), outputs))
        self.noise, self.trend, self.seen = noise, trend, []

    async def _apply(self, stimulus):
        self.seen.append(stimulus.drive)
        number = len(self.seen)
        if self.info.spiking:
            counts = self.rng.poisson(np.abs(stimulus.drive @ self.matrix))
            step, channel = np.nonzero(counts)
            spikes = np.zeros(counts.sum(), dtype=SPIKE)
            spikes["time"] = np.repeat(7.0 + (step + 0.5) * stimulus.step, counts[step, channel])
            spikes["channel"] = np.repeat(channel, counts[step, channel])
            return Response(None, spikes, 7.0, number)
        signal = np.repeat((stimulus.drive @ self.matrix)[:, np.newaxis], self.info.samples(stimulus.step), axis=1)
        signal = signal + self.noise * self.rng.normal(size=signal.shape) + self.trend * number
        return Response(signal, None, 0.0, number)

    async def reset(self):
        raise AssertionError("a calibration does not reset")


VOLTS = [Channel(name=f"e{i}", unit="V", low=-1, high=2) for i in range(3)]


def test_p_values_are_uniform_where_nothing_changed():
    p_values, orders = [], []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        mean = rng.normal(size=(10, 5))
        a, b = (fingerprint(repeats_of(rng, mean)) for _ in range(2))
        p_values.append(compare(a, b, permutations=199, seed=seed).p_value)
        orders.append(settling_p_value(a, permutations=199, seed=seed))
    assert uniform_on_ranks(p_values, 200) > 0.001
    assert uniform_on_ranks(orders, 200) > 0.001
    # The false alarms themselves: no more than the stated share of 5 %, by an exact binomial bound.
    assert np.sum(np.array(p_values) <= 0.05) <= binom.ppf(0.999, 400, 0.05)


def test_the_distance_is_unbiased_and_in_units_of_the_response():
    squares = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        mean = rng.normal(size=(60, 6))
        change = 0.3 * rng.normal(size=mean.shape)
        a, b = fingerprint(mean + rng.normal(size=(8, 60, 6))), fingerprint(mean + change + rng.normal(size=(8, 60, 6)))
        squares.append(compare(a, b, permutations=1).distance ** 2)
    # Variance of an output: 1 of the response, 1 of the noise, and a quarter of the change's square.
    assert np.mean(squares) == pytest.approx(0.09 / (2 + 0.09 / 4), rel=0.1)
    assert noise_of(a) == pytest.approx(np.sqrt(2 * 1 / 2), rel=0.1)
    unrelated = [fingerprint(np.random.default_rng(s).normal(size=(1, 200, 6)) + np.zeros((4, 1, 1))) for s in (0, 1)]
    assert compare(*unrelated, permutations=9).distance == pytest.approx(np.sqrt(2) / np.sqrt(1), rel=0.1)


def test_a_device_without_noise_has_not_drifted_and_the_smallest_change_of_one_shows():
    mean = np.random.default_rng(0).normal(size=(10, 3))
    same = fingerprint(np.repeat(mean[np.newaxis], 8, axis=0))
    rounded = fingerprint(np.repeat(mean[np.newaxis] * (1 + 1e-15), 8, axis=0))
    changed = fingerprint(np.repeat(mean[np.newaxis] * 1.001, 8, axis=0))
    assert compare(same, same).p_value == compare(same, rounded).p_value == settling_p_value(same) == 1.0
    found = compare(same, changed)
    assert found.p_value < 0.001
    assert found.distance == pytest.approx(0.001 * np.sqrt(np.mean((mean / mean.std(0)) ** 2)), rel=0.01)
    assert found.drifted(0.01)
    assert not found.drifted(0.01, bound=0.01)


NOISES = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "heavy tails": lambda rng, shape: rng.standard_t(2.5, size=shape),
    "skewed": lambda rng, shape: rng.exponential(size=shape) - 1,
    "common to a repeat": lambda rng, shape: rng.normal(size=(shape[0], 1)) * np.ones(shape[1]) / 2,
    "rounded": lambda rng, shape: np.round(rng.normal(size=shape)),
}


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("repeats", "values"), [((8, 8), 1), ((6, 10), 5), ((10, 10), 60), ((20, 15), 200)])
def test_false_alarms_at_the_bound_itself_are_no_more_than_stated(noise, repeats, values):
    """At the boundary of the hypothesis, where there are most, for changes small and large beside the noise."""
    runs, alarms = 400, dict.fromkeys((0.01, 0.05, 0.2), 0)
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        change = rng.normal(size=values) * 10 ** rng.uniform(-1, 1)
        a, b = (NOISES[noise](rng, (count, values)) for count in repeats)
        for limit in lower_limits(a, b + change, rng):
            if limit.alpha in alarms:
                alarms[limit.alpha] += limit.distance > np.linalg.norm(change) * (1 + 1e-9)
    for alpha, count in alarms.items():
        assert count <= binom.ppf(0.999, runs, alpha)
    if values == 1:  # one number has no direction to be found: the test is exact, up to ranks and the sign
        assert alarms[0.2] > binom.ppf(0.001, runs, 0.1)


def test_drifted_tests_the_bound_it_states():
    """Through fingerprints: at the bound as often as alpha at most, at twice the bound nearly always."""
    alarms, seen = 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        mean, change = rng.normal(size=(12, 5)), rng.normal(size=(12, 5))
        noise = 0.1 * rng.standard_t(3, size=(2, 10, 12, 5))
        scale = np.concatenate([mean + noise[0], mean + noise[1]]).std(axis=(0, 1))
        change *= 0.1 / np.sqrt(np.mean((change / scale) ** 2))
        a = fingerprint(mean + noise[0])
        at, beyond = (fingerprint(mean + times * change + noise[1]) for times in (1, 2))
        alarms += compare(a, at, permutations=199, seed=seed).drifted(0.05, bound=0.1)
        found = compare(a, beyond, permutations=199, seed=seed)
        seen += found.drifted(0.05, bound=0.1)
        assert found.drifted(0.05, bound=0.0) >= found.drifted(0.05, bound=0.1)
    assert alarms <= binom.ppf(0.999, 200, 0.05)
    assert seen > 180


def test_limits_rise_with_the_error_rate_and_few_repeats_give_few():
    rng = np.random.default_rng(0)
    a, b = fingerprint(rng.normal(size=(10, 20, 4))), fingerprint(3 + rng.normal(size=(10, 20, 4)))
    found = compare(a, b, permutations=99)
    distances = [limit.distance for limit in found.lower_limits]
    assert distances == sorted(distances)
    assert found.lower_limits[0].alpha == 0.002
    assert found.drifted(0.03, distances[4] - 1e-6) == found.drifted(0.02, distances[4] - 1e-6)
    assert [limit.alpha for limit in lower_limits(rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng)] == [0.05, 0.1, 0.2]  # fmt: skip  # noqa: E501
    assert smallest_alpha(4) == 1 / 20
    for wrong in ((0.0, 0.1), (0.05, -1.0), (0.05, np.inf)):
        with pytest.raises(ValueError, match="bound must be at least 0"):
            found.drifted(*wrong)


def test_the_rate_of_strangers_is_that_of_more_strangers():
    """For one device with some others known: the rate among 500 more, and the limit that is stated for it."""
    rates, stated = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)

        def drawn(rng=rng):
            return fingerprint(rng.normal(size=(1, 4, 3)) + 0.01 * rng.normal(size=(2, 4, 3)))

        reference, others = drawn(), [drawn() for _ in range(39)]
        found = stranger_rate(reference, others, alpha=0.05)
        assert (found.others, found.rate) == (39, 0.05)
        strangers = [drawn() for _ in range(100)]
        taken = [recognise(each, reference, []).distance < found.radius for each in strangers]
        few = slice(None, None, 25)
        assert taken[few] == [recognise(each, reference, others).same(0.05) for each in strangers[few]]
        rates.append(np.mean(taken))
        stated.append(found.at_most)
    assert np.mean(rates) == pytest.approx(0.05, abs=0.015)
    assert len(set(stated)) == 1
    # Beyond the limit with 5 %, and the hundred strangers vary beside that.
    assert np.mean(np.array(rates) > stated[0] + 0.03) <= 0.1
    few = stranger_rate(reference, others[:5])
    assert (few.radius, few.rate, few.at_most) == (0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        stranger_rate(reference, others, 1.0)


def test_a_stranger_is_taken_for_the_device_as_often_as_stated():
    ranks = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        reference, *others, stranger = (fingerprint(repeats_of(rng, rng.normal(size=(10, 4)))) for _ in range(21))
        identity = recognise(stranger, reference, others)
        assert identity.others == 19
        assert identity.p_same is None
        ranks.append(identity.p_other)
    assert uniform_on_ranks(ranks, 20) > 0.001


def test_missing_values_dead_outputs_and_other_probes():
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(10, 4))
    mean[:, 2] = 5.0
    a, b = repeats_of(rng, mean, noise=0.0), repeats_of(rng, mean + 0.01, noise=0.0)
    a[:, :, 2] = b[:, :, 2] = 5.0
    whole = compare(fingerprint(a), fingerprint(b))
    a[3, 4, 1] = b[0, :, 3] = np.nan
    missing = compare(fingerprint(a), fingerprint(b))
    assert 0 < missing.distance < 2 * whole.distance
    with pytest.raises(ValueError, match="no output responds"):
        compare(fingerprint(np.zeros((4, 5, 2))), fingerprint(np.zeros((4, 5, 2))))
    with pytest.raises(ValueError, match="different probes"):
        compare(fingerprint(a), fingerprint(b, digest="e"))
    with pytest.raises(ValueError, match=r"different outputs \(4 and 3\)"):
        compare(fingerprint(a), fingerprint(b[:, :, :3]))
    with pytest.raises(ValueError, match="at least 2 repeats"):
        fingerprint(a[:1])


@given(
    low=st.floats(-5, 4),
    width=st.floats(0.01, 5),
    amplitude=st.floats(0.01, 1),
    levels=st.none() | st.lists(st.integers(0, 4), min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
)
def test_a_probe_is_within_every_limit_and_always_the_same(low, width, amplitude, levels, seed):
    alphabet = None if levels is None else tuple(low + width * level / 4 for level in levels)
    given_to = Pretended([Channel(name="a", unit="V", low=low, high=low + width * 1.01, levels=alphabet)]).info
    probe = Probe(seed=seed, steps=20, amplitude=amplitude, rest=0.05)
    drive = probe.stimulus(given_to).drive  # checked against the limits when it is made
    assert len(drive) == 25
    assert np.array_equal(drive, probe.stimulus(given_to).drive)
    if alphabet is None:
        rest = np.clip(0.0, low, low + width * 1.01)
        assert np.all(drive[20:] == rest)
        assert np.all(np.abs(drive - rest) <= amplitude * max(abs(rest - low), abs(low + width * 1.01 - rest)) + 1e-9)


async def test_a_fingerprint_is_what_came_back_and_survives_json():
    device = Pretended(VOLTS, noise=0.01)
    told = []
    taken = await calibrate(device, SMALL, on_progress=lambda *each: told.append(each))
    assert taken.responses.shape == (8, 12, 4)
    assert len(device.seen) == 9
    assert told[-1][1:3] == (9, 9)
    assert np.allclose(taken.responses.mean(axis=0), device.seen[0][:12] @ device.matrix, atol=0.02)
    again = msgspec.json.decode(msgspec.json.encode(taken), type=Fingerprint)
    assert again == taken
    assert np.array_equal(again.responses, taken.responses)
    assert compare(taken, await calibrate(device, SMALL)).p_value > 0.001
    with pytest.raises(ValueError, match="read-only"):
        taken.responses[0] = 0


async def test_spikes_are_counted_for_each_step():
    device = Pretended(VOLTS, spiking=True)
    taken = await calibrate(device, Probe(steps=30, repeats=40, amplitude=1.0, rest=0.1))
    expected = np.abs(device.seen[0][:30] @ device.matrix)
    assert taken.outputs == ("o0 spikes", "o1 spikes", "o2 spikes", "o3 spikes")
    assert np.corrcoef(taken.responses.mean(0).ravel(), expected.ravel())[0, 1] > 0.95


async def test_a_device_that_still_changes_is_said_to(caplog):
    taken = await calibrate(Pretended(VOLTS, noise=0.01, trend=0.02), SMALL)
    assert settling_p_value(taken) < 0.01
    assert "still changed" in caplog.text


async def test_a_probe_that_a_substrate_does_not_allow_is_refused_before_anything_is_sent():
    device = Pretended(VOLTS)
    with pytest.raises(StimulusRejected, match="steps"):
        await calibrate(device, Probe(steps=2_000_000))
    assert not device.seen


async def test_nanowire_networks_false_alarms_drift_and_identity():
    """Over devices: no more false alarms than stated; a month of aging is always seen; nobody is mistaken."""
    p_values, aged, first, later = [], [], [], []
    for seed in range(24):
        network = NanowireNetwork(
            wires=60,
            seed=seed,
            variability=Variability(noise=0.05, aging=0.05, voltage_spread=0.1, conductance_spread=0.1),
            integration_step=5e-3,
        )
        substrate = SimulatedSubstrate(network)
        a, b = await calibrate(substrate, SMALL), await calibrate(substrate, SMALL)
        p_values.append(compare(a, b, permutations=999, seed=seed).p_value)
        network.age(30 * DAY)
        first.append(a)
        later.append(await calibrate(substrate, SMALL))
        aged.append(compare(a, later[-1], permutations=999))
    assert kstest(p_values, "uniform").pvalue > 0.001
    assert np.sum(np.array(p_values) <= 0.05) <= binom.ppf(0.999, len(p_values), 0.05)
    assert all(found.p_value <= 0.01 for found in aged)
    for index, now in enumerate(later):
        others = [each for number, each in enumerate(first) if number != index]
        assert recognise(now, first[index], others).p_other == 1 / 24
