"""A run made again: the same task, settings and substrate, with changes if wanted; and whether scores are the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from threadpoolctl import threadpool_limits

from inmateria.adapters import SubprocessDevice, connect
from inmateria.one_line import one_line
from inmateria.protocols.data_parts import checked_part
from inmateria.protocols.outcome import Score
from inmateria.protocols.runner import Keep, run_task
from inmateria.protocols.runs import Run, RunFolderError, read_run
from inmateria.protocols.task import ProgressCallback, find_task

__all__ = ["Rerun", "rerun"]


@dataclass(frozen=True, eq=False)
class Rerun:
    """A run and the same once more.

    Parameters
    ----------
    folder : Path
        Folder of the new run.
    before, after : Run
    changed : dict of str to (object, object)
        Settings that were changed: value before and after.
    versions : dict of str to (str, str)
        Versions that differ: before and after; empty for one that there was not.
    """

    folder: Path
    before: Run
    after: Run
    changed: dict[str, tuple[Any, Any]]
    versions: dict[str, tuple[str, str]]

    __repr__ = one_line

    @property
    def is_identical(self) -> bool:
        """Whether every score of every split is the same to the bit."""
        return self.before.outcome.scores == self.after.outcome.scores

    @property
    def differences(self) -> list[tuple[Score, Score]]:
        """Scores of the same source and readout that differ."""
        after = {(score.on, score.readout): score for score in self.after.outcome.scores}
        pairs = ((score, after.get((score.on, score.readout))) for score in self.before.outcome.scores)
        return [(score, other) for score, other in pairs if other is not None and other != score]


async def rerun(
    folder: Path, runs: Path, on_progress: ProgressCallback, changes: Mapping[str, Any] | None = None
) -> Rerun:
    """Run again what a run folder holds, and return the two runs.

    Parameters
    ----------
    folder : Path
        Run folder.
    runs : Path
        Folder in which the new run folder is made.
    on_progress : callable
        Called with the progress.
    changes : mapping, optional
        Settings to change.

    Raises
    ------
    RunFolderError
        If the folder is not a run's, or its substrate's URI was written without its user and password.
    UnknownTask
        If this version has no such task, or it does not accept the settings.
    """
    before = read_run(folder)
    if "***" in before.on:
        raise RunFolderError(
            f"{folder} was run on {before.on}, written without what is secret in it; run it with `inmateria run "
            f"{before.task} --config {folder} --on ...`"
        )
    task = find_task(before.task)
    settings = task.settings_from({**before.settings, **(changes or {})})
    part = checked_part(before.part)
    uris = task.uris(settings, before.on.split(", ")[0], part)
    local = before.over != "mqtt"
    substrates = [connect(uri) if local else SubprocessDevice(uri) for uri in uris]
    with threadpool_limits(before.threads):  # sums in another order have other last bits
        made = await run_task(
            task, settings, substrates if task.several else substrates[0], runs, on_progress,
            on=", ".join(uris), over=before.over,
            keep=cast("Keep", before.keep), part=part,
        )  # fmt: skip
    after = read_run(made)
    changed = {
        name: (before.settings.get(name), value)
        for name, value in after.settings.items()
        if before.settings.get(name) != value
    }
    names = dict.fromkeys([*before.versions, *after.versions])
    versions = {
        name: (before.versions.get(name, ""), after.versions.get(name, ""))
        for name in names
        if before.versions.get(name) != after.versions.get(name)
    }
    return Rerun(made, before, after, changed, versions)
