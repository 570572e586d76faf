"""Running a task on a substrate: checked beforehand, recorded, and written to a run folder with its report."""

import asyncio
import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args

import msgspec
from threadpoolctl import threadpool_info

from inmateria.concurrency import wait_to_completion
from inmateria.protocols.circuits import learning_channels
from inmateria.protocols.costs import CostMeter, sum_of_costs
from inmateria.protocols.data_parts import Part, checked_part, data_of, settings_of_part
from inmateria.protocols.gains import verdict
from inmateria.protocols.outcome import Outcome
from inmateria.protocols.run_log import log_file
from inmateria.protocols.run_progress import progress_file
from inmateria.protocols.runs import RECORDING_FILE, Run, make_folder, write_run
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.recording import CompressionStopped, Exchange, KeptSamples, RecordedSubstrate, RecordingError, compress
from inmateria.recording.provenance import software
from inmateria.substrate import Response, Stimulus, Substrate, SubstrateError, SubstrateInfo

Keep = Literal["all", "exact", "features", "nothing"]
"""What a run keeps of what was sent and measured; see `run_task`."""

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
    keep: Keep = "all",
    annotations: Mapping[str, Any] | None = None,
    report: bool = True,
    passport: bool = True,
    part: Part = "test",
) -> Path:
    """Run a task, recording every exchange, and return the folder made for it below `runs`.

    A substrate that does not meet the requirement of the task is refused before it is entered; if its info is known
    only once it has been entered, before the first stimulus. If the task fails or is cancelled before the first
    exchange, the folder is removed; later, it is kept with the recording of what was applied to the device.

    The recording is compressed once everything else of the run is on the disk. If that is cancelled or fails, the run
    is whole, and its recording as large as it was.

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
    keep : {"all", "exact", "features", "nothing"}
        What the recording keeps. ``"all"``: everything; samples that the task says its readouts do not read are rounded
        to a few digits. ``"exact"``: everything as it came. ``"features"``: only the samples that the readouts read.
        ``"nothing"``: no recording. Readouts read what is kept, and scores are the same for all of them.
    annotations : dict, optional
        Annotations of the recording, such as `inmateria.recording.metadata.read_metadata` reads; anything that JSON can
        represent.
    report : bool
        Whether to write the report; `inmateria report` writes it later.
    passport : bool
        Whether to add the scores to the device's passport; `add_to_passport` does it later. Scores for validation are
        not added.
    part : {"test", "validation"}
        The data that are scored: those of reported scores, or those on which settings are chosen, which no reported
        run tests on; see `inmateria.protocols.data_parts`.

    Raises
    ------
    UnsuitableSubstrate
        If the substrate does not meet the requirement of the task.
    UnsuitableSetting
        If a setting was given that has no effect, or the task has no part for validation.
    ValueError
        If `keep` or `part` is none of those values, or the seed is one of the other part.
    """
    if keep not in get_args(Keep):
        raise ValueError(f"keep is {keep!r}; allowed are {', '.join(get_args(Keep))}")
    task.check_part(checked_part(part), on.split(", "))
    drawn = settings_of_part(settings, part)
    begun, clock = datetime.now().astimezone(), time.monotonic()
    several = [substrate] if isinstance(substrate, Substrate) else list(substrate)
    for each in several:
        try:
            info = each.info
        except SubstrateError:  # known once it is entered, and checked then
            continue
        task.check(info, settings)
        task.check_settings(settings, info)
    folder = make_folder(runs, task.name)
    record = {"task": task.name, "settings": msgspec.to_builtins(settings), "versions": software()}
    record |= {} if part == "test" else {"part": part}
    record = {**(annotations or {}), **record}
    paths = [folder / RECORDING_FILE, *(folder / f"recording-{number}.h5" for number in range(2, len(several) + 1))]
    recorded: list[_RecordedSubstrate] | list[_UnrecordedSubstrate]
    if keep == "nothing":
        recorded = [_UnrecordedSubstrate(task, settings, each) for each in several]
    else:
        kept = _kept_samples(task, settings, keep)
        recorded = [
            _RecordedSubstrate(task, settings, each, path, record, kept)
            for each, path in zip(several, paths, strict=True)
        ]
    document = {"task": task.name, "on": on, "over": over, "keep": keep, "part": part}
    with progress_file(folder, document | {"created": begun.isoformat(timespec="seconds")}) as progress:

        def tell(phase: str, done: int, of: int, steps: int) -> None:
            progress.stage(phase, done, of, steps)
            on_progress(phase, done, of, steps)

        try:
            with log_file(folder), data_of(part):
                outcome: Outcome = await task.run(recorded if task.several else recorded[0], drawn, tell)
        except BaseException as error:
            if isinstance(error, OSError):  # a driver's own words may not say of which device they are
                error.add_note(f"while {task.name} ran on {', '.join(_name_of(each) for each in several)}")
            written = [str(each.path) for each in recorded if isinstance(each, _RecordedSubstrate) and each.exchanges]
            if not written:
                shutil.rmtree(folder)
            else:
                _logger.warning("the task did not finish; the recording of its exchanges is in %s", ", ".join(written))
            raise
        if task.validation is not None:
            own = bool(task.own_controls) or learning_channels(recorded[0].device_info) is not None
            outcome = msgspec.structs.replace(outcome, verdict=verdict(outcome, own_controls=own))
        run = Run(
            task=task.name,
            created=begun.isoformat(timespec="seconds"),
            on=on,
            over=over,
            settings=msgspec.to_builtins(settings),
            substrate=recorded[0].device_info,
            outcome=outcome,
            versions=software(),
            keep=keep,
            part=part,
            seconds=time.monotonic() - clock,
            cost=sum_of_costs([each.meter.cost for each in recorded if each.meter is not None]),
            threads=max((pool["num_threads"] for pool in threadpool_info()), default=1),
        )
        await asyncio.to_thread(write_run, folder, run)
        if report:
            tell("report", 0, 1, 0)
            await asyncio.to_thread(_write_report, folder)
            tell("report", 1, 1, 0)
        if passport and part == "test":
            await asyncio.to_thread(add_to_passport, folder, run, folder.parent)
        if keep != "nothing":
            await _compress(paths, tell)
    return folder


