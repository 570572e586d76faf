"""A culture as the data source of the CL1 simulator in Cortical Labs' `cl-sdk`: its own hook, our physics.

The SDK builds the source in a process of its own, by `culture_source` and what JSON can say.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from cl.sim import (
    DataSourceBatch,
    DataSourceSpike,
    DataSourceStim,
    SimulatorDataSource,
    SimulatorDataSourceMetadata,
)

from inmateria.adapters.cortical.loop import CHANNELS, FRAMES_PER_SECOND, make_culture
from inmateria.adapters.tissue.culture_twin import CultureTwin
from inmateria.pulses import PULSE

__all__ = ["CultureSource", "culture_source"]

_LEAST = 25  # frames that the culture advances at once


class CultureSource(SimulatorDataSource):  # type: ignore[misc,unused-ignore]
    """Plays a culture of 64 electrodes, with the pulses that the SDK gave.

    Parameters
    ----------
    culture : str
        Where the culture's class is, ``"package.module:Name"``.
    parameters : dict
        For its constructor.

    The SDK asks for frames in whatever pieces it likes, and hands over the pulses within them before. Frames
    are zero: what is wanted of them, spikes, is given beside them.
    """

    def __init__(self, culture: str, parameters: dict[str, Any]) -> None:
        self._place, self._parameters = culture, parameters
        self._pending: list[tuple[float, ...]] = []
        self._fired: list[tuple[int, int]] = []
        self._begin: int | None = None

    @property
    def metadata(self) -> SimulatorDataSourceMetadata:
        """Metadata that the SDK reads before it begins."""
        return SimulatorDataSourceMetadata(channel_count=CHANNELS, duration_frames=None, seekable=False)

    def open(self) -> None:
        """Make the culture; one of its kind has run before, so that nothing is left to compile or load."""
        make_culture(self._place, self._parameters).run(1e-3)
        self._twin = CultureTwin(make_culture(self._place, self._parameters), FRAMES_PER_SECOND)

    def on_stims(self, stims: Sequence[DataSourceStim]) -> None:
        """Take the pulses that come in the next frames."""
        for stim in stims:
            durations, currents = [1e-6 * each for each in stim.phase_durations_us], stim.phase_currents_uA
            if len(currents) != 2:
                raise ValueError(f"a stim has {len(currents)} phases; the simulated culture takes two")
            self._pending.append(
                (stim.timestamp, stim.channel, 1e-6 * currents[0], durations[0], 1e-6 * currents[1], durations[1])
            )

    def read(self, from_timestamp: int, frame_count: int) -> DataSourceBatch:
        """Return the spikes of so many frames.

        In real time the SDK asks for five frames at once, 5,000 times a second. The culture lives at least a
        millisecond at a time, so a pulse may come up to a millisecond late; in accelerated time it does not.
        """
        twin, end = self._twin, from_timestamp + frame_count
        if self._begin is None:
            self._begin = from_timestamp
        if twin.samples < end - self._begin:
            present = self._begin + twin.samples
            ahead = max(end - present, _LEAST)
            pulses = np.array([each for each in self._pending if each[0] < present + ahead], dtype=PULSE)
            self._pending = [each for each in self._pending if each[0] >= present + ahead]
            pulses["time"] = twin.now + np.maximum(0.0, pulses["time"] - present) / twin.rate
            spikes, _ = twin.advance(ahead, pulses)
            frames = self._begin + np.floor(spikes["time"] * twin.rate + 1e-6).astype(int)
            frames = np.clip(frames, present, present + ahead - 1)
            self._fired += zip(frames.tolist(), spikes["channel"].tolist(), strict=True)
        told = [DataSourceSpike(timestamp=at, channel=place) for at, place in self._fired if at < end]
        self._fired = [each for each in self._fired if each[0] >= end]
        return DataSourceBatch(spikes=told)


def culture_source(culture: str, parameters: dict[str, Any]) -> CultureSource:
    """Make the source, in the SDK's process."""
    return CultureSource(culture, parameters)
