"""Train a network that learns to answer a strain of its sources at its targets: the task `allostery`.

In a protein, binding at one place moves another far away. In a network it is the response of target nodes to a strain
of a pair of source nodes, in a given ratio: Rocks et al., PNAS 114, 2520 (2017), with springs; in networks of
resistors, where strains are voltages, Stern et al., PRX 11, 021045 (2021) and Dillavou et al., Phys. Rev. Applied 18,
014040 (2022). Here the first source is held at 0 V, the second at the strain, and each target learns to be at its
ratio of the strain. Strains between those that were learned test whether it is a response and not a constant.
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

_RESOLUTION = 31


class AllosterySettings(LearningSettings, frozen=True, kw_only=True):
    """Settings of `allostery`; those of the training were chosen on seeds 100 to 109 of the default network.

    Parameters
    ----------
    ratios : tuple of float
        Voltage of each target in units of the strain.
    strains : tuple of float
        Strains that are learned, V: the voltage of the second source, while the first is at 0 V.
    tested : tuple of float
        Strains at which the response is tested, V.
    """

    epochs: Annotated[int, Meta(ge=1)] = 300
    last: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.1
    ratios: tuple[float, ...] = (0.2, 0.5, 0.8)
    strains: tuple[float, ...] = (0.15, 0.3, 0.45)
    tested: tuple[float, ...] = (0.1, 0.2, 0.25, 0.35, 0.4)

    def __post_init__(self) -> None:
        if not self.ratios or not self.strains:
            raise ValueError("ratios or strains are empty; give at least one of each")
        if len(set(self.tested)) < 2:
            raise ValueError(f"tested is {self.tested}; give at least 2 strains that differ")


def circuit(settings: AllosterySettings) -> Circuit:
    """Return the circuit: a random network of 16 resistors, as in the machine of 2022, with two sources, no rails."""
    targets = len(settings.ratios)
    nodes = max(9, 2 * targets + 3)
    return Circuit(
        inputs=2,
        outputs=targets,
        uris={
            "clln": f"clln://?random={nodes}x{16 * nodes // 9}&edges=resistor&inputs=2&outputs={targets}"
            "&differential=false&rails=&rule=coupled-learning&rule.eta=0.1&rule.alpha=0.01"
        },
    )


async def learn_response(
    substrates: Sequence[Substrate], settings: AllosterySettings, on_progress: ProgressCallback
) -> Outcome:
    """Train every start, and score its response to other strains beside the untrained network and a constant one."""
    ratios, learned, tested = (np.array(values) for values in (settings.ratios, settings.strains, settings.tested))
    most = max(learned.max(), tested.max())
    axis = np.linspace(min(0.0, learned.min(), tested.min()), most, _RESOLUTION)
    probed = np.concatenate((learned, tested, axis))
    probes = np.column_stack((np.zeros_like(probed), probed))
    train, test = slice(0, len(learned)), slice(len(learned), len(learned) + len(tested))
    Y, labels = np.outer(learned, ratios), np.outer(tested, ratios)
    starts = await train_starts(
        substrates, [Samples(probes[train], Y, probes)] * len(substrates), settings, on_progress
    )
    on_progress("scoring", 0, 1, 0)
    constant = np.tile(Y.mean(axis=0), (len(tested), 1))
    targets = len(ratios)
    nodes = [each.voltages[0] for each in starts]
    solved = [least_squares(V[train], Y, V[test]) for V in nodes]
    scores = (
        score_of("its own outputs", "substrate", targets, [each.after[test] for each in starts], labels),
        score_of("its own outputs", "untrained network", targets, [each.before[test] for each in starts], labels),
        score_of("linear, of all nodes", "untrained network", nodes[0].shape[1], solved, labels),
        score_of("the same for all strains", "mean of the labels", 0, [constant] * len(starts), labels),
    )  # fmt: skip
    moved = [np.polynomial.polynomial.polyfit(probed, each.after, 1)[1] for each in starts]
    off = float(np.mean([np.abs(each - ratios).max() for each in moved]))
    best = int(np.argmin([error_of(each.after[test], labels) for each in starts]))
    of = f" of the best start, {best + 1} of {len(starts)}" if len(starts) > 1 else ""
    first = len(learned) + len(tested)
    lines = {
        f"target {k + 1}, {title}": tuple(getattr(starts[best], name)[first:, k].tolist())
        for title, name in (("after", "after"), ("before", "before"))
        for k in range(targets)
    }
    points = {
        "labels": tuple((float(x), float(y)) for x, row in zip(learned, Y, strict=True) for y in row),
        "tested": tuple((float(x), float(y)) for x, row in zip(tested, labels, strict=True) for y in row),
    }
    on_progress("scoring", 1, 1, 0)
    return Outcome(
        title="Allostery",
        sentence=(
            f"A network was trained to answer a strain of its two sources at {targets} "
            f"target{'s' * (targets > 1)}, at {', '.join(f'{each:g}' for each in ratios)} of the strain."
        ),
        metric="1 - NRMSE",
        chance=0.0,
        chance_description="naming the mean of what is tested, "
        f"{1e3 * error_of(np.tile(labels.mean(axis=0), (len(tested), 1)), labels):.3g} mV",
        trained=len(learned),
        held_out=len(tested),
        splitting=(
            f"Learned at {', '.join(f'{each:g}' for each in learned)} V, tested at "
            f"{', '.join(f'{each:g}' for each in tested)} V."
            + (" Each start is a network of another seed." if len(starts) > 1 else "")
        ),
        scores=scores,
        exchanges=exchanges_of(starts),
        repeated="starts",
        error_name="error (mV)",
        facts=(("largest error of a ratio", f"{off:.2g}" if off > 1e-6 else "below 1e-6"), *facts_of(starts)),
        curves=(
            learning_curves(
                starts, {"the same for all strains": error_of(np.tile(Y.mean(axis=0), (len(learned), 1)), Y)}
            ),
            Curves(
                heading="The response learned",
                text=f"Voltages of the targets over the strain of the sources{of}, before and after the training.",
                x_label="strain of the sources (V)",
                y_label="voltage of a target (V)",
                x=tuple(axis.tolist()),
                lines=lines,
                points=points,
                dashed=tuple(name for name in lines if name.endswith("before")),
            ),
        ),
        networks=network_drawing(
            starts[best], len(learned) - 1, f"a strain of {learned[-1]:g} V", ("source", "target")
        ),
    )


TASK = Task("allostery", AllosterySettings, learn_response, needs="learning", circuit=circuit, validation="devices")
