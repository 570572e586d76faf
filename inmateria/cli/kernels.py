"""Small work that compiles every kernel of the package: ``python -m inmateria.cli.kernels NAME`` does one part of it.

numba compiles a kernel when it is first called, and keeps it on disk. Each function calls some kernels, through the
classes that people use, with arguments of the types that they are always called with.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np

__all__ = ["KERNELS"]


def _drive(simulator: Any, steps: int = 2) -> None:
    simulator.advance(simulator.info.stimulus(simulator.info.rest_drive(steps)))


def _nanowires() -> None:
    from inmateria.simulators import NanowireNetwork

    network = NanowireNetwork(wires=20, seed=1)  # eliminated pair by pair
    _drive(network)
    network.age(1.0)
    complete = np.column_stack(np.triu_indices(140, 1))  # fills in: by fronts
    _drive(NanowireNetwork.from_junctions(140, complete, inputs=[0], grounds=[1]))


def _nanowire_ensembles() -> None:
    from inmateria.simulators import NanowireEnsemble, NanowireNetwork

    for precision in ("double", "mixed"):  # "single" runs the code of "mixed"
        ensemble = NanowireEnsemble([NanowireNetwork(wires=20, seed=1).copy() for _ in range(16)], precision=precision)
        ensemble.advance(np.zeros((1, len(ensemble.networks[0].info.inputs))))


def _cultures() -> None:
    from inmateria.simulators import NeuralCulture, Pulses
    from inmateria.simulators.culture.electrodes import detections, effects

    culture = NeuralCulture(neurons=50, seed=1)
    _drive(culture, 1)
    culture.run(1e-3, voltage=True)
    planned, arrays = culture._plan(1e-3, Pulses(0.0, 0)), culture._arrays
    due, electrode, constants = planned.due, planned.electrode, culture._constants
    effects(due, electrode, planned.strength, constants, arrays["electrodes"], arrays["tired"])
    fired = np.zeros((2, 0), dtype=np.int64)
    detections(fired, due, electrode, planned.blanking, constants, culture._heard, arrays["electrodes"])


def _contrastive_networks() -> None:
    from inmateria.simulators import ContrastiveNetwork

    network = ContrastiveNetwork(seed=1)
    _drive(network)
    network.weights = network.weights
    network.fit([[0.0, 0.1]], [0.0], epochs=1)


def _contrastive_networks_in_lanes() -> None:
    from inmateria.simulators import ContrastiveNetwork

    networks = [ContrastiveNetwork(seed=seed) for seed in range(16)]
    ContrastiveNetwork.fit_many(networks, [[0.0, 0.1]], [0.0], epochs=1)


def _contrastive_predictions() -> None:
    from inmateria.simulators import ContrastiveNetwork

    network = ContrastiveNetwork(seed=1)
    for samples in (1, 32):  # one at a time, and in lanes
        network.predict(np.zeros((samples, 2)))


def _resistive_layers(precision: Literal["single", "double"] = "single") -> None:
    from inmateria.simulators import ResistiveLayers

    network = ResistiveLayers((2, 3, 2), seed=1, centred=False, precision=precision)
    _drive(network)
    network.fit([[0.0, 0.1]], [0], epochs=1)
    network.predict([[0.0, 0.1]])


def _integer_echo_states() -> None:
    from inmateria.simulators import IntegerEchoStateNetwork

    _drive(IntegerEchoStateNetwork(seed=1))


def _online_readouts() -> None:
    from inmateria.reservoir import FORCEReadout, KalmanReadout, LMSReadout, RecursiveLeastSquares, ShiftLMSReadout

    X, Y = np.eye(4), np.ones((4, 1))
    for readout in (
        FORCEReadout(),
        KalmanReadout(),
        LMSReadout(),
        RecursiveLeastSquares(),
        ShiftLMSReadout(feature_range=4.0, target_range=4.0),
    ):
        for _ in range(2):
            readout.partial_fit(X, Y)
        readout.predict(X)


def _ternary_readouts() -> None:
    from inmateria.reservoir import TernaryReadout

    X = np.random.default_rng(0).standard_normal((40, 8))
    TernaryReadout().fit(X, X[:, 0])


def _recordings_of_counts() -> None:
    from inmateria.recording.counts import get_ready

    get_ready()


KERNELS: dict[str, Callable[[], None]] = {
    "contrastive networks": _contrastive_networks,
    "contrastive networks in lanes": _contrastive_networks_in_lanes,
    "predictions of contrastive networks": _contrastive_predictions,
    "resistive layers": _resistive_layers,
    "resistive layers in double precision": partial(_resistive_layers, "double"),
    "online readouts": _online_readouts,
    "nanowire networks": _nanowires,
    "nanowire ensembles": _nanowire_ensembles,
    "cultures": _cultures,
    "integer echo-state networks": _integer_echo_states,
    "ternary readouts": _ternary_readouts,
    "recordings of counts": _recordings_of_counts,
}
"""Parts of the work by their names, the longest first."""

if __name__ == "__main__":
    KERNELS[sys.argv[1]]()
