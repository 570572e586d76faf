"""A culture as the data source of the CL1 simulator in Cortical Labs' `cl-sdk`: its own hook, our physics.

The SDK builds the source in a process of its own, by `culture_source` and what JSON can say. A script that only imports
the SDK gets it by the environment: ``CL_SDK_DATA_SOURCE=inmateria.adapters.cortical.source:culture_source``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from cl.sim import (
    DataSourceBatch,
    DataSourceSpike,
    DataSourceStim,
    SimulatorDataSource,
    SimulatorDataSourceMetadata,
)

from inmateria.adapters.cortical.loop import CHANNELS, FRAMES_PER_SECOND, make_culture
from inmateria.adapters.cortical.phases import balanced_pulses
from inmateria.adapters.tissue.culture_twin import CultureTwin
from inmateria.pulses import PULSE
from inmateria.simulators.culture.voltage import waveform

__all__ = ["CultureSource", "culture_source"]

_CULTURE = "inmateria.simulators.culture.network:NeuralCulture"
_BLOCK = 5  # frames that are a whole number of the culture's samples, 6 at 30 kHz
_LEAST = 25  # frames that the culture advances at once; a multiple of _BLOCK
_UNIT = 0.195e-6  # V
_NEAREST = np.round(np.arange(_BLOCK) * 30_000 / FRAMES_PER_SECOND).astype(int)  # sample of each frame of a block
_BEFORE, _SAMPLES = 25, 75  # frames before a spike's, and all, in its waveform
_SHAPE = np.zeros(_SAMPLES)  # of a spike with a peak of -1
_SHAPE[_BEFORE:] = waveform()[np.round(np.arange(_SAMPLES - _BEFORE) * 30_000 / FRAMES_PER_SECOND).astype(int)]


class CultureSource(SimulatorDataSource):  # type: ignore[misc,unused-ignore]
    """Plays a culture of 64 electrodes, with the pulses that the SDK gave.

    Parameters
    ----------
    culture : str
        Where the culture's class is, ``"package.module:Name"``.
    parameters : dict
        For its constructor.

    The SDK asks for frames in whatever pieces it likes, and hands over the stims within them before. A frame holds the
    culture's voltage, of the sample of 30 kHz that is nearest in time (at most 17 us away), in units of 0.195 uV.
    The 75 samples of a spike are those of the frames, from 1 ms before to 2 ms after; what of them the culture has not
    lived yet is the shape of that spike alone, as high as it is.
    """

    def __init__(self, culture: str, parameters: dict[str, Any]) -> None:
        self._place, self._parameters = culture, parameters
        self._pending: list[tuple[float, ...]] = []
        self._fired: list[tuple[int, int, float]] = []  # frame, channel, peak (V)
        self._frames = np.zeros((_BEFORE, CHANNELS), dtype=np.int16)  # the last told, and those of which it is ahead
        self._begin: int | None = None

    @property
    def metadata(self) -> SimulatorDataSourceMetadata:
        """Metadata that the SDK reads before it begins."""
        return SimulatorDataSourceMetadata(channel_count=CHANNELS, duration_frames=None, seekable=False)

    def open(self) -> None:
        """Make the culture; one of its kind has run before, so that nothing is left to compile or load."""
        make_culture(self._place, self._parameters).run(1e-3, voltage=True)
        self._twin = CultureTwin(make_culture(self._place, self._parameters), FRAMES_PER_SECOND)

    def on_stims(self, stims: Sequence[DataSourceStim]) -> None:
        """Take the pulses that come in the next frames."""
        for stim in stims:
            durations = [1e-6 * each for each in stim.phase_durations_us]
            currents = [1e-6 * each for each in stim.phase_currents_uA]
            for start, *phases in balanced_pulses(durations, currents):
                self._pending.append((stim.timestamp + start * FRAMES_PER_SECOND, stim.channel, *phases))

    def read(self, from_timestamp: int, frame_count: int) -> DataSourceBatch:
        """Return so many frames, and their spikes.

        In real time the SDK asks for five frames at once, 5,000 times a second. The culture lives at least a
        millisecond at a time, so a pulse may come up to a millisecond late; in accelerated time it does not.
        """
        if self._begin is None:
            self._begin = from_timestamp
        end = from_timestamp + frame_count
        missing = end - self._begin - self._twin.samples
        if missing > 0:
            self._advance(max(-(-missing // _BLOCK) * _BLOCK, _LEAST))
        told = [self._told(from_timestamp, *each) for each in self._fired if each[0] < end]
        self._fired = [each for each in self._fired if each[0] >= end]
        frames, self._frames = self._frames[_BEFORE : _BEFORE + frame_count], self._frames[frame_count:]
        return DataSourceBatch(frames=frames, spikes=told)

    def _told(self, begin: int, frame: int, channel: int, peak: float) -> DataSourceSpike:
        """Return a spike with its samples; `begin` is the first frame that is being told."""
        known = 1e6 * _UNIT * self._frames[frame - begin : frame - begin + _SAMPLES, channel]
        samples = np.concatenate((known, 1e6 * abs(peak) * _SHAPE[len(known) :]))
        return DataSourceSpike(timestamp=frame, channel=channel, samples=samples.astype(np.float32))

    def _advance(self, ahead: int) -> None:
        """Let the culture live for so many frames more."""
        twin = self._twin
        assert self._begin is not None
        present = self._begin + twin.samples
        pulses = np.array([each for each in self._pending if each[0] < present + ahead], dtype=PULSE)
        self._pending = [each for each in self._pending if each[0] >= present + ahead]
        pulses["time"] = twin.now + np.maximum(0.0, pulses["time"] - present) / twin.rate
        spikes, voltage = twin.advance(ahead, pulses, voltage=True)
        frames = self._begin + np.floor(spikes["time"] * twin.rate + 1e-6).astype(int)
        frames = np.clip(frames, present, present + ahead - 1)
        peaks = np.asarray(getattr(twin.last, "amplitudes", np.zeros(len(spikes))), dtype=float)
        self._fired += zip(frames.tolist(), spikes["channel"].tolist(), peaks.tolist(), strict=True)
        self._frames = np.concatenate((self._frames, _frames_of(voltage, ahead)))


def _frames_of(voltage: npt.NDArray[np.floating[Any]] | None, count: int) -> npt.NDArray[np.int16]:
    """Return the frames of so many of a voltage at 30 kHz (V); zeros where a culture has none."""
    if voltage is None:
        return np.zeros((count, CHANNELS), dtype=np.int16)
    blocks = voltage.reshape(count // _BLOCK, -1, CHANNELS)[:, _NEAREST].reshape(count, CHANNELS)
    return np.clip(np.round(blocks / _UNIT), -32768, 32767).astype(np.int16)


def culture_source(culture: str = _CULTURE, parameters: dict[str, Any] | None = None) -> CultureSource:
    """Make the source, in the SDK's process.

    Parameters
    ----------
    culture : str
        Where the culture's class is, ``"package.module:Name"``.
    parameters : dict, optional
        For its constructor; ``{"electrodes": 64}`` is added where it is not there.
    """
    return CultureSource(culture, {"electrodes": CHANNELS, **(parameters or {})})
