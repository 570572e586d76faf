"""`inmateria runs`, `show`, `compare`, `rerun` and `prune`: runs listed, put side by side, repeated and removed."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inmateria.cli.application import FAILED, Json, StrictCommand, app, awaited, fail, plain
from inmateria.cli.progress import ProgressBar
from inmateria.cli.running import named_settings, show_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inmateria.desk.run_tables import Row

Runs = Annotated[Path, typer.Option("--runs", help="Folder in which runs are looked for by name.")]
Conditions = Annotated[
    list[str] | None,
    typer.Option(
        "--where", "-w", metavar="CONDITION",
        help="Only runs that meet it: task=memory, 'gain>0', 'device~nanowire-*', amplitude=0.1.",
    ),
]  # fmt: skip
_DIGEST = re.compile(r"[0-9a-f]{20}\Z")


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(help="Folder of runs, or of a sweep.")] = Path("runs"),
    where: Conditions = None,
    sort: Annotated[str, typer.Option(help="Column to sort by; -gain for the largest first.")] = "created",
    columns: Annotated[str | None, typer.Option(help="Columns, with commas; by default what differs.")] = None,
    limit: Annotated[int, typer.Option(help="Rows printed at most; 0 for all.", min=0)] = 50,
    to: Annotated[Path | None, typer.Option(help="Write the table, all columns: .csv, .json or .parquet.")] = None,
    json: Json = False,
) -> None:
    """List runs: what they differ in, the score, the best control and the gain over it."""
    from inmateria.desk.run_tables import column_named, differing, filtered, sorted_by, write_table

    rows = sorted_by(filtered(_rows(folder), where or []), sort)
    if to is not None:
        write_table(rows, to)
        typer.echo(f"{len(rows):,} runs in {to}", err=json)
    if json:
        import msgspec

        typer.echo(msgspec.json.encode(rows).decode())
        return
    if to is not None:
        return
    if columns is None:
        one_task = len({row["task"] for row in rows}) == 1
        chosen = ["run", *(() if one_task else ("task",)), *differing(rows)[:6]]
        chosen += ["part"] if len({row["part"] for row in rows}) > 1 else []
        chosen += [] if any(name.startswith("on.") for name in chosen) else ["device"]
        chosen += [*(() if one_task else ("metric",)), "score", "control", "control_score", "gain"]
    else:
        chosen = [column_named(name.strip(), rows) for name in columns.split(",")] if rows else []
    if columns is None and rows and len({row["metric"] for row in rows}) == 1:
        typer.echo(f"{rows[0]['task']}, score: {rows[0]['metric']}")
    _print_rows(rows[:limit] if limit else rows, chosen)
    if limit and len(rows) > limit:
        typer.echo(f"{len(rows) - limit:,} more; --limit 0 prints all, --to FILE writes all")


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="A run: path, name, part of a name, or 'last'.")],
    runs: Runs = Path("runs"),
    json: Json = False,
) -> None:
    """Print the scores of a run, and everything it was run with."""
    from inmateria.desk import find_run
    from inmateria.protocols.runs import RUN_FILE, read_run

    folder = find_run(run, runs)
    if json:
        import msgspec

        typer.echo(msgspec.json.encode(msgspec.json.decode((folder / RUN_FILE).read_bytes())).decode())
        return
    known = read_run(folder)
    show_run(known, folder, json=False)
    typer.echo(f"{known.task} on {plain(known.on)} ({known.over}), {known.created}")
    for name, value in known.settings.items():
        typer.echo(f"  {name} = {value}")
    typer.echo(", ".join(f"{name} {version}" for name, version in known.versions.items()))


@app.command()
def compare(
    run: Annotated[list[str], typer.Argument(help="Two or more runs: paths, names, parts of names, or 'last'.")],
    runs: Runs = Path("runs"),
    to: Annotated[Path | None, typer.Option(help="Write .csv, or .html with curves.")] = None,
    json: Json = False,
) -> None:
    """Put runs side by side: settings, device, calibration and versions that differ; scores, controls and gain."""
    from inmateria.desk import compare_runs, find_run

    compared = compare_runs([find_run(name, runs) for name in run])
    if to is not None:
        if to.suffix == ".csv":
            to.write_text(compared.csv(), encoding="utf-8")
        elif to.suffix == ".html":
            from inmateria.desk.comparison_page import write_comparison

            write_comparison(compared, to)
        else:
            raise typer.BadParameter(f"{to} ends with {to.suffix!r}; allowed are .csv and .html")
        typer.echo(str(to), err=json)
    table = compared.rows()
    if json:
        import msgspec

        answer = {
            "runs": compared.names,
            "differences": compared.differences,
            "scores": [
                {"on": on, "readout": readout, "mean_and_sd": values}
                for (on, readout), values in compared.scores.items()
            ],
            "gains": compared.gains,
            "metrics": compared.metrics,
        }
        typer.echo(msgspec.json.encode(answer).decode())
    elif to is None:
        _print_table(table[0], table[1:])


@app.command(cls=StrictCommand)
def rerun(
    run: Annotated[str, typer.Argument(help="A run: path, name, part of a name, or 'last'.")],
    runs: Runs = Path("runs"),
    out: Annotated[
        Path | None, typer.Option(help="Where the new run folder is made; beside the old by default.")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", "-s", metavar="NAME=VALUE", help="Change a setting.")
    ] = None,
    json: Json = False,
) -> None:
    """Run again what a run folder holds, with changes if wanted, and say whether every score is the same."""
    from inmateria.desk import find_run
    from inmateria.desk import rerun as run_again

    folder = find_run(run, runs)
    with ProgressBar(hidden=json, starting="starting") as bar:
        again = awaited(run_again(folder, out or folder.parent, bar.watch, named_settings(setting or [])))
    show_run(again.after, again.folder, json)
    changed = "; ".join(f"{name}: {old} -> {new}" for name, (old, new) in again.changed.items())
    versions = ", ".join(f"{name} {old or 'none'} -> {new or 'none'}" for name, (old, new) in again.versions.items())
    said = f"changed {changed}; " if changed else ""
    if again.is_identical:
        said += "every score of every split is the same to the bit"
    else:
        most = max((abs(a.score - b.score) for a, b in again.differences), default=0.0)
        said += f"{len(again.differences)} scores differ, by at most {most:.3g} on the first split"
    typer.echo(said + (f"; other versions: {versions}" if versions else ""), err=json)


@app.command()
def prune(
    folder: Annotated[Path, typer.Argument(help="Folder of runs.")] = Path("runs"),
    where: Conditions = None,
    recordings: Annotated[bool, typer.Option("--recordings", help="Remove only the recordings; scores stay.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove runs that meet a condition, or only their recordings; says what, and asks first."""
    import shutil

    from inmateria.desk.run_tables import filtered

    if not where:
        raise typer.BadParameter("give --where CONDITION; nothing is removed without one")
    rows = filtered(_rows(folder, sweeps=False), where)
    names = [row["run"] for row in rows]
    files = [
        path
        for name in names
        for path in (sorted((folder / name).glob("recording*.h5")) if recordings else [folder / name])
    ]
    size = sum(_size(path) for path in files)
    for path in files:
        typer.echo(str(path))
    typer.echo(f"{len(files):,} {'recordings' if recordings else 'runs'}, {size / 1e6:.1f} MB")
    if not files:
        return
    if not yes and not typer.confirm("remove them?"):
        fail("nothing was removed", FAILED)
    for path in files:
        if recordings:
            path.unlink()
        else:
            shutil.rmtree(path)


