"""Read handwritten digits with several physical layers, each trained without seeing through any: the task `stack`.

All layers' encoders are trained at once by a local information bottleneck, or by any other method of
`inmateria.reservoir.training_names`. Beside the layers stand the same layers with random encoders, and readouts of the
bare pixels.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from inmateria.protocols.controls import RECTIFIER, controls_by_step
from inmateria.protocols.data_sets import digits
from inmateria.protocols.outcome import Curves, ExchangeStatistics, Outcome, Score, weights_by_output
from inmateria.protocols.presenting import measure_round_trips
from inmateria.protocols.run_progress import note_no_targets
from inmateria.protocols.scoring import confusion_table
from inmateria.protocols.task import ProgressCallback, Task, samples_read
from inmateria.reservoir import (
    GaussianBottleneck,
    PhysicalLayer,
    PhysicalReservoir,
    PhysicalStack,
    RidgeClassifierReadout,
    SignalOrCounts,
    training_named,
    training_names,
)
from inmateria.reservoir.layers.training import LocalTraining
from inmateria.substrate import FloatArray, Substrate, SubstrateInfo

_POINTS = 40
_KINDS = {RECTIFIER: "memoryless", "raw pixels": "linear"}


class StackSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of `stack`; on digits that no split tests on, none that was tried is better than the defaults.

    Parameters
    ----------
    layers : str
        Substrates, separated by commas, in order: URIs, or schemes alone, which are given seeds that differ.
    train : str
        How encoders are trained: augmented-dfa, bottleneck, bottleneck-in-turn, bottleneck-online, dfa,
        evolution-strategies, forward-forward, hsic, in-silico, local-ce, local-spsa, node-perturbation, none, phsic,
        physics-aware or spsa; see docs/local_training.md.
    passes : int
        Passes over the training digits; 0 for the default of the training method.
    seed : int
        Of split, encoders and training; added to 1, 2, ... for the layers named by schemes alone.
    held_out : int
        Digits held out.
    amplitude : float
        Fraction of each input's range that may be driven.
    gain : float
        Standard deviation of each port before its tanh.
    hold : int
        Substrate steps for which a digit is held; each gives virtual nodes.
    samples : int
        Samples of every step that are read; 0 reads all.
    rest : float
        Seconds at rest after each digit, for substrates with memory.
    step : float
        Duration of a substrate step, s; 0 takes each substrate's own.
    compare : bool
        Score the same layers with random encoders too, which costs as many stimuli as reading does.
    round_trips : int
        Exchanges of a single step with the first layer made first, to measure the round trip.
    """

    layers: str = "nanowire,nanowire,nanowire"
    train: str = "bottleneck"
    passes: Annotated[int, Meta(ge=0)] = 0
    seed: Annotated[int, Meta(ge=0)] = 0
    held_out: Annotated[int, Meta(ge=10, le=890)] = 450
    amplitude: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    gain: Annotated[float, Meta(gt=0.0)] = 0.3
    hold: Annotated[int, Meta(ge=1)] = 4
    samples: Annotated[int, Meta(ge=0)] = 1
    rest: Annotated[float, Meta(ge=0.0)] = 0.15
    step: Annotated[float, Meta(ge=0.0)] = 0.0
    compare: bool = True
    round_trips: Annotated[int, Meta(ge=1)] = 50

    def __post_init__(self) -> None:
        if self.train not in training_names():
            raise ValueError(f"train is {self.train!r}; give one of {', '.join(training_names())}")
        _training(self)  # refuses what the training cannot do, before anything is sent
        if not all(name.strip() for name in self.layers.split(",")):
            raise ValueError(f"layers is {self.layers!r}; name substrates, separated by commas")


def substrates_of(settings: StackSettings) -> list[str]:
    """Return the URI of each layer."""
    names = [name.strip() for name in settings.layers.split(",")]
    return [
        name if "://" in name else f"{name}://?seed={settings.seed + number}"
        for number, name in enumerate(names, start=1)
    ]


