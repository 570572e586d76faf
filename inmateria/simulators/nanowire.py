"""A simulated network of self-assembled nanowires: memristive junctions where wires cross, electrodes on some wires.

Kirchhoff's laws are solved exactly at every integration step, then every junction's state follows the
voltage across it. Model and parameters are those of Hochstetter et al., Nat. Commun. 12, 4008 (2021).
"""

import inspect
import logging
import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.simulators import nanowire_kernel as kernel
from inmateria.simulators.nanowire_elimination import eliminate
from inmateria.simulators.nanowire_geometry import Geometry, deposit, spread_out
from inmateria.simulators.nanowire_models import JunctionModel, junction_model, model_parameters
from inmateria.substrate import Channel, Layout, Limits, Response, Stimulus, SubstrateInfo

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

_log = logging.getLogger("inmateria")


@dataclass(frozen=True, eq=False)
class _Wiring:
    """Which graph a network is, and which of its nodes are electrodes."""

    wire_count: int
    junctions: IntArray
    inputs: IntArray
    grounds: IntArray
    outputs: IntArray
    geometry: Geometry | None
    made_with: dict[str, Any]
    identity: str


class NanowireNetwork:
    """Random wires on a plane, memristive junctions where they cross; seeded and exactly repeatable.

    ``electrodes`` wires, far from one another, are contacted: the first ``inputs`` are driven (channels
    ``e00``, ``e01``, ...), the next ``grounds`` are held at 0 V, the voltage of the others is read
    (``v09``, ...) through ``load``. The first input and the first ground lie farthest apart. Also measured
    is the current that each driven or grounded electrode feeds into the network (``i00``, ..., A, negative
    where it flows out). The number in a channel's name is the electrode's.

    A sample is the network at the start of an integration step: solved with the conductances that its
    history left, under the voltage of that step. A step of a stimulus shorter than ``integration_step`` is
    one sample; a longer one is cut into equal parts, as nearly ``integration_step`` as fits.

    Parameters
    ----------
    wires : int
        Wires deposited; only those of the largest connected part remain (``wire_count``).
    seed : int
        Of the geometry, and of whatever else is random.
    model : str
        What a junction is: ``"filament"`` (`Filament`) or ``"binary"`` (`Binary`).
    electrodes, inputs, grounds : int
        Contacted wires in all, those driven and those at 0 V; the rest is read.
    side : float, optional
        Side of the square in which the wires' centres lie, um; by default what ``density`` asks for.
    density : float
        Wires per um^2; published networks have 0.06 to 0.14.
    wire_length, wire_length_spread : float
        Mean and standard deviation of the gamma-distributed lengths, um.
    integration_step : float
        Duration of an Euler step at most, s.
    step : float
        Duration of a stimulus step that does not say otherwise, s.
    voltage_limit : float
        Largest voltage of either sign that may be driven, V.
    load : float, optional
        Resistance to ground of what reads the voltages, ohm; none by default.
    set_voltage, reset_voltage, closed_filament, full_filament, shrink_rate, on_conductance, off_conductance, \
gap, barrier, gap_power, barrier_power, overshoot : optional
        Of the junction model, with its published values by default; see the model.

    Raises
    ------
    ValueError
        Where a parameter is out of range, not one of the model, or leaves too few connected wires.
    """

    def __init__(
        self,
        wires: int = 100,
        seed: int = 42,
        model: str = "filament",
        electrodes: int = 16,
        inputs: int = 8,
        grounds: int = 1,
        *,
        side: float | None = None,
        density: float = 0.06,
        wire_length: float = 14.0,
        wire_length_spread: float = 5.0,
        integration_step: float = 1e-3,
        step: float = 1e-3,
        voltage_limit: float = 10.0,
        load: float | None = None,
        set_voltage: float | None = None,
        reset_voltage: float | None = None,
        closed_filament: float | None = None,
        full_filament: float | None = None,
        shrink_rate: float | None = None,
        on_conductance: float | None = None,
        off_conductance: float | None = None,
        gap: float | None = None,
        barrier: float | None = None,
        gap_power: float | None = None,
        barrier_power: float | None = None,
        overshoot: bool | None = None,
    ) -> None:
        given = locals()
        junction = junction_model(model, {name: given[name] for name in _JUNCTION_PARAMETERS})
        geometry = _deposited(wires, seed, side, density, wire_length, wire_length_spread)
        count = len(geometry.segments)
        _electrodes_fit(electrodes, inputs, grounds, count)
        chosen = spread_out(geometry.centres, electrodes)
        # The two farthest apart, chosen first, become the first input and the first ground.
        chosen = np.concatenate((chosen[:1], chosen[2 : inputs + 1], chosen[1:2], chosen[inputs + 1 :]))
        made_with = {name: given[name] for name in _NETWORK_PARAMETERS} | model_parameters(junction)
        wiring = _Wiring(
            count, geometry.junctions, chosen[:inputs], chosen[inputs : inputs + grounds], chosen[inputs + grounds :],
            geometry, made_with, f"nanowire-{wires}-{seed}",
        )  # fmt: skip
        self._build(wiring, junction, integration_step, step, voltage_limit, load)

    def _build(
        self,
        wiring: _Wiring,
        junction: JunctionModel,
        integration_step: float,
        step: float,
        voltage_limit: float,
        load: float | None,
    ) -> None:
        for name, value in (("integration_step", integration_step), ("voltage_limit", voltage_limit), ("step", step)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} is {value}; give more than 0")
        if load is not None and not 0 < load < math.inf:
            raise ValueError(f"load is {load} ohm; give more than 0, or None to read without one")
        self._wiring, self._junction, self._integration_step = wiring, junction, float(integration_step)
        fixed = np.concatenate((wiring.inputs, wiring.grounds))
        self._plan = eliminate(wiring.wire_count, wiring.junctions, fixed)
        free = wiring.wire_count - len(fixed)
        place = self._plan.place.astype(np.intp)
        self._constants = junction.packed()
        self._load = np.zeros(free)
        if load is not None:
            self._load[place[wiring.outputs]] = 1 / load
        self._read = self._plan.place[wiring.outputs]
        count = len(wiring.junctions)
        self._scale = np.ones((2, count))
        self._state = np.empty(count)
        self._conductance = np.empty(count)
        self._work = np.empty(len(self._plan.rows) + 3 * free)
        self._voltage = np.zeros(wiring.wire_count)
        self._drop = np.zeros(count)
        self._info = self._describe(step, voltage_limit)
        _announce_compilation()
        self._width = len(self._info.outputs)
        self.reset()

    def _describe(self, step: float, voltage_limit: float) -> SubstrateInfo:
        wiring = self._wiring
        driven = np.concatenate((wiring.inputs, wiring.grounds))
        electrodes = np.concatenate((driven, wiring.outputs))
        strongest = np.zeros(wiring.wire_count)
        np.add.at(strongest, wiring.junctions, self._junction.highest * self._scale[1][:, np.newaxis])
        low, high = -float(voltage_limit), float(voltage_limit)
        inputs = [Channel(name=f"e{i:02d}", unit="V", low=low, high=high) for i in range(len(wiring.inputs))]
        outputs = [Channel(name=f"v{i:02d}", unit="V", low=low, high=high) for i in range(len(driven), len(electrodes))]
        for i, node in enumerate(driven):
            most = max(2 * voltage_limit * float(strongest[node]), 1e-15)
            outputs.append(Channel(name=f"i{i:02d}", unit="A", low=-most, high=most))
        layout = None
        if wiring.geometry is not None:
            centres = wiring.geometry.centres[electrodes].tolist()
            layout = Layout(
                unit="um",
                segments=tuple(tuple(ends) for ends in wiring.geometry.segments.tolist()),
                points=tuple(tuple(point) for point in wiring.geometry.points.tolist()),
                electrodes={channel.name: tuple(centres[int(channel.name[1:])]) for channel in (*inputs, *outputs)},
            )
        return SubstrateInfo(
            id=wiring.identity + self._variant(),
            kind="nanowire-network",
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            step=float(step),
            sampling_rate=1 / self._integration_step,
            resettable=True,
            limits=Limits(shortest_step=min(1e-6, step), longest_step=max(3600.0, step)),
            parameters=wiring.made_with,
            layout=layout,
        )

    def _variant(self) -> str:
        """Tell devices of one seed apart that differ in anything else; empty for the default one."""
        defaults = inspect.signature(NanowireNetwork).parameters
        usual = {name: defaults[name].default for name in _NETWORK_PARAMETERS} | model_parameters(
            junction_model("filament", {})
        )
        skip = ("wires", "seed")
        unusual = {k: v for k, v in self._wiring.made_with.items() if k not in skip and usual.get(k, None) != v}
        return f"-{zlib.crc32(repr(sorted(unusual.items())).encode()):08x}" if unusual else ""

    @property
    def info(self) -> SubstrateInfo:
        """What it is and what it may be given."""
        return self._info

    @property
    def wire_count(self) -> int:
        """Wires in the network: its nodes."""
        return self._wiring.wire_count

    @property
    def junctions(self) -> IntArray:
        """The two wires of each junction, shape (junctions, 2)."""
        return self._wiring.junctions

    @property
    def positions(self) -> FloatArray | None:
        """Centres of the wires, shape (wires, 2), um; None for a graph without places."""
        return None if self._wiring.geometry is None else self._wiring.geometry.centres

    @property
    def input_nodes(self) -> IntArray:
        """Driven wires, in the order of the input channels."""
        return self._wiring.inputs

    @property
    def ground_nodes(self) -> IntArray:
        """Wires held at 0 V."""
        return self._wiring.grounds

    @property
    def output_nodes(self) -> IntArray:
        """Wires whose voltage is read, in the order of the voltage channels."""
        return self._wiring.outputs

    @property
    def conductance(self) -> FloatArray:
        """Conductance of each junction now, shape (junctions,), S; a copy."""
        return self._conductance.copy()

    @property
    def filament(self) -> FloatArray:
        """State of each junction now, shape (junctions,), V s; a copy."""
        return self._state.copy()

    def reset(self) -> None:
        """Return every junction to rest, and the clock to zero."""
        self._state.fill(self._junction.rest)
        self._settle()
        self._clock, self._sequence = 0.0, 0

    def advance(self, stimulus: Stimulus) -> Response:
        """Apply a stimulus that is within the limits; the junctions keep what it did to them.

        Returns
        -------
        Response
            Signal of shape (steps, samples, outputs): voltages read, then electrode currents.
        """
        drive, step = stimulus.drive, stimulus.step
        samples = self._info.samples(step)
        signal = np.empty((len(drive), samples, self._width))
        self._run(drive, step / samples, samples, signal.reshape(-1, self._width))
        response = Response(signal, None, self._clock, self._sequence)
        self._clock += step * len(drive)
        self._sequence += 1
        return response

    def _run(self, drive: FloatArray, step: float, samples: int, signal: FloatArray) -> None:
        kernel.advance(
            self._plan, self._junction.code, self._constants, step, samples, drive, len(self._wiring.grounds),
            self._load, self._scale, self._state, self._conductance, self._work, self._voltage, self._drop,
            self._read, signal, _NOTHING, _NOTHING, _NOTHING, _NOTHING,
        )  # fmt: skip

    def _settle(self) -> None:
        drive = np.empty((0, len(self._wiring.inputs)))
        drive.flags.writeable = False  # as a stimulus' is: one compilation for both
        self._run(drive, 1.0, 1, _NOTHING)


