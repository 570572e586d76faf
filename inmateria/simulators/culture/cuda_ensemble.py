"""Cultures advanced on a CUDA device: their arrays there, which stay there from one call to the next.

A culture's arrays are brought back when something on the processor looks at them, and taken there again with the next
call. Each array on the device holds those of all cultures, one after another; what cultures share is there once.
"""

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.simulators.cuda_device import SHARED_MEMORY, is_simulated, require_cuda
from inmateria.simulators.culture import electrodes, kernel
from inmateria.simulators.culture.network import NeuralCulture
from inmateria.simulators.culture.records import Planned
from inmateria.simulators.culture.wiring import columns_of

Steps = npt.NDArray[np.int64]

_SHARED = SHARED_MEMORY - 64  # bytes; the kernel has a few of its own
_AT_ONCE = 10_000  # steps in one launch
_ROOM = 4  # spikes that there is room for, in largest numbers of a stretch
_THREADS = 256
_IN_SIMULATOR = 2  # threads; the simulator has one of the operating system for each
_MATTERS = 45  # time constants; after these an exponential is less than the rounding of what it is added to

_CELLS = ("neurons", "held", "random", "spiked", "ring")
_SYNAPSES = ("weights", "eligible", "tagged")
_CULTURES = (
    "neurons", "held", "random", "spiked", "learnt", "ring", "first", "into", "target", "weights", "incoming_first",
    "incoming", "source", "eligible", "tagged", "reach_first", "reach", "attenuation",
)  # fmt: skip
_DECAYS, _SPIKES = ("decay_at", "decay", "times"), ("listed", "listed_releases", "releases", "fired")


@functools.cache
def _compiled(in_shared_memory: bool, registers: int) -> tuple[Any, Any]:
    """Return the kernels that advance cultures and that gather their spikes."""
    from inmateria.simulators.culture.cuda_kernel import Arithmetic, advancing, gather

    cuda = require_cuda()
    if is_simulated():
        arithmetic = Arithmetic(_product, _product, _fused, _fused_double)
    else:
        from numba.cuda import libdevice

        # Written with their rounding in the instruction, these are never joined.
        arithmetic = Arithmetic(libdevice.fmul_rn, libdevice.dmul_rn, libdevice.fmaf_rn, libdevice.fma_rn)
    options = {} if is_simulated() else {"max_registers": registers}
    return cuda.jit(**options)(advancing(in_shared_memory, arithmetic)), cuda.jit(gather)


def _product(a: Any, b: Any) -> Any:
    return a * b


def _fused(a: Any, b: Any, c: Any) -> Any:
    return np.float32(np.float64(a) * np.float64(b) + np.float64(c))  # all but once in 2^29


def _fused_double(a: Any, b: Any, c: Any) -> Any:
    from fractions import Fraction

    return np.float64(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)))


@functools.lru_cache(maxsize=16)
def _decay(time: float) -> npt.NDArray[np.float64]:
    """Return exp(-steps / time) for steps from 0 on, as the compiled step has it."""
    return np.array([math.exp(-since / time) for since in range(math.ceil(_MATTERS * time))])


