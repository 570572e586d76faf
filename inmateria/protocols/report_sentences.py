"""The sentences of a report: each a function of the run or of its recording, so that each can be held to it."""

from collections.abc import Sequence
from statistics import fmean, pstdev

from inmateria.adapters.uri import is_simulated
from inmateria.protocols.gains import gain_of
from inmateria.protocols.outcome import Outcome, Score
from inmateria.protocols.runs import Run, shown_on
from inmateria.recording import Recording

__all__ = [
    "data_sentence",
    "device_sentence",
    "has_gains",
    "kept_sentence",
    "len_of_splits",
    "no_recording_sentence",
    "plural",
    "shown_mean",
    "tiles",
    "title",
]

_MOST_TILES = 6
"""Readouts of the substrate that have a tile; all are in the table."""
_FEWEST_ROUND_TRIPS = 100
"""Round trips from which a 99th percentile is one."""


def plural(count: int, word: str) -> str:
    """Write a number with its word."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def title(run: Run) -> str:
    """Write the title: the task and the substrate."""
    others = run.substrates - 1
    more = f" and {plural(others, 'other')}" if others > 0 else ""
    return f"{run.outcome.title} on {run.substrate.id}{more}"


def device_sentence(run: Run) -> str:
    """Describe what the task ran on, and how it was reached."""
    info = run.substrate
    article = "an" if info.kind[:1].lower() in "aeio" else "a"
    channels = f"{plural(len(info.inputs), 'input')} and {plural(len(info.outputs), 'output')}"
    if run.substrates > 1:
        of = f"{run.substrates} substrates; the first, {info.id}, is {article} {info.kind} of {channels}. They were"
        return f"The task ran on {of} {_way(run)}."
    return f"The task ran on {info.id}, {article} {info.kind} of {channels}, {_way(run)}."


def _way(run: Run) -> str:
    """Describe how the substrate was reached."""
    if run.over == "remote":
        return f"remote, reached over MQTT: {shown_on(run)}"
    if run.over == "mqtt":
        own = "a process of its own" if run.substrates == 1 else "processes of their own"
        return f"reached over MQTT and served from {own}: {shown_on(run)}"
    scheme, mark, _ = run.on.partition("://")
    if scheme == "replay":
        return "replayed from a recording"
    if mark and not is_simulated(run.on):
        return f"reached through {'its' if run.substrates == 1 else 'their'} adapter, {scheme}://"
    return f"in the same process: {shown_on(run)}" if "?" in run.on else "in the same process"


def data_sentence(run: Run) -> str:
    """Describe the data that were learned and held out, the splits, and the round trips."""
    outcome = run.outcome
    said = []
    if run.part != "test":
        said.append("A run for choosing settings: its scores are of data that no reported run tests on.")
    if outcome.trained:
        first = f" in the first of {len_of_splits(outcome)} {outcome.repeated}" if len_of_splits(outcome) > 1 else ""
        said.append(f"{outcome.trained:,} {outcome.items} learned and {outcome.held_out:,} held out{first}.")
    said.append(outcome.splitting)
    trips = outcome.exchanges.round_trips
    if trips > 1:
        said.append(f"The round trip is that of {trips:,} exchanges of a single step, one at a time.")
    elif trips == 1:
        said.append("The round trip is that of one exchange of a single step.")
    return " ".join(filter(None, said))


def len_of_splits(outcome: Outcome) -> int:
    """Return the largest number of splits of a score."""
    return max(len(score.splits) for score in outcome.scores)


def kept_sentence(recording: Recording) -> str:
    """Describe what the recording holds, and what it does not."""
    said = []
    if recording.dropped:
        number = plural(recording.dropped, "exchange")
        said.append(f"{number} could not be recorded, because the disk was too slow; nothing here shows them.")
    if not recording.finished:
        said.append("The recording was not ended properly; what is shown is what of it is whole.")
    kept = recording.kept
    whole = "Of the others it" if recording.dropped else "The recording"
    if not kept:
        said.append(f"{whole} holds everything that was sent and measured.")
        return " ".join(said)
    each = f"{plural(kept['samples'], 'sample')} of each step, which the readouts read"
    if kept["others"] == "left out":
        said.append(f"{whole} holds what was sent, and {each}; others were left out.")
    else:
        said.append(
            f"{whole} holds everything that was sent and measured: exactly {each}; others rounded to "
            f"{kept['significant_bits']} binary digits."
        )
    return " ".join(said)


def no_recording_sentence(run: Run) -> str:
    """Describe why nothing that was measured is shown."""
    if run.keep == "nothing":
        return "Nothing that was measured was kept."
    return "The recording is no longer beside run.json: no figure here shows what was measured."


def tiles(run: Run) -> list[tuple[str, str, str, bool]]:
    """Return the figures of merit: name, value, a note, and whether it is the chief one; gain and control first."""
    outcome = run.outcome
    gain = gain_of(outcome.scores)
    found = []
    if has_gains(outcome) and gain.gain is not None and gain.control_score is not None:
        of = f"{gain.readout}: " if _several_readouts(outcome) else ""
        found.append(
            (f"{of}gain over the best control", _signed(gain.gain, gain.gain_sd), f"over {gain.control}", True)
        )
        control = next(score for score in outcome.scores if score.control and score.on == gain.control)
        found.append(
            (f"best control: {gain.control}", shown_mean(_same_readout(outcome, control, gain.readout)), "", False)
        )
    for score in [score for score in outcome.scores if not score.control][:_MOST_TILES]:
        mean = f"{len(score.splits)} {outcome.repeated}: {shown_mean(score)}" if len(score.splits) > 1 else ""
        name = score.readout if outcome.metric == "value" else f"{score.on}, {score.readout}: {_metric(outcome, score)}"
        found.append((name, _number(score.score), mean, False))
    found += [(name, value, "", False) for name, value in outcome.facts]
    exchanges = outcome.exchanges
    if exchanges.seconds > 0 and exchanges.count > 1:
        found.append(("exchanges a second", f"{exchanges.per_second:.3g}", f"{exchanges.count:,} exchanges", False))
    if exchanges.round_trips:
        found.append(("round trip, median", f"{1e3 * exchanges.round_trip_p50:.3g} ms", "", False))
    if exchanges.round_trips >= _FEWEST_ROUND_TRIPS:
        found.append(("round trip, 99th percentile", f"{1e3 * exchanges.round_trip_p99:.3g} ms", "", False))
    return found


def has_gains(outcome: Outcome) -> bool:
    """Return whether there are controls, and more is better: not of statistics, whose metric is ``"value"``."""
    return outcome.metric != "value" and any(score.control for score in outcome.scores)


def shown_mean(score: Score) -> str:
    """Write the mean of a score over its splits, with its standard deviation."""
    mean = _number(fmean(score.splits))
    return f"{mean} ± {pstdev(score.splits):.3f}" if len(score.splits) > 1 else mean


def _metric(outcome: Outcome, score: Score) -> str:
    return score.metric or outcome.metric


def _several_readouts(outcome: Outcome) -> bool:
    return len({score.readout for score in outcome.scores if not score.control}) > 1


def _same_readout(outcome: Outcome, control: Score, readout: str) -> Score:
    """Return the row of a control with a readout, if it has one."""
    rows: Sequence[Score] = [score for score in outcome.scores if score.control and score.on == control.on]
    return next((score for score in rows if score.readout == readout), control)


def _number(value: float) -> str:
    return f"{value:.3f}"


def _signed(gain: float, spread: float | None) -> str:
    return f"{gain:+.3f}" + (f" ± {spread:.3f}" if spread else "")
