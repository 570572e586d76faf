"""Forecast of a chaotic series some steps ahead: Mackey and Glass, Science 197, 287 (1977), with a delay of 17."""

from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from inmateria.protocols.data_sets import mackey_glass_series
from inmateria.protocols.outcome import Outcome
from inmateria.protocols.series import MIXING_NETWORK, SeriesProblem, SeriesSettings, run_series, unused_in_series
from inmateria.protocols.task import ProgressCallback, Task, samples_read
from inmateria.substrate import Substrate


class ForecastSettings(SeriesSettings, frozen=True, kw_only=True):
    """Settings of `mackey-glass`, beside those of every series.

    Parameters
    ----------
    amplitude, bias, bias_spread, bias_sign, step, samples
        As of every series; by default driven about constants of random sign. docs/tasks.md says how they were chosen.
    horizon : int
        How far ahead the series is forecast, in steps.
    """

    amplitude: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.075
    bias: Annotated[float, Meta(ge=0.0, le=100.0)] = 2.4
    bias_spread: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.95
    bias_sign: Literal["same", "random"] = "random"
    step: Annotated[float, Meta(gt=0.0)] = 0.0043
    samples: Annotated[int, Meta(ge=1)] = 1
    horizon: Annotated[int, Meta(ge=1, le=200)] = 84


async def forecast(substrate: Substrate, settings: ForecastSettings, on_progress: ProgressCallback) -> Outcome:
    """Drive with the series, and read its value `horizon` steps later."""
    series = mackey_glass_series(settings.steps + settings.horizon)
    scaled = 2 * (series - series.min()) / np.ptp(series) - 1
    problem = SeriesProblem(
        title="Mackey-Glass forecast",
        sentence=f"The Mackey-Glass series with a delay of 17 was to be forecast {settings.horizon} steps ahead.",
        u=scaled[: settings.steps],
        targets={f"{settings.horizon} ahead": scaled[settings.horizon :]},
    )
    return await run_series(problem, substrate, settings, on_progress)


TASK = Task(
    "mackey-glass",
    ForecastSettings,
    forecast,
    needs="signal",
    unused=unused_in_series,
    reads=samples_read,
    validation="data",
    on=MIXING_NETWORK,
)
