"""Fingerprints of substrates: tests for drift and for identity, with known error rates.

A `Fingerprint` has the responses of a substrate to one probe sequence, presented several times (see `calibration`). Two
fingerprints are compared by the distance of their mean responses. Under the null hypothesis that nothing changed, the
repeats are exchangeable, so that a permutation test has the stated error rate for any noise (B. Phipson and
G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 9, 39 (2010), for the p-value from random permutations). That the change is
beyond a bound is another hypothesis with another test, in `drift_bounds`.
"""

import math
from collections.abc import Iterable

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from inmateria.devices.drift_bounds import LowerLimit, lower_limits
from inmateria.one_line import one_line
from inmateria.substrate import FloatArray

__all__ = [
    "Comparison",
    "Fingerprint",
    "Identity",
    "StrangerRate",
    "compare",
    "noise_of",
    "recognise",
    "settling_p_value",
    "stranger_rate",
]

BoolArray = npt.NDArray[np.bool_]

_BATCH = 4096
_ROUNDING = 1e-9
"""Differences below this fraction of the response are rounding errors, not drift."""


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """Responses of a substrate to a probe sequence that was presented several times.

    Parameters
    ----------
    device, kind : str
        Identity and kind of the substrate, as in its info.
    taken : str
        Time of the calibration, ISO 8601 with a time zone.
    clock : float
        The same on the device's clock, s.
    probe : dict
        The fields of the `Probe`.
    digest : str
        Digest of the drive: only fingerprints of the same drive can be compared.
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

    __repr__ = one_line

    def __post_init__(self) -> None:
        if len(self.data) != 8 * math.prod(self.shape) or self.shape[0] < 2 or self.shape[2] != len(self.outputs):
            raise ValueError(
                f"a fingerprint has {len(self.data)} bytes, {len(self.outputs)} outputs and shape {self.shape}; "
                "it needs 8 bytes per value, a name for each output and at least 2 repeats"
            )

    @property
    def responses(self) -> FloatArray:
        """Mean of the signal within each step, or the number of spikes, shape (repeats, steps, outputs); read-only."""
        return np.frombuffer(self.data, dtype="<f8").reshape(self.shape)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Distance of two fingerprints, and its significance.

    Parameters
    ----------
    distance : float
        Root mean square difference of the mean responses, each output in units of its own standard deviation over the
        probe, corrected for noise: 0 for no change, about sqrt(2) for unrelated devices.
    noise : float
        The same difference between two single repeats of one device.
    null_95 : float
        95th percentile of the distance if nothing has changed.
    p_value : float
        Probability of a distance at least so large if nothing has changed.
    lower_limits : tuple of LowerLimit
        Lower confidence limits of the true distance, by their error rate.
    """

    distance: float
    noise: float
    null_95: float
    p_value: float
    lower_limits: tuple[LowerLimit, ...] = ()

    __repr__ = one_line

    def drifted(self, alpha: float = 0.01, bound: float = 0.0) -> bool:
        """Return whether it changed by more than a bound, with a probability of at most `alpha` for false alarms.

        If the true distance is at most the bound, also if it is just that, this is true with a probability of at most
        `alpha`. So a distance somewhat above the bound is not enough: the lower confidence limit must be above it.

        Parameters
        ----------
        alpha : float
            Largest rate of false alarms. With a bound, the largest error rate of `lower_limits` that is not above
            alpha is kept.
        bound : float
            Distance that is allowed; 0 tests whether anything changed.

        Raises
        ------
        ValueError
            If the bound is negative or not finite, or alpha is not between 0 and 1.
        """
        if not (0 <= bound < math.inf and 0 < alpha < 1):
            raise ValueError(f"bound is {bound} and alpha {alpha}; bound must be at least 0, alpha between 0 and 1")
        if self.p_value > alpha or bound == 0:
            return self.p_value <= alpha
        within = bound * (1.0 + _ROUNDING)
        return any(limit.distance > within for limit in self.lower_limits if limit.alpha <= alpha)


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Similarity of a fingerprint to those of a known device.

    Parameters
    ----------
    distance : float
        Distance to the reference of that device, see `Comparison`.
    p_other : float
        Probability that another device of that kind is as near to the reference.
    p_same : float or None
        Probability that the device itself is as far from the reference, estimated from its history; None without one.
    others : int
        Number of other devices; `p_other` is at least 1 / (others + 1).
    """

    distance: float
    p_other: float
    p_same: float | None
    others: int

    __repr__ = one_line

    def same(self, alpha: float = 0.05) -> bool:
        """Return whether it is that device; for another device this is true with a probability of at most `alpha`.

        That is an average over which others are known; `stranger_rate` says how large it may be with these.
        """
        return self.p_other <= alpha


class StrangerRate(msgspec.Struct, frozen=True, kw_only=True):
    """Rate at which other devices are taken for a known one by `Identity.same`, with the others that are known.

    Parameters
    ----------
    alpha : float
        The alpha of `Identity.same`.
    others : int
        Number of other devices.
    radius : float
        A device nearer than this to the reference is taken for it; 0 if there are too few others for any to be.
    rate : float
        Expected rate.
    at_most : float
        Upper limit of the rate, with a confidence of 95 %.
    """

    alpha: float
    others: int
    radius: float
    rate: float
    at_most: float

    __repr__ = one_line


def compare(reference: Fingerprint, now: Fingerprint, *, permutations: int = 9999, seed: int = 0) -> Comparison:
    r"""Return the distance of two fingerprints of one probe, with its p-value.

    The squared distance is the unbiased estimate, over different repeats :math:`a_i` and :math:`b_i`,

    .. math::

        d^2 = \langle a_i^\top a_j \rangle_{i \neq j} + \langle b_i^\top b_j \rangle_{i \neq j}
        - 2 \langle a_i^\top b_j \rangle,

    whose mean is zero if nothing changed (A. Gretton et al., J. Mach. Learn. Res. 13, 723 (2012), with the linear
    kernel). Outputs and steps that were not read in every repeat are left out.

    Parameters
    ----------
    reference, now : Fingerprint
    permutations : int
        Number of random assignments of the repeats to the two fingerprints.
    seed : int
        Seed of the permutations.

    Raises
    ------
    ValueError
        If the two have different probes or outputs.
    """
    if permutations < 1:
        raise ValueError(f"permutations is {permutations}; it must be at least 1")
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
    # Distances within rounding errors count as equal; otherwise a device without noise would seem to drift.
    slack = _ROUNDING**2 + 1e-12 * abs(squared)
    within = (_spread(repeats[:first]) + _spread(repeats[first:])) / 2
    return Comparison(
        distance=math.sqrt(max(squared, 0.0)),
        noise=math.sqrt(2 * within),
        null_95=math.sqrt(max(float(np.quantile(null, 0.95)), 0.0)),
        p_value=float((1 + np.sum(null >= squared - slack)) / (1 + permutations)),
        lower_limits=lower_limits(repeats[:first], repeats[first:], rng),
    )


def recognise(
    now: Fingerprint, reference: Fingerprint, others: Iterable[Fingerprint], history: Iterable[Fingerprint] = ()
) -> Identity:
    """Test whether a fingerprint is of the same device as a reference.

    The test uses ranks, so it is exact for any number of others: if `now` is of another device, drawn like `others`,
    then each of them is equally likely to be the nearest to the reference (conformal prediction; V. Vovk et al.,
    Algorithmic Learning in a Random World (2005)).

    Parameters
    ----------
    now, reference : Fingerprint
    others : iterable of Fingerprint
        One fingerprint of each other device of that kind.
    history : iterable of Fingerprint
        Other fingerprints of the reference's device, over the time in which it is to be recognised.

    Raises
    ------
    ValueError
        If they were not all taken with the same probe.
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


