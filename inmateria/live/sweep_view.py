"""The state of a sweep, a survey or a search from its folder alone; nothing is written there."""

import os
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from inmateria.adapters.uri import shown
from inmateria.desk.claims import HeldClaim, held_claims
from inmateria.desk.point_folder import PointFolder, SweepFolderError
from inmateria.desk.points import Point
from inmateria.desk.run_tables import differing
from inmateria.desk.search_folder import SEARCH_FILE, SearchFolder
from inmateria.desk.summaries import RunSummary, summary_of, uri_parameters
from inmateria.desk.sweep_folder import SWEEP_FILE, SweepFolder
from inmateria.live.messages import SettingScore, StageState, SweepRow, SweepState, WorkerState
from inmateria.live.run_view import RunView

__all__ = ["SweepView", "is_sweep"]

_MOST_ROWS, _MOST_WORKERS = 200, 64
_MOST_SETTINGS, _MOST_VALUES = 6, 12
_AT_ONCE = 200
"""Runs that are read in one look."""
_LAST = 20
"""Runs by which the time that is left is expected."""
_QUIET = 3.0
"""Seconds without a living claim after which a sweep counts as stopped: between two points a worker holds none."""
_SEEDS = ("settings.seed", "on.seed")


@dataclass(frozen=True)
class _Done:
    """A finished point: its scores, when it was finished, s since 1970, and how long it took, s."""

    score: float
    control: float | None
    gain: float | None
    metric: str
    at: float
    seconds: float | None


def is_sweep(folder: Path) -> bool:
    """Return whether a folder is that of a sweep, a survey or a search."""
    return (folder / SWEEP_FILE).exists() or (folder / SEARCH_FILE).exists()


