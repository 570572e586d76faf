"""The summary of a run: what tells it from other runs, and how well the substrate did beside its controls."""

from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from inmateria.one_line import one_line
from inmateria.protocols.outcome import ExchangeStatistics, Score

__all__ = ["Gain", "RunSummary", "gain_of", "substrate_parameters", "uri_parameters"]


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
    """

    readout: str
    score: float
    score_sd: float
    control: str = ""
    control_score: float | None = None
    gain: float | None = None
    gain_sd: float | None = None

    __repr__ = one_line


def gain_of(scores: Sequence[Score]) -> Gain:
    """Compare the substrate's first score with the best control; see `Gain`."""
    main = next((score for score in scores if not score.control), scores[0])
    own = fmean(main.splits), pstdev(main.splits)
    controls = [score for score in scores if score.control]
    alike = [score for score in controls if score.readout == main.readout] or controls
    if not alike or main.control:
        return Gain(readout=main.readout, score=own[0], score_sd=own[1])
    best = max(alike, key=lambda score: fmean(score.splits))
    if len(best.splits) == len(main.splits):
        differences = [a - b for a, b in zip(main.splits, best.splits, strict=True)]
    else:
        differences = [own[0] - fmean(best.splits)]
    return Gain(
        readout=main.readout,
        score=own[0],
        score_sd=own[1],
        control=best.on,
        control_score=fmean(best.splits),
        gain=fmean(differences),
        gain_sd=pstdev(differences),
    )


class _Substrate(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a substrate's info that a summary has."""

    id: str
    kind: str
    parameters: dict[str, Any] = {}


class _Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The part of an outcome that a summary has."""

    scores: tuple[Score, ...]
    exchanges: ExchangeStatistics
    metric: str = "score"
    chance: float = 0.0
    chance_description: str = ""


class _Run(msgspec.Struct, frozen=True, kw_only=True):
    """The part of run.json from which a summary is made; everything else is skipped, not decoded."""

    task: str
    created: str
    on: str
    over: str
    settings: dict[str, Any]
    substrate: _Substrate
    outcome: _Outcome
    versions: dict[str, str]
    keep: str = "all"
    part: str = "test"
    seconds: float | None = None


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A run as one row of a table.

    Parameters
    ----------
    name : str
        Name of its folder.
    task, created, on, over, settings, versions, keep, part
        As in `inmateria.protocols.Run`.
    device, kind : str
        Id and kind of the substrate.
    parameters : dict
        The substrate's parameters: plain numbers and words, groups of them with a dot between, no lists.
    metric : str
        Name of the score.
    gain : Gain
        Score beside the best control.
    chance : float, optional
        Baseline; None if the task has none.
    scores : tuple of (str, str, float)
        Source, readout and mean over splits of every score.
    exchanges, steps : int
        Exchanges with the substrate, and steps in them.
    seconds : float, optional
        Duration of the run, s; None for runs of versions that did not note it.
    """

    name: str
    task: str
    created: str
    on: str
    over: str
    settings: dict[str, Any]
    device: str
    kind: str
    parameters: dict[str, Any]
    metric: str
    gain: Gain
    chance: float | None
    scores: tuple[tuple[str, str, float], ...]
    versions: dict[str, str]
    exchanges: int
    steps: int
    keep: str = "all"
    part: str = "test"
    seconds: float | None = None

    __repr__ = one_line


_DECODER = msgspec.json.Decoder(_Run)


def summary_of(name: str, run_json: bytes) -> RunSummary:
    """Make the summary of a run from the bytes of its run.json.

    Raises
    ------
    msgspec.DecodeError
        If these are not a run's.
    """
    run = _DECODER.decode(run_json)
    outcome = run.outcome
    return RunSummary(
        name=name,
        task=run.task,
        created=run.created,
        on=run.on,
        over=run.over,
        settings=run.settings,
        device=run.substrate.id,
        kind=run.substrate.kind,
        parameters=substrate_parameters(run.substrate.parameters),
        metric=outcome.metric,
        gain=gain_of(outcome.scores),
        chance=outcome.chance if outcome.chance_description else None,
        scores=tuple((score.on, score.readout, fmean(score.splits)) for score in outcome.scores),
        versions=run.versions,
        exchanges=outcome.exchanges.count,
        steps=outcome.exchanges.steps,
        keep=run.keep,
        part=run.part,
        seconds=run.seconds,
    )


def substrate_parameters(parameters: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the parameters that are plain numbers and words, those of groups with a dot between."""
    plain: dict[str, Any] = {}
    for name, value in parameters.items():
        if isinstance(value, dict):
            plain |= substrate_parameters(value, f"{prefix}{name}.")
        elif isinstance(value, str | int | float | bool):
            plain[f"{prefix}{name}"] = value
    return plain


def uri_parameters(uri: str) -> dict[str, str]:
    """Return the parameters in the query of a URI."""
    return dict(parse_qsl(urlsplit(uri).query, keep_blank_values=True))
