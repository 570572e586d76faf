"""Arrays of a culture for the kernel: those that never change, and those that change with age.

Differences between cells and between synapses come from standard normal numbers, the `Traits`. They are drawn once;
age mixes them with new ones, so that each drifts while their distribution stays.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from inmateria.simulators.culture import kernel
from inmateria.simulators.culture.lanes import LANES
from inmateria.simulators.culture.model import CultureModel
from inmateria.simulators.culture.parameters import CultureParameters
from inmateria.simulators.culture.tissue import Tissue, draw_synapses, draw_tissue, pairs_near

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
Integers = npt.NDArray[np.int32]
Single = npt.NDArray[np.float32]

_NEVER = -(1 << 60)  # steps: so long ago that nothing is left of it
_LINE = 64  # bytes of a line of the processor's cache
_HEARING = 120.0  # um: spikes of farther neurons are not recorded
_HEARD_LENGTH = 12.5  # um over which a spike falls by e
_LOUDNESS, _LOUDNESS_SPREAD = 150e-6, 0.4  # V at the electrode itself; standard deviation of its logarithm
_REACH, _REACH_LENGTH = 400.0, 60.0  # um: how far a pulse reaches, and where half of its effect is left


@dataclass(frozen=True, eq=False)
class Traits:
    """Standard normal numbers, one for each synapse or neuron: its difference from the mean.

    Parameters
    ----------
    weight : ndarray, shape (synapses,)
    drive, loudness : ndarray, shape (neurons,)
    """

    weight: FloatArray
    drive: FloatArray
    loudness: FloatArray

    def aged(self, keep: float, rng: np.random.Generator) -> Self:
        r"""Return the traits later, each an Ornstein-Uhlenbeck process with the autocorrelation ``keep``, 0 to 1.

        :math:`z' = k z + \sqrt{1 - k^2}\, n` with standard normal n, so that their distribution stays.
        """
        new = (1 - keep**2) ** 0.5
        return type(self)(*(keep * z + new * rng.standard_normal(len(z)) for z in vars(self).values()))


@dataclass(frozen=True, eq=False)
class Wiring:
    """The parts of a culture that never change.

    Parameters
    ----------
    tissue : Tissue
    source, target : ndarray, shape (synapses,)
        Neurons.
    delay : ndarray, shape (synapses,)
        Steps.
    kernel : tuple
        Of the synapses, as the compiled step takes them.
    scale : ndarray, shape (synapses,)
        Mean weight of such a synapse, mV.
    learning : ndarray of bool, shape (synapses,)
        Excitatory and onto an excitatory neuron: those that learn.
    reach : tuple
        Neurons excited by the pulses of each electrode, as the compiled step takes it.
    """

    tissue: Tissue
    source: IntArray
    target: IntArray
    delay: IntArray
    kernel: tuple[Integers, ...]
    scale: FloatArray
    learning: npt.NDArray[np.bool_]
    reach: tuple[Integers, Integers, Single]

    @property
    def slots(self) -> int:
        """Number of steps that the ring of spikes under way has to hold."""
        return int(self.delay.max(initial=1)) + 1

    @property
    def shortest_delay(self) -> int:
        """Number of steps before which no spike arrives."""
        return int(self.delay.min(initial=kernel.LONGEST))

    def weights(self, traits: Traits, model: CultureModel) -> FloatArray:
        """Return the weights of synapses that never learnt, mV: lognormal around their mean."""
        spread = model.weight_spread
        return self.scale * np.exp(spread * traits.weight - spread**2 / 2)

    def heard(self, traits: Traits, noise: float) -> tuple[tuple[Integers, Integers], FloatArray, tuple[Any, ...]]:
        """Return which electrodes record which neurons, and their peaks, which fall with distance and differ by cell.

        Returns
        -------
        heard, peaks
            First pair of each neuron and the electrode of each pair that is detected, and their peaks, V.
        audible
            First pair of each neuron, electrode and peak of all pairs that may show in the voltage.
        """
        loudness = _LOUDNESS * np.exp(_LOUDNESS_SPREAD * traits.loudness)
        start, place, far = pairs_near(self.tissue, _HEARING, from_electrodes=False)
        peak = np.repeat(loudness, np.diff(start)) * np.exp(-far / _HEARD_LENGTH)
        # Detected at 6 times the noise, which itself deepens the deepest sample of a trough by about 1.
        loud = peak > 5 * noise
        counts = np.add.reduceat(np.append(loud, False), np.minimum(start[:-1], len(loud))) * (np.diff(start) > 0)
        first = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
        return (first, place[loud].astype(np.int32)), -peak[loud], (start, place, -peak)


def draw_wiring(own: CultureParameters, rng: np.random.Generator) -> tuple[Wiring, Traits]:
    """Draw tissue, synapses and traits of a culture."""
    model, connectivity, count = own.regime, own.connectivity, own.neurons
    tissue = draw_tissue(rng, count, own.electrodes, own.organoids, connectivity.excitatory, own.array.pitch)
    first, target, distance = draw_synapses(rng, tissue, connectivity.synapses, connectivity.length)
    seconds = connectivity.delay + distance * 1e-6 / connectivity.velocity
    delay = np.maximum(own.least_delay, np.round(seconds / own.dt)).astype(np.intp)
    source = np.repeat(np.arange(count), np.diff(first))
    order = np.lexsort((target, delay, source))  # a neuron's synapses by delay: neighbours in the ring
    target, delay = target[order], delay[order]
    excites, onto = source < tissue.excitatory, target < tissue.excitatory
    scale = np.where(excites, model.excitation, model.inhibition)
    scale[excites & ~onto] *= model.excitation_to_inhibitory
    start, place, far = pairs_near(tissue, _REACH, from_electrodes=True)
    attenuation = (1 / (1 + (far / _REACH_LENGTH) ** 2)).astype(np.float32)
    traits = Traits(*(rng.standard_normal(size) for size in (len(target), count, count)))
    learning = excites & onto
    # The same synapses again by their targets: a spike changes the synapses whose spikes came in before it.
    incoming = np.flatnonzero(learning)[np.argsort(target[learning], kind="stable")]
    incoming_first = np.searchsorted(target[incoming], np.arange(count + 1))
    into = delay * columns_of(count) + target
    lists = (first, target, into, incoming_first, incoming, source[incoming])
    return (
        Wiring(
            tissue, source, target, delay, tuple(each.astype(np.int32) for each in lists), scale, learning,
            (start.astype(np.int32), place.astype(np.int32), attenuation),
        ),
        traits,
    )  # fmt: skip


def resting(own: CultureParameters, wiring: Wiring, bias: Single) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a culture, as the state has them, in which all that fades within minutes has faded."""
    model, many, count = own.regime, wiring.tissue.excitatory, own.neurons
    neurons = np.zeros((kernel.ROWS, count), dtype=np.float32)
    neurons[kernel.BIAS] = bias
    neurons[kernel.AVAILABLE] = 1.0
    neurons[kernel.UTILISED, :many] = model.release
    neurons[kernel.UTILISED, many:] = model.inhibitory_release
    rewarded = len(wiring.source) if own.plasticity == "reward" else 0
    return {
        "neurons": neurons,
        "held": np.zeros(count, dtype=np.int32),
        "spiked": np.full(count, _NEVER, dtype=np.int64),
        "ring": np.zeros((2, wiring.slots, count), dtype=np.float32),
        "eligible": np.zeros(rewarded, dtype=np.float32),
        "tagged": np.full(rewarded, _NEVER, dtype=np.int64),
        "electrodes": np.full((3, own.electrodes), _NEVER, dtype=np.int64),
        "tired": np.ones(own.electrodes),
    }


