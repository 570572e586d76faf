"""`inmateria run` and `inmateria report`: run a task on a substrate, and show its outcome."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inmateria.cli.application import Json, app, awaited, complete_substrate, uri_of
from inmateria.cli.progress import ProgressBar

if TYPE_CHECKING:
    from inmateria.protocols.runs import Run


def _complete_task(start: str) -> list[str]:
    from inmateria.protocols.task import task_names

    return [name for name in task_names() if name.startswith(start)]


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    context: typer.Context,
    task: Annotated[str, typer.Argument(help="What to run; see `inmateria list`.", autocompletion=_complete_task)],
    on: Annotated[
        str,
        typer.Option(
            help="Substrate: a URI such as nanowire://?wires=200 or mqtt://host/group/device, or just its scheme.",
            autocompletion=complete_substrate,
        ),
    ] = "nanowire",
    over: Annotated[
        str,
        typer.Option(
            help="'local': in this process. 'mqtt': served from a process of its own, through an embedded broker."
        ),
    ] = "local",
    out: Annotated[Path, typer.Option(help="Where run folders are made.")] = Path("runs"),
    setting: Annotated[
        list[str] | None, typer.Option("--set", "-s", metavar="NAME=VALUE", help="Change a setting of the task.")
    ] = None,
    json: Json = False,
) -> None:
    """Run a task on a substrate; leave run.json, the recording and report.html in a new folder.

    A setting of the task can also be given as an option of its own: --name value.
    """
    from inmateria.protocols.task import find_task

    chosen = find_task(task)
    settings = chosen.settings_from(_named([*(setting or []), *_pairs(context.args)]))
    if over not in {"local", "mqtt"}:
        raise typer.BadParameter(f"{over!r} is not a way to reach a substrate; allowed are local and mqtt")
    from inmateria.adapters import SubprocessDevice, connect
    from inmateria.adapters.mqtt.wire.address import names_a_broker
    from inmateria.protocols.runner import run_task
    from inmateria.protocols.runs import read_run

    uris = [uri_of(on)] if chosen.substrates is None else chosen.substrates(settings)
    # A device on a broker is reached over MQTT already.
    substrates = [SubprocessDevice(uri) if over == "mqtt" and not names_a_broker(uri) else connect(uri) for uri in uris]
    given = substrates[0] if chosen.substrates is None else substrates
    with ProgressBar(hidden=json) as bar:
        folder = awaited(run_task(chosen, settings, given, out, bar.watch, on=", ".join(uris), over=over))
    _show(read_run(folder), folder, json)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A run folder, such as runs/20261123T101500-digits.")],
    json: Json = False,
) -> None:
    """Make report.html anew from a run folder, and print the scores."""
    from inmateria.protocols.report import write_report
    from inmateria.protocols.runs import read_run

    run = read_run(folder)
    write_report(folder)
    _show(run, folder, json)


def _pairs(words: list[str]) -> list[str]:
    """Take options that the command does not know, ``--name value`` or ``--name=value``, for settings."""
    pairs, left = [], list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("--"):
            raise typer.BadParameter(f"{word!r} is not an option; give settings as --name value")
        name, equals, value = word[2:].partition("=")
        if not equals:
            if not left or left[0].startswith("--"):
                raise typer.BadParameter(f"{word} has no value; give settings as --name value")
            value = left.pop(0)
        pairs.append(f"{name.replace('-', '_')}={value}")
    return pairs


def _named(pairs: list[str]) -> dict[str, str]:
    named = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE")
        named[name.strip()] = value.strip()
    return named


def _show(run: "Run", folder: Path, json: bool) -> None:
    """Print the outcome of a run, and the paths of its files."""
    from inmateria.protocols.runs import RECORDING_FILE, REPORT_FILE, RUN_FILE

    paths = {name: str(folder / name) for name in (RUN_FILE, RECORDING_FILE, REPORT_FILE)}
    outcome, exchanged = run.outcome, run.outcome.exchanges
    if json:
        import msgspec

        scores = msgspec.to_builtins(outcome.scores)
        line = {
            "task": run.task,
            "substrate": run.substrate.id,
            "over": run.over,
            "scores": scores,
            "chance": outcome.chance,
            "metric": outcome.metric,
            "splitting": outcome.splitting,
            "exchanges_per_second": exchanged.per_second,
            "round_trip_p50": exchanged.round_trip_p50,
            "round_trip_p99": exchanged.round_trip_p99,
            "paths": paths,
        }
        typer.echo(msgspec.json.encode(line).decode())
        return
    from statistics import fmean, pstdev

    from rich.console import Console
    from rich.table import Table

    console = Console()
    split = f": {outcome.trained:,} learned, {outcome.held_out:,} held out" if outcome.trained else ""
    table = Table(
        title=f"{outcome.title} on {run.substrate.id}" + split,
        title_justify="left",
    )
    for heading in ("read from", "readout"):
        table.add_column(heading)
    for heading in ("features", outcome.metric, f"mean ± sd, {len(outcome.scores[0].splits)} splits"):
        table.add_column(heading, justify="right")
    for score in outcome.scores:
        table.add_row(
            score.on,
            score.readout,
            str(score.features),
            f"{score.score:.3f}",
            f"{fmean(score.splits):.3f} ± {pstdev(score.splits):.3f}",
            style=None if score.control else "bold",
        )
    if outcome.chance_description:
        table.add_row("baseline", outcome.chance_description, "", f"{outcome.chance:.3f}", "")
    console.print(table)
    console.print("RLS: recursive least squares; rows below the substrate's are controls without the physics")
    if outcome.splitting:
        console.print(outcome.splitting, highlight=False)
    console.print(
        f"{exchanged.count:,} exchange{'' if exchanged.count == 1 else 's'} in {exchanged.seconds:.1f} s: "
        f"{exchanged.per_second:.0f} a second, "
        f"{exchanged.steps / exchanged.seconds:,.0f} steps a second",
        highlight=False,
    )
    console.print(
        f"round trip of one step: p50 {1e3 * exchanged.round_trip_p50:.2f} ms, "
        f"p99 {1e3 * exchanged.round_trip_p99:.2f} ms",
        highlight=False,
    )
    for path in paths.values():
        typer.echo(path)
