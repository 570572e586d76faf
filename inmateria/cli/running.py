"""`inmateria run` and `inmateria report`: run a task on a substrate, and show its outcome."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from inmateria.cli.application import GIVEN, Json, StrictCommand, app, awaited, complete_substrate, terminal, uri_of
from inmateria.cli.metadata import MetadataFile, MetadataValues, metadata_of
from inmateria.cli.progress import ProgressBar

if TYPE_CHECKING:
    from rich.table import Table

    from inmateria.protocols.runner import Keep
    from inmateria.protocols.runs import Run


def _complete_task(start: str) -> list[str]:
    from inmateria.protocols.task import task_names

    return [name for name in task_names() if name.startswith(start)]


class _RunCommand(StrictCommand):
    """A command whose help also lists the settings of the task, if one is named."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, and the settings of the task."""
        super().format_help(ctx, formatter)
        name = ctx.meta.get(GIVEN, {}).get("task")
        if isinstance(name, str):
            from inmateria.cli.parameters import parameter_table, settings_of
            from inmateria.protocols.task import find_task

            task = find_task(name)
            terminal().print(parameter_table(settings_of(task.settings), f" Settings of {name}, as --name value:"))
        else:
            typer.echo(" `inmateria run TASK --help` lists the settings of a task.\n")


@app.command(cls=_RunCommand, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
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
    keep: Annotated[
        str,
        typer.Option(
            help="What the recording keeps: 'all' (samples that no readout reads are rounded), 'exact', 'features' "
            "(only what readouts read) or 'nothing'. Scores are the same."
        ),
    ] = "all",
    metadata: MetadataFile = None,
    meta: MetadataValues = None,
    json: Json = False,
) -> None:
    """Run a task on a substrate; leave run.json, the recording and report.html in a new folder.

    A setting of the task can also be given as an option of its own: --name value.
    """
    if over not in {"local", "mqtt"}:
        raise typer.BadParameter(f"{over!r} is not a way to reach a substrate; allowed are local and mqtt")
    if keep not in {"all", "exact", "features", "nothing"}:
        raise typer.BadParameter(f"--keep is {keep!r}; allowed are all, exact, features and nothing")
    annotations = metadata_of(metadata, meta)
    pairs = _named([*(setting or []), *_pairs(context.args)])
    with ProgressBar(hidden=json, starting=f"starting {task}") as bar:
        from inmateria.protocols.task import find_task

        chosen = find_task(task)
        settings = chosen.settings_from(pairs)
        if chosen.substrates is not None and context.get_parameter_source("on").name == "COMMANDLINE":  # type: ignore[union-attr]
            raise typer.BadParameter(f"the settings of {task} name its substrates; leave --on out (see --help)")
        from inmateria.adapters import SubprocessDevice, connect
        from inmateria.adapters.mqtt.wire.address import names_a_broker
        from inmateria.adapters.uri import shown
        from inmateria.protocols.runner import run_task
        from inmateria.protocols.runs import read_run

        uris = [uri_of(on)] if chosen.substrates is None else chosen.substrates(settings)
        remote = [names_a_broker(uri) for uri in uris]
        if over == "mqtt" and any(remote):
            already = shown(uris[remote.index(True)])
            raise typer.BadParameter(f"{already} is reached over MQTT already; leave --over out")
        substrates = [SubprocessDevice(uri) if over == "mqtt" else connect(uri) for uri in uris]
        given = substrates[0] if chosen.substrates is None else substrates
        way = "remote" if all(remote) else over
        running = run_task(
            chosen, settings, given, out, bar.watch,
            on=", ".join(map(shown, uris)), over=way, keep=cast("Keep", keep), annotations=annotations,
        )  # fmt: skip
        folder = awaited(running)
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
    named: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE")
        if name.strip() in named:
            raise typer.BadParameter(f"{name.strip()} is given twice; give it once")
        named[name.strip()] = value.strip()
    return named


def _show(run: "Run", folder: Path, json: bool) -> None:
    """Print the outcome of a run, and the paths of its files."""
    from inmateria.protocols.runs import RECORDING_FILE, REPORT_FILE, RUN_FILE

    names = (RUN_FILE, REPORT_FILE) if run.keep == "nothing" else (RUN_FILE, RECORDING_FILE, REPORT_FILE)
    paths = {name: str(folder / name) for name in names}
    outcome, exchanged = run.outcome, run.outcome.exchanges
    if json:
        import msgspec

        scores = msgspec.to_builtins(outcome.scores)
        answer = {
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
        typer.echo(msgspec.json.encode(answer).decode())
        return
    from rich.console import Console

    console = Console()
    console.print(_table(run))
    for line in _lines_below(run):
        console.print(line, highlight=False, markup=False)
    for path in paths.values():
        typer.echo(path)


def _table(run: "Run") -> "Table":
    """Make the table of scores: the substrate's in bold, then the controls."""
    from statistics import fmean, pstdev

    from rich.markup import escape
    from rich.table import Table

    outcome = run.outcome
    split = f": {outcome.trained:,} learned, {outcome.held_out:,} held out" if outcome.trained else ""
    table = Table(title=escape(f"{outcome.title} on {run.substrate.id}{split}"), title_justify="left")
    for heading in ("read from", "readout"):
        table.add_column(heading)
    for heading in ("features", outcome.metric):
        table.add_column(heading, justify="right")
    splits = max(len(score.splits) for score in outcome.scores)
    if splits > 1:
        table.add_column(f"mean ± sd, {splits} splits", justify="right")
    for score in outcome.scores:
        spread = f"{fmean(score.splits):.3f} ± {pstdev(score.splits):.3f}" if len(score.splits) > 1 else ""
        table.add_row(
            escape(score.on), escape(score.readout), str(score.features), f"{score.score:.3f}",
            *([spread] if splits > 1 else []),
            style=None if score.control else "bold",
        )  # fmt: skip
    if outcome.chance_description:
        table.add_row("baseline", escape(outcome.chance_description), "", f"{outcome.chance:.3f}")
    return table


def _lines_below(run: "Run") -> list[str]:
    """Return what is true of this table, and how the substrate was reached."""
    outcome, exchanged = run.outcome, run.outcome.exchanges
    words = []
    if any("RLS" in score.readout for score in outcome.scores):
        words.append("RLS: recursive least squares")
    if controls := list(dict.fromkeys(score.on for score in outcome.scores if score.control)):
        words.append(f"controls: {', '.join(controls)}")
    lines = ["; ".join(words)] if words else []
    if outcome.splitting:
        lines.append(outcome.splitting)
    if run.over == "remote":
        lines.append(f"The substrate is remote: {run.on}")
    lines.append(
        f"{exchanged.count:,} exchange{'' if exchanged.count == 1 else 's'} in {exchanged.seconds:.1f} s: "
        f"{exchanged.per_second:.0f} a second, {exchanged.steps / exchanged.seconds:,.0f} steps a second"
    )
    lines.append(
        f"round trip of one step: p50 {1e3 * exchanged.round_trip_p50:.2f} ms, "
        f"p99 {1e3 * exchanged.round_trip_p99:.2f} ms"
    )
    return lines
