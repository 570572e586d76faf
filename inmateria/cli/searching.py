"""`inmateria search`: settings of a task, and of its substrate, chosen on data that no reported run tests on."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inmateria.cli.application import FAILED, Json, app, complete_substrate, fail, uri_of
from inmateria.cli.running import named_settings
from inmateria.cli.sweep_progress import SweepProgress

if TYPE_CHECKING:
    from inmateria.desk.search_folder import SearchFolder
    from inmateria.desk.searching import SearchResult

_PAGE = "search.html"
_LISTED = 5


@app.command()
def search(
    task: Annotated[str | None, typer.Argument(help="What to run; see `inmateria list`.")] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(
            help="Substrate; with several seeds (seed=0..4), each run of a trial is on the next.",
            autocompletion=complete_substrate,
        ),
    ] = None,
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=RANGE",
            help="What is searched: amplitude=log:.001..1, samples=1..20, on.wires=50..400, on.model=a,b.",
        ),
    ] = None,
    space: Annotated[
        Path | None, typer.Option(help="JSON file with the space, as reservoirpy's research reads it.")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", "-s", metavar="NAME=VALUE", help="A setting that stays the same.")
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Number of trials; 100 by default.", min=1)] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Runs of a trial, each with the next seed; three by default.", min=1)
    ] = None,
    objective: Annotated[
        str, typer.Option(help="'gain' over the best control, 'score', or 'noisy': that with 1 % noise of reading.")
    ] = "gain",
    sampler: Annotated[str | None, typer.Option(help="'tpe' or 'random'.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the sampler.", min=0)] = None,
    prune: Annotated[
        bool, typer.Option("--prune/--no-prune", help="Give a trial up that is below the median after some seeds.")
    ] = True,
    out: Annotated[Path | None, typer.Option(help="Folder of the search; what is in it is not repeated.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; one for each processor by default.", min=1)] = None,
    dask: Annotated[
        str | None, typer.Option(help="Run on a Dask cluster: address of its scheduler, or 'local' for one here.")
    ] = None,
    keep: Annotated[str, typer.Option(help="What recordings keep; by default there are none.")] = "nothing",
    resume: Annotated[Path | None, typer.Option(help="Go on with the search in this folder.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try trials again that failed.")] = False,
    json: Json = False,
) -> None:  # fmt: skip
    """Search settings of a task, and parameters of its substrate, on data that no reported run tests on.

    Interrupted, it goes on when it is given again, here or on any machine that shares the folder. At the end, it leaves
    a page with importances and slices, and prints the command that runs the best settings on the reported splits.
    """
    from inmateria.desk.search_folder import SearchFolder
    from inmateria.desk.searching import run_search

    if resume is not None:
        if task is not None or on or over or space or setting or seeds or trials or out is not None:
            raise typer.BadParameter("--resume takes what is in the folder; leave the task and its options out")
        folder = SearchFolder(resume)
    else:
        folder = _make(task, on, over, space, setting, trials, seeds, objective, sampler, seed, prune, out, keep)
    if retry_failed:
        folder.forget_failures()
    with SweepProgress("trials", lambda: _best_lines(folder), hidden=json) as live:
        if dask is None:
            result = run_search(folder, workers, live.watch)
        else:
            from inmateria.desk.dask_sweeping import run_search_on_dask

            result = run_search_on_dask(folder, dask, workers, live.watch)
    page = result.write_page(folder.path / _PAGE)
    _show(result, page, json)


def _make(
    task: str | None, on: list[str] | None, over: list[str] | None, space: Path | None, setting: list[str] | None,
    trials: int | None, seeds: int | None, objective: str, sampler: str | None, seed: int | None, prune: bool,
    out: Path | None, keep: str,
) -> "SearchFolder":  # fmt: skip
    """Make the search's folder from the options, and from the file of the space for what they leave out."""
    from inmateria.desk.search_space import Space, read_reservoirpy_space, with_parameter
    from inmateria.desk.searching import prepare_search
    from inmateria.protocols.task import find_task

    if task is None:
        raise typer.BadParameter("give a task, such as `inmateria search memory`")
    read = Space() if space is None else read_reservoirpy_space(space, find_task(task))
    uris = [uri_of(uri) for uri in on or []]
    of_uri = {name: value for name, value in read.fixed.items() if name.startswith("on.")}
    if of_uri and not uris:
        raise typer.BadParameter(f"{space} has {', '.join(of_uri)}, of a substrate; give it with --on")
    for name, value in of_uri.items():
        uris = [with_parameter(uri, name.removeprefix("on."), value) for uri in uris]
    fixed = {name: value for name, value in read.fixed.items() if name not in of_uri}
    return prepare_search(
        task, uris, {**fixed, **named_settings(setting or [])}, over={**read.over, **named_settings(over or [])},
        trials=trials or read.trials or 100, seeds=seeds or read.seeds, objective=objective,
        folder=out or Path(f"searches/{datetime.now():%Y%m%dT%H%M%S}-{task}"),
        seed=read.seed or 0 if seed is None else seed, sampler=sampler or read.sampler or "tpe", prune=prune, keep=keep,
    )  # fmt: skip


def _best_lines(folder: "SearchFolder") -> list[str]:
    from inmateria.desk.search_space import shown_value

    finished = [trial for trial in folder.trials() if trial.ending is not None and trial.ending.state == "complete"]
    best = sorted(finished, key=lambda trial: (trial.ending and trial.ending.value) or 0.0, reverse=True)[:_LISTED]
    return [
        f"{trial.ending.value:+.4g}" + "".join(f"  {name}={shown_value(v)}" for name, v in trial.parameters.items())
        for trial in best
        if trial.ending is not None
    ]


def _show(result: "SearchResult", page: Path, json: bool) -> None:
    """Print the best trials, the importances, and the command that runs the best settings."""
    from inmateria.desk.search_folder import SearchFolder
    from inmateria.desk.searching import BEST_FILE, trial_rows

    rows = trial_rows(result.trials)
    found = any(row["state"] == "complete" for row in rows)
    if json:
        import msgspec

        answer: dict[str, Any] = {"folder": str(result.folder), "trials": rows, "importances": result.importances}
        if found:
            answer |= {"best": result.experiment(), "command": result.command()}
        typer.echo(msgspec.json.encode(answer).decode())
    else:
        counts = {state: sum(row["state"] == state for row in rows) for state in ("complete", "pruned", "failed")}
        for line in _best_lines(SearchFolder(result.folder)):
            typer.echo(line)
        if result.importances:
            shares = (f"{name} {value:.2f}" for name, value in result.importances.items())
            typer.echo(f"importance: {', '.join(shares)}")
        typer.echo(
            f"{counts['complete']:,} trials finished, {counts['pruned']:,} given up early, {counts['failed']:,} failed"
            f", in {result.folder}"
        )
        typer.echo(str(page))
        if found:
            typer.echo(f"the best on the reported splits (or `inmateria sweep --config {result.folder / BEST_FILE}`):")
            typer.echo(result.command())
    if not found:
        errors = [row["error"] for row in rows if row["error"]]
        fail(f"no trial is finished{f'; {errors[-1]}' if errors else ''}", FAILED)
