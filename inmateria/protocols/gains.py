"""Does the matter help? The substrate's score minus that of its best control, and what that says in a sentence."""

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, pstdev

import msgspec

from inmateria.one_line import one_line
from inmateria.protocols.outcome import Outcome, Score

__all__ = ["Gain", "gain_of", "gains_of", "missing_controls", "shown_gain", "verdict"]

_MOST_SAID = 4
"""Readouts that a verdict names one by one."""
_ALL = ("", "linear", "memoryless", "memory", "digital")
_SIMPLE = _ALL[:-1]
_WITHOUT_MEMORY = ("linear", "memoryless")
"""Kinds of controls; those of a task's own have none."""


class Gain(msgspec.Struct, frozen=True, kw_only=True):
    """Score of the substrate beside the best of its controls.

    Parameters
    ----------
    readout : str
        Readout of the first row of scores, which is the task's main one.
    score, score_sd : float
        Mean over splits of the substrate's score with that readout, and its standard deviation.
    control : str
        The control with the best mean, of the same readout if there is one; empty if the task has none.
    control_score : float, optional
        Its mean over splits.
    gain, gain_sd : float, optional
        Mean over splits of the difference, split by split, and its standard deviation.
    simple_control : str
        The best of the controls that lack memory, nonlinearity or both.
    simple_control_score, simple_gain, simple_gain_sd : float, optional
        The same for that control.
    """

    readout: str
    score: float
    score_sd: float
    control: str = ""
    control_score: float | None = None
    gain: float | None = None
    gain_sd: float | None = None
    simple_control: str = ""
    simple_control_score: float | None = None
    simple_gain: float | None = None
    simple_gain_sd: float | None = None

    __repr__ = one_line


def gain_of(scores: Sequence[Score]) -> Gain:
    """Compare the substrate's first score with the best control; see `Gain`."""
    main = next((score for score in scores if not score.control), scores[0])
    return _gain(main, scores)


def gains_of(scores: Sequence[Score]) -> tuple[Gain, ...]:
    """Compare each of the substrate's scores with the best control of the same readout."""
    return tuple(_gain(score, scores) for score in scores if not score.control)


def _gain(main: Score, scores: Sequence[Score]) -> Gain:
    own = fmean(main.splits), pstdev(main.splits)
    controls = [score for score in scores if score.control]
    alike = [score for score in controls if score.readout == main.readout] or controls
    if not alike or main.control:
        return Gain(readout=main.readout, score=own[0], score_sd=own[1])
    best = max(alike, key=lambda score: fmean(score.splits))
    mean, spread = _difference(main, best)
    gain = Gain(
        readout=main.readout,
        score=own[0],
        score_sd=own[1],
        control=best.on,
        control_score=fmean(best.splits),
        gain=mean,
        gain_sd=spread,
    )
    plain = [score for score in alike if score.kind != "digital"]
    if not plain:
        return gain
    simple = max(plain, key=lambda score: fmean(score.splits))
    mean, spread = _difference(main, simple)
    return msgspec.structs.replace(
        gain,
        simple_control=simple.on,
        simple_control_score=fmean(simple.splits),
        simple_gain=mean,
        simple_gain_sd=spread,
    )


def _difference(main: Score, control: Score) -> tuple[float, float]:
    """Return mean and standard deviation of the difference, split by split."""
    if len(control.splits) == len(main.splits):
        differences = [a - b for a, b in zip(main.splits, control.splits, strict=True)]
    else:
        differences = [fmean(main.splits) - fmean(control.splits)]
    return fmean(differences), pstdev(differences)


def missing_controls(outcome: Outcome) -> tuple[str, ...]:
    """Return the kinds of controls of every readout of matter that an outcome lacks."""
    kinds = {score.kind for score in outcome.scores if score.control}
    return tuple(kind for kind in ("linear", "memoryless") if kind not in kinds)


