"""Ridge solutions of samples that are read part by part, several times, as exact as those of samples in one piece.

A solution needs the second moments of all samples, and for what these cannot tell, more passes over them: one for the
triangular factor if rounding errors of the moments would show, one for the leave-one-out errors, and one or two more if
samples have a leverage of nearly one. A pass applies a function to every part; parts may be on several machines.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from inmateria.reservoir.readouts.kept_samples import Samples
from inmateria.reservoir.readouts.moments import Moments
from inmateria.reservoir.readouts.ridge_path import (
    RidgePath,
    Solution,
    joined_triangles,
    one_solution,
    path_of_moments,
    path_of_triangle,
    solution_of,
    solution_with,
    triangle_of,
)

__all__ = ["OverParts", "solve_in_parts"]

FloatArray = npt.NDArray[np.float64]
OverParts: TypeAlias = Callable[[Callable[[Iterable[Samples]], Any]], Sequence[Any]]


def solve_in_parts(moments: Moments, alphas: FloatArray, validation: str | None, over_parts: OverParts) -> Solution:
    """Choose a regularisation and solve for the weights; see `inmateria.reservoir.readouts.ridge_path.solve`.

    Parameters
    ----------
    moments : Moments
        Of the samples of all parts.
    alphas : ndarray of float
    validation : {"loo", "gcv"} or None
    over_parts : callable
        Applies a function, which can be sent to other processes, to the samples of every part.
    """
    least = float(alphas.min())
    if validation is None:
        coef = one_solution(moments, least, refinable=True)
        if coef is not None:
            return solution_with(moments, least, np.zeros(len(alphas)), coef)
    path = _path(moments, least, over_parts)
    if validation is None:
        return solution_of(path, alphas, np.zeros(len(alphas)))
    if validation == "gcv":
        return solution_of(path, alphas, -path.generalised_errors(alphas))
    found = over_parts(partial(_left_out, path, alphas))
    sums: FloatArray = np.sum([part.sums for part in found], axis=0)
    lone = [samples for part in found for samples in part.lone]
    if lone:
        others = over_parts(partial(_moments_of_others, path, alphas))
        apart = _path(reduce(Moments.__add__, others), least, over_parts, (path, alphas))
        sums = sums + apart.errors_of_others(_together(lone), alphas)
    return solution_of(path, alphas, -path.mean_of(sums))


def _path(
    moments: Moments, least: float, over_parts: OverParts, without: tuple[RidgePath, FloatArray] | None = None
) -> RidgePath:
    """Return the solutions from moments, or from another pass over the samples if these do not tell enough."""
    path = path_of_moments(moments, least)
    if path is None:
        triangles = over_parts(partial(_triangle_of, moments, without))
        path = path_of_triangle(moments, reduce(joined_triangles, triangles))
    return path


def _triangle_of(moments: Moments, without: tuple[RidgePath, FloatArray] | None, part: Iterable[Samples]) -> FloatArray:
    return triangle_of(moments, part if without is None else _others(*without, part))


@dataclass(frozen=True, eq=False)
class _LeftOut:
    """Sums of squared leave-one-out errors for each regularisation, without the samples of a leverage of nearly one."""

    sums: FloatArray
    lone: tuple[Samples, ...]


def _left_out(path: RidgePath, alphas: FloatArray, part: Iterable[Samples]) -> _LeftOut:
    sums, lone = np.zeros(len(alphas)), []
    for block in part:
        errors, alone = path.left_out_sums(block, alphas)
        sums += errors
        if alone.any():
            lone.append(block.rows(alone))
    return _LeftOut(sums, tuple(lone))


def _others(path: RidgePath, alphas: FloatArray, part: Iterable[Samples]) -> Iterator[Samples]:
    """Yield the samples whose leverage is not nearly one."""
    for block in part:
        yield block.rows(~path.left_out_sums(block, alphas)[1])


def _moments_of_others(path: RidgePath, alphas: FloatArray, part: Iterable[Samples]) -> Moments:
    of = path.moments
    moments = Moments(of.features, of.outputs, of.centred)
    for block in _others(path, alphas, part):
        moments.add(block.X, block.Y, block.weights, block.counts, double=True)
    return moments


def _together(lone: Sequence[Samples]) -> Samples:
    def stacked(name: str) -> FloatArray | None:
        values = [getattr(samples, name) for samples in lone]
        if all(value is None for value in values):
            return None
        ones = [np.ones(len(samples.X)) for samples in lone]
        return np.concatenate([one if value is None else value for value, one in zip(values, ones, strict=True)])

    return Samples(
        np.concatenate([samples.X for samples in lone]),
        np.concatenate([samples.Y for samples in lone]),
        stacked("weights"),
        stacked("counts"),
    )
