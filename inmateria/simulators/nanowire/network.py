"""A simulated network of self-assembled nanowires: memristive junctions where wires cross, electrodes on some wires.

Kirchhoff's laws are solved exactly at every integration step, then every junction's state follows the
voltage across it. Model and parameters are those of Hochstetter et al., Nat. Commun. 12, 4008 (2021).
"""

import math
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from inmateria import __version__
from inmateria.kernel_compilation import log_compilation
from inmateria.simulators.identity import simulator_id
from inmateria.simulators.nanowire import kernel
from inmateria.simulators.nanowire.circuit import SOURCES, solve_circuit
from inmateria.simulators.nanowire.coarse_steps import coarse_change, warn_of_coarse_steps
from inmateria.simulators.nanowire.compiled_calls import EVOLVE, SOLVE, address_of
from inmateria.simulators.nanowire.electrodes import connect_electrodes
from inmateria.simulators.nanowire.graph import Graph, at_least, given_graph, listed, random_graph
from inmateria.simulators.nanowire.info import describe, strongest_conductance
from inmateria.simulators.nanowire.kinds import check_initial, kinds_of
from inmateria.simulators.nanowire.models import (
    MODELS,
    Binary,
    Filament,
    JunctionModel,
    LinearDrift,
    RateBalance,
    junction_model,
)
from inmateria.simulators.nanowire.parameters import (
    Grid,
    Instrument,
    JunctionValues,
    RandomWires,
    Variability,
    one_each,
)
from inmateria.simulators.nanowire.records import NanowireState, NanowireTrace
from inmateria.simulators.parameters import check_size, convert_value, either, group_from, plain_values
from inmateria.substrate import Response, ResponseMismatch, Stimulus, StimulusRejected, SubstrateInfo

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

_DAY = 86400.0
_FILAMENT, _RANDOM_WIRES, _STEADY, _ALIKE, _BARE = (
    Filament(), RandomWires(), Variability(), JunctionValues(), Instrument(),
)  # fmt: skip