def stranger_rate(reference: Fingerprint, others: Iterable[Fingerprint], alpha: float = 0.05) -> StrangerRate:
    r"""Return the rate at which other devices are taken for the reference's by `recognise` with these others.

    A device is taken for it if fewer than :math:`r = \lfloor \alpha (k + 1) \rfloor` of the `k` others are as near
    to the reference. The probability that another one, drawn like them, is so near has the distribution
    Beta(r, k + 1 - r) over the choice of the others (V. Vovk, Asian Conf. Machine Learning 25, 475 (2012)).

    Parameters
    ----------
    reference : Fingerprint
    others : iterable of Fingerprint
        One fingerprint of each other device of that kind.
    alpha : float
        The alpha of `Identity.same`.

    Raises
    ------
    ValueError
        If they were not all taken with the same probe, or alpha is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}; it must be between 0 and 1")
    distances = sorted(_distance(reference, other) for other in others)
    count = len(distances)
    nearest = math.floor(alpha * (count + 1) + 1e-9)
    return StrangerRate(
        alpha=alpha,
        others=count,
        radius=distances[nearest - 1] if nearest else 0.0,
        rate=nearest / (count + 1),
        at_most=float(beta.ppf(0.95, nearest, count + 1 - nearest)) if nearest else 0.0,
    )


def settling_p_value(fingerprint: Fingerprint, *, permutations: int = 9999, seed: int = 0) -> float:
    """Return the p-value of a trend in the repeats of one fingerprint.

    Permutation test of the distance of two repeats against their distance in time (N. Mantel, Cancer Res. 27, 209
    (1967)). A small value means that the device still changed during the calibration, which `compare` may take for
    drift: use a longer rest, or discard more of the first repeats.
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
    """Return the distance of two single repeats, in the units of `Comparison`."""
    return math.sqrt(2 * _spread(_standardised(fingerprint.responses)))


