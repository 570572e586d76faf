"""A simulated network of self-assembled nanowires: memristive junctions where wires cross, electrodes on some wires.

Kirchhoff's laws are solved exactly at every integration step, then every junction's state follows the
voltage across it. Model and parameters are those of Hochstetter et al., Nat. Commun. 12, 4008 (2021).
"""

import inspect
import math
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import log_compilation
from inmateria.simulators.nanowire import kernel
from inmateria.simulators.nanowire.compiled_calls import EVOLVE, address_of
from inmateria.simulators.nanowire.elimination import eliminate
from inmateria.simulators.nanowire.graph import Graph, given_graph, random_graph
from inmateria.simulators.nanowire.info import describe
from inmateria.simulators.nanowire.models import JunctionModel, junction_model, model_name, model_parameters
from inmateria.simulators.nanowire.records import NanowireState, NanowireTrace
from inmateria.substrate import Response, Stimulus, StimulusRejected, SubstrateInfo

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

_DAY = 86400.0


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
    model : str or JunctionModel
        What a junction is: ``"filament"`` (`Filament`, a threshold and a tunnelling gap), ``"binary"`` (`Binary`,
        the same with a switch), ``"rate-balance"`` (`RateBalance`) or ``"linear-drift"`` (`LinearDrift`); or a
        model of your own, made already.
    electrodes, inputs, grounds : int
        Contacted wires in all, those driven and those at 0 V; the rest is read.
    side : float, optional
        Side of the square in which the wires' centres lie, um; by default what ``density`` asks for.
    density : float
        Wires per um^2; published networks have 0.06 to 0.14.
    wire_length, wire_length_spread : float
        Mean and standard deviation of the gamma-distributed lengths, um.
    topology : str
        ``"random"`` wires, or a square ``"grid"`` of so many nodes with random diagonals.
    integration_step : float
        Duration of a step of integration, s.
    step : float
        Duration of a stimulus step that does not say otherwise, s.
    voltage_limit : float
        Largest voltage of either sign that may be driven, V.
    load : float, optional
        Resistance to ground of what reads the voltages, ohm; none by default.
    noise, noise_time : float
        Standard deviation of the logarithm of every conductance, and its correlation time, s: an
        Ornstein-Uhlenbeck process, as measured around the mean path of real networks by Milano et al.
    voltage_spread, conductance_spread : float
        Device-to-device spread: standard deviation of the logarithm of the voltage that each junction feels
        (its thresholds, inversely) and of its conductance.
    aging : float
        Standard deviation that a day adds to both logarithms, by a random walk; see `age`.
    set_voltage, reset_voltage, closed_filament, full_filament, shrink_rate, gap, barrier, gap_power, \
