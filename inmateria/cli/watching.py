"""`inmateria watch`, and `inmateria list BROKER`: devices observed without a lease."""

import math
import sys
from contextlib import aclosing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inmateria.cli.application import GIVEN, Json, app, awaited, plain, terminal

if TYPE_CHECKING:
    from inmateria.adapters.mqtt.operator.observer import Observation

_OF_THE_SCREEN = ("every", "count")
_OF_THE_PAGE = ("host", "port", "speed", "certificate", "key")


@app.command()
def watch(
    context: typer.Context,
    device: Annotated[
        str,
        typer.Argument(
            metavar="DEVICE",
            help="A device: mqtt[s]://host/group/device or unix:///path; the folder of a run or sweep, 'latest', or "
            "the name of a task for its latest run. With --web also a recording, growing or not.",
        ),
    ],
    every: Annotated[float, typer.Option(help="Seconds between two updates.", min=0.05)] = 0.25,
    count: Annotated[int, typer.Option(help="Updates to show; 0 goes on until Ctrl-C.", min=0)] = 0,
    web: Annotated[bool, typer.Option("--web", help="Serve a live page for a browser instead (extra live).")] = False,
    host: Annotated[
        str, typer.Option(help="With --web: interface; other than the loopback one its address has a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="With --web: port; 0 takes a free one.", min=0, max=65535)] = 8765,
    speed: Annotated[
        float | None, typer.Option(help="With --web: replay a recording at so many times its own pace.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="With --web: PEM file; the page is then encrypted (https).")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="With --web: PEM file, of that certificate.")] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each update, or the addresses of the page.")
    ] = False,
) -> None:
    """Watch a device live, without a lease: its state, controller, rate and signals; or a run or sweep."""
    for parameter in _OF_THE_SCREEN if web else _OF_THE_PAGE:
        if parameter in context.meta[GIVEN]:
            raise typer.BadParameter(f"--{parameter} is {'not with' if web else 'only with'} --web", context)
    if web:
        _serve(device, host, port, speed, certificate, key, json)
    else:
        from inmateria.adapters.mqtt.wire.device_socket import names_a_device

        if names_a_device(device):
            awaited(_watch(device, every, count, json))
        else:
            awaited(_watch_folder(device, every, count, json))


def _serve(
    named: str, host: str, port: int, speed: float | None, certificate: Path | None, key: Path | None, json: bool
) -> None:
    """Serve the live page."""
    from inmateria.live.opening import open_source
    from inmateria.live.serving import require_live, serve_live

    require_live()
    source = open_source(named, speed=speed)

    def ready(addresses: dict[str, str]) -> None:
        from json import dumps

        lines = [f"to {what}: {address}" for what, address in addresses.items()]
        typer.echo(dumps(addresses) if json else "\n".join([*lines, "Ctrl-C ends it"]))
        sys.stdout.flush()

    awaited(serve_live(source, ready, host=host, port=port, certificate=certificate, key=key))


async def _watch(device: str, every: float, count: int, json: bool) -> None:
    from inmateria.adapters.mqtt.operator.observer import observe

    async with aclosing(observe(device, every=every)) as looks:  # type: ignore[type-var]  # it is a generator
        if json:
            number = 0
            async for seen in looks:
                typer.echo(_line(device, seen))
                sys.stdout.flush()
                number += 1
                if number == count:
                    return
            return
        from rich.live import Live

        from inmateria.cli.watch_screen import watch_screen

        number, console = 0, terminal()
        with Live(console=console, auto_refresh=False) as live:
            async for seen in looks:
                live.update(watch_screen(device, seen, console.width, console.height - 1), refresh=True)
                number += 1
                if number == count:
                    return


async def _watch_folder(named: str, every: float, count: int, json: bool) -> None:
    """Show a run or a sweep from its folder."""
    import time

    from inmateria.errors import UnknownSubstrate
    from inmateria.live.folders import folder_named, folder_source
    from inmateria.live.messages import Hello, Outputs, RunState, SweepState, encode_text

    folder = folder_named(named)
    if folder is None:
        raise UnknownSubstrate(
            f"{named!r} cannot be watched in a terminal",
            "allowed are a device (mqtt[s]://host/group/device, unix:///path), the folder of a run or a sweep, "
            "'latest', and the name of a task for its latest run",
            "a recording is shown by `inmateria watch FILE --web`",
        )
    from rich.live import Live

    from inmateria.cli.folder_screen import run_screen, sweep_screen

    console, shown, due = terminal(), 0, 0.0
    state: RunState | SweepState | None = None
    scores: list[float] = []
    metric = ""
    with Live(console=console, auto_refresh=False) if not json else nullcontext() as live:

        def show() -> None:
            if live is None:
                return
            if isinstance(state, RunState):
                live.update(run_screen(state, scores, metric, console.width, console.height - 1), refresh=True)
            elif state is not None:
                live.update(sweep_screen(state, console.width, console.height - 1), refresh=True)

        async with folder_source(folder) as source, aclosing(source.messages()) as messages:  # type: ignore[type-var]
            async for message in messages:
                if isinstance(message, Hello) and message.readout is not None:
                    metric = message.readout.metric
                elif isinstance(message, Outputs) and not message.again:
                    scores = [*scores, *(each for each in message.score if each is not None)][-1000:]
                elif isinstance(message, RunState | SweepState):
                    state = message
                if state is None or time.monotonic() < due:
                    continue
                due = time.monotonic() + every
                if json:
                    typer.echo(encode_text(state))
                    sys.stdout.flush()
                else:
                    show()
                shown += 1
                if shown == count:
                    return
        if json and state is not None:
            typer.echo(encode_text(state))
        else:
            show()


def _line(device: str, seen: "Observation") -> str:
    import msgspec

    status, recent = seen.status, seen.recent
    return msgspec.json.encode({
        "device": device.partition("?")[0],
        "state": status.state if status else "unknown",
        "holder": status.holder if status else "",
        "error": status.error if status else "",
        "responses": seen.responses,
        "steps": seen.steps,
        "spikes": seen.spikes,
        "spikes_by_output": seen.spikes_by_output.tolist(),
        "spike_rates": [None if math.isnan(each) else each for each in seen.spike_rates.tolist()],
        "rate": seen.rate,
        "round_trip": None if math.isnan(seen.round_trip) else seen.round_trip,
        "last": recent[-1].tolist() if len(recent) else None,
    }).decode()  # fmt: skip


def list_devices(broker: str, json: Json) -> None:
    """Print the devices that have announced themselves on a broker."""
    from inmateria.adapters.mqtt.operator.observer import find_devices
    from inmateria.adapters.uri import shown

    found = awaited(find_devices(broker))
    if json:
        from json import dumps

        typer.echo(dumps([
            {"uri": each.uri, "id": each.info.id, "kind": each.info.kind, "inputs": len(each.info.inputs),
             "outputs": len(each.info.outputs), "state": each.status.state, "holder": each.status.holder}
            for each in found
        ]))  # fmt: skip
        return
    from rich.table import Table
    from rich.text import Text

    if not found:
        typer.echo(
            f"no device has announced itself on {shown(broker).partition('?')[0]}, or the broker denies us their topics"
        )
        return
    table = Table(title=Text(f"Devices on {shown(broker).partition('?')[0]}"), title_justify="left", box=None)
    for heading in ("device", "kind", "inputs", "outputs", "state", "held by"):
        table.add_column(heading, overflow="fold")
    for each in found:
        info, status = each.info, each.status
        words = (each.uri, info.kind, str(len(info.inputs)), str(len(info.outputs)), status.state, status.holder)
        table.add_row(*map(plain, words))
    console = terminal()
    unlimited = console.options.update(max_width=10_000)
    console.width = max(console.width, console.measure(table, options=unlimited).maximum)  # an address stays whole
    console.print(table)
