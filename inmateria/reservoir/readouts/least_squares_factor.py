r"""The triangular factor of a regularised least-squares problem, updated row by row.

The problem after some rows :math:`x_t` is kept as :math:`\bar R` (unit upper triangular) and :math:`E` (diagonal) with

.. math:: \bar R^\top E^{-1} \bar R = \alpha I + \sum_t x_t x_t^\top,

not as the sum or as its inverse: a condition number of the rows is not squared, and columns of very different sizes
cost no digits. A row is added by plane rotations without square roots (W. M. Gentleman, J. Inst. Maths Applics 12, 329
(1973)). With :math:`\gamma_0 = 1` and the row :math:`x`, for each row :math:`k` of the factor

.. math::

    \gamma_k &= \gamma_{k-1} + E_k x_k^2 \\
    s &= E_k x_k / \gamma_k, \quad c = \gamma_{k-1} / \gamma_k \\
    x_j &\leftarrow x_j - x_k \bar R_{kj}, \quad \bar R_{kj} \leftarrow \bar R_{kj} + s x_j \quad (j > k) \\
    E_k &\leftarrow c E_k.

The targets are further columns, and what is subtracted from a target before it is learned is its prediction. An
intercept without regularisation is a constant before the first column: its rotation is the update of the running
means of features and targets. Both are counted from the first row, so that an offset costs no digits either: with a
free intercept this leaves the weights as they are.
"""

from typing import Any

import numpy as np
from numba import njit

from inmateria.kernel_compilation import borrowing_kernel, recompile_with
from inmateria.reservoir.readouts.eight_lanes import load, minus, plus, rotation, store, times
from inmateria.reservoir.readouts.online import LANES

_inlined: Any = borrowing_kernel(forceinline=True)

ROWS = 4
"""Rows of the factor that are updated together; a width must be a multiple of it."""

_BATCH = 24
"""Samples that pass through those rows, which stay in the nearest cache, before the next rows are read."""

_GROUP = 8
"""Samples whose angles in a block of rows are found before they are rotated together."""

_FEW = 2
"""So many outputs are rotated one after the other; more of them in vectors."""

_rotate_one, _rotate_two, _rotate_four = (rotation(ROWS, samples, 1) for samples in (1, 2, 4))
_rotate_four_twice = rotation(ROWS, 4, 2)
_tell_one, _tell_four, _tell_eight = (rotation(ROWS, samples, 1, telling=True) for samples in (1, 4, 8))

_STEEP = 0.25
"""Below this share of old information, four rows are updated in three operations, not two: two would lose digits."""

LEAST = 1e-8
"""Least regularisation that forgetting leaves of a weight, as a fraction of `alpha`."""

_RESIDUE = 1e-24
"""Forgetting stops in a direction whose sum of squares is this fraction of that of its feature."""

_NOISE = 2.0**-92
"""What the columns before it leave of a value is rounding error if its square is below this fraction of the mean square
of its feature; it is taken as zero, or errors would add up to weights in directions that do not occur."""

_NOTHING = 1e-250
"""Means and sums of squares that were forgotten down to this are zero; denormal numbers would be slow."""


