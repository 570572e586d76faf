"""`inmateria serve` and `inmateria list`: devices put on a broker, and what can be found."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from inmateria.cli.application import Json, app, awaited, complete_substrate, uri_of


@app.command()
def serve(
    substrate: Annotated[
        str,
        typer.Argument(
            help="Simulated substrate: a URI such as nanowire://?wires=200&seed=7, or just its scheme.",
            autocompletion=complete_substrate,
        ),
    ],
    broker: Annotated[
        str, typer.Option(help="Broker: mqtt[s]://host:port, or 'embedded' to start one here. Passwords: docs/wire.md.")
    ] = "embedded",
    port: Annotated[int, typer.Option(help="Port of the embedded broker; 0 takes a free one.")] = 1883,
    host: Annotated[
        str, typer.Option(help="Where the embedded broker listens; other than on this machine it needs --passwords.")
    ] = "127.0.0.1",
    passwords: Annotated[
        Path | None, typer.Option(help="File of user:argon2-hash lines: who the embedded broker lets in.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="PEM file; the embedded broker then encrypts.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file, of that certificate.")] = None,
    group: Annotated[str, typer.Option(help="Group of devices, the first part of its address.")] = "lab",
    name: Annotated[str | None, typer.Option(help="Name of the device; its id by default.")] = None,
    journal: Annotated[
        Path | None, typer.Option(help="File of its own: after a crash the device then knows what it had applied.")
    ] = None,
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

    simulator = simulator_from_uri(uri_of(substrate))
    awaited(
        serve_until_stopped(
            simulator, broker, port, group, name, ready,
            host=host, passwords=passwords, certificate=certificate, key=key, journal=journal, until_eof=until_eof,
        )
    )  # fmt: skip


@app.command("list")
def list_(
    broker: Annotated[
        str | None, typer.Argument(help="A broker, mqtt[s]://host: list the devices on it instead.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """List the substrates, tasks and adapters that were found, or the devices on a broker."""
    if broker is not None:
        from inmateria.cli.watching import list_devices

        list_devices(broker, json)
        return
    from inmateria.adapters import adapters_found
    from inmateria.protocols.task import task_summaries

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
