"""`inmateria watch`, and `inmateria list BROKER`: devices observed without a lease."""

import math
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from inmateria.cli.application import Json, app, awaited, plain, terminal

if TYPE_CHECKING:
    from rich.table import Table

    from inmateria.adapters.mqtt.operator.observer import Observation

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 48
_MOST_CHANNELS = 32


@app.command()
def watch(
    device: Annotated[str, typer.Argument(help="A device: mqtt[s]://host/group/device.")],
    every: Annotated[float, typer.Option(help="Seconds between two updates.", min=0.05)] = 0.25,
    count: Annotated[int, typer.Option(help="Updates to show; 0 goes on until Ctrl-C.", min=0)] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each update.")] = False,
) -> None:
    """Watch a device live: its state, its controller, rate, round trip and signals. It needs no lease."""
    awaited(_watch(device, every, count, json))


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

        number = 0
        with Live(console=terminal(), auto_refresh=False) as live:
            async for seen in looks:
                live.update(_picture(device, seen), refresh=True)
                number += 1
                if number == count:
                    return


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
        "rate": seen.rate,
        "round_trip": None if math.isnan(seen.round_trip) else seen.round_trip,
        "last": recent[-1].tolist() if len(recent) else None,
    }).decode()  # fmt: skip


def _picture(device: str, seen: "Observation") -> "Table":
    """Make a table: a line on the device, and one for each output."""
    from rich.table import Table
    from rich.text import Text

    status = seen.status
    state = status.state if status else "not announced"
    colour = {"online": "green", "stopped": "yellow", "in fault": "red"}.get(state, "dim")
    kind = plain(seen.info.kind) if seen.info else ""
    title = Text.assemble((device.partition("?")[0], "bold"), f"  {kind}  ", (plain(state), colour))
    if status and status.error:
        title.append(f"  {plain(status.error)}", "red")
    trip = "" if math.isnan(seen.round_trip) else f"   round trip {1e3 * seen.round_trip:.2f} ms"
    holder = f"held by {plain(status.holder)}" if status and status.holder else "no session holds it"
    caption = f"{holder}   {seen.rate:.0f} responses/s{trip}   {seen.responses:,} responses, {seen.spikes:,} spikes"
    if status is None and seen.info is None:
        caption = f"waited {seen.watched:.0f} s for it to announce itself; it is not there, or its topics are denied"
    table = Table(title=title, caption=Text(caption, "dim"), title_justify="left", caption_justify="left", box=None)
    table.add_column("output")
    table.add_column(f"the last {_WIDTH} samples", no_wrap=True)
    for heading in ("low", "high", "last", "unit"):
        table.add_column(heading, justify="right" if heading != "unit" else "left")
    channels, recent = (seen.info.outputs if seen.info else ()), seen.recent
    for column, channel in enumerate(channels[:_MOST_CHANNELS]):
        values = recent[-_WIDTH:, column].tolist() if column < recent.shape[1] else []
        finite = [value for value in values if math.isfinite(value)]
        ends = [f"{each:.4g}" for each in (min(finite), max(finite), values[-1])] if finite else ["", "", ""]
        table.add_row(plain(channel.name), sparkline(values), *ends, channel.unit)
    if len(channels) > _MOST_CHANNELS:
        table.add_row(f"and {len(channels) - _MOST_CHANNELS} more", "", "", "", "", "")
    return table


def sparkline(values: list[float]) -> str:
    """Draw values as a row of bars between their lowest and highest; NaN is a space."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((value - low) * scale)] if math.isfinite(value) else " " for value in values)


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