class CudaCultures:
    """Cultures on a device.

    Parameters
    ----------
    cultures : sequence of NeuralCulture
    threads : int, optional
        Threads of each culture.
    registers : int
        Largest number of registers of a thread: fewer let a multiprocessor have more threads.

    Raises
    ------
    NoCudaDevice
        If there is no device.
    """

    def __init__(self, cultures: Sequence[NeuralCulture], threads: int | None = None, registers: int = 64) -> None:
        from inmateria.simulators.culture import cuda_kernel as places

        self._cuda = require_cuda()
        self.cultures = tuple(cultures)
        self.threads = threads or (_IN_SIMULATOR if is_simulated() else _THREADS)
        columns = [columns_of(culture._own.neurons) for culture in self.cultures]
        stretches = [culture._own.neurons * int(culture._constants[kernel.TOGETHER]) for culture in self.cultures]
        self.room = _ROOM * max(stretches)
        most = 4 * places.SHARED_ROWS * max(columns)
        self.shared = most if most <= _SHARED else 0  # bytes a block
        self._kernel, self._gather = _compiled(self.shared > 0, registers)
        self._places = np.zeros((len(self.cultures), places.PLACES), dtype=np.int64)
        self._here = [functools.partial(self._bring_back, number) for number in range(len(self.cultures))]
        self._slices: dict[str, list[slice]] = {}
        self._arrays: dict[str, Any] = {}
        self._place_state(columns)
        self._place_wiring()
        self._place_decays()

    def _place_state(self, columns: list[int]) -> None:
        """Make room for the arrays of state, all of them after another, and note where each culture's begin."""
        from inmateria.simulators.culture import cuda_kernel as places

        own = self._places
        learns = any(culture._constants[kernel.POTENTIATION] > 0 for culture in self.cultures)
        sizes = {name: [culture._kept[name].size for culture in self.cultures] for name in (*_CELLS, *_SYNAPSES)}
        sizes["spiked"], sizes["held"] = columns, columns
        for name, each in sizes.items():
            begin = np.concatenate(([0], np.cumsum(each))).tolist()
            self._slices[name] = [
                slice(at, at + culture._kept[name].size) for at, culture in zip(begin, self.cultures, strict=False)
            ]
            self._arrays[name] = self._cuda.device_array(max(1, begin[-1]), self.cultures[0]._kept[name].dtype)
        self._arrays["learnt"] = self._cuda.device_array(max(1, sum(columns) if learns else 0), np.int64)
        own[:, places.NEURONS] = [culture._own.neurons for culture in self.cultures]
        own[:, places.COLUMNS], own[:, places.ROOM] = columns, self.room
        own[:, places.SLOTS] = [culture._kept["ring"].shape[1] for culture in self.cultures]
        for place, name in (
            (places.TABLE, "neurons"),
            (places.CELLS, "held"),
            (places.RING, "ring"),
            (places.WEIGHTS, "weights"),
            (places.ELIGIBLE, "eligible"),
        ):
            own[:, place] = [each.start for each in self._slices[name]]
        own[[not size for size in sizes["eligible"]], places.ELIGIBLE] = -1

    def _place_wiring(self) -> None:
        """Take to the device what never changes; cultures with one wiring share it."""
        from inmateria.simulators.culture import cuda_kernel as places

        wirings = {id(culture._wiring): culture._wiring for culture in self.cultures}
        number = {key: place for place, key in enumerate(wirings)}
        which = [number[id(culture._wiring)] for culture in self.cultures]
        parts: dict[str, list[npt.NDArray[Any]]] = {
            "first": [each.kernel[0] for each in wirings.values()],
            "into": [each.kernel[2] for each in wirings.values()],
            "target": [each.kernel[1] for each in wirings.values()],
            "incoming_first": [each.kernel[3] for each in wirings.values()],
            "incoming": [each.kernel[4] for each in wirings.values()],
            "source": [each.kernel[5] for each in wirings.values()],
            "reach_first": [each.reach[0] for each in wirings.values()],
            "reach": [each.reach[1] for each in wirings.values()],
            "attenuation": [each.reach[2] for each in wirings.values()],
        }
        for name, each in parts.items():
            joined = np.concatenate(each)
            self._arrays[name] = self._cuda.to_device(joined if len(joined) else np.zeros(1, joined.dtype))
        for place, name in (
            (places.FIRST, "first"),
            (places.WIRING, "into"),
            (places.INCOMING_FIRST, "incoming_first"),
            (places.INCOMING, "incoming"),
            (places.REACH_FIRST, "reach_first"),
            (places.REACH, "reach"),
        ):
            begin = np.append(0, np.cumsum([len(each) for each in parts[name]]))
            self._places[:, place] = begin[which]
        self._arrays["constants"] = self._cuda.to_device(np.stack([culture._constants for culture in self.cultures]))

    def _place_decays(self) -> None:
        """Take to the device the exponentials of the processor, which those of a device do not equal in all bits."""
        which = [kernel.RECOVERY_E, kernel.RECOVERY_I, kernel.FACILITATION, kernel.TRACE, kernel.ELIGIBILITY]
        times = np.stack([culture._constants[which] for culture in self.cultures])
        used = np.ones(times.shape, dtype=bool)
        used[:, 3] = [culture._constants[kernel.POTENTIATION] > 0 for culture in self.cultures]
        used[:, 4] = [culture._kept["eligible"].size > 0 for culture in self.cultures]
        tables: dict[tuple[float, ...], list[int]] = {}
        joined: list[npt.NDArray[np.float64]] = []
        at = 0
        for row, own in zip(times, used, strict=True):
            key = tuple(np.where(own, row, 0.0).tolist())
            if key not in tables:
                parts = [_decay(time) for time in key]
                tables[key] = (at + np.concatenate(([0], np.cumsum([len(part) for part in parts])))).tolist()
                joined += parts
                at = tables[key][-1]
        keys = [tuple(np.where(own, row, 0.0).tolist()) for row, own in zip(times, used, strict=True)]
        self._arrays["decay_at"] = self._cuda.to_device(np.array([tables[key] for key in keys]))
        self._arrays["decay"] = self._cuda.to_device(np.concatenate(joined))
        self._arrays["times"] = self._cuda.to_device(times)

    def _take(self, number: int) -> None:
        """Take a culture's arrays to the device."""
        culture = self.cultures[number]
        arrays = culture._arrays
        for name in (*_CELLS, *_SYNAPSES):
            if arrays[name].size:
                self._arrays[name][self._slices[name][number]].copy_to_device(arrays[name].reshape(-1))
        if culture._constants[kernel.POTENTIATION] > 0:
            self._arrays["learnt"][self._slices["spiked"][number]].copy_to_device(arrays["spiked"])
        culture._bring_back = self._here[number]

    def _bring_back(self, number: int) -> None:
        """Copy a culture's arrays from the device."""
        culture = self.cultures[number]
        learns = culture._constants[kernel.POTENTIATION] > 0
        for name in _CELLS + _SYNAPSES if learns else _CELLS:
            own = culture._kept[name]
            if own.size:
                flat = own.reshape(-1)
                flat[:] = self._arrays[name][self._slices[name][number]].copy_to_host()

    def advance(self, planned: Sequence[Planned]) -> list[tuple[Steps, Steps]]:
        """Run each culture as planned; return steps and neurons, and steps and pairs, of all spikes of each."""
        from inmateria.simulators.culture import cuda_kernel as places

        for number, culture in enumerate(self.cultures):
            if culture._bring_back is not self._here[number]:
                self._take(number)
        effects = [
            electrodes.effects(
                own.due, own.electrode, own.strength, culture._constants, culture._kept["electrodes"],
                culture._kept["tired"],
            )
            for culture, own in zip(self.cultures, planned, strict=True)
        ]  # fmt: skip
        pulses = np.concatenate(([0], np.cumsum([len(own.due) for own in planned])))
        self._places[:, places.PULSE], self._places[:, places.PULSES] = pulses[:-1], pulses[1:]
        given = [
            self._cuda.to_device(np.append(np.concatenate(each), 0).astype(kind))
            for each, kind in (
                ([own.due for own in planned], np.int64),
                ([own.electrode for own in planned], np.int64),
                (effects, np.float64),
            )
        ]
        found: list[list[Steps]] = [[] for _ in self.cultures]
        begin, end = (np.array([getattr(own, name) for own in planned], dtype=np.int64) for name in ("begin", "end"))
        while (begin < end).any():
            until = np.minimum(end, begin + _AT_ONCE)
            reached, spikes = self._launch(begin, until, given)
            for number, (own, keys) in enumerate(zip(found, spikes, strict=True)):
                after, neuron = np.divmod(keys, self.cultures[number]._own.neurons)
                own.append(np.stack((begin[number] + after, neuron)))
            begin = reached
        every = []
        for culture, own, parts in zip(self.cultures, planned, found, strict=True):
            fired = np.concatenate([np.empty((2, 0), dtype=np.int64), *parts], axis=1)
            detected = electrodes.detections(
                fired, own.due, own.electrode, own.blanking, culture._constants, culture._heard,
                culture._kept["electrodes"],
            )  # fmt: skip
            culture._clock, culture._steps = own.end_clock, max(own.begin, own.end)
            every.append((fired, detected))
        return every

    def _launch(self, begin: Steps, end: Steps, pulses: Iterable[Any]) -> tuple[Steps, list[Steps]]:
        """Advance cultures to a step, or as long as there is room for spikes; return the steps reached, and spikes."""
        cuda, arrays, count = self._cuda, self._arrays, len(self.cultures)
        if "fired" not in arrays:
            size = count * self.room
            arrays["listed"] = cuda.device_array(size, np.int32)
            arrays["listed_releases"], arrays["releases"] = (cuda.device_array(size, np.float32) for _ in range(2))
            arrays["fired"] = cuda.device_array(size, np.int64)
        reached, counts = cuda.to_device(begin), cuda.device_array(count, np.int64)
        self._kernel[count, self.threads, 0, self.shared](
            cuda.to_device(self._places), arrays["constants"], reached, cuda.to_device(end),
            *(arrays[name] for name in _CULTURES), *pulses,
            *(arrays[name] for name in (*_DECAYS, *_SPIKES)), counts,
        )  # fmt: skip
        offset = np.concatenate(([0], np.cumsum(counts.copy_to_host())))
        packed = cuda.device_array(max(1, int(offset[-1])), np.int64)
        self._gather[count, self.threads](arrays["fired"], self.room, cuda.to_device(offset), packed)
        return reached.copy_to_host(), np.split(packed.copy_to_host()[: offset[-1]], offset[1:-1])
