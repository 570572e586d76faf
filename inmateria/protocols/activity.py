"""Statistics of the spikes of a network: rates, intervals, network bursts, avalanches and pair correlations.

All take counts of spikes in equal bins, shape (bins, outputs), so that they serve a simulated culture and a platform
that only counts.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from inmateria.substrate import FloatArray

__all__ = [
    "activity_figures",
    "avalanche_exponent",
    "avalanche_sizes",
    "network_bursts",
    "pair_correlation",
    "power_law_exponent",
]

_ACTIVE = 0.1
"""Rate above which an output is active, Hz."""
_BURST, _BURST_BIN = 4.0, 0.05
"""A bin of so many s is in a network burst if it holds so many standard deviations of chance above the mean."""
_GAP, _TAKING_PART = 0.1, 0.25
"""Shortest time between two bursts, s; fraction of the active outputs that take part in one."""
_CORRELATED = 0.02
"""Bin in which spikes of two outputs count as together, s: E. Schneidman, M. J. Berry, R. Segev and W. Bialek,
Nature 440, 1007 (2006), for cultured cortical networks among others."""
_FEWEST = 50
"""Avalanches of at least so many are needed for an exponent: its standard error is then about 0.1."""

IntArray = npt.NDArray[np.intp]


def activity_figures(counts: FloatArray, bin_: float) -> dict[str, float]:
    """Summarise spikes in the figures of published reports.

    The avalanche exponent is left out where there are too few avalanches, and the pair correlation where fewer than two
    outputs are active; both also if bins are longer than they need.

    Parameters
    ----------
    counts : ndarray of float, shape (bins, outputs)
        Spikes in each bin.
    bin_ : float
        Duration of a bin, s.
    """
    seconds = len(counts) * bin_
    rates = counts.sum(axis=0) / seconds
    active = rates > _ACTIVE
    variations = []
    for column in counts[:, active].T:
        intervals = np.diff(np.repeat(np.arange(len(column)), column.astype(int))) * bin_
        if len(intervals) > 10 and intervals.mean() > 0:
            variations.append(intervals.std() / intervals.mean())
    bursts, within = network_bursts(counts, bin_)
    figures = {
        "mean rate of active outputs (Hz)": float(rates[active].mean()) if active.any() else 0.0,
        "active outputs (fraction above 0.1 Hz)": float(active.mean()),
        "variation of intervals (sd / mean)": float(np.mean(variations)) if variations else 0.0,
        "network bursts a minute": len(bursts) / seconds * 60,
        "spikes in bursts (fraction)": within,
    }
    if len(bursts):
        figures["duration of a burst (s, median)"] = float(np.median(bursts[:, 1] - bursts[:, 0]))
    exponent = avalanche_exponent(counts, bin_)
    if exponent is not None:
        figures["exponent of avalanche sizes"] = exponent
    correlation = pair_correlation(counts, bin_)
    if correlation is not None:
        figures["correlation of two outputs (mean)"] = correlation
    return figures


def network_bursts(counts: FloatArray, bin_: float) -> tuple[FloatArray, float]:
    """Find the bursts of the whole network.

    A bin of 50 ms is in a burst if it holds 4 standard deviations of a Poisson process more spikes than the mean.
    Bursts less than 0.1 s apart are one, and one that fewer than a quarter of the active outputs take part in is none.

    Parameters
    ----------
    counts : ndarray of float, shape (bins, outputs)
    bin_ : float
        s.

    Returns
    -------
    bursts : ndarray of float, shape (bursts, 2)
        Begin and end of each, s, to within 50 ms.
    within : float
        Fraction of all spikes that lies in them.
    """
    width = max(1, round(_BURST_BIN / bin_))
    by_output = counts[: len(counts) // width * width].reshape(-1, width, counts.shape[1]).sum(axis=1)
    whole = by_output.sum(axis=1)
    high = whole > whole.mean() + _BURST * np.sqrt(max(whole.mean(), 1e-12))
    edges = np.diff(np.concatenate(([0], high.astype(int), [0])))
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    apart = (begins[1:] - ends[:-1]) * width * bin_ > _GAP - 1e-9
    begins, ends = begins[np.append(True, apart)[: len(begins)]], ends[np.append(apart, True)[: len(ends)]]
    active = (counts.sum(axis=0) / (len(counts) * bin_) > _ACTIVE).sum()
    kept, within = [], 0.0
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        spikes = by_output[begin:end].sum(axis=0)
        if (spikes > 0).sum() >= _TAKING_PART * active:
            kept.append((begin, end))
            within += float(spikes.sum())
    bursts = np.array(kept, dtype=np.float64).reshape(-1, 2) * (width * bin_)
    return bursts, within / float(whole.sum()) if whole.sum() else 0.0


def avalanche_sizes(counts: FloatArray, bin_: float) -> IntArray | None:
    """Count the spikes of each avalanche, a stretch of bins with spikes between two without.

    The bins are as long as the mean interval between successive spikes of all outputs together (J. M. Beggs and D.
    Plenz, J. Neurosci. 23, 11167 (2003)), in whole bins of the given ones.

    Parameters
    ----------
    counts : ndarray of float, shape (bins, outputs)
    bin_ : float
        s.

    Returns
    -------
    ndarray of int, shape (avalanches,), or None
        None if the given bins are longer than one and a half of that interval, or if there are no spikes.
    """
    whole = counts.sum(axis=1)
    spikes = whole.sum()
    width = round(len(whole) / spikes) if spikes else 0
    if width < 1:
        return None
    binned = _together(whole, width)
    edges = np.diff(np.concatenate(([0], (binned > 0).astype(int), [0])))
    total = np.concatenate(([0.0], np.cumsum(binned)))
    sizes: IntArray = (total[np.flatnonzero(edges == -1)] - total[np.flatnonzero(edges == 1)]).astype(np.intp)
    return sizes


def avalanche_exponent(counts: FloatArray, bin_: float) -> float | None:
    """Estimate the exponent of the sizes of avalanches, from 1 spike to as many as there are active outputs.

    Larger ones are left out: an array of so many electrodes cuts the distribution there (V. Pasquale et al.,
    Neuroscience 153, 1354 (2008)). None if there are too few, see `avalanche_sizes`.
    """
    sizes = avalanche_sizes(counts, bin_)
    largest = int((counts.sum(axis=0) / (len(counts) * bin_) > _ACTIVE).sum())
    if sizes is None or largest < 3 or ((sizes >= 1) & (sizes <= largest)).sum() < _FEWEST:
        return None
    return power_law_exponent(sizes, 1, largest)


def power_law_exponent(sizes: npt.ArrayLike, smallest: int, largest: int) -> float:
    r"""Estimate the exponent of a truncated power law of whole numbers by maximum likelihood.

    :math:`P(s) = s^{-\alpha} / \sum_{k=a}^{b} k^{-\alpha}` for :math:`a \le s \le b`; see A. Clauset, C. R. Shalizi and
    M. E. J. Newman, SIAM Rev. 51, 661 (2009), and for the truncation A. Deluca and A. Corral, Acta Geophys. 61, 1351
    (2013).

    Parameters
    ----------
    sizes : array_like of int
        Those outside the range are left out.
    smallest, largest : int
        :math:`a`, at least 1, and :math:`b`.

    Raises
    ------
    ValueError
        If the range is empty, or no size is in it.
    """
    if not 1 <= smallest < largest:
        raise ValueError(
            f"the range of sizes is {smallest} to {largest}; give a smallest of at least 1 and a larger one"
        )
    given = np.asarray(sizes, dtype=np.float64)
    kept = given[(given >= smallest) & (given <= largest)]
    if not len(kept):
        raise ValueError(f"none of {len(given)} sizes is from {smallest} to {largest}; give a range that has some")
    logarithms, mean = np.log(np.arange(smallest, largest + 1)), float(np.log(kept).mean())

    def loss(exponent: float) -> float:
        return float(exponent * mean + np.log(np.exp(-exponent * logarithms).sum()))

    return float(minimize_scalar(loss, bounds=(-5.0, 10.0), method="bounded", options={"xatol": 1e-6}).x)


def pair_correlation(counts: FloatArray, bin_: float) -> float | None:
    """Return the mean correlation coefficient of the spike counts of all pairs of active outputs, in bins of 20 ms.

    None if the given bins are longer than that, or fewer than two outputs are active.
    """
    width = int(_CORRELATED / bin_ + 1e-9)
    active = counts[:, counts.sum(axis=0) / (len(counts) * bin_) > _ACTIVE]
    if width < 1 or active.shape[1] < 2:
        return None
    together = np.array([_together(column, width) for column in active.T])
    return float(np.corrcoef(together)[np.triu_indices(len(together), 1)].mean())


def _together(counts: FloatArray, width: int) -> FloatArray:
    """Sum each `width` bins; those left at the end are dropped."""
    summed: FloatArray = counts[: len(counts) // width * width].reshape(-1, width).sum(axis=1)
    return summed
