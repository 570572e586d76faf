"""A network of nanowires with memristive junctions, between electrodes.

Wires are thrown on a plane; where two cross there is a junction whose filament grows above a threshold
voltage and decays below another. Every step, Kirchhoff's laws give the voltages of all wires for the
conductances of the moment, and the voltages move the filaments.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from inmateria.compilation import announced
from inmateria.simulators.kirchhoff import Elimination, plan_elimination, solve
from inmateria.simulators.wires import WireMesh, place_electrodes, throw_wires
from inmateria.substrate import Channel, Layout, Limits, Response, Stimulus, SubstrateInfo

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_MODELS = ("filament", "binary")
_MOST_DRAWN = 2_000
_C0, _PHI, _AREA, _J1, _THICKNESS = 10.19, 0.81, 0.17, 4.71307e-5, 5.0


class NanowireNetwork:
    """A simulated nanowire network.

    Electrodes lie on a square array and touch the nearest wire. A seeded choice makes `inputs` of them
    driven, the last one ground, and the others read. The outputs are, in this order: the voltages of
    the reading electrodes (``v..``), which draw no current, and the currents that flow into the network
    through the driven electrodes and the ground (``i..``).

    Parameters
    ----------
    wires : int
        Wires thrown on the plane; those outside the largest connected part are dropped.
    seed : int
        Of the geometry and of the electrodes' roles.
    model : {"filament", "binary"}
        How a junction conducts: through a filament with a tunnelling gap, or through one that is
        either there or not.
    electrodes, inputs : int
        Electrodes in all, and how many of them are driven.
    length, spread : float
        Mean and standard deviation of the wires' lengths, um.
    density : float
        Wires per um^2, which sets the side of the square.
    step : float
        Duration of a stimulus step where none is given, s.
    time_step : float
        Time between solutions, s; also between samples.
    set_voltage, reset_voltage : float
        Voltage above which a filament grows, and below which it decays, V.
    critical_filament, largest_filament : float
        Filament at which the gap closes, and at which it stops growing, V s.
    boost : float
        How much faster a filament decays than it grows.
    on_conductance, off_conductance : float
        Of a junction with a closed gap, and with none at all, S.
    highest_voltage : float
        Limit of every input, V.

    Attributes
    ----------
    junctions : ndarray of int, shape (junctions, 2)
    conductance : ndarray of float, shape (junctions,)
        S, at the last solution.
    filament : ndarray of float, shape (junctions,)
        V s.
    positions : ndarray of float, shape (wire_count, 2)
        Middle of each wire, um.
    input_nodes, output_nodes, ground_nodes : ndarray of int
        Wires touched by the driven, reading and grounded electrodes.

    Notes
    -----
    Junctions after Hochstetter et al., Nat. Commun. 12, 4008 (2021): with V the voltage across one,

        |V| > set_voltage      dL/dt = (|V| - set_voltage) sgn(V), up to |L| = largest_filament
        |V| < reset_voltage    d|L|/dt = -boost (reset_voltage - |V|), down to 0

    by explicit Euler. The gap is s = 5 nm max(1 - |L|/critical_filament, 0); its tunnelling resistance
    (Simmons, low voltage) R = (2/A) s phi^-1/2 exp(C0 phi^2 s) / J1, and the junction conducts
    1/(R + 1/on_conductance) + off_conductance.
    """

    def __init__(
        self,
        wires: int = 100,
        seed: int = 42,
        model: str = "filament",
        electrodes: int = 16,
        inputs: int = 8,
        *,
        length: float = 14.0,
        spread: float = 5.0,
        density: float = 0.06,
        step: float = 0.01,
        time_step: float = 1e-3,
        set_voltage: float = 0.01,
        reset_voltage: float = 0.01,
        critical_filament: float = 0.01,
        largest_filament: float = 0.015,
        boost: float = 10.0,
        on_conductance: float = 7.77e-5,
        off_conductance: float = 1e-8,
        highest_voltage: float = 10.0,
    ) -> None:
        parameters: dict[str, Any] = {name: value for name, value in locals().items() if name != "self"}
        _check(parameters)
        generator = np.random.default_rng(seed)
        side = float(np.sqrt(wires / density))
        self.mesh: WireMesh = throw_wires(wires, side, length, spread, generator)
        self.junctions = self.mesh.junctions
        self.positions = self.mesh.centres
        self.wire_count = len(self.positions)
        if self.wire_count < electrodes:
            raise ValueError(
                f"the largest connected part of {wires} wires has {self.wire_count}, too few for {electrodes} "
                "electrodes; use more or longer wires, or fewer electrodes"
            )
        touched = generator.permutation(place_electrodes(self.mesh, electrodes, side))
        self.input_nodes: IntArray = touched[:inputs]
        self.output_nodes: IntArray = touched[inputs:-1]
        self.ground_nodes: IntArray = touched[-1:]
        held = np.concatenate([self.input_nodes, self.ground_nodes])
        self._plan: Elimination = plan_elimination(self.wire_count, self.junctions, held)
        self._model = np.array(
            [set_voltage, reset_voltage, critical_filament, largest_filament, boost, on_conductance, off_conductance]
        )
        self._binary = model == "binary"
        self.info = self._describe(parameters)
        self._arguments = self._prepare()
        self.filament: FloatArray
        self.conductance: FloatArray
        self.reset()

    def reset(self) -> None:
        """Return to rest: no filaments, and the clock at zero."""
        self.filament = np.zeros(len(self.junctions))
        self.conductance = np.zeros(len(self.junctions))
        self._clock = 0.0
        self._sequence = 0

    def advance(self, stimulus: Stimulus) -> Response:
        """Apply a stimulus that is within the limits; one sample for every `time_step`."""
        samples = self.info.samples(stimulus.step)
        signal = np.empty((len(stimulus.drive), samples, len(self.info.outputs)))
        self._run(stimulus.drive, stimulus.step / samples, signal)
        response = Response(signal, None, self._clock, self._sequence)
        self._clock += stimulus.duration
        self._sequence += 1
        return response

    def _run(self, drive: FloatArray, time_step: float, signal: FloatArray) -> None:
        if _advance.signatures:
            _advance(drive, time_step, signal, self.filament, self.conductance, *self._arguments)
        else:
            with announced("the nanowire solver"):
                _advance(drive, time_step, signal, self.filament, self.conductance, *self._arguments)

    def _prepare(self) -> tuple[Any, ...]:
        """Gather what the kernel takes besides drive and state: pattern, roles, and room to work in."""
        plan = self._plan
        return (
            self._model, self._binary, self.junctions.astype(np.uint32), self.output_nodes.astype(np.uint32),
            np.zeros(self.wire_count), np.zeros(len(plan.held)), np.zeros(self.wire_count),
            plan.held, plan.free, plan.inner, plan.inner_slot, plan.inner_low, plan.inner_high,
            plan.edge, plan.edge_free, plan.edge_held, plan.column, plan.row, plan.target,
            np.zeros(len(plan.row)), np.zeros(len(plan.free)), np.zeros(len(plan.free)),
        )  # fmt: skip

    def _describe(self, parameters: dict[str, Any]) -> SubstrateInfo:
        highest, time_step = float(parameters["highest_voltage"]), float(parameters["time_step"])
        most = len(self.junctions) * parameters["on_conductance"] * 2 * highest
        driven = [f"e{k:02d}" for k in range(len(self.input_nodes))]
        read = [f"v{k:02d}" for k in range(len(self.output_nodes))]
        places = dict(
            zip(driven + read + ["ground"], [*self.input_nodes, *self.output_nodes, *self.ground_nodes], strict=True)
        )
        small = self.wire_count <= _MOST_DRAWN
        return SubstrateInfo(
            id=f"nanowire-{parameters['wires']}-{parameters['seed']}",
            kind="nanowire-network",
            inputs=tuple(Channel(name=name, unit="V", low=-highest, high=highest) for name in driven),
            outputs=(
                *(Channel(name=name, unit="V", low=-highest, high=highest) for name in read),
                *(
                    Channel(name=name, unit="A", low=-most, high=most)
                    for name in [f"i{k:02d}" for k in range(len(driven))]
                ),
                Channel(name="i-ground", unit="A", low=-most, high=most),
            ),
            step=float(parameters["step"]),
            sampling_rate=1.0 / time_step,
            resettable=True,
            limits=Limits(steps=1_000_000, shortest_step=time_step, longest_step=1e6 * time_step),
            parameters=parameters,
            layout=Layout(
                unit="um",
                segments=tuple(map(tuple, self.mesh.ends.round(3).tolist())) if small else (),
                points=tuple(map(tuple, self.mesh.crossings.round(3).tolist())) if small else (),
                electrodes={name: tuple(self.positions[node].round(3).tolist()) for name, node in places.items()},
            ),
        )


def _check(given: dict[str, Any]) -> None:
    """Refuse parameters that describe no network."""
    if given["model"] not in _MODELS:
        raise ValueError(f"model is {given['model']!r}; allowed are {', '.join(_MODELS)}")
    if not 1 <= given["inputs"] <= given["electrodes"] - 2:
        raise ValueError(
            f"{given['inputs']} inputs of {given['electrodes']} electrodes; give at least 1, and leave one to read "
            "and one for ground"
        )
    if given["wires"] < given["electrodes"] or given["seed"] < 0:
        raise ValueError(
            f"{given['wires']} wires for {given['electrodes']} electrodes with seed {given['seed']}; give at least as "
            "many wires as electrodes, and a seed of 0 or more"
        )
    positive = (
        "length", "spread", "density", "step", "time_step", "critical_filament", "largest_filament",
        "on_conductance", "off_conductance", "highest_voltage",
    )  # fmt: skip
    for name in (*positive, "set_voltage", "reset_voltage", "boost"):
        if not (np.isfinite(given[name]) and (given[name] > 0 if name in positive else given[name] >= 0)):
            raise ValueError(
                f"{name} is {given[name]}; it must be finite and {'more than' if name in positive else 'at least'} 0"
            )


@njit(cache=True, nogil=True, error_model="numpy")
def _conductance(filament, model, binary):  # type: ignore[no-untyped-def]
    critical, on, off = model[2], model[5], model[6]
    size = abs(filament)
    if binary:
        return on if size >= critical else off
    gap = _THICKNESS * max(1.0 - size / critical, 0.0)
    if gap == 0.0:
        return on + off
    tunnel = (2.0 / _AREA) * gap / np.sqrt(_PHI) * np.exp(_C0 * _PHI * _PHI * gap) / _J1
    return 1.0 / (tunnel + 1.0 / on) + off


@njit(cache=True, nogil=True, error_model="numpy")
def _advance(  # type: ignore[no-untyped-def]
    drive, time_step, signal, filament, conductance, model, binary, junctions, read, voltage, held_voltage, current,
    held, free, inner, inner_slot, inner_low, inner_high, edge, edge_free, edge_held, column, row, target,
    factor, diagonal, right,
):  # fmt: skip
    """Solve, sample and move the filaments, for every sample of every step."""
    set_voltage, reset_voltage, largest, boost = model[0], model[1], model[3], model[4]
    inputs = drive.shape[1]
    for each in range(filament.size):
        conductance[each] = _conductance(filament[each], model, binary)
    held_voltage[:] = 0.0
    for step in range(drive.shape[0]):
        for each in range(inputs):
            held_voltage[each] = drive[step, each]
        for sample in range(signal.shape[1]):
            solve(
                conductance, held_voltage, voltage, held, free, inner, inner_slot, inner_low, inner_high,
                edge, edge_free, edge_held, column, row, target, factor, diagonal, right,
            )  # fmt: skip
            current[:] = 0.0
            for each in range(filament.size):
                a, b = junctions[each, 0], junctions[each, 1]
                across = voltage[a] - voltage[b]
                flow = conductance[each] * across
                current[a] += flow
                current[b] -= flow
                size = abs(across)
                before = filament[each]
                after = before
                if size > set_voltage:
                    after = before + (size - set_voltage) * np.sign(across) * time_step
                    after = min(max(after, -largest), largest)
                elif size < reset_voltage:
                    shrunk = max(abs(before) - boost * (reset_voltage - size) * time_step, 0.0)
                    after = shrunk if before > 0 else -shrunk
                if after != before:
                    filament[each] = after
                    conductance[each] = _conductance(after, model, binary)
            for each in range(read.size):
                signal[step, sample, each] = voltage[read[each]]
            for each in range(held.size):
                signal[step, sample, read.size + each] = current[held[each]]