@app.command("export-mlflow")
def export_mlflow(
    folder: Annotated[Path, typer.Argument(help="Folder of runs, or of a sweep.")] = Path("runs"),
    to: Annotated[Path, typer.Option(help="Folder for MLflow's experiments.")] = Path("mlruns"),
    where: Conditions = None,
) -> None:
    """Write runs as MLflow keeps them in files: `mlflow ui --backend-store-uri FOLDER` shows them."""
    from inmateria.desk import export_to_mlflow
    from inmateria.desk.run_tables import filtered

    rows = filtered(_rows(folder), where or [])
    place = _place(folder)
    written = export_to_mlflow([place / row["run"] for row in rows], to)
    typer.echo(f"{written:,} runs in {to}; `mlflow ui --backend-store-uri {to}` shows them")


def _size(path: Path) -> int:
    return (
        sum(each.stat().st_size for each in path.rglob("*") if each.is_file()) if path.is_dir() else path.stat().st_size
    )


def _rows(folder: Path, *, sweeps: bool = True) -> "list[Row]":
    """Read the runs of a folder, or of a sweep, and say which could not be read."""
    from inmateria.desk.catalogue import read_with_failures
    from inmateria.desk.run_tables import rows_of

    if sweeps:
        folder = _place(folder)
    found, failures = read_with_failures(folder)
    for name, why in list(failures.items())[:5]:
        typer.echo(f"{folder / name} is left out: {plain(why)}", err=True)
    if len(failures) > 5:
        typer.echo(f"{len(failures) - 5:,} more are left out", err=True)
    return rows_of(found)


def _place(folder: Path) -> Path:
    """Return the folder of the runs of a sweep or a search, or that of runs itself."""
    from inmateria.desk.search_folder import SEARCH_FILE
    from inmateria.desk.sweep_folder import SWEEP_FILE

    of_points = any((folder / name).is_file() for name in (SWEEP_FILE, SEARCH_FILE))
    return folder / "runs" if of_points else folder


def _print_rows(rows: "Sequence[Row]", columns: "Sequence[str]") -> None:
    if rows and all(_DIGEST.match(row["run"]) for row in rows):  # in a sweep: enough of it to find the run by
        rows = [{**row, "run": row["run"][:8]} for row in rows]
    headings = [name.split(".", 1)[1] if name.startswith(("settings.", "on.")) else name for name in columns]
    _print_table(headings, [[_cell(row.get(name)) for name in columns] for row in rows])


def _print_table(heading: "Sequence[str]", rows: "Sequence[Sequence[str]]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0))
    for number, name in enumerate(heading):
        table.add_column(Text(plain(name)), overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    Console().print(table)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
