"""Controls: features that the same readout reads without the matter, as many of them, from the same input.

Each could win. *Input alone* and *masked input* are linear and have no memory; the *rectifier* is not linear and has
none; the *delay line* is linear and has some; *rectified lags* and the *echo state* are not linear and have memory,
both on a computer. A control with settings of its own is made in several variants, among which training data choose.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np

from inmateria.substrate import FloatArray

__all__ = [
    "DELAY_LINE",
    "ECHO_STATE",
    "RECTIFIED_LAGS",
    "RECTIFIER",
    "Control",
    "ControlKind",
    "FeatureSets",
    "controls_by_step",
    "controls_by_trial",
    "echo_states",
    "rectified",
]

ControlKind = Literal["linear", "memoryless", "memory", "digital"]
"""``"linear"`` has no memory and is linear, ``"memoryless"`` is nonlinear, ``"memory"`` is linear with a memory, and
``"digital"`` has both, on a computer."""

RECTIFIER, DELAY_LINE, RECTIFIED_LAGS, ECHO_STATE = "rectifier", "delay line", "rectified lags", "echo state"

_MOST_UNITS = 1000
_MOST_TO_CHOOSE = 1000
_WINDOWS = (10, 2, 3, 5, 20, 40)
_ECHO_STATES = (
    # spectral radius, scale of the input, leak; the first is a usual choice
    (0.9, 0.5, 1.0), (0.5, 0.1, 1.0), (0.5, 1.0, 1.0), (0.9, 0.1, 1.0), (0.9, 1.5, 1.0),
    (0.99, 0.1, 1.0), (0.99, 0.5, 1.0), (0.95, 0.1, 0.3), (0.95, 0.5, 0.3), (0.95, 1.5, 0.3),
)  # fmt: skip
_BIAS = 0.5


class Control:
    """Features that a readout reads without the matter, in one variant or several.

    Variants are made when they are first looked at, which may take a second.

    Parameters
    ----------
    make : callable
        Returns the variants, each of shape (items, features).
    kind : {"linear", "memoryless", "memory", "digital"}
        Memory and nonlinearity of the control.
    """

    def __init__(self, make: Callable[[], Sequence[FloatArray]], kind: ControlKind) -> None:
        self._make, self.kind = make, kind

    @cached_property
    def variants(self) -> Sequence[FloatArray]:
        """The variants, each of shape (items, features); the first is a usual choice."""
        return self._make()

    def __getitem__(self, rows: Any) -> "Control":
        """Return some items of the control."""
        return Control(lambda: [X[rows] for X in self.variants], self.kind)

    def chosen(self, train: Any, Y: FloatArray, alphas: Sequence[float]) -> FloatArray:
        """Return the variant whose ridge readout has the least leave-one-out error on items to learn from.

        Parameters
        ----------
        train : ndarray of int
            Items to learn from; at most a thousand of them, evenly spaced, choose.
        Y : ndarray of float, shape (items, targets)
        alphas : sequence of float
            Candidates for the regularisation.
        """
        if len(self.variants) == 1:
            return self.variants[0]
        rows = np.asarray(train)
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), _MOST_TO_CHOOSE)).astype(int)]
        return max(self.variants, key=lambda X: _leave_one_out(X[rows], Y[rows], alphas))


FeatureSets = Mapping[str, FloatArray | Control]
"""The substrate's features, (items, features), under ``"substrate"``; then the controls by their names."""


