"""Memory capacity: the input of k steps ago, for every k (Jaeger, GMD report 152 (2002))."""

from typing import Annotated

import numpy as np
from msgspec import Meta

from inmateria.protocols.outcome import Curves, Outcome
from inmateria.protocols.scoring import Comparison
from inmateria.protocols.series import SeriesProblem, SeriesSettings, run_series, unused_in_series
from inmateria.protocols.task import ProgressCallback, Task, samples_read
from inmateria.substrate import Substrate


class MemorySettings(SeriesSettings, frozen=True, kw_only=True):
    """Settings of `memory`, beside those of every series.

    Parameters
    ----------
    delays : int
        Longest delay that is asked for, in steps.
    """

    delays: Annotated[int, Meta(ge=1, le=200)] = 20


async def recall(substrate: Substrate, settings: MemorySettings, on_progress: ProgressCallback) -> Outcome:
    """Drive with a random series, and read its past values."""
    u = np.random.default_rng(settings.seed).uniform(-1, 1, settings.steps)
    delays = range(1, settings.delays + 1)
    problem = SeriesProblem(
        title="Memory capacity",
        sentence=f"A random series was to be recalled 1 to {settings.delays} steps later; the sum of the squared "
        "correlations is the memory capacity.",
        u=u,
        targets={f"{delay} back": np.concatenate([np.full(delay, np.nan), u[:-delay]]) for delay in delays},
        metric="r²",
        total="sum over delays",
    )
    return await run_series(problem, substrate, settings, on_progress, _by_delay)


def _by_delay(compared: Comparison) -> tuple[Curves, ...]:
    """Draw r² by delay, mean of the blocks."""
    lines = {on: tuple(values.mean(axis=0).tolist()) for on, values in compared.by_target.items()}
    return (
        Curves(
            heading="How far back it remembers",
            text="Squared correlation of the prediction with the input so many steps ago, mean of the blocks.",
            x_label="delay (steps)",
            y_label="squared correlation",
            x=tuple(float(delay) for delay in range(1, len(compared.classes) + 1)),
            lines=lines,
        ),
    )


TASK = Task(
    "memory", MemorySettings, recall, needs="signal", unused=unused_in_series, reads=samples_read, validation="data"
)
