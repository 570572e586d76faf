"""Many nanowire networks advanced with one call: sixteen at a time if they share a graph, else one by one."""

import functools
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import log_compilation
from inmateria.simulators.cuda_device import require_cuda
from inmateria.simulators.ensemble_drives import stimuli_of
from inmateria.simulators.identity import simulator_id
from inmateria.simulators.nanowire import kernel, lane_tables, lanes
from inmateria.simulators.nanowire.compiled_calls import EVOLVE_LANES, address_of
from inmateria.simulators.nanowire.cuda_ensemble import CudaGroup, refusal
from inmateria.simulators.nanowire.lane_plan import in_order_of_use, lane_plan
from inmateria.simulators.nanowire.models import Filament
from inmateria.simulators.nanowire.network import NanowireNetwork
from inmateria.simulators.parameters import either
from inmateria.simulators.vector_lanes import LANES
from inmateria.substrate import Stimulus

FloatArray = npt.NDArray[np.float64]
Precision = Literal["double", "mixed", "single"]

_KEPT_IN_CACHE = 2048  # values of each lane's signal that are computed before they are copied to the networks
_LINE = 64  # bytes of a line of the cache
_WORTH_IT = 4  # networks: as many as take as long one after another as sixteen lanes
_WIDEST = 1e12  # ratio of conductances that single precision holds, with the products of an elimination


class NanowireEnsemble:
    """Several networks that are advanced with one call; they may differ in input, parameters, age and seed.

    Networks without noise that share their wires and electrodes, and whose model has ``evolve_lanes`` (filaments,
    tunnelling or binary, and rate balance), run sixteen at a time in the lanes of the processor's vectors; all others
    run one after another. Results are those of each network on its own, to rounding. State stays in the networks.

    Parameters
    ----------
    networks : iterable of NanowireNetwork
        Different networks with equal numbers of inputs and outputs and the same integration step.
        ``[network.copy() for _ in range(16)]`` makes replicas, each with noise of its own; multiples of sixteen use
        all lanes.
    precision : {"double", "mixed", "single"}
        In which Kirchhoff's laws are solved in lanes, each time anew: ``"mixed"`` eliminates in single precision and
        refines once in double, ``"single"`` does not refine. Voltages are then within 1e-9 and 1e-5 of those of
        ``"double"``, as a part of the largest input voltage, from the same states; states and conductances are double.
        Trajectories agree as closely in the ordered regime only. Networks that run one after another are solved in
        double whatever is given.
    on : {"cpu", "cuda"}
        Processor, or the current CUDA device (the extra ``cuda``), which is meant for thousands of networks of a graph
        and works in double precision. There is no noise on it, and none of what `Instrument` and `JunctionValues` add.

    Raises
    ------
    ValueError
        If networks do not fit together, conductances differ by more than single precision holds, or a network cannot
        run on a CUDA device.
    RuntimeError
        If there is no CUDA device, or what is needed to use it is not installed.
    """

    def __init__(
        self,
        networks: Iterable[NanowireNetwork],
        *,
        precision: Precision = "double",
        on: Literal["cpu", "cuda"] = "cpu",
    ) -> None:
        self.on: Literal["cpu", "cuda"] = either("on", on, "cpu", "cuda")  # type: ignore[assignment]
        self.precision: Precision = either("precision", precision, "double", "mixed", "single")  # type: ignore[assignment]
        self.networks = tuple(networks)
        if not self.networks:
            raise ValueError("an ensemble of no networks; give at least one")
        if len({id(network) for network in self.networks}) < len(self.networks):
            raise ValueError("one network is given twice; give copies (network.copy())")
        shapes = {
            (len(network.info.inputs), len(network.info.outputs), network.info.sampling_rate)
            for network in self.networks
        }
        if len(shapes) > 1:
            raise ValueError(
                f"the networks differ in (inputs, outputs, sampling_rate): {sorted(shapes, key=str)}; "
                "give networks of one kind"
            )
        self._alone: list[int] = []
        self._groups: list[tuple[list[int], _Group | CudaGroup]] = []
        if self.on == "cuda":
            self._place_on_device()
        else:
            self._place_in_lanes()

    def _place_in_lanes(self) -> None:
        for number, network in enumerate(self.networks):
            if not _fits_a_lane(network):
                self._alone.append(number)
        for members in self._alike(set(range(len(self))) - set(self._alone)):
            for at in range(0, len(members), LANES):
                group = members[at : at + LANES]
                if len(group) >= _WORTH_IT:
                    self._groups.append((group, _Group([self.networks[number] for number in group], self.precision)))
                else:
                    self._alone += group

    def _place_on_device(self) -> None:
        if self.precision != "double":
            raise ValueError(f"precision is {self.precision!r}; on='cuda' works in 'double'")
        for network in self.networks:
            if (reason := refusal(network)) is not None:
                raise ValueError(f"{network.info.id} cannot run on a CUDA device: {reason}; use on='cpu'")
        require_cuda()
        for members in self._alike(set(range(len(self)))):
            self._groups.append((members, CudaGroup([self.networks[number] for number in members])))

    def _alike(self, numbers: set[int]) -> Iterable[list[int]]:
        """Return lists of networks that share a graph and a model."""
        alike: dict[tuple[type, int, bytes], list[int]] = {}
        for number in sorted(numbers):
            network = self.networks[number]
            key = type(network._junction), network._substeps, network._plan.tobytes()
            alike.setdefault(key, []).append(number)
        return alike.values()

    def __len__(self) -> int:
        return len(self.networks)

    def __iter__(self) -> Iterator[NanowireNetwork]:
        return iter(self.networks)

    def __reduce__(self) -> tuple[Any, ...]:
        # The rest, an address among it, is made anew.
        return functools.partial(type(self), precision=self.precision, on=self.on), (self.networks,)

    @property
    def parameters(self) -> dict[str, Any]:
        """How results come about, as plain values: ids of the networks, precision, and processor or device."""
        names = [network.info.id for network in self.networks]
        return {"networks": names, "precision": self.precision, "on": self.on}

    @property
    def id(self) -> str:
        """Id of the ensemble; one of another precision has another id."""
        return simulator_id(f"nanowires-x{len(self)}", self.parameters)

    def reset(self, noise: Literal["continue", "repeat"] = "continue") -> None:
        """Return every network to rest; ``noise`` is as in `NanowireNetwork.reset`."""
        for network in self.networks:
            network.reset(noise)

    def advance(self, drive: npt.ArrayLike, step: float | None = None) -> FloatArray:
        """Drive all networks for the same number of steps.

        Parameters
        ----------
        drive : array_like, shape (networks, steps, inputs), or (steps, inputs) for one drive to all
            V.
        step : float, optional
            Duration of a step, s; the first network's own by default.

        Returns
        -------
        ndarray, shape (networks, steps, samples, outputs)
            Signal of each network, as in `NanowireNetwork.advance`.

        Raises
        ------
        StimulusRejected
            If a drive is outside the limits of its network; nothing is applied to any network.
        """
        stimuli = stimuli_of(drive, self.networks, step, inputs="inputs", member="network")
        info = self.networks[0].info
        signal = np.empty((len(self), len(stimuli[0].drive), info.samples(stimuli[0].step), len(info.outputs)))
        for number in self._alone:
            signal[number] = self.networks[number].advance(stimuli[number]).signal
        for members, group in self._groups:
            with log_compilation("the kernel of nanowire ensembles", lanes.advance_lanes):
                group.advance([stimuli[number] for number in members], [signal[number] for number in members])
        return signal


