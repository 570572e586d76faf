"""Run a task on a substrate and leave behind a folder that tells everything: run.json, recording, report."""

import asyncio
import logging
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from inmateria.protocols.runs import RECORDING_FILE, Outcome, Run, make_folder, write_run
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.recording import RecordedSubstrate
from inmateria.recording.provenance import software
from inmateria.substrate import Substrate

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

    Where it fails or is cancelled before anything was exchanged, no folder is left; after that, the
    folder is left with the recording alone, because what was done to a device is worth knowing.

    Parameters
    ----------
    task, settings
        What to run; settings as made by `Task.settings_from`.
    substrate : Substrate or sequence of Substrate
        Not entered yet. Several for a task that names several: each has a recording of its own, and the first
        stands for all in run.json.
    runs : Path
        Where run folders are made.
    on_progress : callable
        Told of the progress.
    on, over : str
        How the substrate was asked for, for the record.
    """
    begun = datetime.now().astimezone()
    folder = make_folder(runs, task.name)
    several = [substrate] if isinstance(substrate, Substrate) else list(substrate)
    record = {"task": task.name, "settings": msgspec.to_builtins(settings), "versions": software()}
    paths = [folder / RECORDING_FILE, *(folder / f"recording-{number}.h5" for number in range(2, len(several) + 1))]
    recorded = [RecordedSubstrate(each, path, record) for each, path in zip(several, paths, strict=True)]
    try:
        outcome: Outcome = await task.run(recorded[0] if task.substrates is None else recorded, settings, on_progress)
    except BaseException:
        if not any(each.exchanges for each in recorded):
            shutil.rmtree(folder)
        else:
            where = ", ".join(str(each.path) for each in recorded if each.exchanges)
            _logger.warning("it did not come to its end; what was exchanged is in %s", where)
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
    await asyncio.to_thread(_leave, folder, run)
    return folder


def _leave(folder: Path, run: Run) -> None:
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
            control=score.control,
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