async def _compress(paths: Sequence[Path], on_progress: ProgressCallback) -> None:
    """Compress recordings in a thread; a cancellation stops it and leaves the present one as it was."""
    stop = threading.Event()
    each = 1 / len(paths)

    def work() -> None:
        for number, path in enumerate(paths):

            def tell(done: int, of: int, before: float = number * each) -> None:
                on_progress("compressing", round(100 * (before + each * done / of)), 100, 0)

            try:
                compress(path, on_progress=tell, stop=stop)
            except RecordingError as error:  # the run is whole without it
                _logger.warning("%s", error)
            except CompressionStopped:
                _logger.warning("%s is not compressed, and whole; `inmateria compress` compresses it", path)
                return

    working = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        stop.set()
        await wait_to_completion(working)
        raise


def _kept_samples(task: Task, settings: msgspec.Struct, keep: Keep) -> KeptSamples | None:
    """Return the samples that a recording of a task keeps exactly, and what becomes of the others; None for all."""
    if keep == "exact" or task.reads is None:
        return None
    samples, step = task.reads(settings)
    if not samples:
        return None
    return KeptSamples(samples, "left out" if keep == "features" else "rounded", step or None)


def _name_of(substrate: Substrate) -> str:
    try:
        return substrate.info.id
    except SubstrateError:
        return "a substrate that was not opened"


class _RecordedSubstrate(RecordedSubstrate):
    """A recorded substrate that is checked against a task and its settings as soon as it is entered."""

    def __init__(
        self,
        task: Task,
        settings: msgspec.Struct,
        substrate: Substrate,
        path: Path,
        annotations: Mapping[str, Any],
        keep: KeptSamples | None,
    ) -> None:
        super().__init__(substrate, path, annotations, keep=keep)
        self._task, self._settings = task, settings
        self.meter: CostMeter | None = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            self._task.check(self.device_info, self._settings)
            self._task.check_settings(self._settings, self.device_info)
            self.meter = self.meter or CostMeter(self.device_info)
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def _record(self, exchange: Exchange) -> None:
        assert self.meter is not None
        self.meter.add(exchange.stimulus, exchange.response)
        await super()._record(exchange)


class _UnrecordedSubstrate(Substrate):
    """A substrate that is checked against a task and its settings as soon as it is entered, and not recorded."""

    def __init__(self, task: Task, settings: msgspec.Struct, substrate: Substrate) -> None:
        self._task, self._settings, self._substrate = task, settings, substrate
        self.meter: CostMeter | None = None
        with suppress(SubstrateError):  # known once it is entered
            self.info = substrate.info

    @property
    def device_info(self) -> SubstrateInfo:
        """Description of the substrate."""
        return self.info

    async def __aenter__(self) -> Self:
        await self._substrate.__aenter__()
        try:
            self.info = self._substrate.info
            self._task.check(self.info, self._settings)
            self._task.check_settings(self._settings, self.info)
            self.meter = self.meter or CostMeter(self.info)
        except BaseException as error:
            await self._substrate.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._substrate.__aexit__(kind, error, trace)

    async def _apply(self, stimulus: Stimulus) -> Response:
        assert self.meter is not None
        response = await self._substrate.stimulate(stimulus)
        self.meter.add(stimulus, response)
        return response

    async def _stream(self, stimuli: AsyncIterator[Stimulus]) -> AsyncGenerator[Response]:
        assert self.meter is not None
        sent: deque[Stimulus] = deque()

        async def noted() -> AsyncGenerator[Stimulus]:
            async for stimulus in stimuli:
                sent.append(stimulus)
                yield stimulus

        async with aclosing(noted()) as source, aclosing(self._substrate.stream(source)) as responses:
            async for response in responses:
                self.meter.add(sent.popleft(), response)
                yield response

    async def reset(self) -> None:
        """Return to rest."""
        await self._substrate.reset()


def _write_report(folder: Path) -> None:
    from inmateria.protocols.report import write_report  # matplotlib: half a second that a failed run need not pay

    write_report(folder)


def add_to_passport(folder: Path, run: Run, beside: Path) -> None:
    """Add the scores of a run to the device's passport; a failure is logged, and the run is whole without it.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    run : Run
    beside : Path
        Folder with the database of passports, if INMATERIA_PASSPORTS does not name another.
    """
    from inmateria.devices.errors import PassportError
    from inmateria.devices.passports import Passports, ScoreRecord, passports_url

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
        with Passports(passports_url(beside)) as passports:
            passports.add_scores(run.substrate, scores)
    except PassportError as error:
        _logger.warning("the scores are not in the device's passport: %s", error)