def controls_by_step(drive: FloatArray, bare: FloatArray, features: int, *, seed: int = 0) -> dict[str, Control]:
    """Return the controls of a task that reads a series, step by step.

    Parameters
    ----------
    drive : ndarray of float, shape (steps, inputs)
        The encoded input, as the substrate was driven.
    bare : ndarray of float, shape (steps, values)
        Input without encoding.
    features : int
        Number of features that the substrate has at each step, and each of these controls.
    seed : int
        Seed of weights and of the rectifiers' thresholds.
    """
    driven, values = _standardised(drive), _standardised(bare)
    lagging = max(1, min(features, len(bare) // 10) // values.shape[1])
    return {
        RECTIFIER: Control(lambda: [rectified(driven, features, seed)], "memoryless"),
        DELAY_LINE: Control(lambda: [_lags(values, lagging)], "memory"),
        RECTIFIED_LAGS: Control(partial(_rectified_lags, values, features, seed), "digital"),
        ECHO_STATE: Control(partial(_echo_states_of_series, values, features, seed), "digital"),
    }


def controls_by_trial(
    drives: FloatArray,
    trials: FloatArray,
    features: int,
    *,
    read: Literal["every step", "last step"] = "every step",
    seed: int = 0,
) -> dict[str, Control]:
    """Return the controls of a task that reads trials of equal length.

    Parameters
    ----------
    drives : ndarray of float, shape (trials, steps, inputs)
        The encoded input of each step.
    trials : ndarray of float, shape (trials, steps, values)
        Input without encoding.
    features : int
        Number of features that the substrate has for a trial, and each of these controls.
    read : {"every step", "last step"}
        What the readout reads of the substrate. If it is every step, all of the input is before it, and a delay line
        is the input itself.
    seed : int
        Seed of weights and of the rectifiers' thresholds.
    """
    count, steps = trials.shape[:2]
    driven = _standardised(drives.reshape(count * steps, -1)).reshape(count, steps, -1)
    values = _standardised(trials.reshape(count * steps, -1)).reshape(count, steps, -1)
    each = features if read == "last step" else -(-features // steps)
    whole = values.reshape(count, -1)

    def rectifier() -> list[FloatArray]:
        if read == "last step":
            return [rectified(driven[:, -1], features, seed)]
        return [rectified(driven.reshape(count * steps, -1), each, seed).reshape(count, -1)[:, :features]]

    def echo_state() -> list[FloatArray]:
        found = _variants_of_echo_states(values, each, seed)
        return [x[:, -1] if read == "last step" else x.reshape(count, -1)[:, :features] for x in found]

    def rectified_lags() -> list[FloatArray]:
        mixed = rectified(whole, features, seed)
        kept = min(whole.shape[1], features // 2)
        return [mixed, np.hstack([whole[:, -kept:], mixed[:, : features - kept]])]

    controls = {
        RECTIFIER: Control(rectifier, "memoryless"),
        RECTIFIED_LAGS: Control(rectified_lags, "digital"),
        ECHO_STATE: Control(echo_state, "digital"),
    }
    if read == "last step":
        controls[DELAY_LINE] = Control(lambda: [whole[:, -features:]], "memory")
    return controls


def rectified(Z: FloatArray, features: int, seed: int) -> FloatArray:
    """Return rectified random combinations of columns of mean 0 and deviation 1, shape (items, features).

    Each is zero below a threshold, which is its combination at an item drawn at random, so that thresholds lie where
    the data are.
    """
    generator = np.random.default_rng([seed, 1])
    combined = Z @ generator.standard_normal((Z.shape[1], features))
    thresholds = combined[generator.integers(len(Z), size=features), np.arange(features)]
    result: FloatArray = np.maximum(combined - thresholds, 0.0)
    return result


def echo_states(U: FloatArray, W: FloatArray, W_in: FloatArray, bias: FloatArray, leak: float) -> FloatArray:
    r"""Run an echo-state network from rest on several series at once; return its states (series, steps, units).

    .. math::

        x(t + 1) = (1 - \ell)\, x(t) + \ell \tanh\left(W x(t) + W_\mathrm{in} u(t + 1) + b\right)

    H. Jaeger, GMD report 148 (2001), as in reservoirpy.

    Parameters
    ----------
    U : ndarray of float, shape (series, steps, values)
    W, W_in : ndarray of float, shape (units, units) and (units, values)
    bias : ndarray of float, shape (units,)
    leak : float
    """
    driven = U @ W_in.T + bias
    states = np.empty_like(driven)
    x = np.zeros((len(U), len(W)))
    for t in range(U.shape[1]):
        x = (1.0 - leak) * x + leak * np.tanh(x @ W.T + driven[:, t])
        states[:, t] = x
    return states


def _leave_one_out(X: FloatArray, Y: FloatArray, alphas: Sequence[float]) -> float:
    from inmateria.reservoir import RidgeReadout  # loads scikit-learn, which the exchanges do without

    deviation = X.std(axis=0)
    standardised = (X - X.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    # Generalised cross-validation costs half as much, and is as good where samples are many.
    readout = RidgeReadout(alphas, validation="gcv" if len(X) > 3 * X.shape[1] else "loo")
    return float(readout.fit(standardised, Y).loo_scores_.max())


def _standardised(X: FloatArray) -> FloatArray:
    """Return the columns with mean 0 and deviation 1, without those that never change (but for one)."""
    deviation = X.std(axis=0)
    moving = deviation > 1e-12 * np.abs(X).max(axis=0, initial=1e-300)
    if not moving.any():
        return np.zeros((len(X), 1))
    result: FloatArray = (X[:, moving] - X[:, moving].mean(axis=0)) / deviation[moving]
    return result


def _lags(values: FloatArray, lags: int) -> FloatArray:
    """Return the values of each step and of those before it, the present one last; zero before the beginning."""
    padded = np.vstack([np.zeros((lags - 1, values.shape[1])), values])
    return np.hstack([padded[k : k + len(values)] for k in range(lags)])


def _rectified_lags(values: FloatArray, features: int, seed: int) -> list[FloatArray]:
    made = []
    for lags in _WINDOWS:
        window = _lags(values, lags)
        if lags > 2 and window.shape[1] > features // 2:
            continue
        kept = min(window.shape[1], features // 2)
        made.append(np.hstack([window[:, -kept:] if kept else window[:, :0], rectified(window, features - kept, seed)]))
    return made


def _echo_states_of_series(values: FloatArray, features: int, seed: int) -> list[FloatArray]:
    return [states[0] for states in _variants_of_echo_states(values[np.newaxis], features, seed)]


def _variants_of_echo_states(U: FloatArray, units: int, seed: int) -> list[FloatArray]:
    units = min(units, _MOST_UNITS)
    generator = np.random.default_rng([seed, 2])
    W = generator.standard_normal((units, units))
    W /= max(np.abs(np.linalg.eigvals(W)).max(), 1e-12)
    W_in = generator.uniform(-1.0, 1.0, (units, U.shape[2])) / np.sqrt(U.shape[2])
    bias = _BIAS * generator.uniform(-1.0, 1.0, units)
    return [
        echo_states(U, radius * W, scale * W_in, bias * min(scale, 1.0), leak) for radius, scale, leak in _ECHO_STATES
    ]
