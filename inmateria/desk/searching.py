"""Searches: settings chosen by Optuna on data that no reported run tests on, by processes that share a folder."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import parse_qsl, urlsplit

import msgspec

from inmateria.adapters import connect
from inmateria.desk.points import expand_uri
from inmateria.desk.processes import Progress, run_in_processes
from inmateria.desk.search_folder import Search, SearchFolder, Trial
from inmateria.desk.search_space import Dimension, SpaceError, dimensions, shown_value
from inmateria.desk.search_trials import importances_of, require_optuna, study_of
from inmateria.one_line import one_line
from inmateria.protocols.task import Task, find_task
from inmateria.substrate import SubstrateError

if TYPE_CHECKING:
    import optuna
    import pandas as pd

__all__ = ["SearchResult", "prepare_search", "run_search", "search"]

BEST_FILE = "best.json"
_REPEATS = 3


@dataclass(frozen=True, eq=False)
class SearchResult:
    """A search, as far as its folder has it.

    Parameters
    ----------
    folder : Path
        Its folder; ``best.json`` in it has the best settings, and the runs are in ``runs`` below it.
    search : Search
        What was searched.
    trials : list of Trial
        Trials that are over, by number.
    """

    folder: Path
    search: Search
    trials: list[Trial]

    __repr__ = one_line

    @property
    def best(self) -> Trial:
        """The finished trial with the largest objective; trials that were pruned do not count.

        Raises
        ------
        ValueError
            If none is finished.
        """
        finished = [trial for trial in self.trials if trial.ending is not None and trial.ending.state == "complete"]
        if not finished:
            errors = [trial.ending.error for trial in self.trials if trial.ending is not None and trial.ending.error]
            why = f"; the last error: {errors[-1]}" if errors else ""
            raise ValueError(f"no trial of {self.folder} is finished{why}")
        return max(finished, key=lambda trial: (_value_of(trial), -trial.number))

    @cached_property
    def importances(self) -> dict[str, float]:
        """Importance of each dimension, the largest first: its part of the variance of the objective."""
        return importances_of(SearchFolder(self.folder))

    def experiment(self) -> dict[str, Any]:
        """Return the best settings as an experiment that ``--config`` takes; it runs reported splits."""
        folder, best = SearchFolder(self.folder), self.best
        uris = [folder.uri_of(best.parameters, k) for k in range(max(1, len(self.search.on)))]
        made: dict[str, Any] = {"task": self.search.task, "settings": folder.settings_of(best.parameters)}
        if uris[0]:
            made["on"] = uris[0] if len(uris) == 1 else uris
        return made

    def command(self) -> str:
        """Return the command that runs the best settings on the reported splits, with as many seeds as the search."""
        folder, best, search = SearchFolder(self.folder), self.best, self.search
        words = ["inmateria", "sweep", search.task]
        for k in range(max(1, len(search.on))):
            if uri := folder.uri_of(best.parameters, k):
                words += ["--on", uri]
        own = {name: value for name, value in best.parameters.items() if not name.startswith("on.")}
        for name, value in {**search.settings, **own}.items():
            words += ["-s", f"{name}={shown_value(value)}"]
        if search.repeats > len(search.on):
            words += ["--seeds", str(search.repeats)]
        return shlex.join(words)

    def study(self) -> "optuna.Study":
        """Return the trials as a study of Optuna in memory, for its own plots and tables."""
        return study_of(SearchFolder(self.folder))

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row for each trial: its values, the objective, its state and error.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        from inmateria.desk.run_tables import runs_to_pandas

        return runs_to_pandas(trial_rows(self.trials))

    def write_page(self, path: Path | str) -> Path:
        """Write a page of its own: the best trials, the course of the search, importances, and slices.

        Parameters
        ----------
        path : Path or str
            HTML file.
        """
        from inmateria.desk.search_page import write_search_page

        command = self.command() if any(t.ending and t.ending.state == "complete" for t in self.trials) else ""
        return write_search_page(self.search, self.trials, self.importances, command, Path(path))


def trial_rows(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return a row for each trial that is over."""
    return [
        {
            "trial": trial.number,
            **trial.parameters,
            "value": trial.ending.value,
            "repeats": len(trial.ending.values),
            "state": trial.ending.state,
            "error": trial.ending.error,
        }
        for trial in trials
        if trial.ending is not None
    ]


