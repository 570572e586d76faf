"""Ridge regression in exact rational numbers: the reference for small problems, however badly conditioned."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

Row = list[Fraction]


def exact(values: np.ndarray) -> list[Row]:
    """Return a matrix of floats as the rational numbers that they are."""
    return [[Fraction(float(value)) for value in row] for row in values]


def _solved(matrix: list[Row], right: list[Row]) -> list[Row]:
    """Solve linear equations by elimination; free unknowns of singular ones are zero."""
    rows = [[*left, *wanted] for left, wanted in zip(matrix, right, strict=True)]
    size, pivots = len(matrix), []
    for column in range(size):
        begun = len(pivots)
        pivot = next((row for row in range(begun, size) if rows[row][column] != 0), None)
        if pivot is None:
            continue
        rows[begun], rows[pivot] = rows[pivot], rows[begun]
        scale = rows[begun][column]
        rows[begun] = [value / scale for value in rows[begun]]
        for other in range(size):
            factor = rows[other][column]
            if other != begun and factor != 0:
                rows[other] = [a - factor * b for a, b in zip(rows[other], rows[begun], strict=True)]
        pivots.append(column)
    solution = [[Fraction(0)] * len(right[0]) for _ in range(size)]
    for row, column in enumerate(pivots):
        solution[column] = rows[row][size:]
    return solution


def exact_ridge(
    X: list[Row], Y: list[Row], weights: Sequence[Fraction], alpha: Fraction, intercept: bool
) -> tuple[list[Row], Row]:
    """Return weights (features, outputs) and intercepts of the least weighted squares plus alpha times squared weights.

    Without a regularisation, those of the least norm.
    """
    features, outputs, total = len(X[0]), len(Y[0]), sum(weights)
    x_mean, y_mean = [Fraction(0)] * features, [Fraction(0)] * outputs
    if intercept and total:
        x_mean = [sum(w * row[k] for w, row in zip(weights, X, strict=True)) / total for k in range(features)]
        y_mean = [sum(w * row[k] for w, row in zip(weights, Y, strict=True)) / total for k in range(outputs)]
    rows = [[a - b for a, b in zip(row, x_mean, strict=True)] for row in X]
    wanted = [[a - b for a, b in zip(row, y_mean, strict=True)] for row in Y]

    def products(first: list[Row], second: list[Row], of: Sequence[Fraction]) -> list[Row]:
        return [
            [sum(w * a[i] * b[j] for w, a, b in zip(of, first, second, strict=True)) for j in range(len(second[0]))]
            for i in range(len(first[0]))
        ]

    gram, cross = products(rows, rows, weights), products(rows, wanted, weights)
    if alpha == 0:
        # Of all solutions of G w = c, the one in the range of G: w = G v with G G v = c.
        ones = [Fraction(1)] * features
        inner = _solved(products(gram, gram, ones), cross)
        coef = products(gram, inner, ones)
    else:
        shifted = [[value + alpha * (i == j) for j, value in enumerate(row)] for i, row in enumerate(gram)]
        coef = _solved(shifted, cross)
    shift = [sum(x_mean[k] * coef[k][j] for k in range(features)) for j in range(outputs)]
    return coef, [a - b for a, b in zip(y_mean, shift, strict=True)]


def exact_left_out_error(
    X: np.ndarray, Y: np.ndarray, alpha: float, intercept: bool, sample_weight: np.ndarray | None = None
) -> float:
    """Return the weighted mean squared error of samples left out one at a time, by fitting anew without each.

    Of a sample of a weight above 1, which counts as that many samples, one is left out.
    """
    rows, wanted = exact(X), exact(Y)
    weights = [Fraction(float(weight)) for weight in (np.ones(len(X)) if sample_weight is None else sample_weight)]
    error = Fraction(0)
    for place, weight in enumerate(weights):
        if weight:
            reduced = [*weights[:place], weight - min(weight, Fraction(1)), *weights[place + 1 :]]
            coef, constant = exact_ridge(rows, wanted, reduced, Fraction(alpha), intercept)
            for output, value in enumerate(wanted[place]):
                read = constant[output] + sum(x * row[output] for x, row in zip(rows[place], coef, strict=True))
                error += weight * (value - read) ** 2
    return float(error / (sum(weights) * len(Y[0])))
