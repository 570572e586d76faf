"""Waveform transformation: other waves out of a sine.

The benchmark of Sillin et al., Nanotechnology 24, 384004 (2013), and Fu et al., IJCNN (2020).
"""

from typing import Annotated

import numpy as np
from msgspec import Meta

from inmateria.protocols.data_sets import sine_phase
from inmateria.protocols.outcome import Outcome
from inmateria.protocols.series import SeriesProblem, SeriesSettings, run_series, unused_in_series
from inmateria.protocols.task import ProgressCallback, Task, samples_read
from inmateria.substrate import Substrate


class WaveformSettings(SeriesSettings, frozen=True, kw_only=True):
    """Settings of `waveform`, beside those of every series.

    Parameters
    ----------
    bias : float
        As of every series; by default the sine rides on a constant of its own height.
    frequency : float
        Of the sine, Hz.
    """

    bias: Annotated[float, Meta(ge=0.0, le=100.0)] = 1.0
    frequency: Annotated[float, Meta(gt=0.0)] = 0.5


async def transform_waveform(
    substrate: Substrate, settings: WaveformSettings, on_progress: ProgressCallback
) -> Outcome:
    """Read a square wave, a triangle, a shifted sine and one of twice the frequency out of a sine."""
    phase = 2 * np.pi * settings.frequency * settings.step * (np.arange(settings.steps) + sine_phase())
    problem = SeriesProblem(
        title="Waveform transformation",
        sentence=f"A sine of {settings.frequency:g} Hz was to become a square wave, a triangle, a sine a quarter later "
        "and one of twice the frequency.",
        u=np.sin(phase),
        targets={
            # Up at the crossings themselves, where the sign of the rounded sine is that of its rounding error.
            "square": np.where(np.sin(phase) > -1e-9, 1.0, -1.0),
            "triangle": 2 / np.pi * np.arcsin(np.sin(phase)),
            "shifted": np.cos(phase),
            "doubled": np.sin(2 * phase),
        },
    )
    return await run_series(problem, substrate, settings, on_progress)


TASK = Task(
    "waveform",
    WaveformSettings,
    transform_waveform,
    needs="signal",
    unused=unused_in_series,
    reads=samples_read,
    validation="data",
)
