"""Train a network that learns on a curve of eight points: the task `regression`.

The points of Dillavou et al., PNAS 121, e2319718121 (2024), by default on the circuit of that machine: one input, one
differential output, rails of 0 and .45 V. The curve rises and then is flat, so that the best straight line is 18.1 mV
off.
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
from inmateria.protocols.outcome import Curves, Outcome
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.substrate import Substrate

_INPUTS = (0.0005, 0.0628, 0.1251, 0.1873, 0.2479, 0.3118, 0.3724, 0.4347)
_LABELS = (0.1088, 0.1472, 0.1872, 0.2256, 0.2649, 0.3041, 0.3041, 0.3041)


class RegressionSettings(LearningSettings, frozen=True, kw_only=True):
    """Settings of `regression`; those of the training were chosen on seeds 100 to 119 of the default network.

    Parameters
    ----------
    inputs, labels : tuple of float
        Points of the curve, V; the published ones by default.
    resolution : int
        Points of the curve that is drawn of the function learned.
    """

    epochs: Annotated[int, Meta(ge=1)] = 10_000
    last: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.1
    inputs: tuple[float, ...] = _INPUTS
    labels: tuple[float, ...] = _LABELS
    resolution: Annotated[int, Meta(ge=2, le=1000)] = 81

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.labels) or len(self.inputs) < 3:
            raise ValueError(
                f"there are {len(self.inputs)} inputs and {len(self.labels)} labels; give as many of both, at least 3"
            )
        if min(self.labels) == max(self.labels):
            raise ValueError(f"all labels are {self.labels[0]} V; give different ones")


def circuit(settings: RegressionSettings) -> Circuit:
    """Return the circuit: that of the machine of 2024 with one input, and rails of 0 and .45 V."""
    return Circuit(
        inputs=1,
        outputs=1,
        uris={
            "clln": "clln://?grid=4x4&inputs=15,&outputs=10,&rails=5:0,7:0.45"
            "&rule=coupled-learning&rule.eta=1&rule.alpha=6",
            "layers": "layers://?sizes=1-10-1&nudge=0.01",
        },
    )


async def learn_curve(
    substrates: Sequence[Substrate], settings: RegressionSettings, on_progress: ProgressCallback
) -> Outcome:
    """Train every start, and score it beside the best straight line, naming the mean, and the untrained network."""
    X, Y = (np.array(values)[:, np.newaxis] for values in (settings.inputs, settings.labels))
    axis = np.linspace(X.min(), X.max(), settings.resolution)[:, np.newaxis]
    count = len(X)
    samples = Samples(X, Y, np.concatenate((X, axis)))
    starts = await train_starts(substrates, [samples] * len(substrates), settings, on_progress)
    on_progress("scoring", 0, 1, 0)
    before, after = ([getattr(each, name)[:count] for each in starts] for name in ("before", "after"))
    nodes = [each.voltages[0][:count] for each in starts]
    mean, line = error_of(np.full_like(Y, Y.mean()), Y), error_of(least_squares(X, Y, X), Y)
    solved = [least_squares(V, Y, V) for V in nodes]
    scores = (
        score_of("its own output", "substrate", 1, after, Y),
        score_of("its own output", "untrained network", 1, before, Y),
        score_of("linear, of all nodes", "untrained network", nodes[0].shape[1], solved, Y),
        score_of("straight line", "input alone", 1, [least_squares(X, Y, X)] * len(starts), Y),
    )  # fmt: skip
    better = sum(error_of(each, Y) < line for each in after)
    best = int(np.argmin([error_of(each, Y) for each in after]))
    of = f" of the best start, {best + 1} of {len(starts)}" if len(starts) > 1 else ""
    on_progress("scoring", 1, 1, 0)
    return Outcome(
        title="Regression",
        sentence=f"A network was trained on a curve of {count} points, from {X.min():g} to {X.max():g} V.",
        metric="1 - NRMSE",
        chance=0.0,
        chance_description=f"naming the mean, {1e3 * mean:.3g} mV",
        splitting=(
            "Errors are of the points that were learned."
            + (" Each start is a network of another seed." if len(starts) > 1 else "")
        ),
        scores=scores,
        exchanges=exchanges_of(starts),
        repeated="starts",
        error_name="error (mV)",
        facts=(("starts better than a straight line", f"{better} of {len(starts)}"), *facts_of(starts)),
        curves=(
            learning_curves(starts, {"naming the mean": mean, "best straight line": line}),
            Curves(
                heading="The function learned",
                text=f"Output over the input{of}, before and after the training, beside the best straight line.",
                x_label="input (V)",
                y_label="output (V)",
                x=tuple(axis[:, 0].tolist()),
                lines={
                    "before training": tuple(starts[best].before[count:, 0].tolist()),
                    "after training": tuple(starts[best].after[count:, 0].tolist()),
                    "straight line": tuple(least_squares(X, Y, axis)[:, 0].tolist()),
                },
                points={"labels": tuple(zip(settings.inputs, settings.labels, strict=True))},
            ),
        ),
        networks=network_drawing(starts[best], count // 2, f"an input of {X[count // 2, 0]:g} V"),
    )


TASK = Task("regression", RegressionSettings, learn_curve, needs="learning", circuit=circuit, validation="devices")