_NETWORK_PARAMETERS = (
    "wires", "seed", "model", "electrodes", "inputs", "grounds", "side", "density", "wire_length",
    "wire_length_spread", "integration_step", "step", "voltage_limit", "load",
)  # fmt: skip
_JUNCTION_PARAMETERS = (
    "set_voltage", "reset_voltage", "closed_filament", "full_filament", "shrink_rate", "on_conductance",
    "off_conductance", "gap", "barrier", "gap_power", "barrier_power", "overshoot",
)  # fmt: skip
_NOTHING = np.empty((0, 0))


def _deposited(wires: int, seed: int, side: float | None, density: float, length: float, spread: float) -> Geometry:
    """Check what a random network is made from, and make its geometry."""
    _at_least("wires", wires, 2)
    _at_least("seed", seed, 0)
    if side is not None and not 0 < side < math.inf:
        raise ValueError(f"side is {side} um; give more than 0")
    if not 0 < density < math.inf:
        raise ValueError(f"density is {density} wires per um^2; give more than 0, published networks have 0.06 to 0.14")
    if not (0 < length < math.inf and 0 <= spread < math.inf):
        raise ValueError(
            f"wires are {length} +- {spread} um long; give a length of more than 0 and a spread of 0 or more"
        )
    square = math.sqrt(wires / density) if side is None else side
    return deposit(wires, square, length, spread, np.random.default_rng(seed))


def _at_least(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} is {value!r}; give a whole number of at least {least}")


def _electrodes_fit(electrodes: int, inputs: int, grounds: int, wire_count: int) -> None:
    for name, value in (("electrodes", electrodes), ("inputs", inputs), ("grounds", grounds)):
        _at_least(name, value, 1)
    if inputs + grounds > electrodes:
        raise ValueError(
            f"{inputs} inputs and {grounds} grounds need {inputs + grounds} electrodes and there are {electrodes}; "
            "give more electrodes or fewer inputs"
        )
    if electrodes > wire_count:
        raise ValueError(
            f"{electrodes} electrodes need as many wires and the largest connected part has {wire_count}; "
            "give more or denser wires, or fewer electrodes"
        )


def _announce_compilation() -> None:
    """Say so where the kernel has to be compiled first, which takes seconds; later processes find it cached."""
    if not kernel.is_compiled():
        _log.info("compiling the nanowire kernel; this takes some seconds, once on this machine")
