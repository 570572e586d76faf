"""Many nanowire networks advanced at once: eight to a vector where they share a graph, side by side elsewhere."""

import logging
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from inmateria.simulators import nanowire_kernel as kernel
from inmateria.simulators import nanowire_lanes as lanes
from inmateria.simulators.nanowire import NanowireNetwork
from inmateria.simulators.nanowire_models import Filament
from inmateria.substrate import Stimulus, StimulusRejected

FloatArray = npt.NDArray[np.float64]

_log = logging.getLogger("inmateria")
_KEPT_IN_CACHE = 2048  # values of each lane's signal, before they are sorted by network


class NanowireEnsemble:
    """Replicas that differ in input, parameters, spread, age or seed, advanced with one call.

    Networks of filaments (tunnelling or binary, without noise) that share their wires and electrodes run
    eight at a time in the lanes of the processor's vectors; all others run one after another. Results are
    those of each network on its own, to rounding. State stays in the networks.

    Parameters
    ----------
    networks : iterable of NanowireNetwork
        With equal numbers of inputs and outputs and one integration step, each at most once.
        ``[network.copy() for _ in range(8)]`` makes replicas.
    """

    def __init__(self, networks: Iterable[NanowireNetwork]) -> None:
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
        alike: dict[bytes, list[int]] = {}
        self._alone = []
        for number, network in enumerate(self.networks):
            if _fits_a_lane(network):
                key = bytes([network._junction.code]) + network._plan.tobytes()
                alike.setdefault(key, []).append(number)
            else:
                self._alone.append(number)
        self._groups = []
        for members in alike.values():
            for at in range(0, len(members), lanes.LANES):
                group = members[at : at + lanes.LANES]
                if len(group) > 1:
                    self._groups.append(group)
                else:
                    self._alone += group

    def __len__(self) -> int:
        return len(self.networks)

    def __iter__(self) -> Iterator[NanowireNetwork]:
        return iter(self.networks)

    def reset(self) -> None:
        """Return every network to rest."""
        for network in self.networks:
            network.reset()

    def advance(self, drive: npt.ArrayLike, step: float | None = None) -> FloatArray:
        """Drive all networks for as many steps.

        Parameters
        ----------
        drive : array_like, shape (networks, steps, inputs), or (steps, inputs) for one drive to all
            V.
        step : float, optional
            Duration of a step, s; the first network's own by default.

        Returns
        -------
        ndarray, shape (networks, steps, samples, outputs)
            As `NanowireNetwork.advance` gives for each.

        Raises
        ------
        StimulusRejected
            Where a drive is not one that its network allows; nothing is applied to any.
        """
        given = np.asarray(drive, dtype=np.float64)
        if given.ndim == 2:
            given = np.broadcast_to(given, (len(self), *given.shape))
        if given.ndim != 3 or len(given) != len(self):
            raise StimulusRejected(
                f"the drive has shape {np.shape(drive)}",
                f"({len(self)}, steps, inputs) or (steps, inputs)",
                "give one drive to each network, or one to all",
            )
        stimuli = [network.info.stimulus(own, step) for network, own in zip(self.networks, given, strict=True)]
        info = self.networks[0].info
        signal = np.empty((len(self), given.shape[1], info.samples(stimuli[0].step), len(info.outputs)))
        for number in self._alone:
            signal[number] = self.networks[number].advance(stimuli[number]).signal
        for group in self._groups:
            _advance_group([self.networks[i] for i in group], [stimuli[i] for i in group], group, signal)
        return signal


def _fits_a_lane(network: NanowireNetwork) -> bool:
    junction = network._junction
    tunnels_plainly = not isinstance(junction, Filament) or junction.gap_power == 1.0
    return junction.code <= 1 and network._noise[0] == 0 and tunnels_plainly


def _advance_group(
    networks: list[NanowireNetwork], stimuli: list[Stimulus], group: list[int], signal: FloatArray
) -> None:
    """Run up to eight networks of one graph; lanes without a network repeat the last one and are dropped."""
    plan = networks[0]._plan
    padded = networks + networks[-1:] * (lanes.LANES - len(networks))
    table = np.stack([network._junctions for network in padded], axis=-1)
    nodes = _on_a_line(np.stack([network._nodes for network in padded], axis=-1))
    constants = _on_a_line(np.stack([network._constants for network in padded], axis=-1))
    steps, samples, outputs = signal.shape[1:]
    state, feels, conducts = (_on_a_line(table[row]) for row in (kernel.STATE, kernel.FEELS, kernel.CONDUCTS))
    conductance = _on_a_line(np.vstack((table[kernel.CONDUCTANCE], np.zeros(lanes.LANES))))
    origin = lanes.origins(plan)
    if not kernel.is_compiled(lanes.advance_lanes):
        _log.info("compiling the nanowire ensemble's kernel; this takes some seconds, once on this machine")
    step = stimuli[0].step
    few = max(1, _KEPT_IN_CACHE // (samples * outputs))
    out = _on_a_line(np.empty((few * samples, outputs, lanes.LANES))).reshape(-1, outputs, lanes.LANES)
    inputs = networks[0]._graph.inputs.size
    drive = _on_a_line(np.zeros((few, inputs, lanes.LANES))).reshape(few, inputs, lanes.LANES)
    for at in range(0, steps, few):
        now = min(few, steps - at)
        for lane in range(lanes.LANES):
            drive[:now, :, lane] = stimuli[min(lane, len(stimuli) - 1)].drive[at : at + now]
        lanes.advance_lanes(
            plan, origin, networks[0]._junction.code == 1, constants, step / samples, samples,
            drive[:now].reshape(-1), inputs, state, conductance, feels, conducts, nodes, out.reshape(-1),
        )  # fmt: skip
        for lane, number in enumerate(group):
            signal[number, at : at + now] = out[: now * samples, :, lane].reshape(now, samples, outputs)
    for lane, network in enumerate(networks):
        network._junctions[kernel.STATE] = state.reshape(-1, lanes.LANES)[:, lane]
        network._junctions[kernel.CONDUCTANCE] = conductance.reshape(-1, lanes.LANES)[:-1, lane]
        network._clock += step * steps
        network._sequence += 1


def _on_a_line(values: FloatArray) -> FloatArray:
    """Copy into a flat array that begins where a line of the cache does: 64 bytes, the eight lanes of an entry."""
    roomy = np.empty(values.size + 8)
    begin = -roomy.ctypes.data // 8 % 8
    flat = roomy[begin : begin + values.size]
    flat[:] = values.ravel()
    return flat