async def read_in_layers(
    substrates: Sequence[Substrate], settings: StackSettings, on_progress: ProgressCallback
) -> Outcome:
    """Train the layers on the training digits, read every digit, and score all of it beside the controls."""
    items = digits()
    X, y = items.X, items.y
    train, test = items.split(settings.held_out, settings.seed)
    layers = [
        PhysicalLayer(
            substrate=each,
            features=SignalOrCounts(settings.samples or None),
            amplitude=settings.amplitude,
            gain=settings.gain,
            hold=settings.hold,
            rest=settings.rest,
            step=settings.step or None,
        )
        for each in substrates
    ]
    note_no_targets("layers are trained one after another, and a readout reads them only then")
    stack = PhysicalStack(layers, train=_training(settings), seed=settings.seed)
    async with stack:
        reservoir = PhysicalReservoir(substrates[0])
        round_trips = await measure_round_trips(reservoir, settings.round_trips, on_progress)
        begun = time.perf_counter()
        await stack.fit(X[train], y[train], on_progress)
        told = await stack.features(X[test], _renamed(on_progress, "held out"))
        seconds = time.perf_counter() - begun
        trained, steps = (stack.features_, told), stack.steps_
        spent, learning = (stack.stimuli_training_, stack.stimuli_reading_), stack.learning_seconds_
        information = stack.information_
        count = sum(1 for each in stack.trace if each.layer == 0)
        random: tuple[list[FloatArray], list[FloatArray]] | None = None
        if settings.compare and settings.train != "none":
            beside = PhysicalStack(layers, train="none", seed=settings.seed)
            beside.substrates = stack.substrates
            await beside.fit(X[train], y[train], _renamed(on_progress, "random"))
            random = (beside.features_, await beside.features(X[test], _renamed(on_progress, "random")))
        infos = [each.info for each in substrates]
        names = layers[0].features.names(infos[0], layers[0].duration_of_step(infos[0]), settings.hold)
        outputs = list(dict.fromkeys(name.partition("@")[0] for name in names))
    ridge = RidgeClassifierReadout()
    scores: list[Score] = []
    of = 1 + len(layers) + (0 if random is None else 2) + 3
    on_progress("scoring", 0, of, 0)

    async def scored(on: str, readout: str, A: FloatArray, B: FloatArray, by: Any = ridge) -> Any:
        reader = make_pipeline(StandardScaler(), clone(by))
        await asyncio.to_thread(reader.fit, A, y[train])
        right = float(np.mean(reader.predict(B) == y[test]))
        scores.append(Score(readout=readout, on=on, features=A.shape[1], score=right, kind=_KINDS.get(on, "")))
        on_progress("scoring", len(scores), of, 0)
        return reader

    both = [np.hstack(each) for each in trained]
    reader = await scored("substrate", f"all {len(layers)} layers", *both)
    named = reader.predict(both[1])
    for number, (A, B) in enumerate(zip(*trained, strict=True), start=1):
        last = await scored("substrate", f"layer {number}", A, B)
        if number == 1:
            first = last
    if random is not None:
        await scored("random encoders", f"all {len(layers)} layers", *map(np.hstack, random))
        await scored("random encoders", f"layer {len(layers)}", random[0][-1], random[1][-1])
    mixed = controls_by_step(X, X, both[0].shape[1], seed=settings.seed)[RECTIFIER].variants[0]
    await scored(RECTIFIER, f"all {len(layers)} layers", mixed[train], mixed[test])
    await scored("raw pixels", "ridge", X[train], X[test])
    await scored("raw pixels", "logistic", X[train], X[test], by=LogisticRegression(max_iter=3000))
    return Outcome(
        title=f"Digits in {len(layers)} physical layers",
        sentence=(
            f"{len(layers)} layers ({', '.join(info.id for info in infos)}), each with an encoder trained by "
            f"'{settings.train}' without seeing through any of them, read handwritten digits. Training the encoders "
            f"took {spent[0]:,} stimuli and {learning:.2f} s of computing, reading {spent[1]:,} stimuli."
        ),
        metric="accuracy",
        chance=float(np.mean(y[test] == np.bincount(y[train]).argmax())),
        chance_description="most frequent training digit",
        trained=len(train),
        held_out=len(test),
        splitting=f"One stratified split, seed {settings.seed}. Readouts are ridge unless said otherwise.",
        scores=tuple(scores),
        exchanges=ExchangeStatistics.measured(count=count, steps=steps, seconds=seconds, round_trips=round_trips),
        classes=items.names,
        weights=weights_by_output(first[-1].coef_, outputs),
        confusion={f"all {len(layers)} layers": confusion_table(y[test], named, np.unique(y))},
        curves=_curves(stack, information, trained[0], X[train], np.eye(10)[y[train]], scores),
    )


