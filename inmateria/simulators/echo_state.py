"""The echo-state network of reservoirpy as a simulated substrate: the digital baseline for any physical one."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from inmateria.simulators.identity import simulator_id
from inmateria.simulators.parameters import check_size, convert_value, either
from inmateria.substrate import Channel, Limits, Response, Stimulus, SubstrateInfo

FloatArray = npt.NDArray[np.float64]

_MOST_UNITS = 20_000
_PLAIN_STEP = 1e-3


class EchoStateNetwork:
    r"""Leaky tanh units with random connections, seeded; one sample is one update of the network.

    The states :math:`x` follow the input :math:`u` [1]_:

    .. math::

        x(t + 1) = (1 - \mathrm{lr})\, x(t) + \mathrm{lr}\, \tanh\left(W x(t) + W_\mathrm{in} u(t + 1) + b\right)

    The network is that of reservoirpy and gives the same values. A stimulus step of duration ``step`` is one update; a
    longer one holds its input for several updates.

    Parameters
    ----------
    units : int
        Number of units; each is an output (``x000``, ``x001``, ...), without unit, between -1 and 1.
    sr : float
        Spectral radius of :math:`W`: the largest of the absolute eigenvalues.
    lr : float
        Leak rate, above 0 and at most 1; 1 does not leak.
    input_scaling : float
        Largest absolute weight of an input in :math:`W_\mathrm{in}`.
    inputs : int
        Number of inputs (``u0``, ...), without unit.
    rc_connectivity, input_connectivity : float
        Fraction of the connections, and of the input weights, that are not zero.
    bias : float
        Constant input :math:`b` of every unit.
    seed : int
        Seed of the weights.
    input_limit : float
        Largest absolute value of an input.
    step : float
        Duration of one update on the network's clock, s; any value, since the network is digital.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    ImportError
        If reservoirpy is not installed.

    References
    ----------
    .. [1] H. Jaeger, The "echo state" approach to analysing and training recurrent neural networks,
       GMD report 148 (2001).
    """

    def __init__(
        self,
        units: int = 100,
        sr: float = 0.95,
        lr: float = 1.0,
        input_scaling: float = 1.0,
        inputs: int = 1,
        rc_connectivity: float = 0.1,
        input_connectivity: float = 0.1,
        bias: float = 0.0,
        seed: int = 42,
        *,
        input_limit: float = 1.0,
        step: float = _PLAIN_STEP,
    ) -> None:
        units, inputs, seed = (
            convert_value(name, value, int) for name, value in (("units", units), ("inputs", inputs), ("seed", seed))
        )
        check_size("units", units, _MOST_UNITS)
        check_size("inputs", inputs, _MOST_UNITS)
        if units < 1 or inputs < 1:
            raise ValueError(f"{units} units and {inputs} inputs; give at least one of each")
        if seed < 0:
            raise ValueError(f"seed is {seed}; give 0 or more")
        numbers: dict[str, float] = {}
        for name, value, low, high in (
            ("sr", sr, 0, 1000), ("lr", lr, 1e-9, 1), ("input_scaling", input_scaling, 0, 1e6),
            ("rc_connectivity", rc_connectivity, 1e-9, 1), ("input_connectivity", input_connectivity, 1e-9, 1),
            ("bias", bias, -1e6, 1e6), ("input_limit", input_limit, 1e-9, 1e9), ("step", step, 1e-6, 3600),
        ):  # fmt: skip
            numbers[name] = convert_value(name, value, float)
            if not low <= numbers[name] <= high:
                raise ValueError(f"{name} is {value}; allowed is {low:g} to {high:g}")
        try:
            from reservoirpy.nodes import Reservoir
        except ImportError as error:
            raise ImportError(
                "echo:// is reservoirpy's network; install it by pip install 'inmateria[reservoirpy]'"
            ) from error
        own: dict[str, float] = {"units": units, "inputs": inputs, "seed": seed, **numbers}
        self._network = Reservoir(
            **{name: value for name, value in own.items() if name not in ("inputs", "input_limit", "step")}
        )
        self._network.initialize(np.zeros((1, inputs)))
        step, limit = numbers["step"], numbers["input_limit"]
        digits = max(3, len(str(units - 1)))
        self._info = SubstrateInfo(
            id=simulator_id(f"echo-{units}-s{seed}", own),
            identity="parameters",
            kind="echo-state-network",
            inputs=tuple(Channel(name=f"u{i}", unit="1", low=-limit, high=limit) for i in range(inputs)),
            outputs=tuple(Channel(name=f"x{i:0{digits}d}", unit="1", low=-1.0, high=1.0) for i in range(units)),
            step=step,
            sampling_rate=1 / step,
            resettable=True,
            rest=(0.0,) * inputs,
            limits=Limits(shortest_step=min(1e-6, step)),
            parameters=own,
        )
        self.reset()

    @property
    def info(self) -> SubstrateInfo:
        """Description of the network: channels, limits and parameters."""
        return self._info

    def reset(self, noise: Literal["continue", "repeat"] = "continue") -> None:
        """Return every unit to zero, and the clock and the exchanges to their start.

        There is no noise; ``noise`` is there for the sake of the other simulators, and both of its values do the same.
        """
        either("noise", noise, "continue", "repeat")
        self._network.reset()
        self._clock, self._sequence = 0.0, 0

    def advance(self, stimulus: Stimulus) -> Response:
        """Apply a stimulus that is within the limits.

        Returns
        -------
        Response
            Signal of shape (steps, samples, units).
        """
        drive, step = stimulus.drive, stimulus.step
        samples = self._info.samples(step)
        states: FloatArray = self._network.run(np.repeat(drive, samples, axis=0))
        response = Response(states.reshape(len(drive), samples, -1), None, self._clock, self._sequence)
        self._clock += step * len(drive)
        self._sequence += 1
        return response
