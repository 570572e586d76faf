"""Does the matter help? Many tasks on many substrates, each with several seeds, in the folder of a sweep."""

import re
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from inmateria.adapters import connect
from inmateria.adapters.uri import is_simulated
from inmateria.desk.catalogue import read_catalogue
from inmateria.desk.configuration import ConfigurationError
from inmateria.desk.points import Point
from inmateria.desk.survey_table import Row, row_of_runs
from inmateria.desk.sweep_folder import Failure, SweepFolder
from inmateria.desk.sweeping import Progress, run_sweep
from inmateria.one_line import one_line
from inmateria.protocols.task import UnsuitableSetting, UnsuitableSubstrate, find_task, task_names
from inmateria.substrate import SubstrateError

__all__ = ["Survey", "SurveyEntry", "SurveyResult", "entries_for", "points_of", "read_survey", "survey"]

_SEED = re.compile(r"([?&])seed=\d+")


class SurveyEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One task on one substrate.

    Parameters
    ----------
    task : str
        Name of the task.
    on : str
        URI of the substrate; empty for that of the task.
    name : str
        Name of the substrate in the table; its scheme by default.
    settings : dict
        Settings of the task; the others have their defaults.
    """

    task: str
    on: str = ""
    name: str = ""
    settings: dict[str, Any] = {}

    __repr__ = one_line

    @property
    def shown(self) -> str:
        """Name of the substrate in the table."""
        return self.name or self.on.partition("://")[0] or "its own"


class Survey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A survey as a file describes it.

    Parameters
    ----------
    entries : list of SurveyEntry
    seeds : int
        Number of seeds of each; seed k of the task goes with seed k of a simulator.
    first_seed : int
        The first of them.
    """

    entries: list[SurveyEntry]
    seeds: int = 5
    first_seed: int = 1


@dataclass(frozen=True, eq=False)
class SurveyResult:
    """A survey that has been run.

    Parameters
    ----------
    folder : Path
    rows : list of Row
        One for each entry of which a run was finished.
    failures : list of Failure
    """

    folder: Path
    rows: list[Row]
    failures: list[Failure]

    __repr__ = one_line


def read_survey(path: Path) -> Survey:
    """Read a survey from a TOML file.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, or has what a survey has not.
    """
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Survey)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(
            f"{path}: {error}; a survey has [[entries]] with {', '.join(SurveyEntry.__struct_fields__)}, "
            "and seeds and first_seed"
        ) from None


def entries_for(uris: Sequence[str] = (), tasks: Sequence[str] = ()) -> list[SurveyEntry]:
    """Return an entry for each substrate and each task that scores a readout of it.

    Parameters
    ----------
    uris : sequence of str, optional
        By default, each task runs on the substrate for which its settings were chosen, or on ``culture://``.
    tasks : sequence of str, optional
        Names of tasks; all by default, of which those that a substrate does not suit are left out.
    """
    entries = []
    for name in tasks or task_names():
        task = find_task(name)
        if task.validation is None or task.needs == "learning" or task.substrates is not None:
            if tasks:
                raise UnsuitableSetting(f"{name} scores no readout of one substrate; a survey is of tasks that do")
            continue
        for uri in uris or ["culture://" if task.needs == "spikes" else task.on]:
            substrate = connect(uri)
            try:
                with suppress(SubstrateError):  # known once it is entered
                    task.check(substrate.info)
                    task.check_settings(task.settings(), substrate.info)
            except UnsuitableSubstrate:
                if tasks:
                    raise
                continue
            entries.append(SurveyEntry(task=name, on=uri))
    return entries


def points_of(entry: SurveyEntry, seeds: int, first: int) -> list[Point]:
    """Return a point for each seed of the task; a simulator has the same seed.

    Raises
    ------
    UnknownTask
        If there is no such task, or it does not accept the settings.
    """
    task = find_task(entry.task)
    seeded = any(field.name == "seed" for field in msgspec.structs.fields(task.settings))
    points = []
    for seed in range(first, first + seeds):
        settings = task.settings_from({**entry.settings, **({"seed": seed} if seeded else {})})
        points.append(Point(task=task.name, on=_with_seed(entry.on, seed), settings=msgspec.to_builtins(settings)))
    return list({point.digest: point for point in points}.values())


def _with_seed(uri: str, seed: int) -> str:
    """Return the URI of a simulator with a seed; of anything else, the URI as it is."""
    if not uri or not is_simulated(uri):
        return uri
    if _SEED.search(uri):
        return _SEED.sub(rf"\g<1>seed={seed}", uri)
    return f"{uri}{'&' if '?' in uri else '?'}seed={seed}"


def survey(
    entries: Sequence[SurveyEntry],
    *,
    seeds: int = 5,
    first_seed: int = 1,
    folder: Path | str = "survey",
    workers: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> SurveyResult:
    """Run every entry with several seeds, and put each one's runs together.

    What is in the folder already is not run again.

    Parameters
    ----------
    entries : sequence of SurveyEntry
        Tasks and substrates; `entries_for` returns all that suit one another.
    seeds : int
        Number of seeds of each.
    first_seed : int
        The first of them.
    folder : Path or str
        Folder of the survey, which is that of a sweep.
    workers : int, optional
        Number of processes; by default one for each processor that this process may use.
    on_progress : callable, optional
        Called with a `Progress` a few times a second.

    Raises
    ------
    UnknownTask
        If there is no such task, or it does not accept its settings.
    SweepFolderError
        If the folder is one of something else.
    """
    by_entry = [points_of(entry, seeds, first_seed) for entry in entries]
    made = SweepFolder.make(Path(folder), [point for points in by_entry for point in points])
    result = run_sweep(made, workers, on_progress)
    finished = {run.name: run for run in read_catalogue(made.runs)}
    rows = []
    for entry, points in zip(entries, by_entry, strict=True):
        runs = [finished[point.digest] for point in points if point.digest in finished]
        if runs:
            rows.append(row_of_runs(entry.task, entry.shown, runs))
    return SurveyResult(made.path, rows, result.failures)