barrier_power, overshoot, on_conductance, off_conductance, potentiation_rate, depression_rate, \
potentiation_slope, depression_slope, drift_time, decay_time, window : optional
        Of the junction model, with its published values and units by default; see the model.

    Raises
    ------
    ValueError
        Where a parameter is out of range, not one of the model, or leaves too few connected wires.
    """

    def __init__(
        self,
        wires: int = 100,
        seed: int = 42,
        model: str | JunctionModel = "filament",
        electrodes: int = 16,
        inputs: int = 8,
        grounds: int = 1,
        *,
        topology: str = "random",
        side: float | None = None,
        density: float = 0.06,
        wire_length: float = 14.0,
        wire_length_spread: float = 5.0,
        integration_step: float = 1e-3,
        step: float = 1e-3,
        voltage_limit: float = 10.0,
        load: float | None = None,
        noise: float = 0.0,
        noise_time: float = 0.1,
        voltage_spread: float = 0.0,
        conductance_spread: float = 0.0,
        aging: float = 0.0,
        set_voltage: float | None = None,
        reset_voltage: float | None = None,
        closed_filament: float | None = None,
        full_filament: float | None = None,
        shrink_rate: float | None = None,
        gap: float | None = None,
        barrier: float | None = None,
        gap_power: float | None = None,
        barrier_power: float | None = None,
        overshoot: bool | None = None,
        on_conductance: float | None = None,
        off_conductance: float | None = None,
        potentiation_rate: float | None = None,
        depression_rate: float | None = None,
        potentiation_slope: float | None = None,
        depression_slope: float | None = None,
        drift_time: float | None = None,
        decay_time: float | None = None,
        window: float | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name in _DEFAULTS}
        graph = random_graph(
            topology, wires, seed, electrodes, inputs, grounds, side, density, wire_length, wire_length_spread
        )
        self._build(graph, given)

    @classmethod
    def from_junctions(
        cls,
        wire_count: int,
        junctions: Any,
        inputs: Iterable[int],
        grounds: Iterable[int] = (),
        outputs: Iterable[int] | None = None,
        **parameters: Any,
    ) -> Self:
        """Make a network of a graph of one's own.

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
        **parameters
            Those of `NanowireNetwork` that are not about geometry or the number of electrodes.

        Raises
        ------
        ValueError
            Where a wire has two roles, or is connected to neither an input nor a ground.
        """
        strange = [name for name in parameters if name not in _DEFAULTS or name in _GEOMETRY]
        if strange:
            raise ValueError(
                f"a network of given junctions has no {', '.join(strange)}; "
                f"it has {', '.join(name for name in _DEFAULTS if name not in _GEOMETRY)}"
            )
        made = _DEFAULTS | parameters
        graph = given_graph(wire_count, junctions, inputs, grounds, outputs, f"nanowires-{wire_count}-{made['seed']}")
        network = cls.__new__(cls)
        drawn = {
            "wire_count": wire_count,
            "junctions": graph.junctions.tolist(),
            "inputs": graph.inputs.tolist(),
            "grounds": graph.grounds.tolist(),
            "outputs": graph.outputs.tolist(),
        }
        network._build(graph, {name: made[name] for name in made if name not in _GEOMETRY}, drawn)
        return network

    def _build(self, graph: Graph, given: dict[str, Any], drawn: dict[str, Any] | None = None) -> None:
        given = {key: value.item() if isinstance(value, np.generic) else value for key, value in given.items()}
        self._junction = junction_model(given["model"], {key: given[key] for key in _OF_JUNCTIONS})
        own = {key: value for key, value in given.items() if key not in _OF_JUNCTIONS}
        own |= {"model": model_name(self._junction)} | model_parameters(self._junction)
        for key in ("integration_step", "step", "voltage_limit", "noise_time", "load"):
            if own[key] is not None and not 0 < own[key] < math.inf:
                raise ValueError(f"{key} is {own[key]}; give more than 0")
        for key in ("noise", "voltage_spread", "conductance_spread", "aging"):
            if not 0 <= own[key] <= 3:
                raise ValueError(f"{key} is {own[key]}; allowed is 0 to 3, the standard deviation of a logarithm")
        self._graph, self._own = graph, own
        self._seed = own["seed"]
        rng = np.random.default_rng([self._seed, 1])
        count, wires = len(graph.junctions), graph.wire_count
        self._junctions = np.zeros((6, count))
        self._junctions[kernel.FEELS] = np.exp(own["voltage_spread"] * rng.standard_normal(count))
        self._junctions[kernel.CONDUCTS] = np.exp(own["conductance_spread"] * rng.standard_normal(count))
        elimination = eliminate(wires, graph.junctions, np.concatenate((graph.inputs, graph.grounds)))
        free = wires - len(graph.inputs) - len(graph.grounds)
        self._plan = elimination.packed(graph.outputs)
        self._nodes = np.zeros(wires + free + len(elimination.rows) + 3 * free)
        if own["load"] is not None:
            self._nodes[wires + elimination.place[graph.outputs].astype(np.intp)] = 1 / own["load"]
        self._constants = np.ascontiguousarray(self._junction.packed(), dtype=np.float64)
        self._evolve = address_of(type(self._junction).evolve, EVOLVE)
        self._noise = np.array([own["noise"], own["noise_time"]], dtype=float)
        self._random = np.zeros(1, dtype=np.uint64)
        self._integration_step = float(own["integration_step"])
        self._agings = 0
        self._info = describe(graph, self._junction, self._junctions[kernel.CONDUCTS], own, drawn or {}, _DEFAULTS)
        self._width = len(self._info.outputs)
        with log_compilation("the kernel of nanowire networks", kernel.advance):
            self.reset()

    @property
    def info(self) -> SubstrateInfo:
        """What it is and what it may be given."""
        return self._info

    @property
    def wire_count(self) -> int:
        """Wires in the network: its nodes."""
        return self._graph.wire_count

    @property
    def junctions(self) -> IntArray:
        """The two wires of each junction, shape (junctions, 2)."""
        return self._graph.junctions

    @property
    def positions(self) -> FloatArray | None:
        """Centres of the wires, shape (wires, 2), um; None for a graph without places."""
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
        """Apply a stimulus that is within the limits; the junctions keep what it did to them.

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
        """Drive it from its present state, one step of integration per row, and record whatever is wanted.

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
            Where the voltages are not finite, of another shape or beyond the limit.
        ValueError
            Where there is no such record.
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
        limit = self._own["voltage_limit"]
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
        """Let time pass at 0 V: junctions relax, and their parameters walk by ``aging`` a day.

        Parameters
        ----------
        duration : float
            s; days are what it is for.
        """
        if not 0 <= duration < math.inf:
            raise ValueError(f"duration is {duration} s; give 0 or more")
        self._agings += 1
        rng = np.random.default_rng([self._seed, 3, self._agings])
        walk = self._own["aging"] * math.sqrt(duration / _DAY) * rng.standard_normal((2, len(self.junctions)))
        self._junctions[[kernel.FEELS, kernel.CONDUCTS]] *= np.exp(walk)
        self._junctions[kernel.DROP] = 0.0
        with log_compilation("the relaxation of nanowire networks", kernel.rest):
            parts = 1 if getattr(self._junction, "rests_at_once", False) else 10_000
            kernel.rest(self._evolve, self._constants, float(duration), parts, self._junctions)
        self._clock += duration

    @property
    def state(self) -> NanowireState:
        """Everything that changes, as a copy: what `restore` resumes from, to the bit."""
        return NanowireState(self._junctions.copy(), self._random.copy(), self._clock, self._sequence, self._agings)

    def restore(self, state: NanowireState) -> None:
        """Go back to a state of this network, or of one of the same graph."""
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
_DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(NanowireNetwork).parameters.items()}
_GEOMETRY = (
    "wires", "electrodes", "inputs", "grounds", "topology", "side", "density", "wire_length", "wire_length_spread",
)  # fmt: skip
_OF_JUNCTIONS = tuple(_DEFAULTS)[list(_DEFAULTS).index("set_voltage") :]
