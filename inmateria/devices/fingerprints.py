"""Fingerprints of substrates: has it drifted, and is it the same device, each answered with an error rate.

A `Fingerprint` is what a substrate answered to one probe sequence, given several times (see `calibration`).
Two fingerprints are compared by the distance of their mean responses. How far apart chance alone would put
them follows from the repeats: under the null hypothesis that nothing changed they are exchangeable, so a
permutation test holds its error rate whatever the noise is (Phipson and Smyth, Stat. Appl. Genet. Mol. Biol.
9, 39 (2010), for the count of the permutations).
"""

import math
from collections.abc import Iterable

import msgspec
import numpy as np
import numpy.typing as npt

from inmateria.substrate import FloatArray

__all__ = ["Comparison", "Fingerprint", "Identity", "compare", "noise_of", "recognise", "settling_p_value"]

BoolArray = npt.NDArray[np.bool_]

_BATCH = 4096
_ROUNDING = 1e-9
"""Differences below this part of the response are rounding, not drift."""


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """What a substrate answered to a probe sequence that was given several times.

    Parameters
    ----------
    device, kind : str
        Identity and kind of the substrate, as in its info.
    taken : str
        When, ISO 8601 with a time zone.
    clock : float
        When on the device's clock, s.
    probe : dict
        What was asked: the fields of `Probe`.
    digest : str
        Of the drive: fingerprints of different drives cannot be compared.
    outputs : tuple of str
        Names of the columns of the responses.
    shape : tuple of int
        (repeats, steps, outputs) of the responses.
    data : bytes
        The responses, little-endian float64 in C order.
    """

    device: str
    kind: str
    taken: str
    clock: float
    probe: dict[str, float | int]
    digest: str
    outputs: tuple[str, ...]
    shape: tuple[int, int, int]
    data: bytes

    def __post_init__(self) -> None:
        if len(self.data) != 8 * math.prod(self.shape) or self.shape[0] < 2 or self.shape[2] != len(self.outputs):
            raise ValueError(
                f"a fingerprint has {len(self.data)} bytes, {len(self.outputs)} outputs and shape {self.shape}; "
                "it needs 8 bytes a value, a name for each output and at least 2 repeats"
            )

    @property
    def responses(self) -> FloatArray:
        """Mean of the signal within each step, or the number of spikes, shape (repeats, steps, outputs); read-only."""
        return np.frombuffer(self.data, dtype="<f8").reshape(self.shape)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """How far apart two fingerprints are, and how often chance alone would part them so far.

    Parameters
    ----------
    distance : float
        Root mean square difference of the mean responses, each output in units of its own standard deviation
        over the probe, with the share of the noise taken out: 0 for no change, about sqrt(2) for devices that
        have nothing in common.
    noise : float
        The same difference between two single repeats of one device.
    null_95 : float
        Distance that chance alone exceeds in 5 % of the cases.
    p_value : float
        Probability of a distance at least so large if nothing has changed; below `alpha`, it has, and whoever
        decides so is wrong in at most a part `alpha` of the cases in which nothing has.
    """

    distance: float
    noise: float
    null_95: float
    p_value: float

    def drifted(self, alpha: float = 0.01, bound: float = 0.0) -> bool:
        """Decide whether it changed by more than a bound, with at most a part `alpha` of false alarms."""
        return self.p_value <= alpha and self.distance > bound


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a fingerprint is that of a known device.

    Parameters
    ----------
    distance : float
        To the reference of that device, as in `Comparison`.
    p_other : float
        Probability that another device of that kind would be as near; below `alpha` it is the same device, and
        whoever says so takes a stranger for it in at most a part `alpha` of the cases.
    p_same : float or None
        Probability that the device itself, as it was seen to vary until now, would be as far away; None
        without a history.
    others : int
        Devices that `p_other` was learned from; it cannot be below 1 / (others + 1).
    """

    distance: float
    p_other: float
    p_same: float | None
    others: int

    def same(self, alpha: float = 0.05) -> bool:
        """Decide whether it is that device; a stranger is taken for it in at most a part `alpha` of the cases."""
        return self.p_other <= alpha


def compare(reference: Fingerprint, now: Fingerprint, *, permutations: int = 9999, seed: int = 0) -> Comparison:
    """Measure the distance of two fingerprints of one probe, with its null distribution.

    The squared distance is the unbiased estimate ``mean a_i.a_j + mean b_i.b_j - 2 mean a_i.b_j`` over different
    repeats, which is zero in the mean where nothing changed (Gretton et al., J. Mach. Learn. Res. 13, 723
    (2012), with the linear kernel). Outputs and steps that were not read in every repeat are left out.

    Parameters
    ----------
    reference, now : Fingerprint
    permutations : int
        Assignments of the repeats to the two that the null distribution is made of.
    seed : int
        Of the permutations.

    Raises
    ------
    ValueError
        Where the two were not taken with the same probe, or of other outputs.
    """
    if permutations < 1:
        raise ValueError(f"permutations is {permutations}; give at least 1")
    repeats, first = _together(reference, now)
    gram = repeats @ repeats.T
    count = len(gram)
    chosen = np.zeros(count, dtype=np.bool_)
    chosen[:first] = True
    squared = float(_squared_distances(gram, chosen[np.newaxis])[0])
    rng = np.random.default_rng(seed)
    null = np.concatenate(
        [
            _squared_distances(gram, rng.permuted(np.tile(chosen, (min(_BATCH, permutations - done), 1)), axis=1))
            for done in range(0, permutations, _BATCH)
        ]
    )
    # What only rounding parts counts as equal, else a device without noise would drift with every repetition.
    slack = _ROUNDING**2 + 1e-12 * abs(squared)
    within = (_spread(repeats[:first]) + _spread(repeats[first:])) / 2
    return Comparison(
        distance=math.sqrt(max(squared, 0.0)),
        noise=math.sqrt(2 * within),
        null_95=math.sqrt(max(float(np.quantile(null, 0.95)), 0.0)),
        p_value=float((1 + np.sum(null >= squared - slack)) / (1 + permutations)),
    )


def recognise(
    now: Fingerprint, reference: Fingerprint, others: Iterable[Fingerprint], history: Iterable[Fingerprint] = ()
) -> Identity:
    """Find out whether a fingerprint is of the device that a reference was taken of.

    Ranks, and so exact for any number of others: if `now` is a stranger, drawn like `others`, then each of
    them is as likely to be the nearest to the reference (conformal prediction; Vovk et al., Algorithmic
    Learning in a Random World (2005)).

    Parameters
    ----------
    now, reference : Fingerprint
    others : iterable of Fingerprint
        One each of other devices of that kind.
    history : iterable of Fingerprint
        Other fingerprints of the reference's device, over the time in which it is to be recognised.

    Raises
    ------
    ValueError
        Where they were not taken with one probe.
    """
    distance = _distance(reference, now)
    near = [_distance(reference, other) <= distance for other in others]
    far = [_distance(reference, before) >= distance for before in history]
    return Identity(
        distance=distance,
        p_other=(1 + sum(near)) / (1 + len(near)),
        p_same=(1 + sum(far)) / (1 + len(far)) if far else None,
        others=len(near),
    )


def settling_p_value(fingerprint: Fingerprint, *, permutations: int = 9999, seed: int = 0) -> float:
    """Give the probability of repeats that follow their order in time so closely, if they did not depend on it.

    The permutation test of Mantel, Cancer Res. 27, 209 (1967): distance of two repeats against their distance in
    time. A small value means that the device still changed while it was probed, and that `compare` will see
    a drift where there is only this; let it rest longer, or leave out more of the first repeats.
    """
    repeats = _standardised(fingerprint.responses)
    count = len(repeats)
    gram = repeats @ repeats.T
    apart = np.diag(gram)[:, np.newaxis] + np.diag(gram) - 2 * gram
    if apart.max(initial=0.0) <= _ROUNDING**2:
        return 1.0
    i, j = np.triu_indices(count, 1)
    lags = (j - i) - np.mean(j - i)
    rng = np.random.default_rng(seed)
    orders = rng.permuted(np.tile(np.arange(count), (permutations, 1)), axis=1)
    found = float(apart[i, j] @ lags)
    null = apart[orders[:, i], orders[:, j]] @ lags
    return float((1 + np.sum(null >= found - 1e-9 * abs(found))) / (1 + permutations))


def noise_of(fingerprint: Fingerprint) -> float:
    """Measure the distance of two single repeats, in the units of `Comparison`."""
    return math.sqrt(2 * _spread(_standardised(fingerprint.responses)))


def _distance(reference: Fingerprint, now: Fingerprint) -> float:
    repeats, first = _together(reference, now)
    chosen = np.arange(len(repeats)) < first
    return math.sqrt(max(float(_squared_distances(repeats @ repeats.T, chosen[np.newaxis])[0]), 0.0))


def _together(reference: Fingerprint, now: Fingerprint) -> tuple[FloatArray, int]:
    """Give the repeats of both as rows of one array, and how many are the reference's."""
    if reference.digest != now.digest or reference.shape[1] != now.shape[1]:
        raise ValueError(
            f"the fingerprints of {reference.device} and {now.device} were taken with different probes "
            f"({reference.probe} and {now.probe}); calibrate with the same probe, within the limits of both"
        )
    if reference.outputs != now.outputs:
        raise ValueError(
            f"the fingerprints of {reference.device} and {now.device} are of {len(reference.outputs)} and "
            f"{len(now.outputs)} outputs of other names; only the same outputs can be compared"
        )
    return _standardised(np.concatenate([reference.responses, now.responses])), reference.shape[0]


