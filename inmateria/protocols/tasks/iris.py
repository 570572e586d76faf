"""Train a network that learns to tell three kinds of iris apart from a few flowers: the task `iris`.

As with the machine of Dillavou et al., Phys. Rev. Applied 18, 014040 (2022): 10 flowers of each kind are learned, the
others are tested. Four voltages are the measures of a flower (Fisher, 1936), scaled by the flowers that are learned. A
label is a voltage for each of three outputs: the mean of what the untrained network answers to its kind, moved away
from the mean of all, as far as the device takes it. A flower is of the kind whose mean answer, among the flowers
learned, is nearest to its own.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np
from msgspec import Meta

from inmateria.protocols.circuits import Circuit
from inmateria.protocols.data_sets import iris_flowers
from inmateria.protocols.learned_matter import (
    LearningSettings,
    Samples,
    exchanges_of,
    facts_of,
    learning_curves,
    logistic,
    nearest_mean,
    network_drawing,
    train_starts,
)
from inmateria.protocols.outcome import Outcome, Score
from inmateria.protocols.scoring import Labels, confusion_table
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.substrate import FloatArray, Substrate, SubstrateInfo

_KINDS = 3


class IrisSettings(LearningSettings, frozen=True, kw_only=True):
    """Settings of `iris`; those of the training were chosen on seeds 100 to 115 of the default network.

    Parameters
    ----------
    splits : int
        Draws of the flowers that are learned, each learned from the first weights again; 1 for a device that keeps
        what it has learned. With several starts, each start has a draw of its own.
    flowers : int
        Flowers of each kind that are learned.
    low, high : float
        Voltages of an input for the smallest and the largest of the flowers learned, V.
    contrast : float
        Distance of a label from the mean of all, in units of what the untrained network answers.
    """

    epochs: Annotated[int, Meta(ge=1)] = 200
    last: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.02
    splits: Annotated[int, Meta(ge=1, le=100)] = 5
    flowers: Annotated[int, Meta(ge=2, le=24)] = 10
    low: float = 0.0
    high: float = 0.5
    contrast: Annotated[float, Meta(gt=0.0)] = 2.0

    def __post_init__(self) -> None:
        if self.low == self.high:
            raise ValueError(f"low and high are both {self.low} V; give two voltages")


def circuit(settings: IrisSettings) -> Circuit:
    """Return the circuit: that of the machine of 2022, 16 digital potentiometers between 9 nodes."""
    return Circuit(
        inputs=4,
        outputs=_KINDS,
        uris={
            "clln": "clln://?random=9x16&edges=resistor&edges.weight=resistance&edges.low=781.25&edges.high=100000"
            "&edges.levels=128&inputs=4&outputs=3&differential=false&rails=0&rule=sign-rule&rule.eta=0.1",
            "layers": "layers://?sizes=4-10-3&nudge=0.01",
        },
    )


async def learn_iris(substrates: Sequence[Substrate], settings: IrisSettings, on_progress: ProgressCallback) -> Outcome:
    """Train every start or split, and score it beside the untrained network and readouts of the four measures."""
    items = iris_flowers()
    y = items.y
    draws = len(substrates) if len(substrates) > 1 else settings.splits
    splits = [items.split_few(_KINDS * settings.flowers, settings.seed + k) for k in range(draws)]
    scaled = [_volts(items.X, learned, settings) for learned, _ in splits]
    samples = [
        Samples(X[learned], _labels(y, learned, settings.contrast), X)
        for X, (learned, _) in zip(scaled, splits, strict=True)
    ]
    starts = await train_starts(substrates, samples, settings, on_progress)
    rows = {
        ("nearest mean of its outputs", "substrate"): (nearest_mean, [each.after for each in starts]),
        ("nearest mean of its outputs", "untrained network"): (nearest_mean, [each.before for each in starts]),
        ("logistic, of all nodes", "untrained network"): (logistic, [each.voltages[0] for each in starts]),
        ("nearest mean", "input alone"): (nearest_mean, scaled),
        ("logistic regression", "input alone"): (logistic, scaled),
    }
    scores, confusion = [], {}
    on_progress("scoring", 0, len(rows), 0)
    for (readout, on), (read, feature_sets) in rows.items():
        predicted = [
            await asyncio.to_thread(read, X[learned], y[learned], X[tested])
            for X, (learned, tested) in zip(feature_sets, splits, strict=True)
        ]
        right = tuple(float(np.mean(each == y[tested])) for each, (_, tested) in zip(predicted, splits, strict=True))
        scores.append(Score(readout=readout, on=on, features=feature_sets[0].shape[1], score=right[0], splits=right))
        name = {"substrate": "trained network", "untrained network": "untrained network"}.get(on)
        if name and "nearest" in readout:
            confusion[name] = confusion_table(y[splits[0][1]], predicted[0], np.unique(y))
        on_progress("scoring", len(scores), len(rows), 0)
    tested = splits[0][1]
    seeds = f"{settings.seed}" + (f" to {settings.seed + draws - 1}" if draws > 1 else "")
    return Outcome(
        title="Iris",
        sentence=(
            f"A network was trained on {settings.flowers} flowers of each of three kinds of iris, and tested on the "
            "others."
        ),
        metric="accuracy",
        chance=float(np.mean(y[tested] == np.bincount(y[splits[0][0]]).argmax())),
        chance_description="most frequent kind",
        trained=len(splits[0][0]),
        held_out=len(tested),
        splitting=(
            f"Stratified draws of the flowers that are learned, seeds {seeds}"
            + (
                ", each on a network of another seed."
                if len(starts) > 1 and len(substrates) > 1
                else ", each from the first weights of the same network."
                if draws > 1
                else "."
            )
        ),
        classes=items.names,
        scores=tuple(scores),
        confusion=confusion,
        exchanges=exchanges_of(starts),
        repeated="starts" if len(substrates) > 1 else "splits",
        facts=facts_of(starts),
        curves=(learning_curves(starts, {}, "starts" if len(substrates) > 1 else "splits"),),
        networks=network_drawing(starts[0], int(tested[0]), "the first flower that was tested"),
    )


def _volts(measures: FloatArray, learned: Labels, settings: IrisSettings) -> FloatArray:
    """Scale measures to voltages by the flowers that are learned; larger and smaller ones are cut off."""
    least, most = measures[learned].min(axis=0), measures[learned].max(axis=0)
    share = np.clip((measures - least) / (most - least), 0.0, 1.0)
    return np.asarray(settings.low + (settings.high - settings.low) * share)


def _labels(y: Labels, learned: Labels, contrast: float) -> Callable[..., FloatArray]:
    """Return the function that makes labels of what the untrained network answers."""

    def labels(before: FloatArray, lowest: FloatArray, highest: FloatArray) -> FloatArray:
        answers = before[learned]
        kinds = np.array([answers[y[learned] == kind].mean(axis=0) for kind in range(_KINDS)])
        middle: FloatArray = kinds.mean(axis=0)
        apart: FloatArray = np.clip(middle + contrast * (kinds - middle), lowest, highest)
        return apart[y[learned]]

    return labels


def _unused(settings: IrisSettings, _: SubstrateInfo) -> dict[str, str]:
    if settings.starts == 1:
        return {}
    return {"splits": "each of several starts learns a draw of its own"}


TASK = Task("iris", IrisSettings, learn_iris, needs="learning", circuit=circuit, unused=_unused, validation="data")
