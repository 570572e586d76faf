"""Checks of a task: defaults, progress, scores beside controls, and the same result for the same seed."""

import asyncio
from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from inmateria.adapters import connect
from inmateria.protocols import Outcome, Task
from inmateria.protocols.gains import missing_controls
from inmateria.substrate import Substrate
from inmateria.testing.leaks import assert_no_leaked_tasks

__all__ = ["check_task"]

_SIGNAL, _SPIKES = "nanowire://?wires=60&electrodes=8&inputs=4", "culture://?neurons=100"


def check_task(
    task: Task, settings: Mapping[str, str] | None = None, make: Callable[[], Substrate] | None = None
) -> Outcome:
    """Run a task twice on a small simulated substrate and check its outcome.

    Parameters
    ----------
    task : Task
        Task that runs on a single substrate.
    settings : mapping of str to str, optional
        Settings as on the command line, to make the task short.
    make : callable, optional
        Makes a substrate that has not been entered, with the same seed each time; by default a small nanowire network,
        a small culture for a task that needs spikes, or its own circuit for a task that trains matter.

    Returns
    -------
    Outcome
        Outcome of the second run.

    Raises
    ------
    AssertionError
        If a check fails.
    """
    assert task.name == task.name.lower(), "a task's name is in lower case, as it is typed"
    defaults = task.settings_from({})
    plain = msgspec.to_builtins(defaults)
    assert msgspec.convert(plain, type=task.settings) == defaults, "the settings do not survive JSON"
    chosen = task.settings_from(settings or {})
    usual = task.uris(chosen, None)[0] if task.needs == "learning" else _SPIKES if task.needs == "spikes" else _SIGNAL
    make = make or (lambda: connect(usual))
    first, second = (asyncio.run(_run(task, chosen, make())) for _ in range(2))
    assert [score.splits for score in first.scores] == [score.splits for score in second.scores], (
        "the same seed gave other scores"
    )
    assert msgspec.json.decode(msgspec.json.encode(second), type=Outcome) == second, "the outcome does not survive JSON"
    assert second.title, "the outcome has no title"
    assert any(not score.control for score in second.scores), "no score is the substrate's"
    assert any(score.control for score in second.scores), "no control stands beside the substrate"
    if task.validation is not None and task.needs != "learning" and not task.own_controls:
        missing = missing_controls(second)
        assert not missing, f"controls that could win are missing ({', '.join(missing)}); score Presented.by_step()"
    assert all(np.isfinite(score.splits).all() for score in second.scores), "a score is not finite"
    assert second.exchanges.count > 0, "no exchange was counted"
    return second


async def _run(task: Task, settings: msgspec.Struct, substrate: Substrate) -> Outcome:
    reports: list[tuple[str, int, int, int]] = []

    def on_progress(phase: str, done: int, of: int, steps: int) -> None:
        reports.append((phase, done, of, steps))

    async with assert_no_leaked_tasks():
        outcome = await task.run([substrate] if task.several else substrate, settings, on_progress)
    assert reports, "no progress was reported"
    assert all(phase and 0 <= done <= of for phase, done, of, _ in reports), "more was done than there is to do"
    return outcome
