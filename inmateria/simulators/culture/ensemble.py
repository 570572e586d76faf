"""Many cultures advanced with one call, side by side on the processor's cores or on a CUDA device."""

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from inmateria.pulses import PulseArray
from inmateria.simulators.culture.cuda_ensemble import CudaCultures
from inmateria.simulators.culture.network import NeuralCulture
from inmateria.simulators.culture.pulses import Pulses, admitted
from inmateria.simulators.culture.records import Activity
from inmateria.simulators.ensemble_drives import stimuli_of
from inmateria.simulators.parameters import either
from inmateria.substrate import Response

Given = Pulses | PulseArray | None
Result = TypeVar("Result")

_WORTH_A_THREAD = 50_000  # updates of neurons: below, Python takes longer than the compiled step


class CultureEnsemble:
    """Several cultures that are advanced with one call; they may differ in seed, age, regime and size.

    Each culture runs on one core, as many at once as there are cores, or one after another where a call is so short
    that threads would not pay. Results are those of each culture on its own, to the bit. State stays in the cultures.

    Parameters
    ----------
    cultures : iterable of NeuralCulture
        Different cultures with equal numbers of electrodes.
        ``[NeuralCulture(seed=seed) for seed in range(16)]`` are sixteen dishes; ``[culture.copy() for _ in range(16)]``
        are repetitions with one dish, each with noise of its own.
    on : {"cpu", "cuda"}
        Processor, or the current CUDA device (the extra ``cuda``), which is meant for thousands of cultures. Results
        are those of a processor with fused multiply-add instructions (x86-64 since AVX2), to the bit. State stays on
        the device from one call to the next, and comes to the processor when something there looks at it.

    Raises
    ------
    ValueError
        If there are no cultures, one is given twice, or their numbers of electrodes differ.
    RuntimeError
        If there is no CUDA device, or what is needed to use it is not installed.
    """

    def __init__(self, cultures: Iterable[NeuralCulture], *, on: Literal["cpu", "cuda"] = "cpu") -> None:
        self.on: Literal["cpu", "cuda"] = either("on", on, "cpu", "cuda")  # type: ignore[assignment]
        self.cultures = tuple(cultures)
        if not self.cultures:
            raise ValueError("an ensemble of no cultures; give at least one")
        if len({id(culture) for culture in self.cultures}) < len(self.cultures):
            raise ValueError("one culture is given twice; give copies (culture.copy())")
        electrodes = {len(culture.info.inputs) for culture in self.cultures}
        if len(electrodes) > 1:
            raise ValueError(f"the cultures have {sorted(electrodes)} electrodes; give cultures with one number")
        self._device = CudaCultures(self.cultures) if self.on == "cuda" else None

    def __reduce__(self) -> tuple[Any, ...]:
        # What is on a device is made anew.
        return functools.partial(type(self), on=self.on), (self.cultures,)

    def __len__(self) -> int:
        return len(self.cultures)

    def __iter__(self) -> Iterator[NeuralCulture]:
        return iter(self.cultures)

    def reset(self, noise: Literal["continue", "repeat"] = "continue") -> None:
        """Return every culture to rest; ``noise`` is as in `NeuralCulture.reset`."""
        for culture in self.cultures:
            culture.reset(noise)

    def advance(self, drive: npt.ArrayLike, step: float | None = None) -> tuple[Response, ...]:
        """Stimulate all cultures for the same number of steps.

        Parameters
        ----------
        drive : array_like, shape (cultures, steps, electrodes), or (steps, electrodes) for one drive to all
            A; each amplitude other than 0 is a pulse at the start of its step.
        step : float, optional
            Duration of a step, s; that of each culture by default.

        Returns
        -------
        tuple of Response
            That of each culture, as `NeuralCulture.advance` returns it.

        Raises
        ------
        StimulusRejected
            If a drive is outside the limits of its culture; nothing is applied to any culture.
        """
        stimuli = stimuli_of(drive, self.cultures, step, inputs="electrodes", member="culture")
        if self._device is None:
            return self._each(NeuralCulture.advance, stimuli, stimuli[0].duration)
        starts = [culture.time for culture in self.cultures]
        pulses = [culture._pulses_of(own) for culture, own in zip(self.cultures, stimuli, strict=True)]
        activities = self._on_device(self._device, stimuli[0].duration, pulses, voltage=False, neuron_spikes=False)
        return tuple(
            culture._response(start, activity)
            for culture, start, activity in zip(self.cultures, starts, activities, strict=True)
        )

    def run(
        self,
        duration: float,
        pulses: Given | Sequence[Given] = None,
        voltage: bool = False,
        neuron_spikes: bool = False,
    ) -> tuple[Activity, ...]:
        """Simulate all cultures for a duration.

        Parameters
        ----------
        duration : float
            s.
        pulses : Pulses or ndarray of `PULSE`, or a sequence of these, optional
            The same pulses for all cultures, or those of each (or None); times in s after the beginning of the run.
        voltage, neuron_spikes : bool
            As in `NeuralCulture.run`.

        Returns
        -------
        tuple of Activity
            That of each culture.

        Raises
        ------
        ValueError
            If the duration is not positive and finite, a pulse is beyond the limits of its culture, or the number of
            sets of pulses is not that of the cultures; no culture is advanced.
        """
        if not 0 < duration < np.inf:
            raise ValueError(f"duration is {duration} s; give more than 0")
        alike = pulses is None or isinstance(pulses, (Pulses, np.ndarray))
        each: Sequence[Given] = [pulses] * len(self) if alike else pulses  # type: ignore[list-item,assignment]
        if len(each) != len(self):
            raise ValueError(f"{len(each)} sets of pulses for {len(self)} cultures; give one to each, or one to all")
        for culture, own in zip(self.cultures, each, strict=True):
            admitted(own, duration, len(culture.info.inputs), culture.info.inputs[0].high)
        if self._device is not None:
            return self._on_device(self._device, duration, each, voltage, neuron_spikes)
        return self._each(lambda culture, own: culture.run(duration, own, voltage, neuron_spikes), each, duration)

    def _on_device(
        self, device: CudaCultures, duration: float, pulses: Sequence[Given], voltage: bool, neuron_spikes: bool
    ) -> tuple[Activity, ...]:
        planned = [culture._plan(duration, own) for culture, own in zip(self.cultures, pulses, strict=True)]
        return tuple(
            culture._activity(own, *spikes, voltage, neuron_spikes)
            for culture, own, spikes in zip(self.cultures, planned, device.advance(planned), strict=True)
        )

    def _each(
        self, work: Callable[[NeuralCulture, Any], Result], given: Sequence[Any], duration: float
    ) -> tuple[Result, ...]:
        """Do some work of a duration with each culture and what is given to it."""
        updates = sum(
            len(culture.positions) * duration / float(culture.info.parameters["dt"]) for culture in self.cultures
        )
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if cores == 1 or updates < _WORTH_A_THREAD * len(self):
            return tuple(map(work, self.cultures, given))
        with ThreadPoolExecutor(min(cores, len(self))) as pool:
            return tuple(pool.map(work, self.cultures, given))
