"""`inmateria import`: recordings of files of other programs, shown before they are written."""

import sys
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inmateria.cli.application import Json, app, plain

if TYPE_CHECKING:
    from rich.console import Console

    from inmateria.recording.formats.plan import Plan

_MOST_SHOWN = 40  # columns or channels


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help="A table, a file of signals, or FinalSpark's export.")],
    out: Annotated[Path | None, typer.Argument(help="Recording to make (.h5).")] = None,
    time: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Of a table: times of the rows; or 'none'.", show_default=False)
    ] = None,
    driven: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="A column, electrode or signal that was driven; or 'none'."),
    ] = None,
    ground: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Of a table: a column or electrode that was grounded.")
    ] = None,
    read: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="What was read; all others by default.")
    ] = None,
    units: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN=UNIT", help="A unit that the file does not state, as in 1=ms.")
    ] = None,
    rate: Annotated[float | None, typer.Option(metavar="HZ", help="Of a table: rows per second.")] = None,
    stimulus: Annotated[str | None, typer.Option(help="Of a file of signals: name of the one that was driven.")] = None,
    kind: Annotated[str | None, typer.Option(help="Kind of substrate, such as nanowire-network.")] = None,
    separator: Annotated[str | None, typer.Option(help="Of a text: comma, semicolon, tab or space.")] = None,
    decimal: Annotated[str | None, typer.Option(help="Of a text: decimal point or comma.")] = None,
    header: Annotated[
        bool | None, typer.Option("--header/--no-header", help="Of a text: whether its first line has names.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written, and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask if something is left out.")] = False,
    json: Json = False,
) -> None:
    """Make a recording that can be replayed from a file of another program.

    What becomes of each column or signal is shown first. Columns are named as in the file, by electrode, or by number
    (1, 2, ...); an option may be repeated.
    """
    from rich.console import Console

    from inmateria.recording.formats.plan import check_free, write_plan

    if out is None and not dry_run:
        raise typer.BadParameter("give the recording to make (.h5), or --dry-run")
    if out is not None:
        check_free(out)
    console = Console(stderr=True, quiet=json)
    with console.status(f"reading {source}"):
        plan = _planned(
            source, time=time, driven=driven, ground=ground, read=read, units=_units(units or []), rate=rate,
            stimulus=stimulus, kind=kind, separator=separator, decimal=decimal, header=header,
        )  # fmt: skip
    _show_plan(plan, console)
    if dry_run or out is None:
        typer.echo(dumps({"exchanges": 0, **_plan_told(plan)}) if json else "nothing was written")
        return
    if plan.unasked and not yes:
        _confirm(plan, json)
    with console.status(f"writing {out}"):
        done = write_plan(plan, out)
    if json:
        typer.echo(dumps({"path": str(done.path), "exchanges": done.exchanges, **_plan_told(plan)}))
        return
    typer.echo(f"{done.exchanges:,} exchanges in {done.path}")
    for each in done.left_out:
        typer.echo(f"not in it: {each}")


def _planned(
    source: Path,
    *,
    time: str | None,
    driven: list[str] | None,
    ground: list[str] | None,
    read: list[str] | None,
    units: dict[str, str],
    rate: float | None,
    stimulus: str | None,
    kind: str | None,
    separator: str | None,
    decimal: str | None,
    header: bool | None,
) -> "Plan":
    from inmateria.adapters.cortical.files import is_recording, read_recording
    from inmateria.adapters.neuroplatform.files import is_export, read_export
    from inmateria.recording.formats.importing import Stated, plan_block, plan_import

    for belongs, read_block, what in (
        (is_export, read_export, "an export of the Neuroplatform"),
        (is_recording, read_recording, "a recording of the CL1"),
    ):
        if not belongs(source):
            continue
        given = (time, driven, ground, read, units or None, rate, stimulus, separator, decimal, header)
        if any(each is not None and each != [] for each in given):
            raise typer.BadParameter(
                f"an {what} states all roles itself; leave out all but --kind".replace("an r", "a r")
            )
        return plan_block(read_block(source), kind=kind or "neural-culture", source=what)
    stated = Stated(time, driven or None, ground or None, read or None, units, rate)
    return plan_import(
        source, stated=stated, stimulus=stimulus, kind=kind, separator=separator, decimal=decimal, header=header
    )


def _units(pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, unit = pair.rpartition("=")
        if not equals or not name or not unit:
            raise typer.BadParameter(f"{pair!r} is not COLUMN=UNIT", param_hint="--units")
        found[name] = unit
    return found


def _show_plan(plan: "Plan", console: "Console") -> None:
    """Show what becomes of each column or signal."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2))
    for heading in ("", "column or channel", "unit", "role", ""):
        table.add_column(heading, overflow="fold")
    shown = list(enumerate(plan.rows, 1))
    more = len(shown) - _MOST_SHOWN
    for number, row in shown if more <= 0 else [*shown[: _MOST_SHOWN // 2], *shown[-_MOST_SHOWN // 2 :]]:
        if more > 0 and number == len(shown) - _MOST_SHOWN // 2 + 1:
            table.add_row("", f"... {more} more", "", "", "")
        table.add_row(str(number), *map(plain, (row.name, row.unit, row.role, row.detail)))
    console.print(plain(plan.source))
    console.print(table)
    rate = plan.info.sampling_rate
    sampled = "spikes only" if rate is None else f"outputs at {rate:.10g} Hz"
    console.print(f"{plan.steps:,} steps of {plan.info.step:.10g} s, {sampled}; roles are from {plain(plan.roles)}")
    for notice in plan.notices:
        console.print(f"note: {plain(notice)}")


def _plan_told(plan: "Plan") -> dict[str, Any]:
    return {
        "source": plan.source,
        "columns": [{name: getattr(row, name) for name in row.__slots__} for row in plan.rows],
        "roles": plan.roles,
        "sampling_rate": plan.info.sampling_rate,
        "step": plan.info.step,
        "steps": plan.steps,
        "left_out": plan.left_out,
        "notices": plan.notices,
    }


def _confirm(plan: "Plan", json: bool) -> None:
    """Ask whether to leave out what has no place in the recording; without a terminal, that is an error."""
    from inmateria.recording import RecordingError

    listed = "; ".join(plan.unasked)
    if json or not sys.stdin.isatty():
        raise RecordingError(f"not in the recording would be: {listed}; add --yes to import the rest")
    typer.confirm(f"not in the recording will be: {listed}\nimport the rest?", abort=True, err=True)
