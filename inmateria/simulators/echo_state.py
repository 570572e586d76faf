"""reservoirpy's echo-state network as a simulated substrate: the digital baseline for any that is made of matter.

    x(t+1) = (1 - lr) x(t) + lr tanh(W x(t) + W_in u(t+1) + bias)

Jaeger, The echo state approach, GMD report 148 (2001). The network is reservoirpy's own, and so are its numbers.
"""

import zlib

import numpy as np
import numpy.typing as npt

from inmateria.substrate import Channel, Limits, Response, Stimulus, SubstrateInfo

FloatArray = npt.NDArray[np.float64]

_PLAIN_STEP = 1e-3


class EchoStateNetwork:
    """Leaky tanh units with random connections, seeded; one sample is one update of the network.

    A step of a stimulus as long as ``step`` is one update; a longer one holds its input for as many as fit.

    Parameters
    ----------
    units : int
        Each is an output (``x000``, ``x001``, ...), without unit, between -1 and 1.
    sr : float
        Spectral radius of the connections: the largest of the absolute eigenvalues.
    lr : float
        Leak rate, above 0 and at most 1; 1 does not leak.
    input_scaling : float
        Weight of an input.
    inputs : int
        Inputs (``u0``, ...), without unit.
    rc_connectivity, input_connectivity : float
        Fraction of the connections, and of the input weights, that are not zero.
    bias : float
        Constant input of every unit.
    seed : int
        Of the weights.
    input_limit : float
        Largest input of either sign that may be driven.
    step : float
        Duration of one update on the network's clock, s: a digital network has no time of its own.

    Raises
    ------
    ValueError
        Where a parameter is out of range.
    ImportError
        Where reservoirpy is not installed.
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
        if units < 1 or inputs < 1:
            raise ValueError(f"{units} units and {inputs} inputs; give at least one of each")
        for name, value, low, high in (
            ("sr", sr, 0, 1000), ("lr", lr, 1e-9, 1), ("input_scaling", input_scaling, 0, 1e6),
            ("rc_connectivity", rc_connectivity, 1e-9, 1), ("input_connectivity", input_connectivity, 1e-9, 1),
            ("bias", bias, -1e6, 1e6), ("input_limit", input_limit, 1e-9, 1e9), ("step", step, 1e-6, 3600),
        ):  # fmt: skip
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}; allowed is {low:g} to {high:g}")
        if seed < 0:
            raise ValueError(f"seed is {seed}; give 0 or more")
        try:
            from reservoirpy.nodes import Reservoir
        except ImportError as error:
            raise ImportError(
                "echo:// is reservoirpy's network; install it by pip install 'inmateria[reservoirpy]'"
            ) from error
        made = {
            "units": units, "sr": sr, "lr": lr, "input_scaling": input_scaling, "rc_connectivity": rc_connectivity,
            "input_connectivity": input_connectivity, "bias": bias, "seed": seed,
        }  # fmt: skip
        self._network = Reservoir(**made)
        self._network.initialize(np.zeros((1, inputs)))
        own = made | {"inputs": inputs, "input_limit": input_limit, "step": step}
        digits = max(3, len(str(units - 1)))
        self._info = SubstrateInfo(
            id=f"echo-{units}-{seed}-{zlib.crc32(repr(sorted(own.items())).encode()):08x}",
            kind="echo-state-network",
            inputs=tuple(Channel(name=f"u{i}", unit="1", low=-input_limit, high=input_limit) for i in range(inputs)),
            outputs=tuple(Channel(name=f"x{i:0{digits}d}", unit="1", low=-1.0, high=1.0) for i in range(units)),
            step=step,
            sampling_rate=1 / step,
            resettable=True,
            limits=Limits(shortest_step=min(1e-6, step)),
            parameters=own,
        )
        self.reset()

    @property
    def info(self) -> SubstrateInfo:
        """What it is and what it may be given."""
        return self._info

    def reset(self) -> None:
        """Return every unit to zero, and the clock and the exchanges to their start."""
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
