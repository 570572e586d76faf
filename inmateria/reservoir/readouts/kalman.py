"""A readout for devices that drift: a Kalman filter whose weights perform a random walk."""

from inmateria.reservoir.readouts.online import OnlineRegressor
from inmateria.reservoir.readouts.recursive_least_squares import InverseRecursion


class KalmanReadout(OnlineRegressor, InverseRecursion):
    r"""Online readout for devices that drift: the weights are assumed to perform a random walk.

    Parameters
    ----------
    walk : float
        Variance :math:`q` of a weight's step from one sample to the next, relative to the variance of the noise of
        the targets. With 0 nothing is forgotten; the larger it is, the faster old samples are forgotten.
    alpha : float
        Regularisation of the weights at the beginning, in units of the squared features.
    fit_intercept : bool
        Learn an intercept.
    delay : int
        Number of rows by which targets are late.

    Attributes
    ----------
    coef_ : ndarray of float, shape (outputs, features)
    intercept_ : ndarray of float, shape (outputs,)

    Notes
    -----
    With the features :math:`x_t`, the weights :math:`w` and :math:`P_0 = I / \alpha`, each sample gives

    .. math::

        k &= P x_t / (1 + x_t^\top P x_t) \\
        w &\leftarrow w + k (y_t - w^\top x_t) \\
        P &\leftarrow P - k x_t^\top P + q I

    (random-walk Kalman filter and its equivalence with recursive least squares: S. Haykin, Adaptive Filter Theory).
    Unlike with exponential forgetting, directions that are not excited are not forgotten faster than the random
    walk. If targets are NaN, :math:`P` still grows by :math:`q I`, so that the first sample after a gap has more
    weight.
    """

    def __init__(self, walk: float = 1e-5, *, alpha: float = 1e-3, fit_intercept: bool = True, delay: int = 0) -> None:
        self.walk = walk
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.delay = delay

    def _rates(self) -> tuple[float, float]:
        if not 0 <= self.walk < float("inf"):
            raise ValueError(
                f"walk is {self.walk}; it must be a finite variance of at least 0 (0: nothing is forgotten)"
            )
        return 1.0, float(self.walk)