def _distance(reference: Fingerprint, now: Fingerprint) -> float:
    repeats, first = _together(reference, now)
    chosen = np.arange(len(repeats)) < first
    return math.sqrt(max(float(_squared_distances(repeats @ repeats.T, chosen[np.newaxis])[0]), 0.0))


def _together(reference: Fingerprint, now: Fingerprint) -> tuple[FloatArray, int]:
    """Return the repeats of both as rows of one array, and the number of repeats of the reference."""
    if reference.digest != now.digest or reference.shape[1] != now.shape[1]:
        raise ValueError(
            f"the fingerprints of {reference.device} and {now.device} were taken with different probes "
            f"({reference.probe} and {now.probe}); calibrate with the same probe, within the limits of both"
        )
    if reference.outputs != now.outputs:
        raise ValueError(
            f"the fingerprints of {reference.device} and {now.device} have different outputs ({len(reference.outputs)} "
            f"and {len(now.outputs)}); only the same outputs can be compared"
        )
    return _standardised(np.concatenate([reference.responses, now.responses])), reference.shape[0]


def _standardised(responses: FloatArray) -> FloatArray:
    """Scale every output to a variance of one and every repeat to a row, so that a squared norm is a mean square.

    The scale must not depend on which repeat belongs to which fingerprint, so that repeats are exchangeable.
    """
    read = np.isfinite(responses).all(axis=0)
    masked = np.where(read, responses, np.nan)
    alive = read.any(axis=0)
    centre = np.zeros(responses.shape[2])
    scale = np.zeros(responses.shape[2])
    centre[alive] = np.nanmean(masked[:, :, alive], axis=(0, 1))
    scale[alive] = np.nanstd(masked[:, :, alive], axis=(0, 1))
    # Outputs that are constant up to rounding errors are not used.
    used = read & (scale > 1e-12 * np.abs(centre))
    if not used.any():
        raise ValueError("no output responds to the probe; at least one must, to compare; use a larger amplitude")
    scaled = (responses - centre) / np.where(scale > 0, scale, 1.0)
    rows = scaled[:, used] / math.sqrt(np.count_nonzero(used))
    # The common mean cancels in every distance; removing it reduces rounding errors.
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