def _value_of(trial: Trial) -> float:
    assert trial.ending is not None
    return float("-inf") if trial.ending.value is None else trial.ending.value


def search(
    task: str,
    on: str | Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    over: Mapping[str, Any],
    trials: int = 100,
    seeds: int | None = None,
    objective: Literal["gain", "score", "noisy"] = "gain",
    folder: Path | str = "search",
    workers: int | None = None,
    seed: int = 0,
    sampler: Literal["tpe", "random"] = "tpe",
    prune: bool = True,
    keep: str = "nothing",
    reports: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> SearchResult:
    """Search settings of a task, and parameters of its substrate, on data that no reported run tests on.

    A folder that holds the same search is gone on with, also by several processes, or machines that share the folder.
    Every trial is run with some seeds one after another, and given up after one at which it is below the median of the
    finished trials. Proposals are those of a tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011).

    Parameters
    ----------
    task : str
        Name of the task.
    on : str or sequence of str, optional
        URI of the substrate; several, or several values of its seed (``nanowire://?seed=0..4``), are taken in turn by
        the runs of a trial. By default that of the task.
    settings : mapping, optional
        Settings that are the same in all trials.
    over : mapping
        What is searched: the name of a setting, or ``on.`` and that of a parameter of the URI, to its range: a text
        such as ``"log:.001..1"``, ``"50..400"`` or ``"a,b,c"``, two numbers as a tuple, or a list of values.
    trials : int
        Number of trials.
    seeds : int, optional
        Runs of each trial: with the task's seed and those after it; by default three, or one for each URI if there are
        several or the task has no seed.
    objective : {"gain", "score", "noisy"}
        Gain over the best control, score of the substrate, or its score with 1 % noise of reading, of the task's first
        readout; mean over splits and seeds.
    folder : Path or str
        Folder of the search.
    workers : int, optional
        Number of processes; by default one for each processor. With one, the same `seed` gives the same search.
    seed : int
        Of the sampler.
    sampler : {"tpe", "random"}
        How settings are proposed.
    prune : bool
        Whether trials are given up early.
    keep, reports
        As for `sweep`.
    on_progress : callable, optional
        Called with a `Progress` a few times a second.

    Returns
    -------
    SearchResult

    Raises
    ------
    ImportError
        If Optuna is not installed.
    UnknownTask
        If there is no such task, or it does not accept the settings.
    UnsuitableSetting
        If the task has no data for choosing settings.
    SpaceError
        If a range is not one.
    SweepFolderError
        If the folder is one of another search.
    SweepFailed
        If workers die again and again.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> few = {"steps": 500, "delays": 5, "round_trips": 2}
    >>> over = {"amplitude": "log:.01..1", "on.units": "10..40"}
    >>> found = search("memory", "echo://?seed=1", few, over=over, trials=4, seeds=2, folder=mkdtemp(), workers=1)
    >>> len(found.trials), sorted(found.best.parameters)
    (4, ['amplitude', 'on.units'])
    """
    made = prepare_search(
        task, on, settings, over=over, trials=trials, seeds=seeds, objective=objective, folder=folder, seed=seed,
        sampler=sampler, prune=prune, keep=keep, reports=reports,
    )  # fmt: skip
    return run_search(made, workers, on_progress)


def prepare_search(
    task: str,
    on: str | Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    over: Mapping[str, Any],
    trials: int = 100,
    seeds: int | None = None,
    objective: str = "gain",
    folder: Path | str = "search",
    seed: int = 0,
    sampler: str = "tpe",
    prune: bool = True,
    keep: str = "nothing",
    reports: bool = False,
) -> SearchFolder:
    """Make the folder of a search, or open it, with both ends of every range tried; see `search`."""
    require_optuna()
    for name, value, allowed in (
        ("objective", objective, ("gain", "score", "noisy")),
        ("sampler", sampler, ("tpe", "random")),
    ):
        if value not in allowed:
            raise ValueError(f"{name} is {value!r}; allowed are {' and '.join(allowed)}")
    if trials < 1 or (seeds is not None and seeds < 1):
        raise ValueError(f"{trials} trials of {seeds} seeds; give 1 or more of each")
    chosen = find_task(task)
    ranges = dimensions(chosen, over)
    if not ranges:
        raise SpaceError("nothing is searched; give a range, such as amplitude=log:.001..1")
    of_uri = [each.name for each in ranges if each.name.startswith("on.")]
    uris = _uris(chosen, on, of_uri)
    has_seed = "seed" in {field.name for field in msgspec.structs.fields(chosen.settings)}
    repeats = seeds or (len(uris) if len(uris) > 1 else _REPEATS if has_seed else 1)
    if repeats > 1 and not has_seed and len(uris) < repeats:
        raise ValueError(
            f"{task} has no setting 'seed', and {repeats} runs of a trial would be the same; give as many seeds in the "
            "URI: seed=0..4"
        )
    made = Search(
        task=task, on=tuple(uris), settings=dict(settings or {}), over=ranges, trials=trials, repeats=repeats,
        objective=cast("Any", objective), sampler=cast("Any", sampler), seed=seed, prune=prune, keep=keep,
        reports=reports,
    )  # fmt: skip
    _try_ends(chosen, made)
    return SearchFolder.make(Path(folder), made)


def _uris(task: Task, on: str | Sequence[str] | None, of_uri: Sequence[str]) -> list[str]:
    """Return the URIs that the runs of a trial are on in turn."""
    given = [on] if isinstance(on, str) else list(on or ())
    if task.substrates is not None and (given or of_uri):
        raise ValueError(f"the settings of {task.name} name its substrates; leave out on, and ranges of its parameters")
    if of_uri and not given:
        given = [task.uris(task.settings(), None)[0]]
    uris = [each for uri in given for each in expand_uri(uri)]
    without_seed = {tuple((k, v) for k, v in parse_qsl(urlsplit(uri).query) if k != "seed") for uri in uris}
    if len(given) == 1 and len(without_seed) > 1:
        raise SpaceError(
            f"{given[0]} has several values of more than its seed; a search is over such a parameter with "
            "on.NAME=LOW..HIGH or on.NAME=a,b,c"
        )
    return uris


def _try_ends(task: Task, made: Search) -> None:
    """Check the settings and the substrate at both ends of every range, others at their lower one; runs nothing."""
    import tempfile

    ends = [(_end(each, 0), _end(each, 1)) for each in made.over]
    lows = {each.name: low for each, (low, _) in zip(made.over, ends, strict=True)}
    corners = [lows, *({**lows, each.name: high} for each, (_, high) in zip(made.over, ends, strict=True))]
    with tempfile.TemporaryDirectory() as scratch:
        folder = SearchFolder.make(Path(scratch), made)
        for corner in corners:
            settings = task.settings_from(folder.settings_of(corner))
            uris = task.uris(settings, folder.uri_of(corner) or None, "validation")
            task.check_part("validation", uris)
            if task.substrates is None:
                substrate = connect(uris[0])
                with suppress(SubstrateError):  # known once it is entered
                    task.check(substrate.info, settings)


def _end(dimension: Dimension, which: int) -> Any:
    if dimension.kind == "choice":
        return dimension.choices[-which]
    return dimension.value(dimension.high if which else dimension.low)


def run_search(
    folder: SearchFolder, workers: int | None = None, on_progress: Callable[[Progress], None] | None = None
) -> SearchResult:
    """Run what is left of a search in processes of their own; see `search`.

    Workers that die are replaced. An interruption ends them; what was run of their trials stays.
    """
    require_optuna()
    folder.require_this_version()
    run_in_processes(
        folder.path, "inmateria.desk.search_worker", folder.counts, folder.search.trials, workers, on_progress
    )
    return result_of(folder)


def result_of(folder: SearchFolder) -> SearchResult:
    """Return a search as far as its folder has it, and write its best settings if there are any."""
    over = [trial for trial in folder.trials() if trial.ending is not None]
    result = SearchResult(folder.path, folder.search, over)
    with suppress(ValueError):
        text = msgspec.json.format(msgspec.json.encode(result.experiment()))
        draft = folder.path / f".{BEST_FILE}"
        draft.write_bytes(text)
        draft.replace(folder.path / BEST_FILE)
    return result
