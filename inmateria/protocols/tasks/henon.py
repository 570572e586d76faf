"""Forecast of the chaotic Henon map from spikes: a task of Cai et al., Nature Electronics 6, 1032 (2023).

x(t + 1) = 1 - 1.4 x(t)^2 + 0.3 x(t - 1): a linear readout of the present value reaches 1 - NRMSE of .04. A memoryless
one can at best know the parabola and not the value before, .71 as measured; what knows both reaches 1.
"""

import asyncio
from dataclasses import replace
from typing import Annotated

import numpy as np
from msgspec import Meta

from inmateria.protocols.controls import Control, controls_by_step
from inmateria.protocols.data_sets import henon_map
from inmateria.protocols.outcome import Curves, Outcome
from inmateria.protocols.presenting import PULSE_CONTROLS, present_trials
from inmateria.protocols.pulses import (
    EncodedValueSettings,
    bin_spikes,
    encoding_for,
    encoding_of,
    features_of,
    unused_with_values,
)
from inmateria.protocols.run_progress import Targets
from inmateria.protocols.scoring import score_regression
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.reservoir import PhysicalReservoir
from inmateria.substrate import Substrate, SubstrateInfo

_PIECE = 100


class HenonSettings(EncodedValueSettings, frozen=True, kw_only=True):
    """Settings of `henon`, beside those of every task that encodes values as pulses.

    Parameters
    ----------
    values : int
        Length of the series.
    interval : float
        Seconds from one value to the next.
    bins : int
        Equal parts of that in which spikes are counted separately.
    electrodes : int
        Half of them are driven by the value, half by one minus the value; if the place encodes the value, all
        inputs are used.
    """

    values: Annotated[int, Meta(ge=200)] = 1500
    interval: Annotated[float, Meta(gt=0.0)] = 0.1
    bins: Annotated[int, Meta(ge=1)] = 5
    electrodes: Annotated[int, Meta(ge=2)] = 16


async def forecast(substrate: Substrate, settings: HenonSettings, on_progress: ProgressCallback) -> Outcome:
    """Drive with the Henon map, value after value, and read the next one."""
    series = henon_map(settings.values + 1)
    u = (series - series.min()) / np.ptp(series)
    target = 2.0 * u[1:] - 1.0
    reservoir = PhysicalReservoir(substrate, step=settings.step)
    async with reservoir:
        reservoir.encoding = encoding_of(settings, reservoir, settings.interval)
        reservoir.features = features_of(settings.features, settings.time_constant, reservoir.info)
        if encoding_for(settings.encoding, reservoir.info) == "place":
            values = u[:-1, np.newaxis]
        else:
            values = np.repeat(np.column_stack([u, 1.0 - u])[:-1], settings.electrodes // 2, axis=1)
        pieces = [values[begin : begin + _PIECE] for begin in range(0, len(values), _PIECE)]
        targets = Targets.of_numbers({"next value": target})
        presented = await present_trials(reservoir, pieces, settings.round_trips, on_progress, targets=targets)
    positions = reservoir.encoding.positions
    binned = bin_spikes(np.concatenate(presented.responses), settings.features, positions, settings.bins)
    alone = u[:-1, np.newaxis]
    feature_sets = {
        **replace(presented, responses=[binned]).by_step(PULSE_CONTROLS),
        "values alone": Control(lambda: [alone], "linear"),
        **controls_by_step(np.concatenate(presented.drives), alone, binned.shape[1]),
    }
    compared = await asyncio.to_thread(score_regression, feature_sets, {"next value": target}, on_progress=on_progress)
    shown = compared.held_out_rows[:_PIECE]
    curve = Curves(
        heading="Target and predictions",
        text="The beginning of the last block, which the readouts have not seen.",
        x_label="value",
        y_label="scaled to -1 .. 1",
        x=tuple(float(k) for k in range(len(shown))),
        lines={
            "target": tuple(target[shown].tolist()),
            **{on: tuple(said[: len(shown), 0].tolist()) for on, said in compared.predicted.items()},
        },
    )
    return compared.outcome(
        "Henon map, one step ahead",
        presented.exchanges,
        presented.outputs,
        sentence="The next value of the chaotic Henon map was to be read from the spikes that the last ones evoked.",
        curves=(curve,),
    )


def _unused(settings: HenonSettings, info: SubstrateInfo) -> dict[str, str]:
    unused = unused_with_values(settings, info)
    if encoding_for(settings.encoding, info) == "place":
        unused["electrodes"] = "with encoding=place all inputs are used"
    return unused


TASK = Task("henon", HenonSettings, forecast, needs="spikes", unused=_unused, validation="data")