IN_COLUMNS = ("neurons", "held", "random", "ring")
"""Arrays whose last axis the compiled step takes `LANES` neurons at a time."""


def columns_of(neurons: int) -> int:
    """Return the number of columns for so many neurons: whole lanes."""
    return -(-neurons // LANES) * LANES


def in_columns(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a copy whose last axis is filled with zeros to whole lanes, aligned to lines of the processor's cache."""
    columns = columns_of(array.shape[-1])
    size = array.size // array.shape[-1] * columns
    room = np.zeros(size + _LINE // array.itemsize, dtype=array.dtype)
    begin = -room.ctypes.data // array.itemsize % (_LINE // array.itemsize)
    copy = room[begin : begin + size].reshape(*array.shape[:-1], columns)
    copy[..., : array.shape[-1]] = array
    return copy


def for_kernel(arrays: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Return copies of the arrays of a state as the compiled step takes them."""
    return {name: in_columns(each) if name in IN_COLUMNS else each.copy() for name, each in arrays.items()}


def for_state(arrays: dict[str, npt.NDArray[Any]], neurons: int) -> dict[str, npt.NDArray[Any]]:
    """Return views of the arrays of the compiled step as a state has them: a column for each neuron, and no more."""
    return {name: each[..., :neurons] if name in IN_COLUMNS else each for name, each in arrays.items()}