class SweepView:
    """Looks at the folder of a sweep again and again.

    Parameters
    ----------
    path : Path

    Raises
    ------
    SweepFolderError
        If it is not the folder of a sweep or a search.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._search: SearchFolder | None = None
        self._folder: PointFolder
        if (path / SEARCH_FILE).exists() and not (path / SWEEP_FILE).exists():
            self._folder = self._search = SearchFolder(path)
            created, tasks = self._search.search.created, [self._search.search.task]
            self._columns: list[str] = [dimension.name for dimension in self._search.search.over]
            self._values: dict[str, dict[str, Any]] = {}
        else:
            opened = SweepFolder(path)
            self._folder, created = opened, opened.sweep.created
            tasks = list(dict.fromkeys(point.task for point in opened.points.values()))
            self._values = {digest: _values_of(point) for digest, point in opened.points.items()}
            origins = ("settings.", "on.", "task") if len(tasks) > 1 else ("settings.", "on.")
            self._columns = differing(list(self._values.values()), origins)
        self._tasks = tasks
        self._created = _seconds_of(created)
        self._done: dict[str, _Done] = {}
        self._unreadable: set[str] = set()
        self._runs: dict[str, RunView] = {}
        self._lived = time.monotonic()
        self._errors: dict[str, str] = {}

    def look(self) -> SweepState:
        """Return the state as it is now; of many runs that are new, some are left for the next look."""
        try:
            more = self._read_finished()
            claims = [each for each in held_claims(self._folder.claims) if each.digest not in self._done]
            state = self._of_search(claims) if self._search is not None else self._of_sweep(claims)
        except OSError as error:  # a folder on another machine may be out of reach for a while
            raise SweepFolderError(f"{self.path} cannot be read ({error.strerror or error})") from None
        return msgspec.structs.replace(state, error=f"{more:,} finished runs are still to be read" if more else "")

    def _read_finished(self) -> int:
        """Read runs that are new, and return how many are left for the next look."""
        with os.scandir(self._folder.runs) as found:
            new = [each.name for each in found if not each.name.startswith(".") and each.name not in self._done]
        new = [name for name in new if name not in self._unreadable and (self._search or name in self._values)]
        for name in new[:_AT_ONCE]:
            path = self._folder.runs / name / "run.json"
            try:
                summary, at = summary_of(name, path.read_bytes()), path.stat().st_mtime
            except FileNotFoundError:
                continue
            except (OSError, msgspec.DecodeError, ValueError):
                self._unreadable.add(name)
                continue
            self._done[name] = _done(summary, at)
        return max(0, len(new) - _AT_ONCE)

    def _of_sweep(self, claims: Sequence[HeldClaim]) -> SweepState:
        failed = self._folder.failed()
        claims = [each for each in claims if each.digest in self._values and each.digest not in failed]
        workers = [self._worker(each, self._label(self._values[each.digest])) for each in claims[:_MOST_WORKERS]]
        rows = [
            SweepRow(
                point=digest, state="done", values=self._texts(self._values[digest]), score=done.score,
                control=done.control, gain=done.gain, folder=str(self._folder.runs / digest),
            )
            for digest, done in self._done.items()
        ]  # fmt: skip
        rows.sort(key=lambda row: -_number(row.score))
        if failed - self._errors.keys():
            with suppress(OSError):
                self._errors = {each.point.digest: each.error for each in self._folder.failures()}
        rows += [
            SweepRow(
                point=each,
                state="failed",
                values=self._texts(self._values.get(each, {})),
                error=self._errors.get(each, ""),
            )
            for each in sorted(failed)
        ]
        return self._state(
            "sweep", len(self._values), len(self._done), len(failed), claims, workers, rows,
            [(self._values[digest], done.score) for digest, done in self._done.items()],
        )  # fmt: skip

    def _of_search(self, claims: Sequence[HeldClaim]) -> SweepState:
        search = self._search
        assert search is not None
        trials = search.trials()
        # A worker holds a trial, and the points that it runs for it one after another.
        points = {each.owner: each for each in claims if each.owner and not each.digest.startswith("trial-")}
        held = [each for each in claims if each.digest.startswith("trial-")]
        over = {trial.number for trial in trials if trial.ending is not None}
        held = [each for each in held if int(each.digest.removeprefix("trial-")) not in over]
        by_number = {trial.number: trial for trial in trials}
        workers = []
        for each in held[:_MOST_WORKERS]:
            number = int(each.digest.removeprefix("trial-"))
            label = self._label(by_number[number].parameters) if number in by_number else "settings not proposed yet"
            workers.append(
                self._worker(points.get(each.owner, each) if each.owner else each, f"trial {number}: {label}")
            )
        rows, scored = [], []
        for trial in trials:
            ending = trial.ending
            if ending is None:
                continue
            state = {"complete": "done"}.get(ending.state, ending.state)
            rows.append(
                SweepRow(
                    point=str(trial.number), state=state, values=self._texts(trial.parameters), score=ending.value,
                    error=ending.error,
                )
            )  # fmt: skip
            if ending.value is not None:
                scored.append((trial.parameters, ending.value))
        rows.sort(key=lambda row: (row.state == "failed", -_number(row.score)))
        failed = sum(row.state == "failed" for row in rows)
        return self._state("search", search.search.trials, len(rows) - failed, failed, held, workers, rows, scored)

    def _state(
        self, what: str, of: int, done: int, failed: int, claims: Sequence[HeldClaim], workers: list[WorkerState],
        rows: list[SweepRow], scored: list[tuple[dict[str, Any], float]],
    ) -> SweepState:  # fmt: skip
        running = sum(each.lives for each in claims)
        if running:
            self._lived = time.monotonic()
        left = max(0, of - done - failed - running)
        over = done + failed >= of
        state = "finished" if over else "running" if time.monotonic() - self._lived < _QUIET else "stopped"
        last = max((each.at for each in self._done.values()), default=time.time())
        metrics = list(dict.fromkeys(each.metric for each in self._done.values()))
        metric = ", ".join(metrics)
        if self._search is not None:
            objective = self._search.search.objective
            metric = {"gain": "gain over the best control", "noisy": "score with noise of reading"}.get(
                objective, metric
            )
        return SweepState(
            folder=str(self.path), what=what, task=", ".join(self._tasks), of=of, done=done, failed=failed,
            running=running, left=left, state=state,
            seconds=max(0.0, (time.time() if state == "running" else last) - self._created),
            remaining=self._remaining(left + running, running) if state == "running" else None, metric=metric,
            columns=tuple(map(_short, self._columns)), rows=tuple(rows[:_MOST_ROWS]),
            rows_left_out=max(0, len(rows) - _MOST_ROWS), by_setting=self._by_setting(scored),
            workers=tuple(workers),
        )  # fmt: skip

    def _worker(self, claim: HeldClaim, label: str) -> WorkerState:
        owner = claim.owner
        name = "a process that cannot be read" if owner is None else f"{owner.host.partition(' ')[0]}, {owner.pid}"
        folder = self._folder.run_at_work(claim.digest, claim.attempt)
        stage: StageState | None = None
        if folder is not None:
            view = self._runs.get(str(folder))
            if view is None:
                if len(self._runs) >= 2 * _MOST_WORKERS:
                    self._runs.clear()
                view = self._runs[str(folder)] = RunView(folder)
            view.look()
            stages = view.state().stages
            stage = stages[-1] if stages else None
        return WorkerState(
            name=name, lives=claim.lives, point=claim.digest, label=label,
            folder="" if folder is None else str(folder), stage=stage,
        )  # fmt: skip

    def _label(self, values: dict[str, Any]) -> str:
        return ", ".join(f"{_short(name)}={_text(values[name])}" for name in self._columns if name in values)

    def _texts(self, values: dict[str, Any]) -> tuple[str, ...]:
        return tuple(_text(values.get(name)) for name in self._columns)

    def _by_setting(self, scored: list[tuple[dict[str, Any], float]]) -> tuple[SettingScore, ...]:
        """Return the scores by each value of each setting; of several tasks, whose metrics differ, by task."""
        columns = [name for name in self._columns if name not in _SEEDS] or self._columns
        if len(self._tasks) > 1:
            columns = ["task"]
        found = []
        for name in columns[:_MOST_SETTINGS]:
            by_value: dict[str, list[float]] = defaultdict(list)
            order: dict[str, Any] = {}
            for values, score in scored:
                if name in values and score == score:
                    text = _text(values[name])
                    by_value[text].append(score)
                    order[text] = values[name]
            numbers = all(isinstance(value, int | float) for value in order.values())
            texts = sorted(by_value, key=lambda text: order[text] if numbers else text)
            for text in texts[:_MOST_VALUES]:
                own = by_value[text]
                found.append(
                    SettingScore(
                        setting=_short(name), value=text, count=len(own), mean=fmean(own), low=min(own), high=max(own)
                    )
                )
        return tuple(found)

    def _remaining(self, left: int, workers: int) -> float | None:
        """Expect the time until the end from the last runs: how long they took, and the intervals between their ends.

        Workers that began together end together, without an interval; short runs have more between them than they take.
        """
        last = sorted(self._done.values(), key=lambda each: each.at)[-_LAST:]
        intervals = [b.at - a.at for a, b in pairwise(last)]
        if len(intervals) > 4 and max(intervals) > 5 * (sum(intervals) - max(intervals)) / (len(intervals) - 1):
            intervals.remove(max(intervals))  # the sweep was interrupted there
        took = [each.seconds for each in last if each.seconds is not None]
        expected = [fmean(intervals)] if intervals else []
        if took and workers:
            expected.append(fmean(took) / workers)
        if not expected:
            return None
        if self._search is not None:
            left *= self._search.search.repeats
        return left * max(expected)


def _done(summary: RunSummary, at: float) -> _Done:
    gain = summary.gain
    return _Done(gain.score, gain.control_score, gain.gain, summary.metric, at, summary.seconds)


def _values_of(point: Point) -> dict[str, Any]:
    return {
        "task": point.task,
        **{f"settings.{name}": value for name, value in point.settings.items()},
        **{f"on.{name}": _as_number(value) for name, value in uri_parameters(shown(point.on)).items()},
        "on.matter": point.on.partition("://")[0] or "its own",
    }


def _as_number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _short(name: str) -> str:
    return name.removeprefix("settings.").removeprefix("on.") if name not in _SEEDS else name.replace("settings.", "")


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _number(score: float | None) -> float:
    return -float("inf") if score is None or score != score else score


def _seconds_of(created: str) -> float:
    try:
        return datetime.fromisoformat(created).timestamp()
    except ValueError:
        return time.time()
