"""A nonlinear filter of a random input, with memory: NARMA of order 2, 5 or 10; see `inmateria.reservoir.narma`.

The next value y(t+1) is read when u(t) has come. Of readouts without memory none is better than the mean of y(t+1)
given u(t), which is

    1 - sqrt(1 - var(0.6 u^3) / var(y))            for order 2
    1 - sqrt(1 - (1.5 / 4)^2 var(u) / var(y))      for all others

with u uniform from 0 to 1/2: .45, .18 and .13 for orders 2, 5 and 10. A linear readout of all past inputs cannot have
the products: about .59 for order 2 and .62 for orders 5 and 10, measured with 100 lags.
"""

from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from inmateria.protocols.outcome import Outcome
from inmateria.protocols.series import MIXING_NETWORK, SeriesProblem, SeriesSettings, run_series, unused_in_series
from inmateria.protocols.task import ProgressCallback, Task, samples_read
from inmateria.reservoir import narma
from inmateria.substrate import FloatArray, Substrate

_DRAWS = 100


class NarmaSettings(SeriesSettings, frozen=True, kw_only=True):
    """Settings of `narma`, beside those of every series.

    Parameters
    ----------
    amplitude, bias, bias_spread, bias_sign, step, samples
        As of every series; by default driven about constants of random sign. docs/tasks.md says how they were chosen.
    order : int
        Order of the filter: 2, 5 and 10 are usual.
    """

    amplitude: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.019
    bias: Annotated[float, Meta(ge=0.0, le=100.0)] = 4.6
    bias_spread: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.59
    bias_sign: Literal["same", "random"] = "random"
    step: Annotated[float, Meta(gt=0.0)] = 0.033
    samples: Annotated[int, Meta(ge=1)] = 1
    order: Annotated[int, Meta(ge=2, le=10)] = 2


async def imitate_filter(substrate: Substrate, settings: NarmaSettings, on_progress: ProgressCallback) -> Outcome:
    """Drive with a random series, and read the next value of the filter."""
    u, y = input_and_output(settings)
    problem = SeriesProblem(
        title=f"NARMA-{settings.order}",
        sentence=f"The output of a nonlinear filter of order {settings.order} was to be read from its random input.",
        u=4.0 * u[: settings.steps] - 1.0,
        targets={"next value": y[1:]},
    )
    return await run_series(problem, substrate, settings, on_progress)


def input_and_output(settings: NarmaSettings) -> tuple[FloatArray, FloatArray]:
    """Draw an input from 0 to 1/2 and return it with the filter's output, one step longer than the task.

    An input for which the filter diverges, which is rare, is drawn again.
    """
    generator = np.random.default_rng(settings.seed)
    for _ in range(_DRAWS):
        u = generator.uniform(0.0, 0.5, settings.steps + 1)
        try:
            return u, narma(u, settings.order)
        except ValueError:
            continue
    raise ValueError(f"NARMA-{settings.order} diverged for {_DRAWS} inputs of {settings.steps} steps; give fewer steps")


TASK = Task(
    "narma",
    NarmaSettings,
    imitate_filter,
    needs="signal",
    unused=unused_in_series,
    reads=samples_read,
    validation="data",
    on=MIXING_NETWORK,
)
