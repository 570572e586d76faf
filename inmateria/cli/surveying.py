"""`inmateria survey`: many tasks on many substrates, and a table that says where the matter helps."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inmateria.cli.application import FAILED, Json, app, complete_substrate, uri_of
from inmateria.cli.sweep_progress import SweepProgress

if TYPE_CHECKING:
    from inmateria.desk.survey_table import Row

_WRITTEN = {".md": "as_markdown", ".csv": "as_csv", ".html": ""}


@app.command()
def survey(
    tasks: Annotated[list[str] | None, typer.Argument(help="Tasks; all that suit the substrates by default.")] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(
            help="Substrate; by default that of each task's settings.", autocompletion=complete_substrate
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with entries: task, on, name and settings.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Seeds of each task and simulator; 5 by default.", min=1)] = None,
    out: Annotated[Path, typer.Option(help="Folder of the survey; what is in it is not repeated.")] = Path("survey"),
    workers: Annotated[int | None, typer.Option(help="Processes; one for each processor by default.", min=1)] = None,
    to: Annotated[Path | None, typer.Option(help="Write the table as .md, .csv or .html.")] = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Run tasks on substrates with several seeds, and say where the matter helps, by how much, and what it costs."""
    from dataclasses import asdict

    import msgspec

    from inmateria.desk import survey_table
    from inmateria.desk.surveying import Survey, entries_for, read_survey
    from inmateria.desk.surveying import survey as run_survey

    if to is not None and to.suffix not in _WRITTEN:
        raise typer.BadParameter(f"--to {to}: the table is written as {', '.join(_WRITTEN)}")
    if config is not None and (tasks or on):
        raise typer.BadParameter("--config has tasks and substrates; leave the others out")
    if config is not None:
        asked = read_survey(config)
    else:
        asked = Survey(entries=entries_for([uri_of(uri) for uri in on or ()], tasks or ()))
    with SweepProgress("runs", list, hidden=json) as live:
        result = run_survey(
            asked.entries, seeds=seeds or asked.seeds, first_seed=asked.first_seed, folder=out, workers=workers,
            on_progress=live.watch,
        )  # fmt: skip
    if to is not None:
        if to.suffix == ".html":
            from inmateria.desk.survey_page import survey_page as write
        else:
            write = getattr(survey_table, _WRITTEN[to.suffix])
        to.write_text(write(result.rows), encoding="utf-8")
    if json:
        typer.echo(msgspec.json.encode([{**asdict(row), "verdict": row.verdict} for row in result.rows]).decode())
    else:
        _print(result.rows)
        for failure in result.failures[:5]:
            typer.echo(f"failed: {failure.point.task} on {failure.point.on}: {failure.error}", err=True)
        typer.echo(str(to or result.folder))
    if result.failures:
        raise typer.Exit(FAILED)


def _print(rows: "list[Row]") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("task", "substrate", "score", "gain over simple", "gain", "best control", "matter"):
        table.add_column(heading)
    for row in rows:
        task, substrate, _, score, _, _, simple, control, gain, matter, *_ = map(escape, row.cells())
        table.add_row(task, substrate, score, simple, gain, control, matter)
    Console().print(table)
