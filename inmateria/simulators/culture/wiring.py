"""How the tissue of a culture becomes arrays for the kernel: what never changes, and what changes with age.

What differs from cell to cell and from synapse to synapse comes from standard normal numbers, the `Traits`. They are
drawn once; age mixes them with new ones, so that each drifts while their distribution stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from inmateria.simulators.culture import kernel
from inmateria.simulators.culture.model import CultureModel
from inmateria.simulators.culture.tissue import Tissue, draw_synapses, draw_tissue, pairs_near

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
Integers = npt.NDArray[np.int32]
Single = npt.NDArray[np.float32]

_NEVER = -(1 << 60)  # steps: so long ago that nothing is left of it
_HEARING = 120.0  # um: farther neurons are not heard
_HEARD_LENGTH = 12.5  # um over which a spike falls by e
_LOUDNESS, _LOUDNESS_SPREAD = 150e-6, 0.4  # V at the electrode itself; standard deviation of its logarithm
_REACH, _REACH_LENGTH = 400.0, 60.0  # um: how far a pulse reaches, and where half of its effect is left


@dataclass(frozen=True, eq=False)
class Traits:
    """Standard normal numbers, one a synapse or neuron, that say how it differs from the mean.

    Parameters
    ----------
    weight : ndarray, shape (synapses,)
    drive, loudness : ndarray, shape (neurons,)
    """

    weight: FloatArray
    drive: FloatArray
    loudness: FloatArray

    def aged(self, keep: float, rng: np.random.Generator) -> Self:
        """Let each go on as an Ornstein-Uhlenbeck process of which a part ``keep``, 0 to 1, is left."""
        new = (1 - keep**2) ** 0.5
        return type(self)(*(keep * z + new * rng.standard_normal(len(z)) for z in vars(self).values()))


@dataclass(frozen=True, eq=False)
class Wiring:
    """What never changes in a culture.

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
        What the pulses of each electrode excite, as the compiled step takes it.
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
        """How many steps the ring of what is under way has to hold."""
        return int(self.delay.max(initial=1)) + 1

    def weights(self, traits: Traits, model: CultureModel) -> FloatArray:
        """Give the weights of synapses that never learnt, mV: lognormal around their mean."""
        spread = model.weight_spread
        return self.scale * np.exp(spread * traits.weight - spread**2 / 2)

    def heard(self, traits: Traits, noise: float) -> tuple[tuple[Integers, Integers], FloatArray, tuple[Any, ...]]:
        """Say which electrode hears which neuron how loud: the peak falls with distance, and differs by cell.

        Returns
        -------
        heard, peaks
            First pair of each neuron and the electrode of each pair that is detected, and their peaks, V.
        audible
            First pair of each neuron, electrode and peak of all that may be seen in the voltage.
        """
        loudness = _LOUDNESS * np.exp(_LOUDNESS_SPREAD * traits.loudness)
        start, place, far = pairs_near(self.tissue, _HEARING, from_electrodes=False)
        peak = np.repeat(loudness, np.diff(start)) * np.exp(-far / _HEARD_LENGTH)
        # Detected at 6 times the noise, which itself deepens the deepest sample of a trough by about 1.
        loud = peak > 5 * noise
        counts = np.add.reduceat(np.append(loud, False), np.minimum(start[:-1], len(loud))) * (np.diff(start) > 0)
        first = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
        return (first, place[loud].astype(np.int32)), -peak[loud], (start, place, -peak)


def draw_wiring(own: Mapping[str, Any], model: CultureModel, rng: np.random.Generator) -> tuple[Wiring, Traits]:
    """Draw a culture of the parameters of `NeuralCulture`."""
    tissue = draw_tissue(rng, own["neurons"], own["electrodes"], own["organoids"], own["excitatory"], own["pitch"])
    first, target, distance = draw_synapses(rng, tissue, own["synapses"], own["connection_length"])
    seconds = own["synaptic_delay"] + distance * 1e-6 / own["conduction_velocity"]
    delay = np.maximum(1, np.round(seconds / own["dt"])).astype(np.intp)
    source = np.repeat(np.arange(own["neurons"]), np.diff(first))
    order = np.lexsort((target, delay, source))  # a neuron's synapses by delay: neighbours in the ring
    target, delay = target[order], delay[order]
    excites, onto = source < tissue.excitatory, target < tissue.excitatory
    scale = np.where(excites, model.excitation, model.inhibition)
    scale[excites & ~onto] *= model.excitation_to_inhibitory
    start, place, far = pairs_near(tissue, _REACH, from_electrodes=True)
    attenuation = (1 / (1 + (far / _REACH_LENGTH) ** 2)).astype(np.float32)
    traits = Traits(*(rng.standard_normal(size) for size in (len(target), own["neurons"], own["neurons"])))
    learning = excites & onto
    # The same synapses again by their targets, for what a spike teaches those that came in before it.
    incoming = np.flatnonzero(learning)[np.argsort(target[learning], kind="stable")]
    incoming_first = np.searchsorted(target[incoming], np.arange(own["neurons"] + 1))
    lists = (first, target, delay, incoming_first, incoming, source[incoming])
    return (
        Wiring(
            tissue, source, target, delay, tuple(each.astype(np.int32) for each in lists), scale, learning,
            (start.astype(np.int32), place.astype(np.int32), attenuation),
        ),
        traits,
    )  # fmt: skip


def resting(own: Mapping[str, Any], model: CultureModel, wiring: Wiring, bias: Single) -> dict[str, npt.NDArray[Any]]:
    """Give the arrays of a culture in which everything that fades within minutes has faded."""
    many = wiring.tissue.excitatory
    neurons = np.zeros((kernel.ROWS, own["neurons"]), dtype=np.float32)
    neurons[kernel.BIAS] = bias
    neurons[kernel.AVAILABLE] = 1.0
    neurons[kernel.UTILISED, :many] = model.release
    neurons[kernel.UTILISED, many:] = model.inhibitory_release
    rewarded = len(wiring.source) if own["plasticity"] == "reward" else 0
    return {
        "neurons": neurons,
        "held": np.zeros(own["neurons"], dtype=np.int32),
        "spiked": np.full(own["neurons"], _NEVER, dtype=np.int64),
        "ring": np.zeros((2, wiring.slots, own["neurons"]), dtype=np.float32),
        "eligible": np.zeros(rewarded, dtype=np.float32),
        "tagged": np.full(rewarded, _NEVER, dtype=np.int64),
        "electrodes": np.full((3, own["electrodes"]), _NEVER, dtype=np.int64),
        "tired": np.ones(own["electrodes"]),
    }
