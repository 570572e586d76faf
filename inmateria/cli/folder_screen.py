"""The screen of `inmateria watch FOLDER`: how far a run or a sweep is, and its scores so far."""

from typing import TYPE_CHECKING, Any

from inmateria.cli.terminal_output import plain
from inmateria.cli.watch_screen import sparkline

if TYPE_CHECKING:
    from rich.console import Group

    from inmateria.live.messages import RunState, SweepState

__all__ = ["run_screen", "sweep_screen"]

_COLOURS = {"running": "green", "finished": "green", "failed": "red", "died": "red"}


def run_screen(state: "RunState", scores: list[float], metric: str, width: int, height: int) -> "Group":
    """Return what is shown of a run, within so many columns and lines.

    Parameters
    ----------
    state : RunState
    scores : list of float
        The running score so far.
    metric : str
        Its name; empty if there is none.
    width, height : int
    """
    from rich.console import Console, Group
    from rich.text import Text

    title = f"{state.task}: {state.title}" if state.title else state.task
    lines: list[Any] = [_title(title or "a run", state.state)]
    lines.append(Text(plain(f"on {state.on}; for {_duration(state.seconds)}" if state.on else ""), "dim"))
    if state.error:
        lines.append(Text(plain(state.error), "red"))
    if metric and scores:
        lines.append(Text.assemble((f"{metric}: {scores[-1]:.3g}  ", "bold"), sparkline(scores[-(width // 3) :])))
    lines += [Text(f"{plain(each.name)}: {each.value:.3g} (after {each.done:,})") for each in state.own]
    if state.reading:
        lines.append(Text(plain(state.reading), "dim"))
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    room = height - len(lines)
    if state.verdict:
        said = Text(plain(state.verdict), "bold")
        lines.append(said)
        room -= len(said.wrap(Console(width=width), width))
    if state.scores and room > 2:
        table = _table(["from", "readout", "score", "±"], 2)
        for score in state.scores[: room - 2]:
            spread = "" if score.spread is None else f"{score.spread:.3f}"
            table.add_row(
                plain(score.on), plain(score.readout), f"{score.score:.3f}", spread,
                style=None if score.control else "bold",
            )  # fmt: skip
        left_out = len(state.scores) - (room - 2)
        more = [Text(f"{left_out} more controls are not shown", "dim")] if left_out > 0 else []
        return Group(*lines, table, *more)
    return Group(*lines, *(_bar(each.name, each.done, each.of, width) for each in state.stages[-max(1, room) :]))


def sweep_screen(state: "SweepState", width: int, height: int) -> "Group":
    """Return what is shown of a sweep or a search, within so many columns and lines."""
    from rich.console import Group
    from rich.text import Text

    lines: list[Any] = [_title(f"{state.what} of {state.task}", state.state)]
    words = (
        f"{state.done:,} done, {state.running} running, {state.failed} failed, {state.left:,} left; "
        f"for {_duration(state.seconds)}"
    )
    if state.remaining is not None:
        words += f", {_duration(state.remaining)} left"
    lines.append(Text(words))
    if state.error:
        lines.append(Text(plain(state.error), "red"))
    for worker in state.workers[:8]:
        stage = f"{worker.stage.name} {worker.stage.done:,}/{worker.stage.of:,}" if worker.stage else "starting"
        gone = "" if worker.lives else " (gone)"
        lines.append(Text(plain(f"{worker.name}{gone}: {worker.label}; {stage}"), "dim"))
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    bar = _bar("over", state.done + state.failed, state.of, width)
    room = height - len(lines) - 4  # the bar, the heading of the table, its rule, and what is left out
    if not state.rows or room < 1:
        return Group(lines[0], bar, *lines[1:])
    table = _table([*map(plain, state.columns), "score", "gain", "state"], len(state.columns))
    for row in state.rows[:room]:
        score, gain = ("" if each is None else f"{each:.3f}" for each in (row.score, row.gain))
        table.add_row(*map(plain, row.values), score, gain, plain(row.error or row.state))
    left = len(state.rows) + state.rows_left_out - room
    more = [Text(f"{left:,} more points are not shown", "dim")] if left > 0 else []
    return Group(lines[0], bar, *lines[1:], Text(plain(state.metric), "dim"), table, *more)


def _title(words: str, state: str) -> Any:
    from rich.text import Text

    return Text.assemble((plain(words), "bold"), "  ", (plain(state), _COLOURS.get(state, "yellow")))


def _table(headings: list[str], numbers_from: int) -> Any:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for place, heading in enumerate(headings):
        right = numbers_from <= place < numbers_from + 2
        table.add_column(heading, justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
    return table


def _bar(name: str, done: int, of: int, width: int) -> Any:
    from rich.columns import Columns
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    long = max(10, min(40, width - 40))
    return Columns([Text(f"{plain(name):<16.16}"), ProgressBar(max(1, of), done, width=long), f"{done:,}/{of:,}"])


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
