"""Places of the neurons and electrodes of a culture, connections between neurons, and pairs within reach.

Everything is drawn once, from a seed. Lengths in um, delays in s.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

_GAP = 400.0  # um between organoids


@dataclass(frozen=True, eq=False)
class Tissue:
    """A drawn culture.

    Parameters
    ----------
    neurons, electrodes : ndarray, shape (neurons, 2) and (electrodes, 2)
        Places, um.
    organoid_of, organoid_at : ndarray, shape (neurons,) and (electrodes,)
        Number of the organoid that each is in.
    excitatory : int
        Number of excitatory neurons: these come first.
    """

    neurons: FloatArray
    electrodes: FloatArray
    organoid_of: IntArray
    organoid_at: IntArray
    excitatory: int


def electrode_places(count: int, pitch: float) -> FloatArray:
    """Place electrodes on a square grid around 0; its corners stay empty if ``count`` is not a square."""
    side = math.ceil(math.sqrt(count))
    axis = (np.arange(side) - (side - 1) / 2) * pitch
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    nearest = np.argsort(np.round(np.hypot(*grid.T), 6), kind="stable")[:count]
    return np.asarray(grid[np.sort(nearest)])


def draw_tissue(
    rng: np.random.Generator, neurons: int, electrodes: int, organoids: int, excitatory: float, pitch: float
) -> Tissue:
    """Place neurons uniformly over each organoid's square, and its share of the electrodes in the middle."""
    shares = np.bincount(np.arange(electrodes) % organoids, minlength=organoids)
    columns = math.ceil(math.sqrt(organoids))
    sides = [math.ceil(math.sqrt(share)) * pitch for share in shares]
    stride = max(sides) + _GAP
    centres = np.array([(k % columns, k // columns) for k in range(organoids)]) * stride
    centres = centres - centres.mean(axis=0)
    e_at = np.repeat(np.arange(organoids), shares)
    e_places = np.concatenate([centres[k] + electrode_places(int(shares[k]), pitch) for k in range(organoids)])
    # Excitatory neurons come first; each kind is distributed over the organoids in turn.
    many = round(neurons * excitatory)
    n_of = np.concatenate((np.arange(many) % organoids, np.arange(neurons - many) % organoids))
    side = np.array(sides)[n_of, np.newaxis]
    n_places = centres[n_of] + side * (rng.random((neurons, 2)) - 0.5)
    return Tissue(n_places, e_places, n_of.astype(np.intp), e_at.astype(np.intp), many)


def draw_synapses(
    rng: np.random.Generator, tissue: Tissue, synapses: float, length: float
) -> tuple[IntArray, IntArray, FloatArray]:
    """Draw about ``synapses`` targets for each neuron within its organoid, with weights exp(-distance / length).

    Returns
    -------
    first, target, distance
        First synapse of each neuron, shape (neurons + 1,); target and length in um of each, shape (synapses,).
    """
    targets, distances = [], []
    places = tissue.neurons
    for n, place in enumerate(places):
        distance = np.hypot(places[:, 0] - place[0], places[:, 1] - place[1])
        weight = np.exp(-distance / length) * (tissue.organoid_of == tissue.organoid_of[n])
        weight[n] = 0.0
        chance = weight * (synapses / max(float(weight.sum()), 1e-300))
        for _ in range(3):  # probabilities above 1 are cut, and the excess goes to the others
            spare = np.clip(chance - 1.0, 0.0, None).sum()
            open_ = np.where(chance < 1.0, chance, 0.0)
            if spare <= 0 or open_.sum() <= 0:
                break
            chance = np.where(chance < 1.0, open_ * (1.0 + spare / open_.sum()), 1.0)
        hit = np.flatnonzero(rng.random(len(places)) < chance)
        targets.append(hit)
        distances.append(distance[hit])
    first = np.concatenate(([0], np.cumsum([len(each) for each in targets])))
    return first.astype(np.intp), np.concatenate(targets), np.concatenate(distances)


def pairs_near(tissue: Tissue, radius: float, from_electrodes: bool) -> tuple[IntArray, IntArray, FloatArray]:
    """List the pairs of a neuron and an electrode within a radius, by neuron or by electrode.

    Returns
    -------
    first, other, distance
        First pair of each neuron (or electrode), the electrode (or neuron) of each pair, and their distance, um.
    """
    near: list[IntArray] = []
    far: list[FloatArray] = []
    here, there = (tissue.electrodes, tissue.neurons) if from_electrodes else (tissue.neurons, tissue.electrodes)
    for place in here:
        distance = np.hypot(there[:, 0] - place[0], there[:, 1] - place[1])
        hit = np.flatnonzero(distance < radius)
        near.append(hit)
        far.append(distance[hit])
    first = np.concatenate(([0], np.cumsum([len(each) for each in near])))
    return first.astype(np.intp), np.concatenate(near), np.concatenate(far)
