"""`inmateria serve`, `stop`, `release` and `list`: devices put on a broker, stopped, and found."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from inmateria.cli.application import GIVEN, Json, app, awaited, complete_substrate, plain, terminal, uri_of

_OF_A_BROKER = ("broker", "port", "host", "passwords", "certificate", "key")
_OF_A_DEVICE = ("at", "exposed", "group", "name", "journal", "lsl")
RemoteDevice = Annotated[
    str, typer.Argument(help="A device: mqtt[s]://host/group/device, unix:///path or tcp://host:port/group/device.")
]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for the broker, then for the device.", min=0.01)]


@app.command()
def serve(
    context: typer.Context,
    substrate: Annotated[
        str,
        typer.Argument(
            help="Substrate to serve: a URI such as nanowire://?wires=200&seed=7 or intan://host, or just its scheme.",
            autocompletion=complete_substrate,
        ),
    ],
    broker: Annotated[
        str,
        typer.Option(help="Broker: mqtt[s]://host:port, ws[s]://..., or 'embedded' to start one (docs/wire.md)."),
    ] = "embedded",
    at: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Serve without a broker, for clients of this machine: unix:///path (only this user may open it), or "
            "tcp://127.0.0.1:port (port 0 takes a free one).",
        ),
    ] = None,
    exposed: Annotated[
        bool, typer.Option("--exposed", help="With --at tcp://: let other machines in, without password or encryption.")
    ] = False,
    port: Annotated[
        int, typer.Option(help="Port of the embedded broker; 0 takes a free one.", min=0, max=65535)
    ] = 1883,
    host: Annotated[
        str,
        typer.Option(help="Interface of the embedded broker; other than the loopback one it needs --passwords."),
    ] = "127.0.0.1",
    passwords: Annotated[
        Path | None, typer.Option(help="File of user:argon2-hash lines: users of the embedded broker.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="PEM file; the embedded broker then encrypts.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file, of that certificate.")] = None,
    group: Annotated[str, typer.Option(help="Group of devices, the first part of its address.")] = "lab",
    name: Annotated[str | None, typer.Option(help="Name of the device, the second part; its id by default.")] = None,
    journal: Annotated[
        Path | None, typer.Option(help="File of its own: after a crash the device then knows what it had applied.")
    ] = None,
    scpi: Annotated[
        str | None,
        typer.Option(help="Serve a simulator behind SCPI instead, as a source meter: [host]:port, such as :5025."),
    ] = None,
    terminals: Annotated[
        str | None,
        typer.Option(help="With --scpi: the input that is driven and the output that is the current, such as e00,i00."),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(help="With --scpi: volts and amperes for one unit of them, if they are in other units: 1,1e-3."),
    ] = None,
    keep_output: Annotated[
        bool, typer.Option("--keep-output", help="With --scpi: leave the output on when the last client has gone.")
    ] = False,
    lsl: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Publish stimuli, signal and spikes as LSL streams of that name, too."),
    ] = None,
    until_eof: Annotated[bool, typer.Option("--until-eof", hidden=True)] = False,
    json: Json = False,
) -> None:
    """Serve a substrate as a device, on an MQTT broker or at a socket, or a simulator by SCPI, until Ctrl-C."""
    wrong = (
        dict.fromkeys((*_OF_A_BROKER, *_OF_A_DEVICE), "is of a broker, and not with --scpi")
        if scpi is not None
        else dict.fromkeys(("terminals", "scale", "keep_output"), "needs --scpi")
        | dict.fromkeys(_OF_A_BROKER if at is not None else (), "is of a broker, and not with --at")
        | dict.fromkeys(("exposed",) if at is None else (), "needs --at tcp://host:port")
    )
    for parameter, reason in wrong.items():
        if parameter in context.meta[GIVEN]:
            raise typer.BadParameter(f"--{parameter.replace('_', '-')} {reason}", context)
    if scpi is not None:
        _serve_scpi(uri_of(substrate), scpi, terminals, scale, keep_output, until_eof, json)
        return
    from inmateria.adapters import connect, serve_until_stopped

    def ready(uri: str) -> None:
        from json import dumps

        text = f"serving {plain(opened.info.kind)} {opened.info.id} at {uri}\nCtrl-C stops it"
        typer.echo(dumps({"uri": uri}) if json else text)
        sys.stdout.flush()

    opened = connect(uri_of(substrate))
    if lsl is not None:
        from inmateria.adapters import PublishedSubstrate

        opened = PublishedSubstrate(opened, lsl)
    awaited(
        serve_until_stopped(
            opened, broker if at is None else at, port, group, name, ready, exposed=exposed,
            host=host, passwords=passwords, certificate=certificate, key=key, journal=journal, until_eof=until_eof,
        )
    )  # fmt: skip


def _serve_scpi(
    uri: str, place: str, terminals: str | None, scale: str | None, keep_output: bool, until_eof: bool, json: bool
) -> None:
    """Serve a simulator behind SCPI."""
    from inmateria.adapters import ScpiServer, simulator_from_uri
    from inmateria.adapters.scpi.serving import serve_scpi_until_stopped

    host, mark, port = place.rpartition(":")
    if not mark or not port.isdecimal() or int(port) > 65535:
        raise typer.BadParameter(f"--scpi is {place!r}; give [host]:port with a port of 0 to 65535, such as :5025")
    source, _, sense = (terminals or ",").partition(",")
    factors: tuple[float, float] | None = None
    if scale is not None:
        try:
            volts, amperes = map(float, scale.split(","))
        except ValueError:
            raise typer.BadParameter(f"--scale is {scale!r}; give two numbers, such as 1,1e-3") from None
        factors = volts, amperes
    server = ScpiServer(
        simulator_from_uri(uri), host=host.strip("[]") or "127.0.0.1", port=int(port),
        source=source.strip(), sense=sense.strip(), scale=factors, keep_output=keep_output,
    )  # fmt: skip

    def ready(served: ScpiServer) -> None:
        from json import dumps

        names = served.meter.terminals.names
        text = (
            f"serving {plain(served.meter.terminals.info.kind)} {served.meter.terminals.info.id} at {served.uri}\n"
            f"for pyvisa: {served.visa_address}\nterminals: {names[0]} driven, {names[1]} measured\nCtrl-C stops it"
        )
        typer.echo(dumps({"uri": served.uri, "visa": served.visa_address}) if json else text)
        sys.stdout.flush()

    awaited(serve_scpi_until_stopped(server, ready, until_eof=until_eof))


@app.command()
def stop(
    device: RemoteDevice,
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait for the broker, then for the device.", min=0.01)
    ] = 5.0,
) -> None:
    """Emergency stop: interrupt a device, without a lease; it stays stopped until `inmateria release`."""
    from inmateria.adapters import emergency_stop
    from inmateria.adapters.uri import shown

    awaited(emergency_stop(device, timeout=timeout))
    typer.echo(f"{shown(device)} is stopped, until `inmateria release`")


@app.command()
def release(
    device: RemoteDevice,
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait for the broker, then for the device.", min=0.01)
    ] = 5.0,
) -> None:
    """Release a device that was stopped or is in fault, so that it can be controlled again."""
    from inmateria.adapters import release as release_device
    from inmateria.adapters.uri import shown

    awaited(release_device(device, timeout=timeout))
    typer.echo(f"{shown(device)} is online")


@app.command("list")
def list_(
    named: Annotated[
        str | None,
        typer.Argument(
            metavar="[TASK|SCHEME|BROKER]",
            help="A task or a scheme: list its settings instead. A broker, mqtt[s]://host, or mqtt[s]://host/group: "
            "list the devices on it.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List the substrates, tasks and adapters that were found; the settings of one; or the devices on a broker."""
    if named is not None:
        scheme, mark, rest = named.partition("://")
        if mark and rest.partition("?")[0]:
            from inmateria.cli.watching import list_devices

            list_devices(named, json)
        else:
            _list_settings(scheme, json)
        return
    from inmateria.adapters import adapters_found
    from inmateria.protocols.task import task_summaries

    adapters, tasks = adapters_found(), task_summaries()
    if json:
        from json import dumps

        typer.echo(dumps({"adapters": dict(adapters), "tasks": dict(tasks)}))
        return
    from rich.table import Table
    from rich.text import Text

    for title, rows, ending in (
        ("Substrates and the adapters that reach them", adapters, "://"),
        ("Tasks for `inmateria run`", tasks, ""),
    ):
        table = Table(title=Text(title), title_justify="left", show_header=False, box=None, padding=(0, 2))
        for key, text in rows:
            table.add_row(Text.assemble((key, "bold"), ending), text)
        terminal().print(table, end="\n")


