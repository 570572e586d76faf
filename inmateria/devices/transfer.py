"""Transfer of a readout from the device it was trained on to another one, or to the same after it drifted.

The outputs of the old readout for a series on the old device are known. Regressing them onto the features of the new
device for the same series needs no labels (the old readout is the teacher); labels are used in addition. The weights
are regularised toward the old ones (small mismatch) or toward zero (large mismatch); or labels are used alone
(unrelated devices). The method is chosen by errors measured on the series and on the labels.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, solve_triangular

from inmateria.devices.bound_readouts import BoundReadout
from inmateria.devices.calibration import calibrate
from inmateria.devices.linear_maps import LinearMap
from inmateria.one_line import one_line
from inmateria.reservoir.physical import PhysicalReservoir
from inmateria.substrate import FloatArray

__all__ = ["Method", "Transfer", "Transferred", "align_by_cca", "transfer", "transfer_weights"]

Method = Literal["toward-old", "aligned", "retrained"]

_ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-8, 7, 0.5))
_BLOCKS = 5


@dataclass(frozen=True, eq=False)
class Transfer:
    """Weights for a new device, and the errors by which they were chosen.

    Parameters
    ----------
    weights : LinearMap
        Weights for the new device's features.
    method : {"toward-old", "aligned", "retrained"}
        Regularised toward the old weights or toward zero, or fitted to labels alone.
    mismatch : float or None
        Root mean square difference of the outputs of the old weights on the new and on the old device, in units of
        their standard deviation. None if the numbers of features differ.
    errors : dict
        Cross-validated error of each possible method, in the same units, on fifths of the series; on the labels for
        ``"retrained"``, to be compared with ``"on labels"``, the best other method there.
    """

    weights: LinearMap
    method: Method
    mismatch: float | None
    errors: dict[str, float]

    __repr__ = one_line


@dataclass(frozen=True, eq=False)
class Transferred:
    """A readout bound to its new device.

    Parameters
    ----------
    readout : BoundReadout
    how : Transfer
    labelled, unlabelled : int
        Number of steps sent to the new device with and without targets.
    """

    readout: BoundReadout
    how: Transfer
    labelled: int
    unlabelled: int

    __repr__ = one_line


async def transfer(
    readout: BoundReadout,
    to: PhysicalReservoir,
    *,
    budget: int = 100,
    u: npt.ArrayLike | None = None,
    y: npt.ArrayLike | None = None,
    method: Method | None = None,
) -> Transferred:
    """Transfer a readout to the device of a reservoir.

    The device is calibrated, and driven with the readout's own series and with as much of `u` as the budget allows.

    Parameters
    ----------
    readout : BoundReadout
    to : PhysicalReservoir
        Entered, with encoding and washout as in training.
    budget : int
        Largest number of labelled steps to use, beyond the washout.
    u, y : array_like, shape (steps, ...)
        A series with its targets (or classes), one for each step.
    method : {"toward-old", "aligned", "retrained"}, optional
        Method to use instead of the one with the least error.

    Raises
    ------
    ValueError
        If series and targets do not match, or the method cannot be used.
    """
    if (u is None) != (y is None):
        raise ValueError("only one of u and y is given; give a series u together with its targets y, or neither")
    if budget < 0:
        raise ValueError(f"budget is {budget} labelled steps; it must be at least 0")
    fingerprint = await calibrate(to.substrate, readout.probe)
    probed = await to.run(readout.series)
    labelled: tuple[FloatArray, npt.NDArray[Any]] | None = None
    if u is not None and y is not None and budget:
        series, targets = np.asarray(u, dtype=np.float64), np.asarray(y)
        if len(series) != len(targets) or len(series) <= to.washout:
            raise ValueError(
                f"the series has {len(series)} steps and {len(targets)} targets, with a washout of {to.washout}; "
                "give one target for each step, and more steps than that"
            )
        most = to.washout + budget
        labelled = await to.run(series[:most]), targets[to.washout : most]
    how = transfer_weights(readout.weights, readout.features, probed, labelled, method=method)
    return Transferred(
        replace(readout, estimator=how.weights.estimator(), fingerprint=fingerprint, features=probed),
        how,
        labelled=0 if labelled is None else len(labelled[1]),
        unlabelled=len(probed),
    )


def transfer_weights(
    old: LinearMap,
    source: FloatArray,
    target: FloatArray,
    labelled: tuple[FloatArray, npt.NDArray[Any]] | None = None,
    *,
    method: Method | None = None,
) -> Transfer:
    """Return weights for a new device from the features of both devices for one series, and from labels.

    Parameters
    ----------
    old : LinearMap
        Weights for the old device's features.
    source, target : ndarray of float, shapes (steps, features) and (steps, new features)
        Features of the same series on the old and on the new device.
    labelled : tuple of ndarray, optional
        Features on the new device, and their targets or classes.
    method : {"toward-old", "aligned", "retrained"}, optional
        Method to use instead of the one with the least error.
    """
    if len(source) != len(target):
        raise ValueError(
            f"the series gave {len(source)} steps of features on the old device and {len(target)} on the new one; "
            "it must be the same series with the same washout"
        )
    if len(source) < 2 * _BLOCKS:
        raise ValueError(
            f"the series gave {len(source)} steps of features; give at least {2 * _BLOCKS} beyond the washout, "
            "better some hundred"
        )
    taught = old(source)
    size = float(np.sqrt(taught.var(axis=0).mean()))
    size = size if size > 0 else 1.0
    spread = target.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    # Features in one unit are best not scaled, as larger ones have less noise; features in several units are.
    scales = (spread, np.full_like(spread, np.sqrt(np.mean(spread**2))))
    X, Y = (np.empty((0, target.shape[1])), np.empty((0, len(old.coef)))) if labelled is None else (
        np.asarray(labelled[0], dtype=np.float64), old.targets(labelled[1]))  # fmt: skip
    if len(X) != len(Y):
        raise ValueError(f"there are {len(X)} labelled steps and {len(Y)} labels; give one label for each")
    nothing = replace(old, coef=np.zeros((len(old.coef), target.shape[1])), intercept=np.zeros(len(old.coef)))
    errors: dict[str, float] = {}
    mismatch = None
    priors: dict[Method, LinearMap] = {"aligned": nothing}
    if source.shape[1] == target.shape[1]:
        mismatch = _rms(old(target) - taught) / size
        priors["toward-old"] = old
    unlabelled: dict[Method, LinearMap] = {}
    for name, prior in priors.items():
        unlabelled[name], error = _toward(prior, target, taught, scales)
        errors[name] = error / size
    chosen = min(priors, key=lambda name: errors[name])
    if len(X) >= 2:
        alone, error = _toward(nothing, X, Y, scales)
        errors["retrained"] = error / size
        _, error = _toward(priors[chosen], X, Y, scales, (target, taught))
        errors["on labels"] = error / size
        if errors["retrained"] < errors["on labels"]:
            chosen = "retrained"
    if method is not None:
        if method not in ("toward-old", "aligned", "retrained"):
            raise ValueError(f"method is {method!r}; it must be 'toward-old', 'aligned' or 'retrained'")
        if method != "retrained" and method not in priors:
            raise ValueError(
                f"the old device gave {source.shape[1]} features and the new one {target.shape[1]}; "
                "method 'toward-old' needs equal numbers; use 'aligned' or 'retrained'"
            )
        if method == "retrained" and len(X) < 2:
            raise ValueError(f"there are {len(X)} labels; method 'retrained' needs at least 2")
        chosen = method
    if chosen == "retrained":
        return Transfer(alone, chosen, mismatch, errors)
    weights = unlabelled[chosen]
    if len(X) >= 2:
        weights, _ = _toward(priors[chosen], X, Y, scales, (target, taught))
    return Transfer(weights, chosen, mismatch, errors)


def align_by_cca(
    old: LinearMap, source: FloatArray, target: FloatArray, components: int = 15, shrinkage: float = 1e-3
) -> LinearMap:
    """Predict the old device's features from the new one's through canonical variates, and return weights for these.

    Canonical correlation analysis (H. Hotelling, Biometrika 28, 321 (1936)), with `shrinkage` times the mean variance
    added to every variance; the prediction is the reduced-rank regression through the strongest `components`
    (A. J. Izenman, J. Multivar. Anal. 5, 248 (1975)). `transfer_weights` is better, because it aligns only the
    directions that the readout uses; this is for comparison, and for readouts that are not known yet.
    """
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    La, Lb = (_factor(part, shrinkage) for part in (a, b))
    between = solve_triangular(La, a.T @ b / len(a), lower=True)
    between = solve_triangular(Lb, between.T, lower=True).T
    left, correlation, right = np.linalg.svd(between, full_matrices=False)
    kept = slice(0, components)
    read = (old.coef @ La) @ left[:, kept] * correlation[kept]
    coef = solve_triangular(Lb.T, (read @ right[kept]).T, lower=False).T
    return replace(
        old, coef=coef, intercept=old.intercept + old.coef @ source.mean(axis=0) - coef @ target.mean(axis=0)
    )


def _factor(centred: FloatArray, shrinkage: float) -> FloatArray:
    covariance = centred.T @ centred / len(centred)
    shrunk = covariance + shrinkage * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    lower: FloatArray = np.tril(cho_factor(shrunk, lower=True)[0])
    return lower


def _toward(
    prior: LinearMap,
    X: FloatArray,
    Y: FloatArray,
    scales: tuple[FloatArray, ...],
    beside: tuple[FloatArray, FloatArray] | None = None,
) -> tuple[LinearMap, float]:
    """Return ridge weights regularised toward a prior, and their cross-validated root mean square error.

    Ridge regression of the residual of the prior, with features in units of one of the scales. Scale and regularisation
    are chosen by the least error. One fifth of the time is left out at once, because neighbouring steps are so similar
    that leave-one-out would prefer weights that fit the noise. The samples in `beside` are always used for fitting and
    never for the error.
    """
    return min((_toward_in(prior, X, Y, scale, beside) for scale in scales), key=lambda found: found[1])


def _toward_in(
    prior: LinearMap,
    X: FloatArray,
    Y: FloatArray,
    scale: FloatArray,
    beside: tuple[FloatArray, FloatArray] | None,
) -> tuple[LinearMap, float]:
    centre = X.mean(axis=0)
    own, rest = (X - centre) / scale, Y - prior(X)
    more, more_rest = (own[:0], rest[:0]) if beside is None else (
        (beside[0] - centre) / scale, beside[1] - prior(beside[0]))  # fmt: skip
    errors = np.zeros(len(_ALPHAS))
    for block in np.array_split(np.arange(len(own)), min(_BLOCKS, len(own))):
        kept = np.ones(len(own), dtype=np.bool_)
        kept[block] = False
        path = _ridge_path(np.concatenate([more, own[kept]]), np.concatenate([more_rest, rest[kept]]))
        for index, (coef, intercept) in enumerate(path):
            errors[index] += np.sum((rest[block] - own[block] @ coef.T - intercept) ** 2)
    best = int(np.argmin(errors))
    coef, intercept = _ridge_path(np.concatenate([more, own]), np.concatenate([more_rest, rest]), best)[0]
    coef = coef / scale
    weights = replace(prior, coef=prior.coef + coef, intercept=prior.intercept + intercept - coef @ centre)
    return weights, float(np.sqrt(errors[best] / rest.size))


def _ridge_path(X: FloatArray, Y: FloatArray, only: int | None = None) -> list[tuple[FloatArray, FloatArray]]:
    """Return ridge weights and intercepts for all regularisations, or for one; intercepts are not regularised."""
    x_mean, y_mean = X.mean(axis=0), Y.mean(axis=0)
    left, values, right = np.linalg.svd(X - x_mean, full_matrices=False)
    loads = left.T @ (Y - y_mean)
    path = []
    for alpha in _ALPHAS if only is None else (_ALPHAS[only],):
        coef = (right.T @ ((values / (values**2 + alpha))[:, np.newaxis] * loads)).T
        path.append((coef, y_mean - coef @ x_mean))
    return path


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))
