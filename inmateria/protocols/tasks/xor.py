"""Train a network that learns on exclusive or: the task `xor`.

The four points of Dillavou et al., PNAS 121, e2319718121 (2024), by default on the circuit of that machine: two inputs
of 0 or .45 V, one differential output whose label is 0 or -87 mV. A straight line does no better than naming the mean,
43.5 mV.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from msgspec import Meta

from inmateria.protocols.circuits import Circuit
from inmateria.protocols.learned_matter import (
    LearningSettings,
    Samples,
    error_of,
    exchanges_of,
    facts_of,
    learning_curves,
    least_squares,
    network_drawing,
    score_of,
    train_starts,
)
from inmateria.protocols.outcome import Outcome, Surface
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.substrate import FloatArray, Substrate


class XorSettings(LearningSettings, frozen=True, kw_only=True):
    """Settings of `xor`; those of the training were chosen on seeds 100 to 111 of the default network.

    Parameters
    ----------
    low, high : float
        Voltages of an input that stand for 0 and 1, V.
    label : float
        Label if one of the inputs is 1, V; it is 0 if none or both are.
    within : float
        Error below which a start counts as successful, V.
    resolution : int
        Points along each axis of the map that is drawn of the function learned.
    """

    epochs: Annotated[int, Meta(ge=1)] = 40_000
    last: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.0625
    low: float = 0.0
    high: float = 0.45
    label: float = -0.087
    within: Annotated[float, Meta(gt=0.0)] = 0.005
    resolution: Annotated[int, Meta(ge=2, le=101)] = 21

    def __post_init__(self) -> None:
        if self.low == self.high:
            raise ValueError(f"low and high are both {self.low} V; give two voltages")
        if self.label == 0:
            raise ValueError("label is 0 V for all; give another")


def circuit(settings: XorSettings) -> Circuit:
    """Return the circuit: that of the machine of 2024, the default of ``clln://``, with a high rate that falls."""
    return Circuit(
        inputs=2,
        outputs=1,
        uris={
            "clln": "clln://?grid=4x4&rule=coupled-learning&rule.eta=0.1&rule.alpha=32",
            "layers": "layers://?sizes=2-10-1&nudge=0.01",
        },
    )


def points(settings: XorSettings) -> tuple[FloatArray, FloatArray]:
    """Return the four inputs and their labels, V."""
    bits = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    X = np.where(bits == 1, settings.high, settings.low).astype(np.float64)
    Y = settings.label * (bits.sum(axis=1) == 1).astype(np.float64)[:, np.newaxis]
    return X, Y


async def learn_xor(substrates: Sequence[Substrate], settings: XorSettings, on_progress: ProgressCallback) -> Outcome:
    """Train every start, and score it beside the untrained network, naming the mean, and a plane."""
    X, Y = points(settings)
    axis = np.linspace(min(settings.low, settings.high), max(settings.low, settings.high), settings.resolution)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)  # the first input runs along x
    probes = np.concatenate((X, grid))
    starts = await train_starts(substrates, [Samples(X, Y, probes)] * len(substrates), settings, on_progress)
    on_progress("scoring", 0, 1, 0)
    before, after = ([getattr(each, name)[:4] for each in starts] for name in ("before", "after"))
    nodes = [each.voltages[0][:4] for each in starts]
    mean = error_of(np.full_like(Y, Y.mean()), Y)
    solved = [least_squares(V, Y, V) for V in nodes]
    scores = (
        score_of("its own output", "substrate", 1, after, Y),
        score_of("its own output", "untrained network", 1, before, Y),
        score_of("linear, of all nodes", "untrained network", nodes[0].shape[1], solved, Y),
        score_of("plane", "input alone", 2, [least_squares(X, Y, X)] * len(starts), Y),
    )  # fmt: skip
    below = sum(error_of(each, Y) < settings.within for each in after)
    maps = {
        title: getattr(starts[0], name)[4:, 0].reshape(len(axis), len(axis))
        for title, name in (("before training", "before"), ("after training", "after"))
    }
    on_progress("scoring", 1, 1, 0)
    return Outcome(
        title="Exclusive or",
        sentence=(
            f"A network was trained on the four points of exclusive or: inputs of {settings.low:g} or "
            f"{settings.high:g} V, labels of 0 or {1e3 * settings.label:g} mV."
        ),
        metric="1 - NRMSE",
        chance=0.0,
        chance_description=f"naming the mean, {1e3 * mean:.3g} mV",
        splitting=(
            "The four points are all there are: errors are of the points that were learned."
            + (" Each start is a network of another seed." if len(starts) > 1 else "")
        ),
        scores=scores,
        exchanges=exchanges_of(starts),
        repeated="starts",
        error_name="error (mV)",
        facts=(
            (f"starts below {1e3 * settings.within:g} mV", f"{below} of {len(starts)}"),
            *facts_of(starts),
        ),
        curves=(learning_curves(starts, {"naming the mean": mean}),),
        surfaces=(
            Surface(
                heading="The function learned",
                text=(
                    "Output over both inputs"
                    + (" of the first start" if len(starts) > 1 else "")
                    + "; the discs are the four labels, in the same colours."
                ),
                x_label="first input (V)",
                y_label="second input (V)",
                value_label="output (mV)",
                x=tuple(axis.tolist()),
                y=tuple(axis.tolist()),
                maps={title: tuple(map(tuple, (1e3 * values).tolist())) for title, values in maps.items()},
                points=tuple((float(x), float(y), 1e3 * float(z)) for (x, y), z in zip(X, Y[:, 0], strict=True)),
            ),
        ),
        networks=network_drawing(starts[0], 1, f"inputs of {X[1, 0]:g} and {X[1, 1]:g} V"),
    )


TASK = Task("xor", XorSettings, learn_xor, needs="learning", circuit=circuit, validation="devices")
