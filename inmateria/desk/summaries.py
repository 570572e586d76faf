"""The summary of a run: what tells it from other runs, and how well the substrate did beside its controls."""

from statistics import fmean
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from inmateria.one_line import one_line
from inmateria.protocols.costs import Cost
from inmateria.protocols.gains import Gain, gain_of
from inmateria.protocols.outcome import ExchangeStatistics, Score

__all__ = ["RunSummary", "substrate_parameters", "uri_parameters"]


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
    cost: Cost | None = None


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
    cost : Cost, optional
        Stimuli, time and energy that it cost the device; None likewise.
    noisy : float, optional
        The substrate's main score with 1 % noise of reading, mean over splits; None without.
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
    cost: Cost | None = None
    noisy: float | None = None

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
        cost=run.cost,
        noisy=next((fmean(score.noisy) for score in outcome.scores if score.noisy), None),
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
