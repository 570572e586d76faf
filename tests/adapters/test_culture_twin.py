"""Behind every twin stands the simulated culture itself: what a platform shows is what the culture did."""

import numpy as np
import pytest

from inmateria.adapters.intan.emulator import IntanEmulator
from inmateria.adapters.intan.substrate import IntanSubstrate
from inmateria.adapters.neuroplatform.substrate import NeuroplatformSubstrate
from inmateria.adapters.neuroplatform.twin import BLANKING, WINDOW, Neuroplatform, PlatformClock
from inmateria.adapters.tissue.culture_twin import CultureTwin
from inmateria.adapters.tissue.guard import PulseLimits
from inmateria.pulses import PULSE, biphasic
from inmateria.simulators import NeuralCulture
from inmateria.simulators.culture.network import Activity, Pulses


def small() -> NeuralCulture:
    return NeuralCulture(neurons=200, electrodes=32, seed=3)


def test_a_twin_gives_the_cultures_own_spikes_on_its_clock() -> None:
    twin, alone = CultureTwin(small()), small()
    times, electrodes = np.array([0.21, 0.1, 0.15]), np.array([7, 3, 9])
    twin.advance(3000)
    first, _ = twin.advance(6000, biphasic(times, electrodes, [-3e-6, -2e-6, 1e-6], 2e-4))
    alone.run(0.1)
    expected = alone.run(0.2, Pulses(times - 0.1, electrodes, [3e-6, 2e-6, 1e-6], 2e-4, [-1, -1, 1])).spikes
    assert len(expected) > 0
    assert np.array_equal(first["channel"], expected["channel"])
    assert first["time"] == pytest.approx(expected["time"] + 0.1)
    assert twin.now == pytest.approx(0.3)


def test_a_twin_hands_over_both_phases_of_every_pulse() -> None:
    twin, alone = CultureTwin(small()), small()
    pulses = np.zeros(40, dtype=PULSE)
    pulses["time"], pulses["electrode"] = 0.01 + 0.02 * np.arange(40), np.arange(40) % 32
    pulses["amplitude"], pulses["duration"] = 0.75e-6, 8e-4  # long and weak first,
    pulses["second_amplitude"], pulses["second_duration"] = -3e-6, 2e-4  # then short and strong
    spikes, _ = twin.advance(30_000, pulses)
    expected = alone.run(1.0, pulses).spikes
    assert np.array_equal(spikes, expected)
    equal = small().run(1.0, biphasic(pulses["time"], pulses["electrode"], 0.75e-6, 8e-4)).spikes
    assert len(spikes) != len(equal)  # and the second phase is not that of a symmetric pulse


async def test_counts_of_the_platform_are_the_cultures() -> None:
    """The adapter's counts are those of the same culture given the same pulses at the same times by itself."""
    platform, alone = Neuroplatform(small(), clock=PlatformClock(start=0.0)), small()
    async with NeuroplatformSubstrate(platform=platform, triggers=4, amplitude=3e-6, step=0.5) as lab:
        response = await lab.stimulate(lab.info.stimulus(np.eye(4)))
    given = np.array([(pulse[0], pulse[1]) for pulse in platform.given])
    spikes = alone.run(float(given[-1, 0]) + 1.0, Pulses(given[:, 0], given[:, 1].astype(int), 3e-6, 2e-4)).spikes
    for step, (time, _) in enumerate(given):
        inside = (spikes["time"] >= time + BLANKING) & (spikes["time"] < time + WINDOW)
        counts = np.bincount(spikes["channel"][inside], minlength=32)
        assert response.signal is not None
        # A pulse in the middle of an integration step falls into the one or the other of two neighbours.
        assert np.abs(response.signal[step, 0] - counts).sum() <= 2
    assert response.signal.sum() > 0


class Noted:
    """A culture of which every spike and pulse is noted, on its own clock."""

    def __init__(self, culture: NeuralCulture) -> None:
        self.culture, self.info = culture, culture.info
        self.spikes: list[np.ndarray] = []
        self.pulses = 0

    def run(self, duration: float, pulses: np.ndarray | None = None, voltage: bool = False) -> Activity:
        start = self.culture.time
        activity = self.culture.run(duration, pulses, voltage)
        mine = activity.spikes.copy()
        mine["time"] += start
        self.spikes.append(mine)
        self.pulses += 0 if pulses is None else len(pulses)
        return activity


async def test_what_rhx_tells_is_what_the_culture_did() -> None:
    noted = Noted(small())
    async with IntanEmulator(noted, speed=5) as twin:
        ports = dict(zip(("commands", "waveforms", "spikes"), twin._ports, strict=True))
        limits = PulseLimits(interval=0.0, rate=1000)
        async with IntanSubstrate(channels=32, limits=limits, log="none", **ports) as intan:
            drive = np.zeros((20, 32))
            drive[::5, ::3] = 3e-6
            responses = [await intan.stimulate(intan.info.stimulus(drive)) for _ in range(2)]
            responses.append(await intan.stimulate(intan.info.stimulus(np.zeros((20, 32)))))
    did = np.concatenate(noted.spikes)
    sample = np.floor(did["time"] * 30_000)
    for response in responses:
        assert response.spikes is not None
        first = round(response.start * 30_000)
        inside = (sample >= first) & (sample < first + 6000)
        # By channel, then sample; one that lies between two samples may be told as either.
        expected = np.array(sorted(zip(did["channel"][inside], sample[inside], strict=True)))
        samples = np.round(response.spikes["time"] * 30_000)
        told = np.array(sorted(zip(response.spikes["channel"], samples, strict=True)))
        assert np.array_equal(told[:, 0], expected[:, 0])
        assert np.abs(told[:, 1] - expected[:, 1]).max() <= 1
    assert noted.pulses == 2 * 4 * 11 == len(twin.pulses)
    assert sum(len(response.spikes) for response in responses if response.spikes is not None) > 20


async def test_voltage_through_rhx_is_the_cultures_to_half_a_bit() -> None:
    culture = small()
    async with IntanEmulator(culture, speed=5) as twin:
        ports = dict(zip(("commands", "waveforms", "spikes"), twin._ports, strict=True))
        async with IntanSubstrate(channels=32, voltage=True, log="none", **ports) as intan:
            response = await intan.stimulate(intan.info.stimulus(np.zeros((5, 32))))
    assert response.signal is not None
    assert response.signal.shape == (5, 300, 32)
    assert np.isfinite(response.signal).all()
    noise = np.median(np.abs(response.signal - np.median(response.signal, axis=(0, 1))), axis=(0, 1)) / 0.6745
    assert noise == pytest.approx(np.full(32, 5e-6), rel=0.5)  # what the culture's electrodes have by default