_MOST_WIRES = 400_000


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
    junction_values : JunctionValues
        Initial states, parameters of the model and series resistances of single junctions.
    instrument : Instrument
        Resistances of contacts, limits of currents, inputs that may float, and noise of the readings.
    integration_step : float
        Integration step, s.
    step : float
        Default duration of a stimulus step, s.
    voltage_limit : float
        Largest absolute value of a driven voltage, V.
    load : float, optional
        Resistance to ground of the instrument that reads voltages, ohm; none by default.
    substeps : int
        Number of equal parts of an integration step in which Kirchhoff's laws are solved; only the first is a sample.
        If junctions go through most of their range of conductance in one part, there is a `CoarseStepWarning`.

    Raises
    ------
    ValueError
        If a parameter is out of range, not one of the model, or leaves too few connected wires.

    Notes
    -----
    A network can be pickled, also into another process, and continues there as it would have here.
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
        junction_values: JunctionValues | Mapping[str, Any] = _ALIKE,
        instrument: Instrument | Mapping[str, Any] = _BARE,
        integration_step: float = 1e-3,
        step: float = 1e-3,
        voltage_limit: float = 10.0,
        load: float | None = None,
        substeps: int = 1,
    ) -> None:
        check_size("wires", wires, _MOST_WIRES)
        placed = group_from("geometry", geometry, (RandomWires, Grid))
        graph = random_graph(wires, seed, electrodes, inputs, grounds, placed)
        drawn = {"wires": wires, "electrodes": electrodes, "inputs": inputs, "grounds": grounds}
        drawn = {name: int(count) for name, count in drawn.items()}
        self._build(
            graph, f"nanowire-{wires}-s{seed}", drawn | {"geometry": plain_values(placed, named=True)},
            {}, seed, model, variability, junction_values, instrument, integration_step, step, voltage_limit, load,
            substeps,
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
        junction_values: JunctionValues | Mapping[str, Any] = _ALIKE,
        instrument: Instrument | Mapping[str, Any] = _BARE,
        integration_step: float = 1e-3,
        step: float = 1e-3,
        voltage_limit: float = 10.0,
        load: float | None = None,
        substeps: int = 1,
    ) -> Self:
        """Make a network of a given graph.

        Parameters
        ----------
        wire_count : int
        junctions
            Pairs of wires, shape (junctions, 2); or a sparse or dense adjacency matrix of 0 and 1; or a networkx graph
            of the nodes 0 to wire_count-1. A junction is oriented from the first wire of a pair to its second, from row
            to column where the other entry is 0, and along a directed edge; else from the lower number. Two rows of two
            numbers with 0 on the diagonal are a matrix, and pairs if they are tuples.
        inputs, grounds : iterable of int
            Wires that are driven, and wires at 0 V.
        outputs : iterable of int, optional
            Wires whose voltage is read; all others by default.
        seed, model, variability, junction_values, instrument, integration_step, step, voltage_limit, load, substeps
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
        drawn["junctions"] = listed(graph)
        network = cls.__new__(cls)
        network._build(
            graph, f"nanowires-{wire_count}-s{seed}", drawn, arrays, seed, model, variability, junction_values,
            instrument, integration_step, step, voltage_limit, load, substeps,
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
        junction_values: Any,
        instrument: Any,
        integration_step: float,
        step: float,
        voltage_limit: float,
        load: float | None,
        substeps: int,
    ) -> None:
        self._made = {name: value for name, value in locals().items() if name != "self"}
        self._graph, self._seed = graph, int(seed)
        self._junction = junction_model(model)
        self._variability: Variability = group_from("variability", variability, (Variability,))
        self._values: JunctionValues = group_from("junction_values", junction_values, (JunctionValues,))
        self._instrument: Instrument = group_from("instrument", instrument, (Instrument,))
        own: dict[str, Any] = {}
        for name, value in (("integration_step", integration_step), ("step", step), ("voltage_limit", voltage_limit)):
            own[name] = convert_value(name, value, float)
        own["load"] = convert_value("load", load, float | None)
        for name, value in own.items():
            if value is not None and value <= 0:
                raise ValueError(f"{name} is {value}; give more than 0")
        self._substeps = convert_value("substeps", substeps, int)
        at_least("substeps", self._substeps, 1)
        own |= {"substeps": self._substeps} if self._substeps > 1 else {}  # ids of networks without stay as they were
        self._integration_step, self._voltage_limit = own["integration_step"], own["voltage_limit"]
        rng = np.random.default_rng([self._seed, 1])
        count, wires = len(graph.junctions), graph.wire_count
        spread = self._variability
        self._junctions = np.zeros((len(kernel.ROWS), count))
        self._junctions[kernel.FEELS] = np.exp(spread.voltage_spread * rng.standard_normal(count))
        self._junctions[kernel.CONDUCTS] = np.exp(spread.conductance_spread * rng.standard_normal(count))
        self._kinds = kinds_of(self._junction, self._values, count)
        rest = self._kinds.of_each("rest")
        given = self._values.initial_state
        self._initial = rest if given is None else one_each("initial_state", given, count, "junctions")
        electrodes = connect_electrodes(graph, self._instrument, self._values, self._kinds, own["load"])
        self._plan, self._nodes, self._read_part = electrodes.plan, electrodes.nodes, electrodes.read
        noisy = self._instrument.voltage_noise > 0 or self._instrument.current_noise > 0
        self._is_plain = electrodes.plain and not noisy
        self._constants = np.ascontiguousarray(self._kinds.constants, dtype=np.float64)
        self._evolve = address_of(type(self._junction).evolve, EVOLVE, "inmateria.simulators.vector_lanes")
        self._solver = address_of(solve_circuit, SOLVE, *SOURCES) if electrodes.surrounded else 0
        self._noise = np.array([spread.noise, spread.noise_time, coarse_change(self._junction), 0.0, 0.0])
        self._stream = np.random.SeedSequence([self._seed, 2])
        self._random = _first_of(self._stream)
        self._longest_step = float(self._kinds.of_each("longest_step", math.inf).min(initial=math.inf))
        self._room = count * (1 + (len(kernel.ROWS) if len(self._kinds.models) > 1 else 0))
        self._agings = 0
        self._readings = self._fresh_readings()
        groups = {
            "model": plain_values(self._junction, named=True),
            "variability": plain_values(spread, named=False),
        }
        # Ids of networks without these stay as they were.
        if self._values != _ALIKE:
            groups["junction_values"] = plain_values(self._values, named=False)
        if self._instrument != _BARE:
            groups["instrument"] = plain_values(self._instrument, named=False)
        # The digest has a given graph as arrays; a model that is not ours may have more in it than its parameters.
        plain = {name: value for name, value in drawn.items() if name not in arrays}
        own_model = {} if isinstance(self._junction, MODELS) else {"model": self._constants}
        self._origin = simulator_id(
            "junctions", {"wires": wires, "model": groups["model"], "parameters": self._values.parameters},
            junctions=graph.junctions, constants=self._constants,
        )  # fmt: skip
        identity = simulator_id(prefix, plain | {"seed": self._seed} | groups | own, **arrays, **own_model)
        strongest = strongest_conductance(
            self._kinds.of_each("highest"), self._junctions[kernel.CONDUCTS], self._variability.noise
        )
        self._info = describe(identity, graph, strongest, drawn | {"seed": self._seed} | groups | own, self._instrument)
        self._width = len(self._info.outputs)
        with log_compilation("the kernel of nanowire networks", kernel.advance):
            self.reset(noise="repeat")
        check_initial(self._initial, self._junctions, strongest)
        self._built = frozenset(self.__dict__)

    def _fresh_readings(self) -> np.random.Generator:
        stream = np.random.SeedSequence([self._seed, 4], spawn_key=self._stream.spawn_key)
        return np.random.Generator(np.random.PCG64(stream))

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

    def reset(self, noise: Literal["continue", "repeat"] = "continue") -> None:
        """Return every junction to rest, and the clock and the exchanges to their start; age stays.

        Parameters
        ----------
        noise : {"continue", "repeat"}
            ``"continue"`` begins a trial with noise of its own: the walk of every conductance is drawn anew from its
            stationary distribution, and all trials together are those of the seed. ``"repeat"`` repeats the noise from
            its beginning, for trials that differ in nothing but what is compared.

        Raises
        ------
        ValueError
            If ``noise`` is neither.
        """
        if either("noise", noise, "continue", "repeat") == "repeat":
            self._random = _first_of(self._stream)
            self._readings = self._fresh_readings()
        self._junctions[kernel.STATE] = self._initial
        self._settle()
        self._clock, self._sequence = 0.0, 0

    def advance(self, stimulus: Stimulus) -> Response:
        """Apply a stimulus that is within the limits; the junctions keep the state that it leaves.

        Returns
        -------
        Response
            Signal of shape (steps, samples, outputs): voltages read, then electrode currents, then the voltages of
            sources that have limits or float. Readings have the instrument's noise.
        """
        drive, step = stimulus.drive, stimulus.step
        samples = max(1, round(step / self._integration_step))
        signal = np.empty((len(drive), samples, self._width))
        self._run(drive, step / samples, samples, signal.reshape(-1, self._width), _NOTHING, 0)
        if not self._is_plain:
            self._read(signal)
        response = Response(signal, None, self._clock, self._sequence)
        self._clock += step * len(drive)
        self._sequence += 1
        return response

    def _read(self, signal: FloatArray) -> None:
        """Let the instrument read what the network gives: through its contacts, and with its noise."""
        instrument, outputs = self._instrument, len(self._graph.outputs)
        signal[..., :outputs] *= self._read_part
        if instrument.voltage_noise or instrument.current_noise:
            scatter = np.full(self._width, instrument.voltage_noise)
            scatter[outputs : outputs + len(self._graph.inputs) + len(self._graph.grounds)] = instrument.current_noise
            signal += scatter * self._readings.standard_normal(signal.shape)

    def simulate(
        self, voltage: npt.ArrayLike, step: float = 1e-3, record: Iterable[str] = ("voltages", "currents")
    ) -> NanowireTrace:
        """Drive the network from its present state, one step of integration per row, and record a trace.

        The trace is of the network itself: voltages of its wires, without the noise of readings.

        Parameters
        ----------
        voltage : array_like, shape (steps, inputs), or (steps,) for a single input
            V; `inmateria.substrate.FLOAT` for an input that floats, if the instrument lets it.
        step : float
            Duration of each step, s. Unlike in `advance`, it is not cut into smaller ones.
        record : iterable of str
            Any of ``"voltages"``, ``"currents"``, ``"conductances"``, ``"filaments"`` and ``"sources"``.

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
        single = given.ndim == 1 and len(self.input_nodes) == 1
        stimulus = Stimulus(given[:, np.newaxis] if single else given, step, self._instrument.floating)
        drive = stimulus.drive
        if drive.shape[1] != len(self.input_nodes):
            raise StimulusRejected(
                f"the voltages have {drive.shape[1]} columns",
                f"{self._info.id} has {len(self.input_nodes)} inputs",
                "give one column per input",
            )
        limit = self._voltage_limit
        if (largest := np.fmax.reduce(abs(drive), axis=None)) > limit:
            raise StimulusRejected(f"the voltages reach {largest:g} V", f"{limit:g} V are allowed")
        driven = len(self.input_nodes) + len(self.ground_nodes)
        count = len(self.junctions)
        sizes = (self.wire_count, driven, count, count, len(self.input_nodes))
        widths = dict(zip(_RECORDS, sizes, strict=True))
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
            If the duration is negative, not finite, or so long that the parameters would change beyond all measure; or
            if a model of your own does not relax to finite states. The network is then as before.
        """
        if not 0 <= duration < math.inf:
            raise ValueError(f"duration is {duration} s; give 0 or more")
        stream = np.random.SeedSequence([self._seed, 3, self._agings + 1], spawn_key=self._stream.spawn_key)
        rng = np.random.default_rng(stream)
        walk = self._variability.aging * math.sqrt(duration / _DAY) * rng.standard_normal((2, len(self.junctions)))
        before, random = self._junctions.copy(), self._random.copy()
        aged = before[[kernel.FEELS, kernel.CONDUCTS]] * np.exp(np.clip(walk, -_FARTHEST, _FARTHEST))
        if abs(np.log(aged)).max(initial=0.0) > 0.9 * _FARTHEST:
            raise ValueError(
                f"aging of {self._variability.aging:g} a day for {duration:g} s changes parameters of junctions by a "
                f"factor of more than e^{0.9 * _FARTHEST:g}; give a shorter duration, or less aging"
            )
        self._junctions[[kernel.FEELS, kernel.CONDUCTS]] = aged
        longest = min(self._integration_step, self._longest_step)
        longest = math.inf if getattr(self._junction, "rests_at_once", False) else longest
        relaxed = True
        with log_compilation("the relaxation of nanowire networks", kernel.rest):
            for model, members in zip(self._kinds.models, self._kinds.members, strict=True):
                table = np.ascontiguousarray(self._junctions[:, members])
                constants = np.asarray(getattr(model, "relaxing", model).packed(), dtype=np.float64)
                relaxed &= kernel.rest(
                    self._evolve, constants, float(duration), longest, self._noise, self._random, table
                )
                self._junctions[:, members] = table
        if not relaxed:
            self._junctions[:], self._random[:] = before, random
            raise ValueError(
                f"{type(self._junction).__name__} does not relax to finite states at 0 V within {duration:g} s; "
                "see that its evolve has an equilibrium there, and give it a longest_step"
            )
        self._agings += 1
        self._clock += duration

    @property
    def state(self) -> NanowireState:
        """Copy of the state; after `restore`, results are bit-identical."""
        return NanowireState(
            self._junctions.copy(), self._random.copy(), self._clock, self._sequence, self._agings, kernel.ROWS,
            self._origin, deepcopy(self._readings.bit_generator.state),
        )  # fmt: skip

    def restore(self, state: NanowireState) -> None:
        """Go back to a state of this network, or of another with the same junctions and model.

        Raises
        ------
        ValueError
            If the state is of another graph or model, or of a version of inmateria that describes junctions otherwise.
        """
        if state.rows != kernel.ROWS:
            raise ValueError(
                f"the state has {', '.join(state.rows)} of each junction; this version has {', '.join(kernel.ROWS)}; "
                "make the state anew, or use the version that made it"
            )
        if state.junctions.shape != self._junctions.shape:
            raise ValueError(
                f"the state is of {state.junctions.shape[-1]} junctions; this network has {len(self.junctions)}"
            )
        if state.origin != self._origin:
            raise ValueError(
                f"the state is of another graph or junction model ({state.origin}); this network has {self._origin}; "
                "restore it into the network that it is of, a copy, or one made from the same parameters"
            )
        self._junctions[:], self._random[:] = state.junctions, state.random
        self._clock, self._sequence, self._agings = state.clock, state.sequence, state.agings
        if state.readings is not None:
            self._readings.bit_generator.state = deepcopy(state.readings)

    def copy(self, noise: Literal["independent", "same"] = "independent") -> Self:
        """Make another network in the same state; the graph, which never changes, is shared.

        Parameters
        ----------
        noise : {"independent", "same"}
            ``"independent"`` gives the copy noise and aging of its own, as another device would have: a stream of
            random numbers that depends on the seed and on how many copies were made before. ``"same"`` lets it do
            exactly what this network would have done.

        Raises
        ------
        ValueError
            If ``noise`` is neither.
        """
        own = either("noise", noise, "independent", "same") == "independent"
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._junctions, twin._nodes, twin._random = self._junctions.copy(), self._nodes.copy(), self._random.copy()
        twin._noise, twin._stream, twin._readings = self._noise.copy(), _same(self._stream), _continued(self._readings)
        if own:
            twin._stream = self._stream.spawn(1)[0]
            twin._random, twin._readings = _first_of(twin._stream), twin._fresh_readings()
            if self._noise[0] > 0:
                twin._settle()
        return twin

    def __copy__(self) -> Self:
        return self.copy(noise="same")

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.copy(noise="same")

    def __getstate__(self) -> dict[str, Any]:
        """Return what makes the network again: no address, no plan and no array of the kernel's."""
        groups = {"variability": self._variability, "junction_values": self._values, "instrument": self._instrument}
        plain = {name: plain_values(group, named=False) for name, group in groups.items()}
        if isinstance(self._junction, MODELS):
            plain["model"] = plain_values(self._junction, named=True)
        added = {name: value for name, value in self.__dict__.items() if name not in self._built}
        return {
            "version": __version__, "made": self._made | plain, "state": self.state, "stream": self._stream,
            "warned": self._noise[2] == 0, "added": added,
        }  # fmt: skip

    def __setstate__(self, pickled: dict[str, Any]) -> None:
        try:
            made, state, stream = pickled["made"], pickled["state"], pickled["stream"]
            self._build(**made)
            self.restore(state)
            self._stream = stream
            self._noise[2] *= not pickled["warned"]
            self.__dict__.update(pickled["added"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(
                f"a network that was pickled by inmateria {pickled.get('version', '(unknown)')} is not one of this "
                f"version, {__version__} ({error}); make it anew from its parameters (info.parameters)"
            ) from error

    def _run(
        self, drive: FloatArray, step: float, samples: int, signal: FloatArray, trace: FloatArray, parts: int
    ) -> None:
        substeps = self._substeps if step <= self._longest_step else self._substeps_of(step)
        status = kernel.advance(
            self._plan, self._solver, self._evolve, self._constants, step, samples, drive, self._junctions, self._nodes,
            self._noise, self._random, signal, trace, parts, substeps, np.empty(self._room),
        )  # fmt: skip
        if status == 2:
            raise self._not_finite(step / substeps)
        if status == 1:
            self._warn(step, substeps, self._noise[3])

    def _substeps_of(self, step: float) -> int:
        """Return in how many parts a step is solved: as many as were asked for, and as the model needs."""
        enough = step <= self._substeps * self._longest_step
        return self._substeps if enough else math.ceil(step / self._longest_step)

    def _warn(self, step: float, substeps: int, voltage: float) -> None:
        """Warn that steps are too long, once; voltage is what a junction felt that changed much in one."""
        self._noise[3] = 0.0
        if warn_of_coarse_steps(self._junction, self._info.id, step, substeps, float(voltage)):
            self._noise[2] = 0.0

    def _not_finite(self, step: float) -> ResponseMismatch:
        return ResponseMismatch(
            f"voltages or states of {self._info.id} are not finite after steps of {step:g} s",
            f"{type(self._junction).__name__} has to give positive conductances and finite states",
            "reset the network; take shorter steps (substeps=...), or give the model a longest_step",
        )

    def _settle(self) -> None:
        drive = np.empty((0, len(self.input_nodes)))
        drive.flags.writeable = False  # as a stimulus' is: one compilation for both
        self._run(drive, 1.0, 1, _NOTHING, _NOTHING, 0)


def _same(stream: np.random.SeedSequence) -> np.random.SeedSequence:
    """Copy a stream, in half of the time of deepcopy."""
    return np.random.SeedSequence(
        stream.entropy, spawn_key=stream.spawn_key, pool_size=stream.pool_size,
        n_children_spawned=stream.n_children_spawned,
    )  # fmt: skip


def _continued(readings: np.random.Generator) -> np.random.Generator:
    bits = np.random.PCG64(0)
    state: Any = readings.bit_generator.state
    bits.state = state
    return np.random.Generator(bits)


_NOTHING = np.empty((0, 0))
_RECORDS = ("voltages", "currents", "conductances", "filaments", "sources")
_FARTHEST = 230.0  # logarithm of a factor on a junction's parameters: beyond 1e-100 to 1e100 there is no device


def _first_of(stream: np.random.SeedSequence) -> npt.NDArray[np.uint64]:
    """Return the state in which the kernel's random numbers begin."""
    return np.array(stream.generate_state(1, np.uint64), dtype=np.uint64)
