"""A worker of a sweep: claims points of its folder one after another, runs them, and puts each run in its place.

``python -m inmateria.desk.worker FOLDER`` is one. Any number of them, on any machines that share the folder, divide the
points among themselves.
"""

import contextlib
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from inmateria.desk.claims import Claim, Owner, claim_point, this_process
from inmateria.desk.point_folder import PointFolder
from inmateria.desk.points import Point
from inmateria.desk.sweep_folder import SweepFolder
from inmateria.interruption import handled_by, run_interruptibly

__all__ = ["interrupted_by", "run_point", "work"]

_ATTEMPTS = 5
"""Processes that may die while they run a point, before it counts as failed."""
_LOOK = 1.0
"""Seconds between two looks at points that other workers hold."""


def work(folder: SweepFolder, should_stop: Callable[[], bool] = lambda: False) -> int:
    """Run points until none is left, also those whose process dies meanwhile; return how many this one ran.

    Parameters
    ----------
    folder : SweepFolder
    should_stop : callable
        Asked before each point.

    Raises
    ------
    KeyboardInterrupt
        If it is interrupted; the point that ran then is given back.
    """
    folder.require_this_version()
    owner, ran = this_process(), 0
    left = list(folder.points)
    while left and not should_stop():
        over = folder.finished() | folder.failed()
        left = [digest for digest in left if digest not in over]
        if not left:
            folder.tidy(over)
        progress = False
        # Points whose process died come last: one that kills its process does not stand in the way of the others.
        for digest in sorted(left, key=folder.was_claimed):
            if should_stop():
                return ran
            if run_point(folder, digest, owner):
                ran, progress = ran + 1, True
        if left and not progress:
            time.sleep(_LOOK)
    return ran


def run_point(folder: PointFolder, digest: str, owner: Owner | None = None) -> bool:
    """Run one point if it is neither finished nor claimed; return whether it was run, well or not."""
    if folder.is_done(digest) or folder.has_failed(digest):
        return False
    owner = owner or this_process()
    with contextlib.ExitStack() as exits:
        device = folder.device_of(digest)
        if device is not None:
            held = claim_point(folder.devices, device, owner)
            if held is None:
                return False
            exits.callback(held.give_back)
            exits.enter_context(held)
        claim = claim_point(folder.claims, digest, owner)
        if claim is None:
            return False
        exits.enter_context(claim)
        if folder.is_done(digest) or folder.has_failed(digest):  # while we claimed it
            claim.complete()
            return False
        _run_claimed(folder, digest, claim)
    return True


def _run_claimed(folder: PointFolder, digest: str, claim: Claim) -> None:
    if claim.attempt >= _ATTEMPTS:
        folder.fail(digest, f"the process that ran it died, {claim.attempt} times one after another")
        folder.forget_working(digest, claim.attempt)
        claim.complete()
        return
    place = folder.working_folder(digest, claim.attempt)
    try:
        work = _run(folder, folder.points[digest], place)
        made = run_interruptibly(work, signals=(signal.SIGINT, signal.SIGTERM))
        if folder.finish(digest, made) and folder.device_of(digest) is not None:
            _note_scores(folder, digest)
    except Exception as error:
        details = "".join(traceback.format_exception(error))
        folder.fail(digest, f"{type(error).__name__}: {' '.join(str(error).split())}", details)
    except BaseException:  # interrupted: as if it had never been claimed
        shutil.rmtree(place, ignore_errors=True)
        claim.give_back()
        raise
    folder.forget_working(digest, claim.attempt)
    claim.complete()


async def _run(folder: PointFolder, point: Point, place: Path) -> Path:
    """Run a point in a folder of its own, and return the folder that holds its run."""
    from inmateria.adapters import connect
    from inmateria.protocols.runner import run_task
    from inmateria.protocols.task import find_task

    task = find_task(point.task)
    settings = task.settings_from(point.settings)
    uris = task.uris(settings, point.on or None, point.part)
    substrates = [connect(uri) for uri in uris]
    substrate: Any = substrates if task.several else substrates[0]
    return await run_task(
        task, settings, substrate, place, _silent, on=", ".join(uris), over="local", keep=folder.keep,  # type: ignore[arg-type]
        report=folder.reports, passport=False, part=point.part,
    )  # fmt: skip


def _note_scores(folder: PointFolder, digest: str) -> None:
    """Add the scores of a run on a real device to the passports beside the sweep."""
    from inmateria.protocols.runner import add_to_passport
    from inmateria.protocols.runs import read_run

    add_to_passport(folder.runs / digest, read_run(folder.runs / digest), folder.path.parent)


def _silent(phase: str, done: int, of: int, steps: int) -> None:
    """Report nothing: a sweep counts runs."""


@contextlib.contextmanager
def interrupted_by(*signals: signal.Signals) -> Iterator[None]:
    """Raise KeyboardInterrupt at these signals."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with handled_by(interrupt, *signals):
        yield


def main(path: str) -> int:
    """Work on a folder until nothing is left; return the exit status."""
    with interrupted_by(signal.SIGINT, signal.SIGTERM):
        try:
            work(SweepFolder(Path(path)))
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
