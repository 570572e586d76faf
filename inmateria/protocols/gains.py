"""Does the matter help? The substrate's score minus that of its best control, and what that says in a sentence."""

from collections.abc import Sequence
from math import isfinite, sqrt
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
    gain = Gain(readout=main.readout, score=fmean(main.splits), score_sd=pstdev(main.splits))
    best, simple = (None if main.control else _best_control(main, scores, kinds) for kinds in (_ALL, _SIMPLE))
    if best is not None:
        mean, spread = _difference(main, best)
        gain = msgspec.structs.replace(
            gain, control=best.on, control_score=fmean(best.splits), gain=mean, gain_sd=spread
        )
    if simple is not None:
        mean, spread = _difference(main, simple)
        gain = msgspec.structs.replace(
            gain,
            simple_control=simple.on,
            simple_control_score=fmean(simple.splits),
            simple_gain=mean,
            simple_gain_sd=spread,
        )
    return gain


def _best_control(main: Score, scores: Sequence[Score], kinds: tuple[str, ...]) -> Score | None:
    """Return the best control of some kinds, of the same readout if there is one; None if there is none.

    A control whose score is not finite has failed, and is none.
    """
    controls = [score for score in scores if score.control and isfinite(fmean(score.splits))]
    alike = [score for score in controls if score.readout == main.readout] or controls
    allowed = [score for score in alike if score.kind in kinds]
    return max(allowed, key=lambda score: fmean(score.splits)) if allowed else None


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
    """Say whether the matter helped, in a sentence for each readout of the substrate; of many, on how many.

    A difference counts if it is more than twice its standard error: over splits, or of two fractions of the held-out
    items if there is one split of an accuracy.

    Parameters
    ----------
    outcome : Outcome
    own_controls : bool
        Whether its controls are not those of every task, and none is said to be lacking.
    """
    scored = [score for score in outcome.scores if not score.control]
    mains = [main for main in scored if _best_control(main, outcome.scores, _ALL) is not None]
    if not mains:
        return "There is no control beside these scores: they do not say whether the matter helped."
    if len(mains) > _MOST_SAID:
        sentences = _of_many(mains, outcome)
    else:
        sentences = [_sentence(main, outcome, named=len(mains) > 1) for main in mains]
    if not own_controls and (missing := missing_controls(outcome)):
        sentences.append(f"It lacks controls that could win: {' and '.join(missing)}.")
    if failed := dict.fromkeys(
        score.on for score in outcome.scores if score.control and not isfinite(fmean(score.splits))
    ):
        sentences.append(f"Controls without a finite score, which are left out: {', '.join(failed)}.")
    return " ".join(sentences)


def _of_many(mains: Sequence[Score], outcome: Outcome) -> list[str]:
    helped = [main.readout for main in mains if _better_than(main, outcome, _ALL)]
    beyond = [main.readout for main in mains if main.readout not in helped and _better_than(main, outcome, _SIMPLE)]
    of = f"of {len(mains)} readouts"
    sentences = [f"The matter helped on {len(helped)} {of}{': ' if helped else ''}{'; '.join(helped)}."]
    if beyond:
        sentences.append(
            f"On {len(beyond)} it helped beyond controls without memory or without nonlinearity, not beyond those of a "
            f"computer that has both: {'; '.join(beyond)}."
        )
    return sentences


def _sentence(main: Score, outcome: Outcome, *, named: bool) -> str:
    begin = f"{main.readout}: the" if named else "The"
    if not isfinite(fmean(main.splits)):
        return f"{begin} score of the matter is not finite: it does not say whether the matter helped."
    best = _over_best(main, outcome, _ALL)
    if _better_than(main, outcome, _ALL):
        return f"{begin} matter helped: {best} is the best control."
    if _better_than(main, outcome, _SIMPLE):
        return (
            f"{begin} matter helped beyond controls without memory or without nonlinearity "
            f"({_over_best(main, outcome, _SIMPLE)}), not beyond those of a computer that has both: {best}."
        )
    if _better_than(main, outcome, _WITHOUT_MEMORY):
        return (
            f"{begin} matter has memory ({_over_best(main, outcome, _WITHOUT_MEMORY)}), and helped no more than a "
            f"computer's: {best}."
        )
    return f"{begin} matter did not help: {best} without it."


def _over_best(main: Score, outcome: Outcome, kinds: tuple[str, ...]) -> str:
    """Return the gain over the best control of some kinds in words."""
    control = _best_control(main, outcome.scores, kinds)
    return (
        ""
        if control is None
        else f"{_signed(*_difference(main, control))} over {control.on}, {fmean(control.splits):.3f}"
    )


def _better_than(main: Score, outcome: Outcome, kinds: tuple[str, ...]) -> bool:
    control = _best_control(main, outcome.scores, kinds)
    return control is not None and _is_more(main, control, outcome)


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
