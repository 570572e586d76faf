"""Running a task on a substrate: checked beforehand, recorded, and written to a run folder with its report."""

import asyncio
import logging
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import msgspec

from inmateria.protocols.outcome import Outcome
from inmateria.protocols.runs import RECORDING_FILE, Run, make_folder, write_run
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.recording import RecordedSubstrate
from inmateria.recording.provenance import software
from inmateria.substrate import Substrate, SubstrateError

_logger = logging.getLogger("inmateria")


async def run_task(
    task: Task,
    settings: msgspec.Struct,
    substrate: Substrate | Sequence[Substrate],
    runs: Path,
    on_progress: ProgressCallback,
    *,
    on: str,
    over: str,
) -> Path:
    """Run a task, recording every exchange, and return the folder made for it below `runs`.

    A substrate that does not meet the requirement of the task is refused before it is entered; if its info is known
    only once it has been entered, before the first stimulus. If the task fails or is cancelled before the first
    exchange, the folder is removed; later, it is kept with the recording of what was applied to the device.

    Parameters
    ----------
    task, settings
        Task to run, and its settings as made by `Task.settings_from`.
    substrate : Substrate or sequence of Substrate
        Not entered yet. A sequence for a task that names its substrates: each has its own recording, and ``run.json``
        has the info of the first.
    runs : Path
        Folder in which run folders are made.
    on_progress : callable
        Called with the progress.
    on, over : str
        URI of the substrate as it was given, and ``"local"`` or ``"mqtt"``, for ``run.json``.

    Raises
    ------
    UnsuitableSubstrate
        If the substrate does not meet the requirement of the task.
    UnsuitableSetting
        If a setting was given that has no effect.
    """
    begun = datetime.now().astimezone()
    several = [substrate] if isinstance(substrate, Substrate) else list(substrate)
    for each in several:
        try:
            info = each.info
        except SubstrateError:  # known once it is entered, and checked then
            continue
        task.check(info)
        task.check_settings(settings, info)
    folder = make_folder(runs, task.name)
    record = {"task": task.name, "settings": msgspec.to_builtins(settings), "versions": software()}
    paths = [folder / RECORDING_FILE, *(folder / f"recording-{number}.h5" for number in range(2, len(several) + 1))]
    recorded = [
        _CheckedSubstrate(task, settings, each, path, record) for each, path in zip(several, paths, strict=True)
    ]
    try:
        outcome: Outcome = await task.run(recorded[0] if task.substrates is None else recorded, settings, on_progress)
    except BaseException as error:
        if isinstance(error, OSError):  # a driver's own words may not say of which device they are
            error.add_note(f"while {task.name} ran on {', '.join(_name_of(each) for each in several)}")
        if not any(each.exchanges for each in recorded):
            shutil.rmtree(folder)
        else:
            where = ", ".join(str(each.path) for each in recorded if each.exchanges)
            _logger.warning("the task did not finish; the recording of its exchanges is in %s", where)
        raise
    run = Run(
        task=task.name,
        created=begun.isoformat(timespec="seconds"),
        on=on,
        over=over,
        settings=msgspec.to_builtins(settings),
        substrate=recorded[0].info,
        outcome=outcome,
        versions=software(),
    )
    on_progress("report", 0, 1, 0)
    await asyncio.to_thread(_write, folder, run)
    on_progress("report", 1, 1, 0)
    return folder


def _name_of(substrate: Substrate) -> str:
    try:
        return substrate.info.id
    except SubstrateError:
        return "a substrate that was not opened"


class _CheckedSubstrate(RecordedSubstrate):
    """A recorded substrate that is checked against a task and its settings as soon as it is entered."""

    def __init__(self, task: Task, settings: msgspec.Struct, *given: Any) -> None:
        super().__init__(*given)
        self._task, self._settings = task, settings

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            self._task.check(self.info)
            self._task.check_settings(self._settings, self.info)
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self


def _write(folder: Path, run: Run) -> None:
    """Write run.json and the report, and add the scores to the device's passport."""
    from inmateria.devices.errors import PassportError
    from inmateria.devices.passports import Passports, ScoreRecord, passports_url
    from inmateria.protocols.report import write_report  # matplotlib: half a second that a failed run need not pay

    write_run(folder, run)
    write_report(folder)
    scores = [
        ScoreRecord(
            taken=run.created,
            task=run.task,
            readout=score.readout,
            read_from=score.on,
            control=bool(score.control),
            metric=run.outcome.metric,
            score=score.score,
            chance=run.outcome.chance,
            folder=str(folder),
        )
        for score in run.outcome.scores
    ]
    try:
        with Passports(passports_url(folder.parent)) as passports:
            passports.add_scores(run.substrate, scores)
    except PassportError as error:  # the run is whole without it
        _logger.warning("the scores are not in the device's passport: %s", error)