def _list_settings(name: str, json: bool) -> None:
    """Print the settings of the task and the parameters of the scheme of that name."""
    from inmateria.adapters.uri import adapters_found, described_by
    from inmateria.cli.parameters import Parameter, parameter_table, parameters_of, settings_of
    from inmateria.protocols.task import UnknownTask, find_task, task_names, task_summaries

    schemes, tasks = dict(adapters_found()), dict(task_summaries())
    found: dict[str, tuple[str, list[Parameter]]] = {}
    if name in tasks:
        found["task"] = (f"{name}: {tasks[name]}. Settings of `inmateria run {name}`, as --name value:",
                         settings_of(find_task(name).settings))  # fmt: skip
    if name in schemes:
        found["scheme"] = (f"{name}://: {schemes[name]}. Parameters, as {name}://...?name=value&name=value:",
                           parameters_of(*described_by(name)))  # fmt: skip
    if not found:
        from difflib import get_close_matches

        close = get_close_matches(name, [*task_names(), *schemes], n=1)
        raise UnknownTask(
            f"there is no task or scheme {name!r}; "
            + (f"did you mean {close[0]}?" if close else "`inmateria list` shows them all")
        )
    if json:
        import msgspec

        typer.echo(msgspec.json.encode({kind: parameters for kind, (_, parameters) in found.items()}).decode())
        return
    for title, parameters in found.values():
        terminal().print(parameter_table(parameters, title))
