"""Recursive least squares over a block of rows at once: the same numbers as one after another, by matrix products.

Each row passes the whole inverse through memory; a block of rows does so once. With P the inverse before the block, X
its rows and S = I + X P X^T = L D L^T (L of unit diagonal), what each row predicts before it is learned errs by
L^-1 (targets - X weights), the weights move by P X^T S^-1 (targets - X weights), and P X^T S^-1 X P goes off the
inverse. Block Kalman updates: Haykin, Adaptive Filter Theory.
"""

import numpy as np
import numpy.typing as npt
from scipy.linalg import blas, solve_triangular

FloatArray = npt.NDArray[np.float64]

BLOCK = 128
"""Rows at once; more of them cost more among themselves than they spare."""

WORTH_IT = 384
"""Width of a row from which blocks are faster; a narrower inverse stays in the processor's cache."""


def learn_block(
    rows: FloatArray, targets: FloatArray, weights: FloatArray, inverse: FloatArray, predicted: FloatArray
) -> None:
    """Read each row, then learn it; forgetting is 1, and all targets are known.

    Parameters
    ----------
    rows : ndarray, shape (rows, width)
    targets, predicted : ndarray, shape (rows, outputs)
        The latter is filled, each row before it was learned.
    weights : ndarray, shape (outputs, width)
        Moved in place.
    inverse : ndarray, shape (width, width)
        Its lower half is read and moved in place.
    """
    upside = inverse.T  # as BLAS lays out matrices: its upper half is ours below
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
    """Do to the inverse what the last single row left to be done; see `recursive_least_squares`."""
    scale, walked = scale_and_walk
    blas.dsyr(-1.0, seen, a=inverse.T, lower=0, overwrite_a=1)
    inverse *= scale
    inverse[np.diag_indices(len(inverse))] += walked
    seen[:] = 0.0
    scale_and_walk[:] = 1.0, 0.0


def mirror_blocks(inverse: FloatArray, size: int) -> None:
    """Make the blocks on the diagonal symmetric again, which single rows read whole and `learn_block` writes half."""
    for begin in range(0, len(inverse), size):
        block = inverse[begin : begin + size, begin : begin + size]
        above = np.triu_indices(len(block), 1)
        block[above] = block.T[above]
