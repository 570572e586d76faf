"""The screen of `inmateria watch`: a device's state, all of its outputs in a few lines, and some of them in a table."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from inmateria.cli.terminal_output import plain

if TYPE_CHECKING:
    from rich.console import Group

    from inmateria.adapters.mqtt.operator.observer import Observation

__all__ = ["sparkline", "watch_screen"]

_BARS = "▁▂▃▄▅▆▇█"
_STRIP_LINES = 4
_NUMBER = 10
_WIDEST = 48


def watch_screen(device: str, seen: "Observation", width: int, height: int) -> "Group":
    """Return what is shown of a device, within so many columns and lines.

    Outputs that spike have their counts and rates, the most active first where there is no room for all; others the
    last samples of their signal. Where not all have a line of their own, each is a mark in the lines above the table:
    its rate, or the range of its last samples.
    """
    from rich.console import Group
    from rich.text import Text

    status = seen.status
    state = status.state if status else "not announced"
    colour = {"online": "green", "stopped": "yellow", "in fault": "red"}.get(state, "dim")
    title = Text.assemble((plain(device.partition("?")[0]), "bold"), f"  {_kind(seen)}  ", (plain(state), colour))
    trip = "" if math.isnan(seen.round_trip) else f"   round trip {1e3 * seen.round_trip:.2f} ms"
    holder = f"held by {plain(status.holder)}" if status and status.holder else "no session holds it"
    lines = [title]
    if status and status.error:
        lines.append(Text(plain(status.error), "red"))
    lines.append(Text(f"{seen.rate:.0f} responses/s{trip}   {holder}", "dim"))
    spiking = bool(seen.info and seen.info.spiking)
    counts = f"{seen.responses:,} responses, " + (f"{seen.spikes:,} spikes" if spiking else f"{seen.steps:,} steps")
    if np.isfinite(rates := seen.spike_rates).any():
        counts += f"   {rates.sum():,.1f} spikes/s, {np.count_nonzero(rates)} of {len(rates)} outputs active"
    lines.append(Text(counts, "dim"))
    if status is None and seen.info is None:
        waited = f"waited {seen.watched:.0f} s for it to announce itself; it is not there, or its topics are denied"
        lines[-2:] = [Text(waited, "dim")]
        return Group(*lines)
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Group(*lines, *_outputs(seen, width, height - len(lines)))


def _kind(seen: "Observation") -> str:
    return plain(seen.info.kind) if seen.info else ""


def _outputs(seen: "Observation", width: int, lines: int) -> list[Any]:
    """Return the outputs, in so many lines."""
    outputs = seen.info.outputs if seen.info else ()
    if not outputs or lines < 2:
        return []
    spiking = seen.info is not None and seen.info.spiking
    measure = _by_rate(seen) if spiking else _by_range(seen)
    if len(outputs) + 1 <= lines:
        return [_table(seen, np.arange(len(outputs)), width, spiking)]
    strip = _strip(measure, spiking, width)
    room = lines - len(strip) - 2  # the head of the table, and the line on what it leaves out
    if room < 1:
        return strip[:lines]
    if spiking:
        chosen = np.argsort(-np.nan_to_num(measure), kind="stable")[:room]
        which = f"the {len(chosen)} most active of {len(outputs)}"
    else:
        chosen = np.arange(room)
        which = f"the first {len(chosen)} of {len(outputs)}"
    from rich.text import Text

    return [*strip, _table(seen, chosen, width, spiking), Text(which, "dim")]


def _by_rate(seen: "Observation") -> Any:
    return seen.spike_rates if len(seen.spike_rates) else np.full(len(seen.info.outputs if seen.info else ()), np.nan)


def _by_range(seen: "Observation") -> Any:
    """Return the range of each output's last samples."""
    recent, outputs = seen.recent, len(seen.info.outputs) if seen.info else 0
    if recent.shape[1] != outputs or not len(recent):
        return np.full(outputs, np.nan)
    known = np.isfinite(recent).any(axis=0)
    ranges = np.full(outputs, np.nan)
    ranges[known] = np.nanmax(recent[:, known], axis=0) - np.nanmin(recent[:, known], axis=0)
    return ranges


def _strip(measure: Any, spiking: bool, width: int) -> list[Any]:
    """Return a mark for each output, or for a few of them the largest, in at most four lines under a heading."""
    from rich.text import Text

    a_line = max(8, min(64, width - 8))
    group = -(-len(measure) // (a_line * _STRIP_LINES))
    padded = np.full(-(-len(measure) // group) * group, -np.inf)
    padded[: len(measure)] = np.where(np.isfinite(measure), measure, -np.inf)
    marks = padded.reshape(-1, group).max(axis=1)
    marks[np.isinf(marks)] = np.nan
    top = float(np.nanmax(marks)) if np.isfinite(marks).any() else 0.0
    of = "spikes/s" if spiking else "range of the last samples"
    what = "each output" if group == 1 else f"the largest of {group} outputs in a row"
    lines = [Text(f"{of}: a mark for {what}, 0 to {top:.3g}", "dim")]
    lines[0].truncate(width, overflow="ellipsis")
    for begin in range(0, len(marks), a_line):
        bars = sparkline([0.0, *marks[begin : begin + a_line].tolist(), top])[1:-1]
        lines.append(Text.assemble((f"{begin * group:>5}  ", "dim"), bars))
    return lines


def _table(seen: "Observation", chosen: Any, width: int, spiking: bool) -> Any:
    """Return a table with a line for each chosen output."""
    from rich.table import Table

    assert seen.info is not None
    signal = seen.info.sampling_rate is not None
    headings = [*(["spikes", "spikes/s"] if spiking else ["low", "high"]), *(["last", "unit"] if signal else [])]
    channels = [seen.info.outputs[each] for each in chosen]
    name = max(6, min(14, max((len(plain(channel.name)) for channel in channels), default=6)))
    history = max(4, min(_WIDEST, width - name - (_NUMBER + 1) * len(headings) - 2))
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("output", width=name, no_wrap=True, overflow="ellipsis")
    table.add_column("responses" if spiking else "last samples", width=history, no_wrap=True, overflow="crop")
    for heading in headings:
        table.add_column(
            heading, width=_NUMBER, justify="left" if heading == "unit" else "right", no_wrap=True, overflow="ellipsis"
        )
    recent = seen.recent
    history_of, total = (seen.recent_rates, seen.spike_rates) if spiking else (recent, np.zeros(0))
    for column, channel in zip(chosen.tolist(), channels, strict=True):
        values = history_of[-history:, column].tolist() if column < history_of.shape[1] else []
        if spiking:
            count = f"{seen.spikes_by_output[column]:,}" if column < len(seen.spikes_by_output) else ""
            rate = f"{total[column]:.2f}" if column < len(total) and math.isfinite(total[column]) else ""
            cells, drawn = [count, rate], sparkline([0.0, *values])[1:]
        else:
            finite = [value for value in values if math.isfinite(value)]
            cells = [f"{min(finite):.4g}", f"{max(finite):.4g}"] if finite else ["", ""]
            drawn = sparkline(values)
        if signal:
            last = float(recent[-1, column]) if column < recent.shape[1] else float("nan")
            cells += [f"{last:.4g}" if math.isfinite(last) else "", plain(channel.unit)]
        table.add_row(plain(channel.name), drawn, *cells)
    return table


def sparkline(values: list[float]) -> str:
    """Draw values as a row of bars between their lowest and highest; NaN is a space."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((value - low) * scale)] if math.isfinite(value) else " " for value in values)
