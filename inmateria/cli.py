"""The command line: run a task, serve a simulated substrate, list what there is, report on a run.

Exit codes: 0 done; 1 it failed while running; 2 the command, URI, task or folder was not right; 3 the
broker or the device is not there, is busy or has gone; 130 interrupted.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from rich.progress import TaskID

    from inmateria.protocols.runs import Run

app = typer.Typer(
    name="inmateria",
    help="Compute with matter: nanowire networks, living neurons, analog circuits, real or simulated.",
    epilog="Exit codes: 0 done, 1 failed while running, 2 a wrong command, URI, task or folder, "
    "3 broker or device not there, busy or gone, 130 interrupted.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

FAILED, WRONG, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130

Result = TypeVar("Result")
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of text.")]


def main() -> NoReturn:
    """Run the command line, turning whatever goes wrong into one clear line and an exit code."""
    try:
        app(standalone_mode=True)
    except _Interrupted:
        _fail("interrupted", INTERRUPTED)
    except Exception as error:
        _fail_for(error)
    sys.exit(0)


def _version(asked: bool) -> None:
    if asked:
        from inmateria import __version__

        typer.echo(f"inmateria {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more of what happens.")] = False,
) -> None:
    logger = logging.getLogger("inmateria")
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.addHandler(_Say())
    logger.propagate = False


class _Say(logging.Handler):
    """Prints what the library logs to standard error as it is now, which a progress bar may stand on."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(self.format(record), err=True)


def _complete_task(start: str) -> list[str]:
    from inmateria.protocols.tasks import task_names

    return [name for name in task_names() if name.startswith(start)]


def _complete_substrate(start: str) -> list[str]:
    from inmateria.adapters import adapters_found

    return [scheme for scheme, _ in adapters_found() if scheme.startswith(start)]


