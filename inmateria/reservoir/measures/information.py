"""Information that predicted labels carry about the true ones, corrected for the number of samples."""

import numpy as np
import numpy.typing as npt
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

__all__ = ["transmitted_information"]


def transmitted_information(target: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    r"""Information that predicted labels carry about the true ones, in bits; 0 is expected of unrelated labels.

    .. math:: I = H(S) \frac{I(S; \hat S) - \langle I(S; \hat S) \rangle}{H(S) - \langle I(S; \hat S) \rangle}

    :math:`I(S; \hat S)` is the mutual information of the table of true and predicted labels, which is a lower bound of
    that of stimulus and response (R. Quian Quiroga and S. Panzeri, Nat. Rev. Neurosci. 10, 173 (2009)) and too large
    in few samples; :math:`\langle \cdot \rangle` is its mean over all permutations of the predictions, computed
    exactly, and :math:`H(S)` the entropy of the true labels, which is reached where all of them are right (N. X.
    Vinh, J. Epps and J. Bailey, J. Mach. Learn. Res. 11, 2837 (2010), normalised by the true labels).

    Parameters
    ----------
    target, predicted : array_like, shape (samples,)
        Labels of any type; the predictions must be of samples that the readout has not learned from.

    Raises
    ------
    ValueError
        If shapes differ, or all true labels are the same.
    """
    wanted, named = np.asarray(target), np.asarray(predicted)
    if wanted.shape != named.shape or wanted.ndim != 1 or not wanted.size:
        raise ValueError(f"labels have shapes {wanted.shape} and {named.shape}; both must be (samples,), at least one")
    shares = np.unique(wanted, return_counts=True)[1] / len(wanted)
    if len(shares) < 2:
        raise ValueError(f"all of {len(wanted)} true labels are the same, which nothing can inform about; give others")
    table = contingency_matrix(wanted, named, sparse=True).astype(np.int64)
    entropy = -float(shares @ np.log(shares))
    by_chance = float(expected_mutual_information(table, len(wanted)))
    if entropy - by_chance < 1e-9:  # every sample has a label of its own: there is nothing that chance could not do
        return 0.0
    found = float(mutual_info_score(None, None, contingency=table))
    return entropy * (found - by_chance) / (entropy - by_chance) / float(np.log(2.0))