def _training(settings: StackSettings) -> LocalTraining:
    return training_named(settings.train, **({"passes": settings.passes} if settings.passes else {}))


def _renamed(on_progress: ProgressCallback, name: str) -> ProgressCallback:
    def told(phase: str, done: int, of: int, steps: int) -> None:
        on_progress(name if phase == "reading" else phase, done, of, steps)

    return told


def _curves(
    stack: PhysicalStack,
    information: list[Any],
    by_layer: list[FloatArray],
    X: FloatArray,
    Y: FloatArray,
    scores: list[Score],
) -> tuple[Curves, ...]:
    """Draw the information curve, information over training, and accuracy by layer."""
    names = [f"layer {number}" for number in range(1, len(by_layer) + 1)]
    found = {
        name: GaussianBottleneck(ridge=1e-3).fit(features, Y).information_curve_
        for name, features in zip(("pixels", *names), (X, *by_layer), strict=True)
    }
    most = max(float(curve.about_input[-1]) for curve in found.values())
    grid = np.linspace(0.0, most, _POINTS)
    passes = tuple(float(number) for number in range(1, len(information) + 1))
    single = {score.readout: score.score for score in scores if score.on == "substrate"}
    bare = [score for score in scores if score.on == "raw pixels"]
    curves = [
        Curves(
            heading="Information curve",
            text=(
                "Largest information about the digit that a linear map can keep, for so much information about its "
                "input, if both were Gaussian: of the pixels, and of each layer's features after training. Ten digits "
                "hold 3.3 bits, a bound that the Gaussian estimate ignores; compare the lines with one another."
            ),
            x_label="information about the input (bits)",
            y_label="information about the digit (bits)",
            x=tuple(grid.tolist()),
            lines={
                name: tuple(np.interp(grid, np.r_[0.0, curve.about_input], np.r_[0.0, curve.about_target]).tolist())
                for name, curve in found.items()
            },
        ),
        Curves(
            heading="Accuracy by layer",
            text="A ridge readout of each layer alone, beside readouts of the bare pixels.",
            x_label="layer",
            y_label="accuracy",
            x=tuple(float(number) for number in range(1, len(names) + 1)),
            lines={"this layer": tuple(single[name] for name in names)}
            | {f"pixels, {score.readout}": (score.score,) * len(names) for score in bare},
        ),
    ]
    if len(passes) > 1:
        curves += [
            Curves(
                heading=f"Information of the layers about the {what}, over training",
                text="Gaussian estimate, from each layer's features during a pass; the last is the reading.",
                x_label="pass over the training digits",
                y_label=f"about the {what} (bits)",
                x=passes,
                lines={name: tuple(each[side][k] for each in information) for k, name in enumerate(names)},
            )
            for side, what in ((1, "digit"), (0, "pixels"))
        ]
    return tuple(curves)


def _unused(settings: StackSettings, info: SubstrateInfo) -> dict[str, str]:
    if settings.train != "none":
        return {}
    return {"compare": "with train=none the encoders are the random ones already"}


TASK = Task(
    "stack",
    StackSettings,
    read_in_layers,
    needs="signal",
    substrates=substrates_of,
    unused=_unused,
    reads=samples_read,
    validation="data",
)
