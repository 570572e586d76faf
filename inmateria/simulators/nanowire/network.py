"""A simulated network of self-assembled nanowires: memristive junctions where wires cross, electrodes on some wires.

Kirchhoff's laws are solved exactly at every integration step, then every junction's state follows the
voltage across it. Model and parameters are those of Hochstetter et al., Nat. Commun. 12, 4008 (2021).
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import log_compilation
from inmateria.simulators.identity import simulator_id
from inmateria.simulators.nanowire import kernel
from inmateria.simulators.nanowire.compiled_calls import EVOLVE, address_of
from inmateria.simulators.nanowire.elimination import eliminate
from inmateria.simulators.nanowire.graph import Graph, at_least, given_graph, random_graph
from inmateria.simulators.nanowire.info import describe, strongest_conductance
from inmateria.simulators.nanowire.models import (
    MODELS,
    Binary,
    Filament,
    JunctionModel,
    LinearDrift,
    RateBalance,
    junction_model,
)
from inmateria.simulators.nanowire.parameters import Grid, RandomWires, Variability
from inmateria.simulators.nanowire.records import NanowireState, NanowireTrace
from inmateria.simulators.parameters import check_size, convert_value, group_from, plain_values
from inmateria.substrate import Response, Stimulus, StimulusRejected, SubstrateInfo

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

_DAY = 86400.0
_FILAMENT, _RANDOM_WIRES, _STEADY = Filament(), RandomWires(), Variability()


_MOST_WIRES = 100_000


class NanowireNetwork:
    """Simulated network of nanowires with memristive junctions; seeded and exactly repeatable.

    ``electrodes`` wires, far from one another, are contacted: the first ``inputs`` are driven (channels
    ``e00``, ``e01``, ...), the next ``grounds`` are held at 0 V, the voltage of the others is read
    (``v09``, ...) through ``load``. The first input and the first ground lie farthest apart. Also measured
    is the current that each driven or grounded electrode feeds into the network (``i00``, ..., A, negative
    where it flows out). The number in a channel's name is the electrode's.

    A sample is the network at the start of an integration step: solved with the conductances that its
    history left, under the voltage of that step. A step of a stimulus shorter than ``integration_step`` is
    one sample; a longer one is cut into equal parts, as nearly ``integration_step`` as fits.

    Groups of parameters are objects, ``model=Binary(set_voltage=0.02)``; or names, ``model="binary"``; or plain values
    as in ``info.parameters``, ``model={"type": "binary", "set_voltage": 0.02}``; in a URI they are written
    ``nanowire://?model=binary&model.set_voltage=0.02``.

    Parameters
    ----------
    wires : int
        Number of wires deposited; only those of the largest connected component remain (``wire_count``).
    seed : int
        Seed of the geometry and of everything else that is random.
    model : Filament, Binary, RateBalance, LinearDrift or JunctionModel
        Model of the junctions with its parameters, or one of your own.
    electrodes, inputs, grounds : int
        Number of contacted wires, of driven ones and of those at 0 V; the voltage of the others is read.
    geometry : RandomWires or Grid
        Arrangement of the wires.
    variability : Variability
        Differences, fluctuations and aging of the junctions; none by default.
    integration_step : float
        Integration step, s.
    step : float
        Default duration of a stimulus step, s.
    voltage_limit : float
        Largest absolute value of a driven voltage, V.
    load : float, optional
        Resistance to ground of the instrument that reads voltages, ohm; none by default.

    Raises
    ------
    ValueError
        If a parameter is out of range, not one of the model, or leaves too few connected wires.
    """

    def __init__(
        self,
        wires: int = 100,
        seed: int = 42,
        model: Filament | Binary | RateBalance | LinearDrift | JunctionModel | str | Mapping[str, Any] = _FILAMENT,
        electrodes: int = 16,
        inputs: int = 8,
        grounds: int = 1,
        *,
        geometry: RandomWires | Grid | str | Mapping[str, Any] = _RANDOM_WIRES,
        variability: Variability | Mapping[str, Any] = _STEADY,
        integration_step: float = 1e-3,
        step: float = 1e-3,
        voltage_limit: float = 10.0,
        load: float | None = None,
    ) -> None:
        check_size("wires", wires, _MOST_WIRES)
        placed = group_from("geometry", geometry, (RandomWires, Grid))
        graph = random_graph(wires, seed, electrodes, inputs, grounds, placed)
        drawn = {"wires": wires, "electrodes": electrodes, "inputs": inputs, "grounds": grounds}
        drawn = {name: int(count) for name, count in drawn.items()}
        self._build(
            graph, f"nanowire-{wires}-s{seed}", drawn | {"geometry": plain_values(placed, named=True)},
            {}, seed, model, variability, integration_step, step, voltage_limit, load,
        )  # fmt: skip

    @classmethod
    def from_junctions(
        cls,
        wire_count: int,
        junctions: Any,
        inputs: Iterable[int],
        grounds: Iterable[int] = (),
        outputs: Iterable[int] | None = None,
        *,
        seed: int = 42,
        model: Filament | Binary | RateBalance | LinearDrift | JunctionModel | str | Mapping[str, Any] = _FILAMENT,
        variability: Variability | Mapping[str, Any] = _STEADY,
        integration_step: float = 1e-3,
        step: float = 1e-3,
        voltage_limit: float = 10.0,
        load: float | None = None,
    ) -> Self:
        """Make a network of a given graph.

        Parameters
        ----------
        wire_count : int
        junctions
            Pairs of wires, shape (junctions, 2); or a sparse or dense adjacency matrix; or a networkx graph
            of the nodes 0 to wire_count-1.
        inputs, grounds : iterable of int
            Wires that are driven, and wires at 0 V.
        outputs : iterable of int, optional
            Wires whose voltage is read; all others by default.
        seed, model, variability, integration_step, step, voltage_limit, load
            See `NanowireNetwork`.

        Raises
        ------
        ValueError
            If a wire has two roles, or is connected to neither an input nor a ground, or a parameter is out of range.
        """
        at_least("seed", seed, 0)
        graph = given_graph(wire_count, junctions, inputs, grounds, outputs)
        arrays = {
            "junctions": graph.junctions, "inputs": graph.inputs, "grounds": graph.grounds, "outputs": graph.outputs,
        }  # fmt: skip
        drawn = {"wire_count": int(wire_count)} | {name: array.tolist() for name, array in arrays.items()}
        network = cls.__new__(cls)
        network._build(
            graph, f"nanowires-{wire_count}-s{seed}", drawn, arrays, seed, model, variability, integration_step,
            step, voltage_limit, load,
        )  # fmt: skip
        return network

    def _build(
        self,
        graph: Graph,
        prefix: str,
        drawn: dict[str, Any],
        arrays: dict[str, IntArray],
        seed: int,
        model: Any,
        variability: Any,
        integration_step: float,
        step: float,
        voltage_limit: float,
        load: float | None,
    ) -> None:
        self._graph, self._seed = graph, int(seed)
        self._junction = junction_model(model)
        self._variability: Variability = group_from("variability", variability, (Variability,))
        own: dict[str, Any] = {}
        for name, value in (("integration_step", integration_step), ("step", step), ("voltage_limit", voltage_limit)):
            own[name] = convert_value(name, value, float)
        own["load"] = convert_value("load", load, float | None)
        for name, value in own.items():
            if value is not None and value <= 0:
                raise ValueError(f"{name} is {value}; give more than 0")
        self._integration_step, self._voltage_limit = own["integration_step"], own["voltage_limit"]
        rng = np.random.default_rng([self._seed, 1])
        count, wires = len(graph.junctions), graph.wire_count
        spread = self._variability
        self._junctions = np.zeros((6, count))
        self._junctions[kernel.FEELS] = np.exp(spread.voltage_spread * rng.standard_normal(count))
        self._junctions[kernel.CONDUCTS] = np.exp(spread.conductance_spread * rng.standard_normal(count))
        elimination = eliminate(wires, graph.junctions, np.concatenate((graph.inputs, graph.grounds)))
        free = wires - len(graph.inputs) - len(graph.grounds)
        self._plan = elimination.packed(graph.outputs)
        self._nodes = np.zeros(wires + free + len(elimination.rows) + 3 * free)
        if own["load"] is not None:
            self._nodes[wires + elimination.place[graph.outputs].astype(np.intp)] = 1 / own["load"]
        self._constants = np.ascontiguousarray(self._junction.packed(), dtype=np.float64)
        self._evolve = address_of(type(self._junction).evolve, EVOLVE)
        self._noise = np.array([spread.noise, spread.noise_time], dtype=float)
        self._random = np.zeros(1, dtype=np.uint64)
        self._agings = 0
        groups = {
            "model": plain_values(self._junction, named=True),
            "variability": plain_values(spread, named=False),
        }
        # The digest has a given graph as arrays; a model that is not ours may have more in it than its parameters.
        plain = {name: value for name, value in drawn.items() if name not in arrays}
        own_model = {} if isinstance(self._junction, MODELS) else {"model": self._constants}
        identity = simulator_id(prefix, plain | {"seed": self._seed} | groups | own, **arrays, **own_model)
        strongest = strongest_conductance(
            self._junction.highest, self._junctions[kernel.CONDUCTS], self._variability.noise
        )
        self._info = describe(identity, graph, strongest, drawn | {"seed": self._seed} | groups | own)
        self._width = len(self._info.outputs)
        with log_compilation("the kernel of nanowire networks", kernel.advance):
            self.reset()

    @property
    def info(self) -> SubstrateInfo:
        """Description of the network: channels, limits, parameters and layout."""
        return self._info

    @property
    def wire_count(self) -> int:
        """Number of wires in the network."""
        return self._graph.wire_count

    @property
    def junctions(self) -> IntArray:
        """The two wires of each junction, shape (junctions, 2)."""
        return self._graph.junctions

    @property
    def positions(self) -> FloatArray | None:
        """Centres of the wires, shape (wires, 2), um; None for a graph without positions."""
        return None if self._graph.geometry is None else self._graph.geometry.centres

    @property
    def input_nodes(self) -> IntArray:
        """Driven wires, in the order of the input channels."""
        return self._graph.inputs

    @property
    def ground_nodes(self) -> IntArray:
        """Wires held at 0 V."""
        return self._graph.grounds

    @property
    def output_nodes(self) -> IntArray:
        """Wires whose voltage is read, in the order of the voltage channels."""
        return self._graph.outputs

    @property
    def conductance(self) -> FloatArray:
        """Conductance of each junction now, shape (junctions,), S; a copy."""
        return np.array(self._junctions[kernel.CONDUCTANCE])

    @property
    def filament(self) -> FloatArray:
        """State of each junction now, shape (junctions,), V s in the filament models; a copy."""
        return np.array(self._junctions[kernel.STATE])

    def reset(self) -> None:
        """Return every junction to rest, and clock, exchanges and noise to their start; age stays."""
        self._junctions[kernel.STATE] = self._junction.rest
        self._junctions[kernel.WALK] = 0.0
        self._random[0] = np.random.SeedSequence([self._seed, 2]).generate_state(1, np.uint64)[0]
        self._settle()
        self._clock, self._sequence = 0.0, 0

    def advance(self, stimulus: Stimulus) -> Response:
        """Apply a stimulus that is within the limits; the junctions keep the state that it leaves.

        Returns
        -------
        Response
            Signal of shape (steps, samples, outputs): voltages read, then electrode currents.
        """
        drive, step = stimulus.drive, stimulus.step
        samples = max(1, round(step / self._integration_step))
        signal = np.empty((len(drive), samples, self._width))
        self._run(drive, step / samples, samples, signal.reshape(-1, self._width), _NOTHING, 0)
        response = Response(signal, None, self._clock, self._sequence)
        self._clock += step * len(drive)
        self._sequence += 1
        return response

    def simulate(
        self, voltage: npt.ArrayLike, step: float = 1e-3, record: Iterable[str] = ("voltages", "currents")
    ) -> NanowireTrace:
        """Drive the network from its present state, one step of integration per row, and record a trace.

        Parameters
        ----------
        voltage : array_like, shape (steps, inputs), or (steps,) for a single input
            V.
        step : float
            Duration of each step, s. Unlike in `advance`, it is not cut into smaller ones.
        record : iterable of str
            Any of ``"voltages"``, ``"currents"``, ``"conductances"`` and ``"filaments"``.

        Raises
        ------
        StimulusRejected
            If the voltages are not finite, of another shape or beyond the limit.
        ValueError
            If there is no such record.
        """
        wanted = [record] if isinstance(record, str) else list(record)
        strange = [name for name in wanted if name not in _RECORDS]
        if strange:
            raise ValueError(f"record names {strange[0]!r}; there are {', '.join(_RECORDS)}")
        given = np.asarray(voltage, dtype=float)
        stimulus = Stimulus(given[:, np.newaxis] if given.ndim == 1 and len(self.input_nodes) == 1 else given, step)
        drive = stimulus.drive
        if drive.shape[1] != len(self.input_nodes):
            raise StimulusRejected(
                f"the voltages have {drive.shape[1]} columns",
                f"{self._info.id} has {len(self.input_nodes)} inputs",
                "give one column per input",
            )
        limit = self._voltage_limit
        if abs(drive).max() > limit:
            raise StimulusRejected(f"the voltages reach {abs(drive).max():g} V", f"{limit:g} V are allowed")
        driven = len(self.input_nodes) + len(self.ground_nodes)
        widths = dict(zip(_RECORDS, (self.wire_count, driven, len(self.junctions), len(self.junctions)), strict=True))
        kept = [name for name in _RECORDS if name in wanted]
        trace = np.empty((len(drive), sum(widths[name] for name in kept))) if kept else _NOTHING
        parts = sum(1 << i for i, name in enumerate(_RECORDS) if name in wanted)
        self._run(drive, stimulus.step, 1, _NOTHING, trace, parts)
        columns = np.split(trace, np.cumsum([widths[name] for name in kept])[:-1], axis=1) if kept else []
        time = self._clock + stimulus.step * np.arange(len(drive), dtype=np.float64)
        self._clock += stimulus.duration
        return NanowireTrace(time, **dict(zip(kept, columns, strict=True)))

    def age(self, duration: float) -> None:
        """Age the network at 0 V: junctions relax, and their parameters change by a random walk of ``aging`` a day.

        Parameters
        ----------
        duration : float
            s; meant for hours and days.

        Raises
        ------
        ValueError
            If the duration is negative or not finite.
        """
        if not 0 <= duration < math.inf:
            raise ValueError(f"duration is {duration} s; give 0 or more")
        self._agings += 1
        rng = np.random.default_rng([self._seed, 3, self._agings])
        walk = self._variability.aging * math.sqrt(duration / _DAY) * rng.standard_normal((2, len(self.junctions)))
        self._junctions[[kernel.FEELS, kernel.CONDUCTS]] *= np.exp(walk)
        self._junctions[kernel.DROP] = 0.0
        with log_compilation("the relaxation of nanowire networks", kernel.rest):
            parts = 1 if getattr(self._junction, "rests_at_once", False) else 10_000
            kernel.rest(self._evolve, self._constants, float(duration), parts, self._junctions)
        self._clock += duration

    @property
    def state(self) -> NanowireState:
        """Copy of the state; after `restore`, results are bit-identical."""
        return NanowireState(self._junctions.copy(), self._random.copy(), self._clock, self._sequence, self._agings)

    def restore(self, state: NanowireState) -> None:
        """Go back to a state of this network, or of one of the same graph.

        Raises
        ------
        ValueError
            If the state is of another number of junctions.
        """
        if state.junctions.shape != self._junctions.shape:
            raise ValueError(
                f"the state is of {state.junctions.shape[1]} junctions; this network has {len(self.junctions)}"
            )
        self._junctions[:], self._random[:] = state.junctions, state.random
        self._clock, self._sequence, self._agings = state.clock, state.sequence, state.agings

    def copy(self) -> Self:
        """Make an independent network in the same state; the graph, which never changes, is shared."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._junctions, twin._nodes, twin._random = self._junctions.copy(), self._nodes.copy(), self._random.copy()
        return twin

    def _run(
        self, drive: FloatArray, step: float, samples: int, signal: FloatArray, trace: FloatArray, parts: int
    ) -> None:
        kernel.advance(
            self._plan, self._evolve, self._constants, step, samples, drive, self._junctions, self._nodes,
            self._noise, self._random, signal, trace, parts,
        )  # fmt: skip

    def _settle(self) -> None:
        drive = np.empty((0, len(self.input_nodes)))
        drive.flags.writeable = False  # as a stimulus' is: one compilation for both
        self._run(drive, 1.0, 1, _NOTHING, _NOTHING, 0)


_NOTHING = np.empty((0, 0))
_RECORDS = ("voltages", "currents", "conductances", "filaments")
