"""A readout for devices that drift: a Kalman filter of weights that walk at random."""

from inmateria.reservoir.readouts.online import OnlineRegressor
from inmateria.reservoir.readouts.recursive_least_squares import InverseRecursion


class KalmanReadout(OnlineRegressor, InverseRecursion):
    """Readout whose weights are followed while they walk at random: for devices that drift.

    Parameters
    ----------
    walk : float
        Variance of a weight's step from one sample to the next, relative to the variance of the noise on
        the targets. Nothing is forgotten at 0; the larger it is, the faster old samples fade.
    alpha : float
        Regularisation of the weights at the beginning, in units of the squared features.
    fit_intercept : bool
        Learn an intercept.
    delay : int
        Rows by which targets come late.

    Attributes
    ----------
    coef_ : ndarray of float, shape (outputs, features)
    intercept_ : ndarray of float, shape (outputs,)

    Notes
    -----
    Random-walk Kalman filter (Haykin, Adaptive Filter Theory, on its equivalence with recursive least
    squares). Unlike exponential forgetting, what is not excited is not forgotten faster than it walks.
    While targets are NaN the weights walk on, so that the first one after a gap counts for more.
    """

    def __init__(self, walk: float = 1e-5, *, alpha: float = 1e-3, fit_intercept: bool = True, delay: int = 0) -> None:
        self.walk = walk
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.delay = delay

    def _rates(self) -> tuple[float, float]:
        if not 0 <= self.walk < float("inf"):
            raise ValueError(f"walk is {self.walk}; give a finite variance of at least 0 (0 forgets nothing)")
        return 1.0, float(self.walk)