def _fits_a_lane(network: NanowireNetwork) -> bool:
    junction = network._junction
    tunnels_plainly = not isinstance(junction, Filament) or junction.gap_power == 1.0
    return network._is_plain and hasattr(junction, "evolve_lanes") and network._noise[0] == 0 and tunnels_plainly


class _Group:
    """Up to sixteen networks of one graph; lanes without a network repeat the last one and are dropped."""

    def __init__(self, networks: list[NanowireNetwork], precision: Precision) -> None:
        self.networks = networks
        self._in_lanes = networks + networks[-1:] * (LANES - len(networks))
        first = networks[0]
        order, self._plan = in_order_of_use(first._plan)
        self._order = order.astype(np.uint32)
        self._refinements = int(precision == "mixed")
        self._inputs = len(first.input_nodes)
        # One junction more, without conductance, for links that no junction makes.
        junctions = len(first.junctions) + 1
        self._table = _lines(6 * junctions).reshape(6, -1)
        self._room = np.zeros(junctions, dtype=np.uint32)
        self._calls, self._alike = -1, False
        model: Any = type(first._junction)
        self._evolve = address_of(
            model.evolve_lanes,
            EVOLVE_LANES,
            "inmateria.simulators.vector_lanes",
            "inmateria.simulators.nanowire.kernel",
        )
        # Of the nodes only the loads are not scratch, and neither they nor the constants ever change.
        held = first.wire_count + first.wire_count - self._inputs - len(first.ground_nodes)
        self._nodes = _in_lanes(_lines(held), [network._nodes[:held] for network in self._in_lanes])
        loads = self._nodes[first.wire_count * LANES :].reshape(-1, LANES)
        self._lane = lane_plan(self._plan, (loads != 0.0).any(axis=1))
        self._work = _lines(len(first._nodes) - held, np.float64 if precision == "double" else np.float32)
        self._constants = _in_lanes(_lines(len(first._constants)), [network._constants for network in self._in_lanes])
        self._scale = _lines(1)
        self._scale[:] = 1.0
        if precision != "double":
            self._scale[:] = [_scale(network, precision) for network in self._in_lanes]

    def advance(self, stimuli: list[Stimulus], out: list[FloatArray]) -> None:
        """Apply one stimulus to each network; write (steps, samples, outputs) of each."""
        tables = tuple(network._junctions for network in self._in_lanes)
        alike = self._alike = lane_tables.into_lanes(tables, self._order, self._table, self._alike)
        steps, samples, outputs = out[0].shape
        step = stimuli[0].step
        part = step / samples
        substeps = max(network._substeps_of(part) for network in self.networks)
        self._calls += 1
        checked = steps * samples > 4 or self._calls % 5 == 0  # of short calls every fifth
        limit = max(network._noise[2] for network in self.networks) if checked else 0.0  # 0 once each has warned
        exceeded = _lines(1)
        few = max(1, _KEPT_IN_CACHE // (samples * outputs))
        signal, drive = _lines(few * samples * outputs), _lines(few * self._inputs)
        for at in range(0, steps, few):
            now = min(few, steps - at)
            driven = drive[: now * self._inputs * LANES].reshape(now, self._inputs, LANES)
            for lane in range(LANES):
                driven[:, :, lane] = stimuli[min(lane, len(stimuli) - 1)].drive[at : at + now]
            lanes.advance_lanes(
                self._plan, self._lane, self._refinements, self._scale, self._evolve, self._constants,
                step / samples, samples, driven.reshape(-1), self._inputs, alike, self._table, self._nodes, self._work,
                self._room, signal, substeps, limit, exceeded,
            )  # fmt: skip
            measured = signal[: now * samples * outputs * LANES].reshape(now, samples, outputs, LANES)
            for lane, own in enumerate(out):
                own[at : at + now] = measured[..., lane]
        lane_tables.out_of_lanes(self._table, self._order, tables)
        for lane, network in enumerate(self.networks):
            network._clock += step * steps
            network._sequence += 1
            if exceeded[lane] and network._noise[2]:
                network._warn(part, substeps, exceeded[lane])
        if not (np.isfinite(self._table[kernel.STATE]).all() and np.isfinite(signal[: outputs * LANES]).all()):
            raise self.networks[0]._not_finite(part / substeps)


def _scale(network: NanowireNetwork, precision: str) -> float:
    """Return the power of two that brings the largest conductance to between a half and 1."""
    junction, given = network._junction, network._junctions
    least = getattr(junction, "off_conductance", None)
    low = least * given[kernel.CONDUCTS] if least is not None else given[kernel.CONDUCTANCE]
    loads = network._nodes[network.wire_count :][
        : network.wire_count - len(network.input_nodes) - len(network.ground_nodes)
    ]
    every = np.concatenate((low, junction.highest * given[kernel.CONDUCTS], loads[loads > 0]))
    if not every.size:
        return 1.0
    if every.max() > _WIDEST * every.min():
        raise ValueError(
            f"{network.info.id} has conductances from {every.min():.3g} to {every.max():.3g} S; "
            f"precision={precision!r} holds a ratio of {_WIDEST:g}; solve it with precision='double'"
        )
    return float(2.0 ** -np.frexp(every.max())[1])


def _lines(entries: int, kind: Any = np.float64) -> npt.NDArray[Any]:
    """Return an array of so many entries of lanes, zero, aligned to a line of the cache (64 bytes)."""
    roomy = np.zeros((entries + 1) * LANES, dtype=kind)
    begin = -roomy.ctypes.data % _LINE // roomy.itemsize
    return roomy[begin : begin + entries * LANES]


def _in_lanes(lines: FloatArray, values: list[FloatArray]) -> FloatArray:
    """Write one array into each lane."""
    entries = lines.reshape(-1, LANES)
    for lane, own in enumerate(values):
        entries[:, lane] = own
    return lines
