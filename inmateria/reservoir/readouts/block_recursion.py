r"""Recursive least squares for a block of rows at once: the result of updating row by row, by matrix products.

An update by one row reads and writes the whole inverse; an update by a block does so once. Let :math:`P` be the
inverse before the block, :math:`X` its rows, :math:`Y` their targets, :math:`W` the weights (outputs, width), and
:math:`S = I + X P X^\top = L D L^\top` with a unit diagonal of :math:`L`. Then

.. math::

    E &= L^{-1} (Y - X W^\top) \\
    W^\top &\leftarrow W^\top + P X^\top S^{-1} (Y - X W^\top) \\
    P &\leftarrow P - P X^\top S^{-1} X P,

where the rows of :math:`E` are the errors of the predictions before each row was learned (block Kalman update;
S. Haykin, Adaptive Filter Theory).
"""

import numpy as np
import numpy.typing as npt
from scipy.linalg import blas, solve_triangular

FloatArray = npt.NDArray[np.float64]

BLOCK = 128
"""Rows in a block. In larger blocks the products among the rows cost more than is saved."""

WORTH_IT = 384
"""Smallest width of a row for which blocks are faster; a smaller inverse fits into the processor's cache."""


def learn_block(
    rows: FloatArray, targets: FloatArray, weights: FloatArray, inverse: FloatArray, predicted: FloatArray
) -> None:
    """Predict and then learn a block of rows, without forgetting; every target must be known.

    Parameters
    ----------
    rows : ndarray, shape (rows, width)
    targets, predicted : ndarray, shape (rows, outputs)
        `predicted` is filled with the prediction for each row before that row was learned.
    weights : ndarray, shape (outputs, width)
        Updated in place.
    inverse : ndarray, shape (width, width)
        Its lower triangle is read and updated in place.
    """
    upside = inverse.T  # column-major, as BLAS expects it: the lower triangle becomes the upper one
    spread = blas.dsymm(1.0, upside, np.asfortranarray(rows.T), lower=0)
    among = rows @ spread
    among[np.diag_indices(len(rows))] += 1.0
    root = np.linalg.cholesky(among)
    missed = targets - rows @ weights.T
    scaled = solve_triangular(root, missed, lower=True, check_finite=False)
    predicted[:] = targets - scaled * np.diag(root)[:, np.newaxis]
    gain = blas.dtrsm(1.0, root, spread, side=1, lower=1, trans_a=1)
    weights += (gain @ scaled).T
    moved = blas.dsyrk(-1.0, gain, beta=1.0, c=upside, lower=0, overwrite_c=1)
    if not np.shares_memory(moved, inverse):
        inverse[:] = moved.T


def settle(inverse: FloatArray, seen: FloatArray, scale_and_walk: FloatArray) -> None:
    """Apply the update of the inverse that the last single row left pending; see `recursive_least_squares`."""
    scale, walked = scale_and_walk
    blas.dsyr(-1.0, seen, a=inverse.T, lower=0, overwrite_a=1)
    inverse *= scale
    inverse[np.diag_indices(len(inverse))] += walked
    seen[:] = 0.0
    scale_and_walk[:] = 1.0, 0.0


def mirror_blocks(inverse: FloatArray, size: int) -> None:
    """Make the blocks on the diagonal symmetric: `learn_block` writes their lower triangle, single rows read all."""
    for begin in range(0, len(inverse), size):
        block = inverse[begin : begin + size, begin : begin + size]
        above = np.triu_indices(len(block), 1)
        block[above] = block.T[above]