def verdict(outcome: Outcome, *, own_controls: bool = False) -> str:
    """Say whether the matter helped, in a sentence for each readout of the substrate; of many, for the first.

    A difference counts if it is more than twice its standard error: over splits, or of two fractions of the held-out
    items if there is one split of an accuracy.

    Parameters
    ----------
    outcome : Outcome
    own_controls : bool
        Whether its controls are not those of every task, and none is said to be lacking.
    """
    gains = [gain for gain in gains_of(outcome.scores) if gain.gain is not None]
    if not gains:
        return "There is no control beside these scores: they do not say whether the matter helped."
    if len(gains) > _MOST_SAID:
        sentences = _of_many(gains, outcome)
    else:
        sentences = [_sentence(gain, outcome, named=len(gains) > 1) for gain in gains]
    if not own_controls and (missing := missing_controls(outcome)):
        sentences.append(f"It lacks controls that could win: {' and '.join(missing)}.")
    return " ".join(sentences)


def _of_many(gains: Sequence[Gain], outcome: Outcome) -> list[str]:
    helped = [gain.readout for gain in gains if _better_than(gain, outcome, _ALL)]
    beyond = [gain.readout for gain in gains if gain.readout not in helped and _better_than(gain, outcome, _SIMPLE)]
    of = f"of {len(gains)} readouts"
    sentences = [f"The matter helped on {len(helped)} {of}{': ' if helped else ''}{'; '.join(helped)}."]
    if beyond:
        sentences.append(
            f"On {len(beyond)} it helped beyond controls without memory or without nonlinearity, not beyond those of a "
            f"computer that has both: {'; '.join(beyond)}."
        )
    return sentences


def _sentence(gain: Gain, outcome: Outcome, *, named: bool) -> str:
    begin = f"{gain.readout}: the" if named else "The"
    best = _best(gain, outcome, _ALL)
    assert best is not None
    if _better_than(gain, outcome, _ALL):
        return f"{begin} matter helped: {best} is the best control."
    if _better_than(gain, outcome, _SIMPLE):
        return (
            f"{begin} matter helped beyond controls without memory or without nonlinearity "
            f"({_best(gain, outcome, _SIMPLE)}), not beyond those of a computer that has both: {best}."
        )
    if _better_than(gain, outcome, _WITHOUT_MEMORY):
        return (
            f"{begin} matter has memory ({_best(gain, outcome, _WITHOUT_MEMORY)}), and helped no more than a "
            f"computer's: {best}."
        )
    return f"{begin} matter did not help: {best} without it."


def _best(gain: Gain, outcome: Outcome, kinds: tuple[str, ...]) -> str | None:
    """Return the gain over the best control of some kinds in words; None if there is none."""
    found = _best_control(gain, outcome, kinds)
    if found is None:
        return None
    main, control = found
    return f"{_signed(*_difference(main, control))} over {control.on}, {fmean(control.splits):.3f}"


def _best_control(gain: Gain, outcome: Outcome, kinds: tuple[str, ...]) -> tuple[Score, Score] | None:
    """Return the substrate's score and that of its best control of some kinds."""
    main = next(score for score in outcome.scores if not score.control and score.readout == gain.readout)
    controls = [score for score in outcome.scores if score.control]
    alike = [score for score in controls if score.readout == main.readout] or controls
    allowed = [score for score in alike if score.kind in kinds]
    return (main, max(allowed, key=lambda score: fmean(score.splits))) if allowed else None


def _better_than(gain: Gain, outcome: Outcome, kinds: tuple[str, ...]) -> bool:
    found = _best_control(gain, outcome, kinds)
    return found is not None and _is_more(*found, outcome)


def _is_more(main: Score, control: Score, outcome: Outcome) -> bool:
    gain, spread = _difference(main, control)
    if len(main.splits) > 1 and len(control.splits) == len(main.splits):
        return gain > 2.0 * spread / sqrt(len(main.splits) - 1)
    if outcome.metric == "accuracy" and outcome.held_out:
        fractions = fmean(main.splits), fmean(control.splits)
        return gain > 2.0 * sqrt(sum(max(p * (1.0 - p), 0.0) for p in fractions) / outcome.held_out)
    return gain > 0


def shown_gain(gain: Gain) -> str:
    """Write a gain with its sign and spread; nothing if there is none."""
    return "" if gain.gain is None else _signed(gain.gain, gain.gain_sd)


def _signed(gain: float, spread: float | None) -> str:
    return f"{gain:+.3f}" + (f" ± {spread:.3f}" if spread else "")