@app.command()
def run(
    task: Annotated[str, typer.Argument(help="What to run; see `inmateria list`.", autocompletion=_complete_task)],
    on: Annotated[
        str,
        typer.Option(
            help="Substrate: a URI such as nanowire://?wires=200 or mqtt://host/group/device, or just its scheme.",
            autocompletion=_complete_substrate,
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
    """Run a task on a substrate; leave run.json, the recording and report.html in a new folder."""
    from inmateria.protocols.tasks import find_task

    chosen = find_task(task)
    settings = chosen.settings_from(_named(setting or []))
    if over not in {"local", "mqtt"}:
        raise typer.BadParameter(f"{over!r} is not a way to reach a substrate; allowed are local and mqtt")
    from inmateria.adapters import ServedApart, connect
    from inmateria.protocols.runner import run_task
    from inmateria.protocols.runs import read_run

    substrate = ServedApart(_uri(on)) if over == "mqtt" else connect(_uri(on))
    with _Bar(hidden=json) as bar:
        folder = _await(run_task(chosen, settings, substrate, out, bar.watch, on=_uri(on), over=over))
    _show(read_run(folder), folder, json)


@app.command()
def serve(
    substrate: Annotated[
        str,
        typer.Argument(
            help="Simulated substrate: a URI such as nanowire://?wires=200&seed=7, or just its scheme.",
            autocompletion=_complete_substrate,
        ),
    ],
    broker: Annotated[
        str, typer.Option(help="Broker: mqtt://host:port, or 'embedded' to start one on this machine.")
    ] = "embedded",
    port: Annotated[int, typer.Option(help="Port of the embedded broker; 0 takes a free one.")] = 1883,
    group: Annotated[str, typer.Option(help="Group of devices, the first part of its address.")] = "lab",
    name: Annotated[str | None, typer.Option(help="Name of the device; its id by default.")] = None,
    until_eof: Annotated[bool, typer.Option("--until-eof", hidden=True)] = False,
    json: Json = False,
) -> None:
    """Serve a simulated substrate as a device on an MQTT broker, until Ctrl-C."""
    from inmateria.adapters import serve_until_stopped, simulator_from_uri

    def ready(uri: str) -> None:
        from json import dumps

        text = f"serving {simulator.info.kind} {simulator.info.id} at {uri}\nCtrl-C stops it"
        typer.echo(dumps({"uri": uri}) if json else text)
        sys.stdout.flush()

    simulator = simulator_from_uri(_uri(substrate))
    _await(serve_until_stopped(simulator, broker, port, group, name, ready, until_eof=until_eof))


@app.command("list")
def list_(json: Json = False) -> None:
    """List the substrates, tasks and adapters that were found."""
    from inmateria.adapters import adapters_found
    from inmateria.protocols.tasks import task_summaries

    adapters, tasks = adapters_found(), task_summaries()
    if json:
        from json import dumps

        typer.echo(dumps({"adapters": dict(adapters), "tasks": dict(tasks)}))
        return
    from rich.console import Console
    from rich.table import Table

    for title, rows, ending in (
        ("Substrates and the adapters that reach them", adapters, "://"),
        ("Tasks for `inmateria run`", tasks, ""),
    ):
        table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
        for key, text in rows:
            table.add_row(f"[bold]{key}[/bold]{ending}", text)
        Console().print(table, end="\n")


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


def _await(work: Coroutine[Any, Any, Result]) -> Result:
    """Do async work; Ctrl-C lets it clean up, then ends with the exit code for that."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise _Interrupted from None  # anything but a KeyboardInterrupt, which typer would answer by itself


class _Interrupted(Exception):
    """Ctrl-C came, and everything has been cleaned up."""


def _uri(named: str) -> str:
    """Take a bare scheme for a URI without parameters."""
    return named if "://" in named else f"{named}://"


def _named(pairs: list[str]) -> dict[str, str]:
    named = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE")
        named[name.strip()] = value.strip()
    return named


class _Bar:
    """A progress bar with steps per second, on standard error, for whatever phases a task goes through."""

    def __init__(self, hidden: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress: Progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=hidden,
        )
        self._phases: dict[str, tuple[TaskID, float]] = {}

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def watch(self, phase: str, done: int, of: int, steps: int) -> None:
        """Show how far a phase is."""
        if phase not in self._phases:
            self._phases[phase] = (self._progress.add_task(phase, total=of, rate=""), time.perf_counter())
        bar, begun = self._phases[phase]
        elapsed = time.perf_counter() - begun
        rate = f"{steps / elapsed:,.0f} steps/s" if steps and elapsed > 0.05 else ""
        self._progress.update(bar, completed=done, total=of, rate=rate)


def _show(run: "Run", folder: Path, json: bool) -> None:
    """Print what came of a run, and where it lies."""
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
    table = Table(
        title=f"{outcome.title} on {run.substrate.id}: {outcome.trained:,} learned, {outcome.held_out:,} held out",
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
    table.add_row("chance", outcome.chance_is, "", f"{outcome.chance:.3f}", "")
    console.print(table)
    console.print("RLS: recursive least squares; rows below the substrate's are controls without the physics")
    console.print(outcome.splitting, highlight=False)
    console.print(
        f"{exchanged.count:,} exchanges in {exchanged.seconds:.1f} s: {exchanged.per_second:.0f} a second, "
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


def _fail_for(error: Exception) -> NoReturn:
    """Turn an error into one line and the exit code that stands for it."""
    from inmateria.protocols.runs import RunFolderError
    from inmateria.protocols.tasks import UnknownTask
    from inmateria.recording import RecordingError
    from inmateria.substrate import (
        StimulusRejected,
        SubstrateBusy,
        SubstrateDisconnected,
        SubstrateError,
        SubstrateTimeout,
        UnknownSubstrate,
    )

    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, SubstrateBusy | SubstrateDisconnected | SubstrateTimeout):
        _fail(str(error), UNREACHABLE)
    if isinstance(error, UnknownSubstrate | UnknownTask | RunFolderError | RecordingError):
        _fail(str(error), WRONG)
    if isinstance(error, StimulusRejected | SubstrateError | OSError | ValueError):
        _fail(str(error), FAILED)
    raise error


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"inmateria: {' '.join(message.split())}", err=True)
    sys.exit(code)