# Sums may be taken in any order, so that the compiler can use vector instructions.
@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def solve_factor(unit, rotated, weights):  # type: ignore[no-untyped-def]
    """Fill the weights (outputs, width) with the solution of ``unit @ weights.T == rotated.T``."""
    size = unit.shape[0]
    for output in range(weights.shape[0]):
        of_output = weights[output]
        of_output[:] = rotated[output]
        for k in range(size - 1, -1, -1):
            row, known = unit[k, k + 1 :], of_output[k + 1 :]
            total = 0.0
            for j in range(len(row)):
                total += row[j] * known[j]
            of_output[k] -= total


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def learn_rows(  # type: ignore[no-untyped-def]
    read, learned, targets, known, late, forgetting, alpha, centred, status, vectors, unit, levels, rotated, weights,
    predicted,
):  # fmt: skip
    """Predict each row of `read`, then learn the same row of `learned`, if its targets are known.

    Parameters
    ----------
    read, learned : (samples, features), or more columns of zeros up to width
        The same rows unless targets are `late`.
    targets, predicted : (samples, outputs)
    known : (samples,)
        Whether the targets of a row are known: all of them or none.
    forgetting, alpha : float
    centred : bool
        Whether there is an intercept.
    status : (2,)
        Sum of the weights of the rows so far, and 1 if `weights` is the solution.
    vectors : (4, width)
        First row; mean of the rows less the first; their sum of squares about the mean; the diagonal of E.
    unit : (width, width)
        The factor, of which the values above the diagonal are used.
    levels : (outputs, 2)
        First target; mean of the targets less the first.
    rotated, weights : (outputs, width)
        Right-hand side and solution.
    """
    (samples, given), size = read.shape, unit.shape[0]
    origin, mean, power, variances = vectors[0], vectors[1], vectors[2], vectors[3]
    outputs = rotated.shape[0]
    batch = min(2 * samples if late else samples, _BATCH)
    rows, floors, noises = _aligned(batch, size), np.zeros((batch, size)), np.empty((batch, size))
    lanes = (outputs + LANES - 1) // LANES * LANES
    errors, told, held = _aligned(batch, lanes), _aligned(batch, lanes), _aligned(ROWS, lanes)
    gammas, turns = np.empty(batch), np.empty((batch, 12))
    learns, of_sample = np.empty(batch, np.bool_), np.empty(batch, np.intp)
    begin = 0
    while begin < samples:
        if not known[begin]:
            if status[1] == 0.0:
                solve_factor(unit, rotated, weights)
                status[1] = 1.0
            for output in range(outputs):
                total = 0.0
                for j in range(given):
                    total += weights[output, j] * (read[begin, j] - origin[j] - mean[j])
                predicted[begin, output] = total + levels[output, 1] + levels[output, 0]
            begin += 1
            continue
        # Predictions and lessons in their order; if targets are late, a prediction and a lesson for each sample.
        # Rows are given whole, with their number: numba counts references to a view, atomically.
        entries = 0
        while begin < samples and known[begin] and entries + (2 if late else 1) <= batch:
            if late:
                _centre(read, begin, origin, mean, rows, entries)
                for output in range(outputs):
                    told[entries, output] = levels[output, 1] + levels[output, 0]
                    errors[entries, output] = 0.0
                for j in range(size):
                    noises[entries, j] = 0.0
                learns[entries], of_sample[entries] = False, begin
                gammas[entries] = 1.0
                entries += 1
            for output in range(outputs):
                told[entries, output] = levels[output, 1] + levels[output, 0]
            if centred and status[0] == 0.0:
                origin[:given] = learned[begin]
                levels[:, 0] = targets[begin]
            _centre(learned, begin, origin, mean, rows, entries)
            for output in range(outputs):
                errors[entries, output] = targets[begin, output] - levels[output, 0] - levels[output, 1]
            gamma, kept = 1.0, forgetting * status[0]
            status[0] = kept + 1.0
            share = 1.0
            if centred:
                # The first row is its own mean, and holds nothing else.
                share = kept / status[0]
                gamma = 1.0 / share if kept > 0.0 else 1.0
                step = 1.0 / status[0]
                _move_mean(rows, entries, step, mean)
                for output in range(outputs):
                    levels[output, 1] += step * errors[entries, output]
            _add_power(
                rows, entries, mean, forgetting, share, LEAST * alpha, status[0], power, floors, noises,
            )  # fmt: skip
            learns[entries], of_sample[entries], gammas[entries] = True, begin, gamma
            entries += 1
            begin += 1
        _rotate(
            entries, rows, floors, noises, learns, forgetting, gammas, turns, variances, unit, rotated, errors, told,
            held,
        )  # fmt: skip
        for entry in range(entries):
            # If targets are late, a sample has two entries, and the first one is its prediction.
            if not late or not learns[entry]:
                for output in range(outputs):
                    predicted[of_sample[entry], output] = told[entry, output]
        status[1] = 0.0


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _aligned(rows, columns):  # type: ignore[no-untyped-def]
    """Return zeros that begin with a cache line, so that no vector lies in two."""
    memory = np.zeros(rows * columns + LANES)
    begin = (-(memory.ctypes.data // 8)) % LANES
    return memory[begin : begin + rows * columns].reshape((rows, columns))


@_inlined
def _centre(given, begin, origin, mean, rows, entry):  # type: ignore[no-untyped-def]
    for j in range(given.shape[1]):
        rows[entry, j] = given[begin, j] - origin[j] - mean[j]
    for j in range(given.shape[1], rows.shape[1]):
        rows[entry, j] = 0.0


@_inlined
def _move_mean(rows, entry, step, mean):  # type: ignore[no-untyped-def]
    for j in range(len(mean)):
        moved = mean[j] + step * rows[entry, j]
        mean[j] = moved if abs(moved) > _NOTHING else 0.0


@_inlined
def _add_power(  # type: ignore[no-untyped-def]
    rows, entry, mean, forgetting, share, least, count, power, floors, noises
):
    """Add a centred row to the sums of squares; fill the largest variances, and what is rounding error."""
    rounding = _NOISE / count
    for j in range(len(power)):
        total = forgetting * power[j] + share * rows[entry, j] * rows[entry, j]
        total = total if total > _NOTHING else 0.0
        power[j] = total
        noises[entry, j] = rounding * total
    if forgetting < 1.0:
        for j in range(len(power)):
            floors[entry, j] = 1.0 / (least + _RESIDUE * (power[j] + count * mean[j] * mean[j]))


@_inlined
def _rotate(  # type: ignore[no-untyped-def]
    entries, rows, floors, noises, learns, forgetting, gammas, turns, variances, unit, rotated, errors, told, held
):
    """Add rows to the factor, or predict only; `rows` and `errors` are reduced, predictions are added to `told`.

    `held` is room for the four rows of the targets that are updated.
    """
    size, outputs = rows.shape[1], rotated.shape[0]
    growth = 1.0 / forgetting
    # Single elements and no views of rows: numba counts references to a view, atomically, at each turn of a loop.
    for k in range(0, size, ROWS):
        e0, e1, e2, e3 = variances[k], variances[k + 1], variances[k + 2], variances[k + 3]
        u01, u02, u03 = unit[k, k + 1], unit[k, k + 2], unit[k, k + 3]
        u12, u13, u23 = unit[k + 1, k + 2], unit[k + 1, k + 3], unit[k + 2, k + 3]
        if outputs > _FEW:
            for output in range(outputs):
                for i in range(ROWS):
                    held[i, output] = rotated[output, k + i]
        # The angles of the next group are found while the vectors of this one are under way.
        for entry in range(entries):
            x0, a1, a2, a3 = rows[entry, k], rows[entry, k + 1], rows[entry, k + 2], rows[entry, k + 3]
            x0 = x0 if x0 * x0 > noises[entry, k] else 0.0
            x1, b2, b3 = a1 - x0 * u01, a2 - x0 * u02, a3 - x0 * u03
            x1 = x1 if x1 * x1 > noises[entry, k + 1] else 0.0
            x2, c3 = b2 - x1 * u12, b3 - x1 * u13
            x2 = x2 if x2 * x2 > noises[entry, k + 2] else 0.0
            x3 = c3 - x2 * u23
            x3 = x3 if x3 * x3 > noises[entry, k + 3] else 0.0
            turns[entry, 0], turns[entry, 1], turns[entry, 2], turns[entry, 3] = x0, x1, x2, x3
            if learns[entry]:
                if forgetting < 1.0:
                    e0 = min(growth * e0, max(e0, floors[entry, k]))
                    e1 = min(growth * e1, max(e1, floors[entry, k + 1]))
                    e2 = min(growth * e2, max(e2, floors[entry, k + 2]))
                    e3 = min(growth * e3, max(e3, floors[entry, k + 3]))
                # The next sample waits for e0 to e3: their products are made before the quotients are there.
                r0, r1, r2, r3 = x0 * e0, x1 * e1, x2 * e2, x3 * e3
                g0 = gammas[entry]
                g1 = g0 + x0 * r0
                g2 = g1 + x1 * r1
                g3 = g2 + x2 * r2
                g4 = g3 + x3 * r3
                gammas[entry] = g4
                i1, i2, i3, i4 = 1.0 / g1, 1.0 / g2, 1.0 / g3, 1.0 / g4
                s0, s1, s2, s3 = r0 * i1, r1 * i2, r2 * i3, r3 * i4
                e0, e1, e2, e3 = e0 * g0 * i1, e1 * g1 * i2, e2 * g2 * i3, e3 * g3 * i4
                turns[entry, 4], turns[entry, 5], turns[entry, 6], turns[entry, 7] = s0, s1, s2, s3
                if g0 > _STEEP * g4:
                    turns[entry, 8] = -1.0
                    u01, u02, u03 = u01 + s0 * x1, u02 + s0 * b2, u03 + s0 * b3
                    u12, u13, u23 = u12 + s1 * x2, u13 + s1 * c3, u23 + s2 * x3
                else:
                    c0, c1, c2, c3_ = g0 * i1, g1 * i2, g2 * i3, g3 * i4
                    turns[entry, 8], turns[entry, 9], turns[entry, 10], turns[entry, 11] = c0, c1, c2, c3_
                    u01, u02, u03 = c0 * u01 + s0 * a1, c0 * u02 + s0 * a2, c0 * u03 + s0 * a3
                    u12, u13, u23 = c1 * u12 + s1 * b2, c1 * u13 + s1 * b3, c2 * u23 + s2 * c3
            else:
                turns[entry, 4] = turns[entry, 5] = turns[entry, 6] = turns[entry, 7] = 0.0
                turns[entry, 8] = -1.0
            if entry % _GROUP == _GROUP - 1 or entry == entries - 1:
                first = entry - entry % _GROUP
                if outputs > _FEW:
                    _rotate_targets(first, entry + 1, turns, held, errors, told)
                else:
                    _rotate_few_targets(first, entry + 1, k, turns, rotated, errors, told)
                _rotate_tails(first, entry + 1, k, turns, rows, unit)
        variances[k], variances[k + 1], variances[k + 2], variances[k + 3] = e0, e1, e2, e3
        if outputs > _FEW:
            for output in range(outputs):
                for i in range(ROWS):
                    rotated[output, k + i] = held[i, output]
        # Afterwards, because the vectors of the further columns may begin in the block.
        for i in range(ROWS):
            for j in range(i + 1):
                unit[k + i, k + j] = 0.0
        unit[k, k + 1], unit[k, k + 2], unit[k, k + 3] = u01, u02, u03
        unit[k + 1, k + 2], unit[k + 1, k + 3], unit[k + 2, k + 3] = u12, u13, u23


@_inlined
def _flat_run(entry, last, turns):  # type: ignore[no-untyped-def]
    """Return how many entries from this one on are rotated at once: 8, 4, 2 or 1 flat ones, or 0 if it is steep."""
    flat = 0
    while flat < 8 and entry + flat < last and turns[entry + flat, 8] < 0.0:
        flat += 1
    if flat >= 4:
        return 8 if flat == 8 else 4
    return min(flat, 2)


@_inlined
def _rotate_few_targets(first, last, k, turns, rotated, errors, told):  # type: ignore[no-untyped-def]
    for output in range(rotated.shape[0]):
        h0, h1, h2, h3 = rotated[output, k], rotated[output, k + 1], rotated[output, k + 2], rotated[output, k + 3]
        for entry in range(first, last):
            x0, x1, x2, x3 = turns[entry, 0], turns[entry, 1], turns[entry, 2], turns[entry, 3]
            z = errors[entry, output]
            v0 = z - x0 * h0
            v1 = v0 - x1 * h1
            v2 = v1 - x2 * h2
            v3 = v2 - x3 * h3
            errors[entry, output] = v3
            total = told[entry, output] + x0 * h0
            total = total + x1 * h1
            total = total + x2 * h2
            told[entry, output] = total + x3 * h3
            s0, s1, s2, s3 = turns[entry, 4], turns[entry, 5], turns[entry, 6], turns[entry, 7]
            if turns[entry, 8] < 0.0:
                h0, h1, h2, h3 = h0 + s0 * v0, h1 + s1 * v1, h2 + s2 * v2, h3 + s3 * v3
            else:
                h0, h1 = turns[entry, 8] * h0 + s0 * z, turns[entry, 9] * h1 + s1 * v0
                h2, h3 = turns[entry, 10] * h2 + s2 * v1, turns[entry, 11] * h3 + s3 * v2
        rotated[output, k], rotated[output, k + 1], rotated[output, k + 2], rotated[output, k + 3] = h0, h1, h2, h3


@_inlined
def _rotate_targets(first, last, turns, held, errors, told):  # type: ignore[no-untyped-def]
    entry = first
    while entry < last:
        flat = _flat_run(entry, last, turns)
        for j in range(0, held.shape[1], LANES):
            if flat == 8:
                _tell_eight(held, 0, errors, entry, turns, j, told)
            elif flat == 4:
                _tell_four(held, 0, errors, entry, turns, j, told)
            elif flat > 0:
                for each in range(entry, entry + flat):
                    _tell_one(held, 0, errors, each, turns, j, told)
            else:
                v, t = load(errors, entry, j), load(told, entry, j)
                for i in range(ROWS):
                    u, x = load(held, i, j), turns[entry, i]
                    t = plus(t, x, u)
                    store(held, i, j, plus(times(turns[entry, 2 * ROWS + i], u), turns[entry, ROWS + i], v))
                    v = minus(v, x, u)
                store(errors, entry, j, v)
                store(told, entry, j, t)
        entry += max(flat, 1)


@_inlined
def _rotate_tails(first, last, k, turns, rows, unit):  # type: ignore[no-untyped-def]
    """Rotate all further columns: up to four flat entries at a time, so that the factor is read once for all of them.

    Columns of the block itself may be written to.
    """
    size, begin = rows.shape[1], (k + ROWS) // LANES * LANES
    entry = first
    while entry < last:
        flat, j = min(_flat_run(entry, last, turns), 4), begin
        if flat == 4:
            while j + LANES < size:
                _rotate_four_twice(unit, k, rows, entry, turns, j)
                j += 2 * LANES
            if j < size:
                _rotate_four(unit, k, rows, entry, turns, j)
        elif flat == 2:
            for j in range(begin, size, LANES):
                _rotate_two(unit, k, rows, entry, turns, j)
        elif flat == 1:
            for j in range(begin, size, LANES):
                _rotate_one(unit, k, rows, entry, turns, j)
        else:
            _rotate_steeply(entry, k, turns, rows, unit)
        entry += max(flat, 1)


@_inlined
def _rotate_steeply(entry, k, turns, rows, unit):  # type: ignore[no-untyped-def]
    begin = (k + ROWS) // LANES * LANES
    for j in range(begin, rows.shape[1], LANES):
        v = load(rows, entry, j)
        for i in range(ROWS):
            u = load(unit, k + i, j)
            store(unit, k + i, j, plus(times(turns[entry, 2 * ROWS + i], u), turns[entry, ROWS + i], v))
            v = minus(v, turns[entry, i], u)
        store(rows, entry, j, v)


recompile_with(learn_rows, "inmateria.reservoir.readouts.eight_lanes")
