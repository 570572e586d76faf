"""A network of resistors that learns, in plain numpy and apart from the package's own: for tests of what trains it."""

import numpy as np

from inmateria.substrate import Channel, FloatArray, Response, Stimulus, SubstrateInfo

INTERVAL = 1e-3


class LinearLearner:
    """Star of resistors: each input, and a rail at 0 V, is connected to each output; coupled learning.

    Every output is the mean of the inputs, weighted by its conductances.

    Parameters
    ----------
    inputs, outputs : int
    alpha : float
        Rate, S/V^2.
    parameters : dict, optional
        In place of those that say where inputs, outputs and rails are.
    levels : tuple of float, optional
        Of ``learn``.
    resettable : bool

    Attributes
    ----------
    conductance : ndarray, shape (outputs, inputs + 1)
    applied : list of ndarray
        Drives of all stimuli.
    updates : int
    energy : float
        Heat of the free states, J.
    """

    def __init__(
        self,
        inputs: int = 2,
        outputs: int = 1,
        alpha: float = 0.5,
        parameters: dict[str, object] | None = None,
        levels: tuple[float, ...] | None = None,
        resettable: bool = True,
    ) -> None:
        self._alpha = alpha
        nodes = inputs + 1 + outputs
        where = {
            "inputs": ",".join(map(str, range(inputs))),
            "rails": f"{inputs}:0.0",
            "outputs": ",".join(map(str, range(inputs + 1, nodes))),
        }
        volts = {"unit": "V", "low": -1.0, "high": 1.0}
        self.info = SubstrateInfo(
            id="linear-learner",
            kind="learner",
            inputs=(
                *(Channel(name=f"u{k:02d}", **volts) for k in range(inputs)),
                *(Channel(name=f"l{k:02d}", **volts) for k in range(outputs)),
                Channel(name="learn", unit="1", low=0.0, high=1.0, levels=levels),
            ),
            outputs=(
                *(Channel(name=f"v{k:02d}", unit="V", low=-2.0, high=2.0) for k in range(nodes)),
                *(Channel(name=f"i{k:02d}", unit="A", low=-9.0, high=9.0) for k in range(inputs + 1)),
            ),
            step=INTERVAL,
            sampling_rate=1 / INTERVAL,
            resettable=resettable,
            parameters=where if parameters is None else parameters,
        )
        self._shape = outputs, inputs + 1
        self.applied: list[FloatArray] = []
        self.reset()

    def reset(self) -> None:
        self.conductance = np.random.default_rng(0).uniform(0.3, 0.7, self._shape)
        self.updates, self.energy, self._sequence = 0, 0.0, 0

    def advance(self, stimulus: Stimulus) -> Response:
        outputs, sources = self._shape
        signal = np.empty((len(stimulus.drive), 1, 2 * sources + outputs))
        for row, drive in zip(signal[:, 0], stimulus.drive, strict=True):
            source = np.append(drive[: sources - 1], 0.0)
            label, learn = drive[sources - 1 : -1], drive[-1]
            g = self.conductance
            free = g @ source / g.sum(axis=1)
            across = source - free[:, np.newaxis]
            row[:sources], row[sources:-sources], row[-sources:] = source, free, (g * across).sum(axis=0)
            self.energy += float((g * across**2).sum()) * INTERVAL
            if learn > 0:
                clamped = source - (free + 0.1 * (label - free))[:, np.newaxis]
                self.conductance = np.clip(g + learn * self._alpha / 0.1 * (across**2 - clamped**2), 1e-3, 1.0)
                self.updates += 1
        self.applied.append(stimulus.drive)
        self._sequence += 1
        return Response(signal, None, 0.0, self._sequence - 1)
