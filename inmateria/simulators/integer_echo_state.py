"""An echo-state network in integers: sums, shifts and limits only, as a chip without a multiplier computes it."""

from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from numba import njit

from inmateria.kernel_compilation import log_compilation
from inmateria.simulators.identity import simulator_id
from inmateria.simulators.integer_echo_source import write_network_c
from inmateria.simulators.parameters import check_size, convert_value, either
from inmateria.substrate import Channel, Limits, Response, Stimulus, SubstrateInfo

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

_MOST_UNITS = 20_000
_PLAIN_STEP = 1e-3
ONE = 32767
"""Largest size of a state or an input in counts: 16 bits with the sign."""


class IntegerEchoStateNetwork:
    r"""Leaky clipped units with connections of -1 and 1; one sample is one update of the network.

    States :math:`x` and inputs :math:`u` are 16-bit counts. A unit adds the states of some units, subtracts those of
    others, and is limited to the largest count instead of saturating smoothly:

    .. math::

        z_i &= \Bigl\lfloor 2^{-g} \Bigl(\sum_{j \in P_i} x_j - \sum_{j \in M_i} x_j\Bigr) \Bigr\rfloor
              + \sum_k \pm \lfloor 2^{-h_{ik}} u_k \rfloor + b_i \\
        x_i &\leftarrow x_i + \lfloor 2^{-l} (\mathrm{clip}(z_i) - x_i) \rfloor

    so that an update needs no product (after D. Kleyko et al., IEEE Trans. Neural Netw. Learn. Syst. 33, 1688 (2022),
    with random sparse connections in place of a permutation). The result is the same on every machine, to the bit.

    Parameters
    ----------
    units : int
        Number of units; each is an output (``x000``, ``x001``, ...): its count divided by 32,767.
    connections : int
        Units that each unit adds or subtracts, half of them each. The spectral radius of the connections is nearly
        :math:`2^{-g}` times the root of their number: .9 with the 13 of the default.
    gain_shift : int
        Shift :math:`g` of their sum.
    leak_shift : int
        Shift :math:`l` of a unit's change; 0 does not leak.
    bias : float
        Largest constant input of a unit, as part of the largest count. Without it all is odd in the input.
    inputs : int
        Number of inputs (``u0``, ...), without unit.
    input_shifts : int
        Largest shift of an input, 0 to 15; each unit has one from 0 to this for each input, and a sign.
    seed : int
        Seed of connections, shifts, signs and constants.
    input_limit : float
        Input that is the largest count.
    step : float
        Duration of one update on the network's clock, s.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    def __init__(
        self,
        units: int = 100,
        connections: int = 13,
        gain_shift: int = 2,
        leak_shift: int = 2,
        bias: float = 0.5,
        inputs: int = 1,
        input_shifts: int = 2,
        seed: int = 42,
        *,
        input_limit: float = 1.0,
        step: float = _PLAIN_STEP,
    ) -> None:
        whole: dict[str, int] = {}
        for name, count, low, high in (
            ("units", units, 1, _MOST_UNITS), ("connections", connections, 0, 4096), ("gain_shift", gain_shift, 0, 15),
            ("leak_shift", leak_shift, 0, 15), ("inputs", inputs, 1, 4096), ("input_shifts", input_shifts, 0, 15),
            ("seed", seed, 0, 2**63 - 1),
        ):  # fmt: skip
            whole[name] = convert_value(name, count, int)
            if not low <= whole[name] <= high:
                raise ValueError(f"{name} is {count}; allowed is {low:,} to {high:,}")
        numbers: dict[str, float] = {}
        for name, value, least, most in (
            ("bias", bias, 0, 1), ("input_limit", input_limit, 1e-9, 1e9), ("step", step, 1e-6, 3600),
        ):  # fmt: skip
            numbers[name] = convert_value(name, value, float)
            if not least <= numbers[name] <= most:
                raise ValueError(f"{name} is {value}; allowed is {least:g} to {most:g}")
        units, inputs, connections = whole["units"], whole["inputs"], whole["connections"]
        check_size("units", units * max(connections, inputs, 1), 10_000_000)
        if connections > units:
            raise ValueError(f"connections is {connections}, more than the {units} units")
        generator = np.random.default_rng(whole["seed"])
        self._sources = np.empty((units, connections), dtype=np.int32)
        for row in self._sources:
            row[:] = generator.choice(units, connections, replace=False)
        self._shifts = generator.integers(0, whole["input_shifts"] + 1, (units, inputs), dtype=np.int32)
        self._signs = 2 * generator.integers(0, 2, (units, inputs), dtype=np.int32) - 1
        self._constants = np.round(generator.uniform(-1, 1, units) * numbers["bias"] * ONE).astype(np.int32)
        self._gain_shift, self._leak_shift, self._limit = (
            whole["gain_shift"],
            whole["leak_shift"],
            numbers["input_limit"],
        )
        own: dict[str, float] = {**whole, **numbers}
        digits = max(3, len(str(units - 1)))
        self._info = SubstrateInfo(
            id=simulator_id(f"integer-echo-{units}-s{whole['seed']}", own),
            identity="parameters",
            kind="integer-echo-state-network",
            inputs=tuple(Channel(name=f"u{i}", unit="1", low=-self._limit, high=self._limit) for i in range(inputs)),
            outputs=tuple(Channel(name=f"x{i:0{digits}d}", unit="1", low=-1.0, high=1.0) for i in range(units)),
            step=numbers["step"],
            sampling_rate=1 / numbers["step"],
            resettable=True,
            rest=(0.0,) * inputs,
            limits=Limits(shortest_step=min(1e-6, numbers["step"])),
            parameters=own,
        )
        self.reset()

    @property
    def info(self) -> SubstrateInfo:
        """Description of the network: channels, limits and parameters."""
        return self._info

    @property
    def counts(self) -> IntArray:
        """States in counts, shape (units,)."""
        return self._states.copy()

    def to_c(self, path: str | PathLike[str]) -> list[Path]:
        """Write NAME.h and NAME.c: C99 without products whose states are this network's, to the bit.

        Parameters
        ----------
        path : path-like
            Of NAME.c; NAME becomes the beginning of the function's name.

        Returns
        -------
        list of Path
            Header and source.
        """
        return write_network_c(
            Path(path), self._sources, self._shifts, self._signs, self._constants, self._gain_shift, self._leak_shift
        )

    def reset(self, noise: Literal["continue", "repeat"] = "continue") -> None:
        """Return every unit to zero, and the clock and the exchanges to their start.

        There is no noise; ``noise`` is there for the sake of the other simulators, and both of its values do the same.
        """
        either("noise", noise, "continue", "repeat")
        self._states: IntArray = np.zeros(self._info.parameters["units"], dtype=np.int32)
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
        counts = np.round(np.repeat(drive, samples, axis=0) / self._limit * ONE).astype(np.int32)
        with log_compilation("the integer echo-state network", _advance):
            states = _advance(
                np.clip(counts, -ONE, ONE), self._states, self._sources, self._shifts, self._signs, self._constants,
                self._gain_shift, self._leak_shift,
            )  # fmt: skip
        response = Response(states.reshape(len(drive), samples, -1) / ONE, None, self._clock, self._sequence)
        self._clock += step * len(drive)
        self._sequence += 1
        return response


@njit(cache=True, nogil=True)
def _advance(inputs, states, sources, shifts, signs, constants, gain_shift, leak_shift):  # type: ignore[no-untyped-def]
    """Return the states after each update (updates, units) in counts; `states` are moved on in place."""
    units, connections = sources.shape
    half = connections // 2
    found = np.empty((len(inputs), units), dtype=np.int32)
    for update in range(len(inputs)):
        for unit in range(units):
            total = np.int64(0)
            for place in range(half):
                total += states[sources[unit, place]]
            for place in range(half, connections):
                total -= states[sources[unit, place]]
            total = (total >> gain_shift) + constants[unit]
            for channel in range(inputs.shape[1]):
                total += signs[unit, channel] * (inputs[update, channel] >> shifts[unit, channel])
            total = min(max(total, np.int64(-ONE)), np.int64(ONE))
            found[update, unit] = states[unit] + ((total - states[unit]) >> leak_shift)
        states[:] = found[update]
    return found
