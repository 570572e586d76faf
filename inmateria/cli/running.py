"""`inmateria run` and `inmateria report`: run a task on a substrate, and show its outcome."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from inmateria.cli.application import GIVEN, Json, StrictCommand, app, awaited, complete_substrate, terminal, uri_of
from inmateria.cli.metadata import MetadataFile, MetadataValues, metadata_of
from inmateria.cli.progress import ProgressBar

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from inmateria.protocols.data_parts import Part
    from inmateria.protocols.runner import Keep
    from inmateria.protocols.runs import Run
    from inmateria.substrate import Substrate


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
    task: Annotated[
        str | None, typer.Argument(help="What to run; see `inmateria list`.", autocompletion=_complete_task)
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            help="Substrate: a URI such as nanowire://?wires=200 or mqtt://host/group/device, or just its scheme; by "
            "default that of the task.",
            autocompletion=complete_substrate,
        ),
    ] = None,
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
    part: Annotated[
        str,
        typer.Option(
            help="What is scored: 'test', or 'validation', the data on which settings are chosen and that no reported "
            "run tests on."
        ),
    ] = "test",
    config: Annotated[
        Path | None,
        typer.Option(help="TOML or JSON file with any of these, or the run.json of a run; options go before it."),
    ] = None,
    metadata: MetadataFile = None,
    meta: MetadataValues = None,
    json: Json = False,
) -> None:
    """Run a task on a substrate; leave run.json, the recording and report.html in a new folder.

    A setting of the task can also be given as an option of its own: --name value.
    """
    pairs: dict[str, Any] = dict(named_settings([*(setting or []), *_pairs(context.args)]))
    given_on = _is_given(context, "on")
    if config is not None:
        from inmateria.desk.configuration import read_experiment

        written = read_experiment(config)
        pairs = {**written.settings, **pairs}
        task = task or written.task
        if not given_on and isinstance(written.on, list):
            raise typer.BadParameter(f"{config} has several substrates; `inmateria sweep` takes them")
        if not given_on and written.on:
            on = str(written.on).split(", ")[0]  # a run of several starts names all of them
        over = written.over if written.over in {"local", "mqtt"} and not _is_given(context, "over") else over
        keep = written.keep if written.keep and not _is_given(context, "keep") else keep
        part = written.part if written.part and not _is_given(context, "part") else part
        out = Path(written.out) if written.out and not _is_given(context, "out") else out
    if task is None:
        raise typer.BadParameter("give a task, such as `inmateria run memory`, or a file that names one (--config)")
    if over not in {"local", "mqtt"}:
        raise typer.BadParameter(f"{over!r} is not a way to reach a substrate; allowed are local and mqtt")
    if keep not in {"all", "exact", "features", "nothing"}:
        raise typer.BadParameter(f"--keep is {keep!r}; allowed are all, exact, features and nothing")
    annotations = metadata_of(metadata, meta)
    if part not in {"test", "validation"}:
        raise typer.BadParameter(f"--part is {part!r}; allowed are test and validation")
    scored = cast("Part", part)
    with ProgressBar(hidden=json, starting=f"starting {task}") as bar:
        from inmateria.protocols.task import find_task

        chosen = find_task(task)
        settings = chosen.settings_from(pairs)
        if chosen.substrates is not None and given_on:
            raise typer.BadParameter(f"the settings of {task} name its substrates; leave --on out (see --help)")
        from inmateria.adapters import connect
        from inmateria.adapters.mqtt.wire.device_socket import names_a_device
        from inmateria.adapters.uri import shown
        from inmateria.protocols.runner import run_task
        from inmateria.protocols.runs import read_run

        uris = chosen.uris(settings, None if on is None else uri_of(on), scored)
        remote = [names_a_device(uri) for uri in uris]
        if over == "mqtt" and any(remote):
            already = shown(uris[remote.index(True)])
            raise typer.BadParameter(f"{already} is in another process already; leave --over out")
        enter: Callable[[str], Substrate] = connect
        if over == "mqtt":
            from inmateria.adapters import SubprocessDevice  # with a broker, which takes a third of a second to load

            enter = SubprocessDevice
        substrates = [enter(uri) for uri in uris]
        given = substrates if chosen.several else substrates[0]
        way = "remote" if all(remote) else over
        running = run_task(
            chosen, settings, given, out, bar.watch,
            on=", ".join(map(shown, uris)), over=way, keep=cast("Keep", keep), annotations=annotations,
            part=scored,
        )  # fmt: skip
        folder = awaited(running)
    show_run(read_run(folder), folder, json)


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


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
    show_run(run, folder, json)


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


def named_settings(pairs: list[str]) -> dict[str, str]:
    """Return settings by name from NAME=VALUE, each given once."""
    named: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE")
        if name.strip() in named:
            raise typer.BadParameter(f"{name.strip()} is given twice; give it once")
        named[name.strip()] = value.strip()
    return named


def show_run(run: "Run", folder: Path, json: bool) -> None:
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
            "part": run.part,
            "scores": scores,
            "verdict": outcome.verdict,
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
    if run.part != "test":
        console.print("for choosing settings: scored on data that no reported run tests on", highlight=False)
    for line in _lines_below(run):
        console.print(line, highlight=False, markup=False)
    for path in paths.values():
        typer.echo(path)


def _table(run: "Run") -> "Table":
    """Make the table of scores: the substrate's in bold, then the controls."""
    from statistics import fmean, pstdev

    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    from inmateria.protocols.outcome import shown_error

    outcome = run.outcome
    split = f": {outcome.trained:,} learned, {outcome.held_out:,} held out" if outcome.trained else ""
    table = Table(
        title=escape(f"{outcome.title} on {run.substrate.id}{split}"),
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("read from", no_wrap=True)
    table.add_column("readout")
    for heading in ("features", outcome.metric):
        table.add_column(heading, justify="right")
    splits = max(len(score.splits) for score in outcome.scores)
    if splits > 1:
        table.add_column(f"mean ± sd,\n{splits} {outcome.repeated}", justify="right", no_wrap=True)
    noise = any(score.noisy for score in outcome.scores)
    if noise:
        table.add_column("1 % noise", justify="right")
    if outcome.error_name:
        table.add_column(outcome.error_name, justify="right")
    for score in outcome.scores:
        spread = f"{fmean(score.splits):.3f} ± {pstdev(score.splits):.3f}" if len(score.splits) > 1 else ""
        table.add_row(
            escape(score.on), escape(score.readout), str(score.features), f"{score.score:.3f}",
            *([spread] if splits > 1 else []),
            *([f"{fmean(score.noisy):.3f}" if score.noisy else ""] if noise else []),
            *([shown_error(score)] if outcome.error_name else []),
            style=None if score.control else "bold",
        )  # fmt: skip
    if outcome.chance_description:
        table.add_row("baseline", escape(outcome.chance_description), "", f"{outcome.chance:.3f}")
    return table


def _lines_below(run: "Run") -> list[str]:
    """Return what is true of this table, and how the substrate was reached."""
    from inmateria.protocols.runs import shown_on

    outcome, exchanged = run.outcome, run.outcome.exchanges
    words = []
    if any("RLS" in score.readout for score in outcome.scores):
        words.append("RLS: recursive least squares")
    if controls := list(dict.fromkeys(score.on for score in outcome.scores if score.control)):
        words.append(f"controls: {', '.join(controls)}")
    lines = [outcome.verdict] if outcome.verdict else []
    lines += ["; ".join(words)] if words else []
    if outcome.splitting:
        lines.append(outcome.splitting)
    if outcome.facts:
        lines.append("; ".join(f"{name}: {value}" for name, value in outcome.facts))
    if run.over == "remote":
        lines.append(f"The substrate is remote: {run.on}")
    elif "?" in run.on:
        lines.append(f"It ran on {shown_on(run)}")
    lines.append(
        f"{exchanged.count:,} exchange{'' if exchanged.count == 1 else 's'} in {exchanged.seconds:.1f} s: "
        f"{exchanged.per_second:.0f} a second, {exchanged.steps / exchanged.seconds:,.0f} steps a second"
    )
    lines.append(
        f"round trip of one step: p50 {1e3 * exchanged.round_trip_p50:.2f} ms, "
        f"p99 {1e3 * exchanged.round_trip_p99:.2f} ms"
    )
    return lines
