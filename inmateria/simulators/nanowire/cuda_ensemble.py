"""Networks of one graph advanced on a CUDA device: their arrays there, and the kernel of their model.

numba compiles for CUDA by numba-cuda, the extra ``cuda``. Arrays have a row for each network; the plan is one for all.
"""

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.simulators.cuda_device import SHARED_MEMORY, is_simulated, require_cuda
from inmateria.simulators.nanowire import kernel
from inmateria.simulators.nanowire.level_schedule import schedule
from inmateria.simulators.nanowire.network import NanowireNetwork
from inmateria.substrate import Stimulus

FloatArray = npt.NDArray[np.float64]

_SHARED = SHARED_MEMORY
_AT_ONCE = 1 << 30  # bytes of drives and signals on the device
_THREADS = 128
_IN_SIMULATOR = 2  # threads; the simulator has one of the operating system for each


def refusal(network: NanowireNetwork) -> str | None:
    """Return why a network cannot run on a CUDA device, or None."""
    if network._noise[0] > 0:
        return "its conductances have noise"
    if not network._is_plain:
        return (
            "it has junctions of several kinds, contacts, limits or noise of an instrument, or a graph that is solved "
            "by supernodes"
        )
    if not hasattr(network._junction, "evolve_cuda"):
        return f"its model {type(network._junction).__name__} has no evolve_cuda"
    return None


@functools.cache
def _compiled(evolve: Any, in_shared_memory: bool) -> Any:
    from inmateria.simulators.nanowire.cuda_kernel import advancing

    return require_cuda().jit(advancing(evolve, in_shared_memory))


class CudaGroup:
    """Networks of one graph and model on a device; they keep their states.

    Parameters
    ----------
    networks : list of NanowireNetwork
    threads : int, optional
        Threads of each network.

    Raises
    ------
    NoCudaDevice
        If there is no device.
    """

    def __init__(self, networks: list[NanowireNetwork], threads: int | None = None) -> None:
        self._cuda = require_cuda()
        self.networks = networks
        first = networks[0]
        plan, moved = schedule(first._plan)
        self.threads = threads or (_IN_SIMULATOR if is_simulated() else _THREADS)
        free = plan.free
        old = np.argsort(moved[:free])
        loads = [network._nodes[first.wire_count : first.wire_count + free][old] for network in networks]
        self._fits = plan.scratch * 8 <= _SHARED
        self.shared = plan.scratch * 8 if self._fits else 0  # bytes a block
        self._junctions = len(first.junctions)
        # All blocks read the plan in every step, so that its bytes count.
        short = all(each.max(initial=0) < 1 << 16 for each in plan)
        self._plan = [self._cuda.to_device(each.astype(np.uint16 if short else np.uint32)) for each in plan]
        self._constants = self._cuda.to_device(np.stack([network._constants for network in networks]))
        self._loads = self._cuda.to_device(np.stack(loads).reshape(len(networks), free))
        self._scratch = self._cuda.device_array((1, 1) if self._fits else (len(networks), plan.scratch))
        self._kernel = _compiled(type(first._junction).evolve_cuda, self._fits)
        self._calls = -1

    def advance(self, stimuli: list[Stimulus], out: list[FloatArray]) -> None:
        """Apply one stimulus to each network; write (steps, samples, outputs) of each."""
        cuda, networks = self._cuda, self.networks
        steps, samples, outputs = out[0].shape
        inputs, step = stimuli[0].drive.shape[1], stimuli[0].step
        part = step / samples
        substeps = max(network._substeps_of(part) for network in networks)
        self._calls += 1
        checked = steps * samples > 4 or self._calls % 5 == 0  # as on the processor
        limit = max(float(network._noise[2]) for network in networks) if checked else 0.0
        rows = {row: np.stack([network._junctions[row] for network in networks]) for row in _ROWS}
        alike = all((rows[row] == 1.0).all() for row in (kernel.FEELS, kernel.CONDUCTS))
        state, conductance = cuda.to_device(rows[kernel.STATE]), cuda.to_device(rows[kernel.CONDUCTANCE])
        factors = [cuda.to_device(rows[row][:1, :1] if alike else rows[row]) for row in (kernel.FEELS, kernel.CONDUCTS)]
        worst = np.zeros(len(networks))
        few = max(1, min(steps, _AT_ONCE // (8 * len(networks) * (inputs + samples * outputs))))
        for at in range(0, steps, few):
            now = min(few, steps - at)
            drive = cuda.to_device(np.stack([stimulus.drive[at : at + now] for stimulus in stimuli]))
            signal = cuda.device_array((len(networks), now * samples, outputs))
            exceeded = cuda.device_array((len(networks), self.threads))
            self._kernel[len(networks), self.threads, 0, self.shared](
                *self._plan, self._constants, self._loads, state, conductance, *factors, drive, part, samples, substeps,
                alike, limit, self._scratch, signal, exceeded,
            )  # fmt: skip
            measured = signal.copy_to_host().reshape(len(networks), now, samples, outputs)
            for own, values in zip(out, measured, strict=True):
                own[at : at + now] = values
            worst = np.maximum(worst, exceeded.copy_to_host().max(axis=1))
        states, conductances = state.copy_to_host(), conductance.copy_to_host()
        for number, network in enumerate(networks):
            network._junctions[kernel.STATE], network._junctions[kernel.CONDUCTANCE] = (
                states[number], conductances[number],
            )  # fmt: skip
            network._clock += step * steps
            network._sequence += 1
            if worst[number] and network._noise[2]:
                network._warn(part, substeps, worst[number])
        whole = np.isfinite(states).all(axis=1)
        whole &= np.array([bool(np.isfinite(own).all()) for own in out])
        if not whole.all():
            raise networks[int(np.argmin(whole))]._not_finite(part / substeps)


_ROWS = (kernel.STATE, kernel.CONDUCTANCE, kernel.FEELS, kernel.CONDUCTS)
