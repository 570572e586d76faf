"""What electrodes make of pulses and hear of spikes, for cultures whose neurons are advanced on another device.

It is what `kernel.advance` does between its steps, by the same functions, after which the order of events is known.
"""

from typing import Any

import numba
import numpy as np

from inmateria.kernel_compilation import recompile_with
from inmateria.simulators.culture.kernel import BLIND, DEAD, Floats, Steps, hear, tire

_outer = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True, cache=True)


@_outer
def effects(
    step: Steps, electrode: Steps, strength: Floats, constants: Floats, electrodes: Steps, tired: Floats
) -> Floats:
    """Return the strength of each pulse after the fatigue by earlier ones, mV; note it in what electrodes keep."""
    effect = np.empty(len(strength))
    for pulse in range(len(strength)):
        effect[pulse] = strength[pulse] * tire(step[pulse], electrode[pulse], constants, electrodes, tired)
    return effect


@_outer
def detections(
    fired: Steps,
    step: Steps,
    electrode: Steps,
    blanking: Steps,
    constants: Floats,
    heard: tuple[Any, ...],
    electrodes: Steps,
) -> Steps:
    """Return step and pair of each spike that is detected.

    Parameters
    ----------
    fired : ndarray, shape (2, spikes)
        Step and neuron of all spikes, in this order.
    step, electrode, blanking : ndarray, shape (pulses,)
        Step, electrode and steps of blanking of each pulse, in order of time.
    constants, heard, electrodes
        As in `kernel.advance`.
    """
    most, spikes = 0, fired.shape[1]
    for spike in range(spikes):
        most += heard[0][fired[1, spike] + 1] - heard[0][fired[1, spike]]
    detected = np.empty((2, most), np.int64)
    found = pulse = 0
    for spike in range(spikes + 1):
        now = fired[0, spike] if spike < spikes else np.iinfo(np.int64).max
        while pulse < len(step) and step[pulse] <= now:
            electrodes[BLIND, electrode[pulse]] = max(
                electrodes[BLIND, electrode[pulse]], step[pulse] + blanking[pulse]
            )
            pulse += 1
        if spike < spikes:
            found = hear(now, fired[1, spike], constants[DEAD], heard, electrodes, detected, found)
    return detected[:, :found].copy()


recompile_with(effects, "inmateria.simulators.culture.kernel")
recompile_with(detections, "inmateria.simulators.culture.kernel")
