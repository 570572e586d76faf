"""Living neurons as a reservoir: counts of their spikes, read by a linear readout, on four tasks.

- ``henon``: the next value of the chaotic Henon map, and ``japanese-vowels``: who of nine speakers said it,
  the two tasks of Cai et al., Nature Electronics 6, 1032 (2023).
- ``patterns``: which bar or which place was stimulated, through noise.
- ``timer``: which of two places was stimulated and how long ago, from what still goes on: the memory of
  several 100 ms that Sumi et al., PNAS 120, e2217008120 (2023), measured.

Beside each stands the same readout on the pulses themselves, without neurons, and chance.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from msgspec import Meta
from sklearn.datasets import fetch_openml
from sklearn.model_selection import StratifiedKFold

from inmateria.protocols.runs import Curves, ExchangeStatistics, Outcome, Score, weights_by_output
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.protocols.tasks.pulsed import (
    Encoding,
    PulsedSettings,
    binned,
    checked_positions,
    given_values,
    places_of,
    prepare,
    sort_of,
)
from inmateria.protocols.trials import FOLDS, Folds, present_trials, score_classification, score_regression
from inmateria.reservoir import PhysicalReservoir, PulseAmplitude, henon
from inmateria.reservoir.spike_features import spike_counts
from inmateria.substrate import FloatArray, Substrate, SubstrateInfo

Labels = npt.NDArray[np.intp]

_SHOWN = 100
_FOLDS_ARE = f"{FOLDS} stratified folds of the trials, drawn with the seed."


class HenonSettings(PulsedSettings, frozen=True, kw_only=True):
    """What can be set of ``henon``, beside what all have.

    Parameters
    ----------
    encoding : {"place", "auto", "amplitude", "rate", "latency"}
        As of all, but place by default.
    values : int
        Of the map, one after another.
    interval : float
        Seconds from one value to the next.
    bins : int
        Equal parts of that in which spikes are counted apart.
    electrodes : int
        Half of them are driven by the value, half by what it lacks to the largest; where the place says the value,
        all are used.
    """

    encoding: Encoding = "place"
    values: Annotated[int, Meta(ge=200)] = 1500
    interval: Annotated[float, Meta(gt=0.0)] = 0.1
    bins: Annotated[int, Meta(ge=1)] = 5
    electrodes: Annotated[int, Meta(ge=2)] = 16


class VowelSettings(PulsedSettings, frozen=True, kw_only=True):
    """What can be set of ``japanese-vowels``, beside what all have.

    Parameters
    ----------
    encoding, width
        As of all, but place by default, on two electrodes.
    interval : float
        Seconds from one part of an utterance to the next.
    coefficients : int
        How many of the 12 that each frame has are given, the first ones.
    segments : int
        Equal parts of each utterance, whose means are given one after another and read apart.
    bins : int
        Equal parts of each interval in which spikes are counted apart.
    """

    encoding: Encoding = "place"
    width: Annotated[int, Meta(ge=1)] = 2
    interval: Annotated[float, Meta(gt=0.0)] = 0.1
    coefficients: Annotated[int, Meta(ge=1, le=12)] = 12
    segments: Annotated[int, Meta(ge=1, le=7)] = 3
    bins: Annotated[int, Meta(ge=1)] = 2


class PatternSettings(PulsedSettings, frozen=True, kw_only=True):
    """What can be set of ``patterns``, beside what all have.

    Parameters
    ----------
    kind : {"bars", "positions"}
        Rows and columns of electrodes, or single ones.
    classes : int
        How many different ones.
    trials : int
        In all.
    missing, stray : float
        Probability that a pulse of the pattern is left out, and that another electrode is stimulated.
    duration : float
        Seconds after the pulses in which spikes are counted.
    bins : int
        Equal parts of that, as many as there are steps at most.
    """

    kind: Literal["bars", "positions"] = "bars"
    classes: Annotated[int, Meta(ge=2, le=32)] = 8
    trials: Annotated[int, Meta(ge=50)] = 400
    missing: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.3
    stray: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.1
    duration: Annotated[float, Meta(gt=0.0)] = 0.05
    bins: Annotated[int, Meta(ge=1)] = 5


class TimerSettings(PulsedSettings, frozen=True, kw_only=True):
    """What can be set of ``timer``, beside what all have.

    Parameters
    ----------
    trials : int
        In all, half at each of two places.
    electrodes : int
        At each place.
    duration : float
        How long after the pulses it is asked, s.
    bin : float
        Window in which spikes are counted, s; a step where that is longer.
    """

    trials: Annotated[int, Meta(ge=50)] = 300
    electrodes: Annotated[int, Meta(ge=1)] = 6
    duration: Annotated[float, Meta(gt=0.0)] = 1.0
    bin: Annotated[float, Meta(gt=0.0)] = 0.05


async def forecast_henon(substrate: Substrate, settings: HenonSettings, on_progress: ProgressCallback) -> Outcome:
    """Drive with the Henon map, value after value, and read the next one out."""
    series = henon(settings.values + 1)[:, 0]
    u = (series - series.min()) / np.ptp(series)
    reservoir = PhysicalReservoir(substrate, step=settings.step)
    async with reservoir:
        positions, outputs = prepare(reservoir, settings, settings.interval), len(reservoir.info.outputs)
        by_place = sort_of(settings.encoding, reservoir.info) == "place"
        each = 1 if by_place else settings.electrodes // 2
        values = np.repeat(np.column_stack([u] if by_place else [u, 1.0 - u])[:-1], each, axis=1)
        pieces = [values[begin : begin + _SHOWN] for begin in range(0, len(values), _SHOWN)]
        rows, exchanges = await present_trials(reservoir, pieces, settings.round_trips, on_progress)
        pulses, names = given_values(reservoir, values), [channel.name for channel in reservoir.info.outputs]
    read_from = binned(np.concatenate(rows), settings, positions, settings.bins, outputs)
    feature_sets = {"substrate": read_from, "pulses alone": pulses, "values alone": u[:-1, np.newaxis]}
    target = 2.0 * u[1:] - 1.0
    scores, predicted, coef = score_regression(feature_sets, target, "next value")
    shown = min(_SHOWN, len(predicted["substrate"]))
    beginning = len(target) - len(predicted["substrate"])
    return Outcome(
        title="Henon map, one step ahead",
        sentence="The next value of the chaotic Henon map was to be read from the spikes that the last ones evoked.",
        metric="1 - NRMSE",
        chance=0.0,
        chance_description="always the mean",
        trained=beginning,
        held_out=len(target) - beginning,
        splitting=f"{FOLDS} blocks of time, each held out in turn, the last one first.",
        scores=scores,
        exchanges=exchanges,
        classes=("next value",),
        weights=weights_by_output(coef, names * (read_from.shape[1] // outputs)),
        curves=(
            Curves(
                heading="Wanted and read out",
                text="The beginning of the last block, which the readouts have not seen.",
                x_label="value",
                y_label="scaled to -1 .. 1",
                x=tuple(float(k) for k in range(shown)),
                lines={
                    "wanted": tuple(target[beginning : beginning + shown].tolist()),
                    **{on: tuple(said[:shown].tolist()) for on, said in predicted.items()},
                },
            ),
        ),
    )


async def recognise_speakers(substrate: Substrate, settings: VowelSettings, on_progress: ProgressCallback) -> Outcome:
    """Play every utterance as pulses and name its speaker; the split is the data's own, 270 to learn, 370 held out."""
    utterances, speakers, learned = japanese_vowels()
    frames = np.concatenate(utterances[:learned])
    low, high = frames.min(axis=0), frames.max(axis=0)
    scaled = [
        _segments(np.clip((u - low) / (high - low), 0.0, 1.0)[:, : settings.coefficients], settings.segments)
        for u in utterances
    ]
    reservoir = PhysicalReservoir(substrate, step=settings.step, rest=settings.rest)
    async with reservoir:
        positions = prepare(reservoir, settings, settings.interval)
        rows, exchanges = await present_trials(reservoir, scaled, settings.round_trips, on_progress)
        outputs = [channel.name for channel in reservoir.info.outputs]
        pulses = [given_values(reservoir, u) for u in scaled]
    counted = [binned(X, settings, positions, settings.bins, len(outputs)) for X in rows]
    feature_sets = {
        "substrate": np.array([X.ravel() for X in counted]),
        "pulses alone": np.array([X.ravel() for X in pulses]),
        "values alone": np.array([u.ravel() for u in scaled]),
    }
    order = np.arange(len(speakers))
    return _named_outcome(
        feature_sets,
        speakers,
        [(order[:learned], order[learned:])],
        exchanges,
        title="Speakers of Japanese vowels",
        sentence="Nine speakers were to be told apart by how they say two vowels, in "
        f"{settings.segments} parts given as pulses.",
        splitting="The data's own: 270 utterances learned, 370 held out.",
        what="speaker",
        outputs=outputs * (feature_sets["substrate"].shape[1] // len(outputs)),
        classes=[str(speaker) for speaker in np.unique(speakers)],
    )


async def recognise_patterns(substrate: Substrate, settings: PatternSettings, on_progress: ProgressCallback) -> Outcome:
    """Stimulate bars or places, some pulses missing and others astray, and name which it was."""
    generator = np.random.default_rng(settings.seed)
    reservoir = PhysicalReservoir(substrate, step=settings.step, rest=settings.rest)
    async with reservoir:
        positions = prepare(reservoir, settings, settings.duration)
        reservoir.encoding = PulseAmplitude(positions, settings.strength)  # what is given are places already
        whole = _patterns(reservoir.info, settings)
        labels = generator.permutation(np.arange(settings.trials) % settings.classes)
        clean = whole[labels]
        kept = clean & (generator.random(clean.shape) >= settings.missing)
        pulses = (kept | (~clean & (generator.random(clean.shape) < settings.stray))).astype(np.float64)
        trials = [each[np.newaxis] for each in pulses]
        rows, exchanges = await present_trials(reservoir, trials, settings.round_trips, on_progress)
        outputs = [channel.name for channel in reservoir.info.outputs]
    counted = binned(np.concatenate(rows), settings, positions, settings.bins, len(outputs))
    return _named_outcome(
        {"substrate": counted, "pulses alone": pulses},
        labels,
        _folds(labels, settings.seed),
        exchanges,
        title=f"Spatial patterns: {settings.kind}",
        sentence=f"{settings.classes} {settings.kind} of electrodes were to be told apart by the spikes they evoke, "
        f"with {settings.missing:.0%} of the pulses missing and {settings.stray:.0%} astray.",
        splitting=_FOLDS_ARE,
        what=settings.kind.removesuffix("s"),
        outputs=outputs * (counted.shape[1] // len(outputs)),
        classes=[str(label) for label in range(settings.classes)],
    )


async def tell_time(substrate: Substrate, settings: TimerSettings, on_progress: ProgressCallback) -> Outcome:
    """Stimulate one of two places, then ask window by window which it was and how long ago."""
    generator = np.random.default_rng(settings.seed)
    reservoir = PhysicalReservoir(substrate, step=settings.step, rest=settings.rest)
    async with reservoir:
        inputs = len(reservoir.info.inputs)
        if inputs < 2 * settings.electrodes:
            raise ValueError(f"two places of {settings.electrodes} electrodes do not go into {inputs} inputs")
        each, step = checked_positions(reservoir, settings.bin), reservoir.duration_of_step
        bins = max(1, round(settings.duration / (each * step)))
        reservoir.features = spike_counts(reservoir.info)
        reservoir.encoding = PulseAmplitude(each * bins, settings.strength)
        labels = generator.permutation(np.arange(settings.trials) % 2)
        pulses = np.zeros((settings.trials, inputs))
        for label, order in enumerate((range(settings.electrodes), range(inputs - settings.electrodes, inputs))):
            pulses[np.ix_(labels == label, list(order))] = 1.0
        rows, exchanges = await present_trials(
            reservoir, [p[np.newaxis] for p in pulses], settings.round_trips, on_progress
        )
        outputs = [channel.name for channel in reservoir.info.outputs]
    counted = np.array([X.reshape(bins, each, len(outputs)).sum(axis=1) for X in rows])
    alone = np.zeros((settings.trials, bins, inputs))
    alone[:, 0] = pulses
    folds, at = _folds(labels, settings.seed), (np.arange(bins) + 1) * each * step
    which = {"substrate": np.empty(bins), "pulses alone": np.empty(bins)}
    for k in range(bins):
        by_bin, _, _ = score_classification(
            {"substrate": counted[:, k], "pulses alone": alone[:, k]}, labels, "place", folds
        )
        for score in by_bin:
            which[score.on][k] = np.mean(score.splits)
    scores: list[Score] = []
    for k in sorted({0, *(min(bins - 1, max(0, round(t / (each * step)) - 1)) for t in (0.1, 0.2, 0.3, 0.5, 1.0))}):
        feature_sets = {"substrate": counted[:, k], "pulses alone": alone[:, k]}
        some, confusion, coef = score_classification(feature_sets, labels, f"place, {at[k]:.2g} s later", folds)
        scores += some
    elapsed = np.tile(at, settings.trials)
    flat = {"substrate": counted.reshape(-1, len(outputs)), "pulses alone": alone.reshape(-1, inputs)}
    timed, _, _ = score_regression(flat, elapsed, "elapsed time (1 - NRMSE)")
    train, test = folds[0]
    return Outcome(
        title="Which place, and how long ago",
        sentence="One of two places was stimulated; spikes counted later were to tell which, and how long ago.",
        metric="accuracy",
        chance=float(np.bincount(labels[test]).max() / len(test)),
        chance_description="always the same place",
        trained=len(train),
        held_out=len(test),
        splitting=_FOLDS_ARE + " Elapsed time: blocks of trials.",
        scores=(*scores, *timed),
        exchanges=exchanges,
        classes=("second place",),
        weights=weights_by_output(coef, outputs),
        confusion=confusion,
        curves=(
            Curves(
                heading="How long it remembers",
                text=f"Accuracy of the place, read from {each * step * 1e3:g} ms of spikes; mean of the folds.",
                x_label="time since the pulses (s)",
                y_label="accuracy",
                x=tuple(at.tolist()),
                lines={on: tuple(values.tolist()) for on, values in which.items()},
            ),
        ),
    )


def japanese_vowels() -> tuple[list[FloatArray], Labels, int]:
    """Read the utterances (frames, 12 coefficients), their speakers, and how many come first to be learned from.

    Kudo, Toyama and Shimbo, Pattern Recognit. Lett. 20, 1103 (1999). Taken from ``japanese_vowels.npz`` in the
    folder that the variable INMATERIA_DATA names, or else fetched from OpenML once and kept.

    Raises
    ------
    OSError
        Where neither can be had.
    """
    folder = os.environ.get("INMATERIA_DATA")
    if folder and (Path(folder) / "japanese_vowels.npz").exists():
        data = np.load(Path(folder) / "japanese_vowels.npz")
        utterances: list[FloatArray] = []
        for part in ("train", "test"):
            ends = np.cumsum(data[f"{part}_lengths"].astype(int))[:-1]
            utterances += np.split(data[f"{part}_frames"].astype(np.float64), ends)
        speakers = np.concatenate([data["train_speaker"], data["test_speaker"]]).astype(np.intp)
        return utterances, speakers, len(data["train_speaker"])
    try:
        fetched = fetch_openml("JapaneseVowels", version=1, as_frame=True)
    except Exception as error:
        raise OSError(
            f"the Japanese vowels could not be fetched from OpenML ({error}); go online once, or set "
            "INMATERIA_DATA to a folder that holds japanese_vowels.npz"
        ) from error
    frames = fetched.data.drop(columns=["utterance", "frame"]).to_numpy(dtype=np.float64)
    begins = np.flatnonzero(fetched.data["frame"].to_numpy(dtype=int) == 1)
    speakers = fetched.target.to_numpy(dtype=int)[begins].astype(np.intp)
    return np.split(frames, begins[1:]), speakers, 270


def _patterns(info: SubstrateInfo, settings: PatternSettings) -> npt.NDArray[np.bool_]:
    """Give the electrodes of each class (classes, inputs): from their places, or from their order without places."""
    names = [channel.name for channel in info.inputs]
    inputs, classes = len(names), settings.classes
    if classes > inputs:
        raise ValueError(f"{classes} classes need as many inputs; {info.id} has {inputs}")
    whole = np.zeros((classes, inputs), dtype=bool)
    if settings.kind == "positions":
        whole[np.arange(classes), np.linspace(0, inputs - 1, classes).round().astype(int)] = True
        return whole
    xy = places_of(info, info.inputs)
    lines = [xy[:, axis] == value for axis in (0, 1) for value in np.unique(xy[:, axis])]
    if len(lines) < classes:
        raise ValueError(
            f"the electrodes of {info.id} make {len(lines)} rows and columns; ask for at most so many classes"
        )
    for row, line in enumerate(np.linspace(0, len(lines) - 1, classes).round().astype(int)):
        whole[row] = lines[line]
    return whole


def _segments(X: FloatArray, segments: int) -> FloatArray:
    """Average the frames of each of some equal parts; shape (segments, features)."""
    return np.array([part.mean(axis=0) for part in np.array_split(X, segments)])


def _folds(labels: Labels, seed: int) -> Folds:
    return list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels))


def _named_outcome(
    feature_sets: dict[str, FloatArray],
    labels: Labels,
    folds: Folds,
    exchanges: ExchangeStatistics,
    *,
    title: str,
    sentence: str,
    splitting: str,
    what: str,
    outputs: list[str],
    classes: list[str],
) -> Outcome:
    scores, confusion, coef = score_classification(feature_sets, labels, what, folds)
    train, test = folds[0]
    return Outcome(
        title=title,
        sentence=sentence,
        metric="accuracy",
        chance=float(np.bincount(labels[test]).max() / len(test)),
        chance_description="always the commonest",
        trained=len(train),
        held_out=len(test),
        splitting=splitting,
        scores=scores,
        exchanges=exchanges,
        classes=tuple(classes if len(coef) > 1 else classes[1:]),
        weights=weights_by_output(coef, outputs),
        confusion=confusion,
    )


HENON = Task("henon", HenonSettings, forecast_henon)
JAPANESE_VOWELS = Task("japanese-vowels", VowelSettings, recognise_speakers)
PATTERNS = Task("patterns", PatternSettings, recognise_patterns)
TIMER = Task("timer", TimerSettings, tell_time)
