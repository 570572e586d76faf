"""Parity of past bits: exclusive or of some successive bits, the last of them a delay ago.

Bertschinger and Natschläger, Neural Comput. 16, 1413 (2004). All bits but one say nothing of the parity, so that a
readout without memory is right half of the time, whatever its nonlinearity. No sum of the bits correlates with their
parity: a linear readout of all of them is right half of the time over draws, and for three quarters of the patterns of
two or three bits at most, which one threshold can be by chance. Memory and nonlinearity together are right always.
"""

from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from inmateria.protocols.outcome import Outcome
from inmateria.protocols.series import LabelledSeries, SeriesSettings, run_labelled_series, unused_in_series
from inmateria.protocols.task import ProgressCallback, Task, samples_read
from inmateria.substrate import Substrate


class ParitySettings(SeriesSettings, frozen=True, kw_only=True):
    """Settings of `parity`, beside those of every series.

    Parameters
    ----------
    amplitude, bias, bias_spread, bias_sign, step, samples
        As of every series; by default driven about constants of random sign. docs/tasks.md says how they were chosen.
    bits : int
        Number of successive bits whose parity is asked for; 2 is exclusive or.
    delay : int
        How many steps ago the last of them came.
    """

    amplitude: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.083
    bias: Annotated[float, Meta(ge=0.0, le=100.0)] = 0.63
    bias_spread: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.95
    bias_sign: Literal["same", "random"] = "random"
    step: Annotated[float, Meta(gt=0.0)] = 0.017
    samples: Annotated[int, Meta(ge=1)] = 2
    bits: Annotated[int, Meta(ge=1, le=20)] = 3
    delay: Annotated[int, Meta(ge=0, le=100)] = 1


async def name_parity(substrate: Substrate, settings: ParitySettings, on_progress: ProgressCallback) -> Outcome:
    """Drive with random bits, -1 or 1, and name the parity of past ones."""
    bits = np.random.default_rng(settings.seed).integers(2, size=settings.steps)
    first = settings.delay + settings.bits - 1
    labels = np.full(settings.steps, -1)
    labels[first:] = sum(bits[first - back : settings.steps - back] for back in range(settings.delay, first + 1)) % 2
    problem = LabelledSeries(
        title="Parity of past bits",
        sentence=f"The parity of {settings.bits} successive bits, the last of them {settings.delay} back, was to be "
        "named.",
        u=2.0 * bits.astype(np.float64) - 1.0,
        labels=labels,
        readout=f"parity of {settings.delay} to {first} back" if settings.bits > 1 else f"bit {first} back",
    )
    return await run_labelled_series(problem, substrate, settings, on_progress)


TASK = Task(
    "parity",
    ParitySettings,
    name_parity,
    needs="signal",
    unused=unused_in_series,
    reads=samples_read,
    validation="data",
    on="nanowire://?model=rate-balance&wires=115&inputs=20&electrodes=50",
)
