"""A small culture with a known answer, for tests of what stands around a culture.

Every pulse makes its electrode spike 5 ms later (or another delay), and the next electrode 3 ms after; every
electrode also spikes by itself once in 100 ms, each a little later than the one before it.
"""

from dataclasses import dataclass

import numpy as np

from inmateria.substrate import SPIKE, Channel, FloatArray, SpikeArray, SubstrateInfo


@dataclass
class PulsedActivity:
    spikes: SpikeArray
    voltage: FloatArray | None


class PulsedCulture:
    def __init__(self, electrodes: int = 32, period: float = 0.1, delay: float = 0.005) -> None:
        self.electrodes, self.period, self.delay = electrodes, period, delay
        self.now = 0.0
        self.given: list[tuple[float, int, float, float]] = []  # on its clock
        self.coming: list[tuple[float, int]] = []
        self.info = SubstrateInfo(
            id="pulsed",
            kind="culture",
            inputs=tuple(Channel(name=f"e{k:02d}", unit="A", low=0.0, high=1e-5) for k in range(electrodes)),
            outputs=tuple(Channel(name=f"e{k:02d}", unit="1", low=0.0, high=1.0) for k in range(electrodes)),
            step=0.01,
            sampling_rate=None,
            spiking=True,
        )

    def run(self, duration: float, pulses: SpikeArray | None = None, voltage: bool = False) -> PulsedActivity:
        for pulse in [] if pulses is None else pulses:
            at, electrode = self.now + float(pulse["time"]), int(pulse["electrode"])
            assert 0 <= pulse["time"] < duration
            assert pulse["amplitude"] * pulse["duration"] == -pulse["second_amplitude"] * pulse["second_duration"]
            self.given.append((at, electrode, float(pulse["amplitude"]), float(pulse["duration"])))
            self.coming += [(at + self.delay, electrode), (at + self.delay + 0.003, (electrode + 1) % self.electrodes)]
        end = self.now + duration
        spikes = [each for each in self.coming if each[0] < end]
        self.coming = [each for each in self.coming if each[0] >= end]
        for electrode in range(self.electrodes):
            offset = 0.001 * (electrode % 50)
            first, last = np.ceil((self.now - offset) / self.period), np.ceil((end - offset) / self.period)
            spikes += [(offset + k * self.period, electrode) for k in np.arange(first, last)]
        traces = None
        if voltage:
            traces = np.zeros((round(duration * 30_000), self.electrodes))
            traces[:] = 1e-6 * np.arange(self.electrodes)
        spikes = [(at - self.now, place) for at, place in sorted(spikes)]
        self.now = end
        return PulsedActivity(np.array(spikes, dtype=SPIKE), traces)


class PulsedSixtyFour(PulsedCulture):
    """As Cortical Labs' SDK builds one: by parameters, in a process of its own."""

    def __init__(self, seed: int, neurons: int, electrodes: int) -> None:
        super().__init__(electrodes, period=10.0)