def _standardised(responses: FloatArray) -> FloatArray:
    """Scale every output to a variance of one and every repeat to a row, so that a squared length is a mean square.

    The scale must not depend on which repeat belongs to which fingerprint, or they would not be exchangeable.
    """
    read = np.isfinite(responses).all(axis=0)
    masked = np.where(read, responses, np.nan)
    alive = read.any(axis=0)
    centre = np.zeros(responses.shape[2])
    scale = np.zeros(responses.shape[2])
    centre[alive] = np.nanmean(masked[:, :, alive], axis=(0, 1))
    scale[alive] = np.nanstd(masked[:, :, alive], axis=(0, 1))
    # An output that rests at one value says nothing, beyond the rounding of that value.
    used = read & (scale > 1e-12 * np.abs(centre))
    if not used.any():
        raise ValueError("no output answered the probe, so there is nothing to compare; drive it more strongly")
    scaled = (responses - centre) / np.where(scale > 0, scale, 1.0)
    rows = scaled[:, used] / math.sqrt(np.count_nonzero(used))
    # What all have in common cancels in every distance, but not its rounding.
    centred: FloatArray = rows - rows.mean(axis=0)
    return centred


def _spread(repeats: FloatArray) -> float:
    """Variance of single repeats around their mean, as a squared distance."""
    return float(((repeats - repeats.mean(axis=0)) ** 2).sum() / (len(repeats) - 1))


def _squared_distances(gram: FloatArray, chosen: BoolArray) -> FloatArray:
    """Unbiased squared distance of the chosen repeats to the others, one for each row of `chosen`."""
    a = chosen.astype(np.float64)
    b = 1.0 - a
    n, m = a[0].sum(), b[0].sum()
    own = np.diag(gram)
    within_a = (((a @ gram) * a).sum(axis=1) - a @ own) / (n * (n - 1))
    within_b = (((b @ gram) * b).sum(axis=1) - b @ own) / (m * (m - 1))
    between = ((a @ gram) * b).sum(axis=1) / (n * m)
    squared: FloatArray = within_a + within_b - 2 * between
    return squared
