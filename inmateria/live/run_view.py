"""The state of a run from the lines that it writes, and from its run.json once that is there."""

import time
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from inmateria.live.messages import FinalScore, OwnScore, RunState, StageState
from inmateria.live.progress_reading import ProgressReader
from inmateria.protocols.run_progress import (
    PROGRESS_FILE,
    Begun,
    Ended,
    Line,
    NoTargets,
    Reading,
    RunningScore,
    Stage,
    Values,
)
from inmateria.protocols.runs import Run, RunFolderError, read_run

__all__ = ["RunView"]

_MISSING = {
    "died": "its process is gone; what it had recorded is whole",
    "failed": "its folder was removed, as that of a run is that fails before its first exchange",
}
"""Why a run is over that did not say so itself."""


class RunView:
    """Follows the folder of a run, whether its process runs, has ended or died, or begins anew.

    Parameters
    ----------
    folder : Path

    Attributes
    ----------
    generation : int
        How many times the file of its progress was replaced by another one, upon which all before is void.
    readings : list of (Reading, list of Values)
        What is to be read out, in the order in which it was said, each with its targets so far.
    run : Run or None
        The finished run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run: Run | None = None
        self.generation = 0
        self._reader = ProgressReader(folder / PROGRESS_FILE)
        self._seen: tuple[int, int] | None = None
        self._died = False
        self._begin()

    def _begin(self) -> None:
        self.readings: list[tuple[Reading, list[Values]]] = []
        self._begun: Begun | None = None
        self._ended: Ended | None = None
        self._reason = ""
        self._stages: dict[str, tuple[Stage, float]] = {}
        self._own: dict[str, RunningScore] = {}
        self._last = 0.0
        self._gone = False

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come: the run has ended or its process is gone."""
        over = self._ended is not None or self._died or self._gone
        return over or (self._begun is None and self.run is not None)

    def look(self) -> None:
        """Read what is new."""
        while lines := self._read():
            for line in lines:
                self._take(line)
        self._died = False
        if self._begun is not None and self._ended is None and self._reader.lives() is False:
            for line in self._read():  # written between the last look and the end of its process
                self._take(line)
            self._died = self._ended is None
        if self._begun is not None and self._ended is None and not self._reader.path.exists():
            self._follow()
        self._look_for_run()

    def _follow(self) -> None:
        """Follow a run of a sweep to its place: it is made in ``working/DIGEST.ATTEMPT``, and moved to ``runs``."""
        if self.folder.is_dir():  # the file of a run that keeps no recording is removed at its end
            self._gone = True
            return
        places = self.folder.parents
        if len(places) > 2 and places[1].name == "working":
            place = places[2] / "runs" / places[0].name.partition(".")[0]
            if (place / "run.json").exists():
                self.folder, self._reader.path = place, place / PROGRESS_FILE
                self._gone = not self._reader.path.exists()
                return
        self._gone = True

    def _read(self) -> list[Line]:
        lines, anew = self._reader.read()
        if anew:
            self._begin()
            self.run, self._seen = None, None
            self.generation += 1
        return lines

    def _take(self, line: Line) -> None:
        if isinstance(line, Begun):
            self._begun = line
        elif isinstance(line, Stage):
            known = self._stages.pop(line.name, None)  # the present stage stands last
            self._stages[line.name] = line, known[1] if known else max(self._last, self._first)
        elif isinstance(line, Reading):
            self.readings.append((line, []))
        elif isinstance(line, Values):
            if self.readings:
                self.readings[-1][1].append(line)
        elif isinstance(line, NoTargets):
            self._reason = line.reason
        elif isinstance(line, RunningScore):
            self._own[line.name] = line
        else:
            self._ended = line
        if not isinstance(line, Reading | Values | NoTargets):
            self._last = line.at

    @property
    def _first(self) -> float:
        return 0.0 if self._begun is None else self._begun.at

    def _look_for_run(self) -> None:
        path = self.folder / "run.json"
        try:
            found = path.stat()
        except OSError:
            return
        if (seen := (found.st_ino, found.st_mtime_ns)) == self._seen:
            return
        self._seen = seen
        try:
            self.run = read_run(self.folder)
        except RunFolderError:
            self.run = None

    def state(self, reading: str = "") -> RunState:
        """Return the state.

        Parameters
        ----------
        reading : str
            What reads the output that is shown; by default why none is.
        """
        begun, ended, run = self._begun, self._ended, self.run
        name = "waiting"
        if ended is not None:
            name = ended.how
        elif self._died:
            # Its process is gone; if it had written run.json, only the last steps, such as compressing, are missing.
            name = "died" if run is None else "finished"
        elif self._gone:
            name = "failed" if run is None else "finished"
        elif begun is not None:
            name = "running"
        elif run is not None:
            name = "finished"
        elif self.folder.is_dir() and (self.folder / "recording.h5").exists():
            name = "unknown"
        seconds = 0.0
        if begun is not None:
            over = ended.at if ended is not None else self._last if self._died or self._gone else time.time()
            seconds = max(0.0, over - begun.at)
        elif run is not None:
            seconds = run.seconds or 0.0
        of = begun or run
        return RunState(
            state=name,
            task=of.task if of else "",
            on=of.on if of else "",
            created=of.created if of else "",
            keep=of.keep if of else "",
            seconds=seconds,
            stages=tuple(
                StageState(name=stage.name, done=stage.done, of=stage.of, seconds=max(0.0, stage.at - since))
                for stage, since in self._stages.values()
            ),
            own=tuple(OwnScore(name=each.name, value=each.value, done=each.done) for each in self._own.values()),
            reading=reading or self._why_none(),
            error=ended.error if ended else _MISSING.get(name, ""),
            **({} if run is None else _of_run(run)),
        )

    def _why_none(self) -> str:
        if self._reason:
            return f"No output is shown beside a target: {self._reason}."
        if self._begun is None:
            if self.run is not None:
                return "No output is shown beside a target: this run was made without notes of its targets."
            return ""
        if self.is_over:
            return "No output is shown beside a target: this task says none in order of time."
        return "No targets have been said yet."


def _of_run(run: Run) -> dict[str, Any]:
    outcome = run.outcome
    return {
        "title": outcome.title,
        "metric": outcome.metric,
        "verdict": outcome.verdict,
        "chance": outcome.chance if outcome.chance_description else None,
        "scores": tuple(
            FinalScore(
                on=score.on, readout=score.readout, features=score.features, score=fmean(score.splits),
                spread=pstdev(score.splits) if len(score.splits) > 1 else None, control=bool(score.control),
            )
            for score in outcome.scores
        ),
    }  # fmt: skip
