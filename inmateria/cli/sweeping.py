"""`inmateria sweep`: a task on every combination of substrates, settings and seeds, with a live table of the best."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inmateria.cli.application import FAILED, Json, app, complete_substrate, uri_of
from inmateria.cli.running import named_settings
from inmateria.cli.sweep_progress import SweepProgress

if TYPE_CHECKING:
    from inmateria.desk.summaries import RunSummary
    from inmateria.desk.sweep_folder import SweepFolder

_LISTED = 5
_READING = 0.05
"""Seconds that reading new runs may take at each look."""


@app.command()
def sweep(
    task: Annotated[str | None, typer.Argument(help="What to run; see `inmateria list`.")] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(
            help="Substrate; parameters may have several values: 'nanowire://?wires=100,300&seed=0..19'.",
            autocompletion=complete_substrate,
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", "-s", metavar="NAME=VALUES",
            help="Values of a setting: a,b,c, 0..19, lin:0..1:5 or log:.001..1:7; a comma inside a value is '\\,'.",
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Seeds of the task for every combination.", min=1)] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the sweep; what is in it is not repeated.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; one for each processor by default.", min=1)] = None,
    dask: Annotated[
        str | None, typer.Option(help="Run on a Dask cluster: address of its scheduler, or 'local' for one here.")
    ] = None,
    keep: Annotated[str | None, typer.Option(help="What recordings keep; by default there are none.")] = None,
    reports: Annotated[bool, typer.Option("--reports", help="Write a report of every run.")] = False,
    part: Annotated[
        str | None,
        typer.Option(help="What is scored: 'test', by default, or 'validation', data for choosing settings."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML or JSON file with any of these; options go first.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the sweep in this folder.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try points again that failed.")] = False,
    page: Annotated[
        Path | None, typer.Option(help="Write an HTML page: means over seeds, and where matter helps.")
    ] = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Run a task on every combination of substrates, settings and seeds.

    Interrupted, it goes on when it is given again, here or on any machine that shares the folder.
    """
    from inmateria.desk.sweep_folder import SweepFolder
    from inmateria.desk.sweeping import run_sweep

    if resume is not None:
        if any((task, on, setting, seeds, config, out, keep, reports, part)):
            raise typer.BadParameter("--resume takes what is in the folder; leave the task and its options out")
        folder = SweepFolder(resume)
    else:
        folder = _make(task, on, setting, seeds, out, keep, reports, part, config)
    if retry_failed:
        folder.forget_failures()
    with SweepProgress("points", _Best(folder).lines, hidden=json) as live:
        if dask is None:
            result = run_sweep(folder, workers, live.watch)
        else:
            from inmateria.desk.dask_sweeping import run_sweep_on_dask

            result = run_sweep_on_dask(folder, dask, workers, live.watch)
    if page is not None:
        from inmateria.desk.sweep_page import write_sweep_page

        typer.echo(str(write_sweep_page(result.runs, page)), err=json)
    if json:
        import msgspec

        answer = {
            "folder": str(folder.path),
            "points": len(folder.points),
            "runs": result.rows(),
            "failures": [{"on": each.point.on, "settings": each.point.settings, "error": each.error}
                         for each in result.failures],
        }  # fmt: skip
        typer.echo(msgspec.json.encode(answer).decode())
    else:
        from inmateria.cli.desk import runs as list_runs

        list_runs(folder.path, None, "-score", None, 20, None, False)
        for each in result.failures[:5]:
            typer.echo(f"failed: {each.point.on} {each.point.settings}: {each.error}", err=True)
        typer.echo(f"{len(result.runs):,} runs, {len(result.failures):,} failed, in {folder.path}")
    if result.failures:
        raise typer.Exit(FAILED)


def _make(
    task: str | None, on: list[str] | None, setting: list[str] | None, seeds: int | None, out: Path | None,
    keep: str | None, reports: bool, part: str | None, config: Path | None,
) -> Any:  # fmt: skip
    """Make the sweep's folder from the options, and from the file for what they leave out."""
    from inmateria.desk.configuration import Experiment, read_experiment
    from inmateria.desk.sweeping import prepare_sweep
    from inmateria.protocols.data_parts import checked_part

    written = Experiment() if config is None else read_experiment(config)
    name = task or written.task
    if name is None:
        raise typer.BadParameter("give a task, such as `inmateria sweep memory`, or a file that names one")
    uris = on or ([written.on] if isinstance(written.on, str) else written.on) or []
    place = out or (Path(written.out) if written.out else Path(f"sweeps/{datetime.now():%Y%m%dT%H%M%S}-{name}"))
    return prepare_sweep(
        name, [uri_of(uri) for uri in uris], {**written.settings, **named_settings(setting or [])},
        seeds=seeds or written.seeds, folder=place, keep=keep or written.keep or "nothing", reports=reports,
        part=checked_part(part or written.part or "test"),
    )  # fmt: skip


def _differing(folder: "SweepFolder") -> list[str]:
    """Return the columns in which the points of a sweep differ, at most six."""
    from inmateria.desk.summaries import uri_parameters

    first: dict[str, Any] = {}
    differ: dict[str, None] = {}
    parameters = {uri: uri_parameters(uri) for uri in {point.on for point in folder.points.values()}}
    for point in folder.points.values():
        for origin, values in (("settings.", point.settings), ("on.", parameters[point.on])):
            for name, value in values.items():
                if first.setdefault(origin + name, value) != value:
                    differ[origin + name] = None
    return list(differ)[:6]


class _Best:
    """The best runs so far, as lines of text; each run is read once, and no look takes long."""

    def __init__(self, folder: "SweepFolder") -> None:
        from inmateria.desk.catalogue import NewRuns

        self._new, self._names = NewRuns(folder.runs), _differing(folder)
        self._best: list[RunSummary] = []

    def lines(self) -> list[str]:
        """Return a line for each of the best runs, with the columns in which points differ."""
        from inmateria.desk.run_tables import rows_of

        best = [*self._best, *self._new.read(_READING)]
        self._best = sorted(best, key=lambda run: run.gain.score, reverse=True)[:_LISTED]
        return [
            f"{row['score']:.4g} {row['metric']}"
            + ("" if row["gain"] is None else f", gain {row['gain']:+.3g} over {row['control']}")
            + "".join(f"  {name.split('.', 1)[1]}={row.get(name)}" for name in self._names)
            for row in rows_of(self._best)
        ]
