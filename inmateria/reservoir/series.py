"""The series that reservoirs are tested with: NARMA, Mackey-Glass, Lorenz, Hénon and the Santa Fe laser.

Several of them go by one name and two definitions; each docstring says which one this is.
"""

import math
from importlib.resources import files

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def narma(u: npt.ArrayLike, order: int = 10, *, saturated: bool = False) -> FloatArray:
    """Filter an input by a nonlinear autoregressive moving average (NARMA) of a given order.

    For order 2, and for all others (10 in the paper):

        y(t+1) = 0.4 y(t) + 0.4 y(t) y(t-1) + 0.6 u(t)^3 + 0.1
        y(t+1) = 0.3 y(t) + 0.05 y(t) (y(t) + ... + y(t-n+1)) + 1.5 u(t-n+1) u(t) + 0.1

    Atiya and Parlos, IEEE Trans. Neural Netw. 11, 697 (2000); also that of openprc. Those of
    reservoirpy and rcbench look one step farther back, u(t-n) for u(t-n+1), and have other numbers by default.

    Parameters
    ----------
    u : array_like of float, shape (steps,)
        Input; uniform from 0 to 0.5 in the paper.
    order : int
        Order n, at least 2.
    saturated : bool
        Apply the hyperbolic tangent to each value; without it, orders above 10 soon diverge:
        Rodan and Tiňo, IEEE Trans. Neural Netw. 22, 131 (2011), who use it for order 20.

    Returns
    -------
    ndarray of float, shape (steps,)
        y(t), which depends on u up to t-1; the first `order` values are zero.

    Raises
    ------
    ValueError
        If the series diverges, as it does for some inputs.
    """
    given = np.asarray(u, dtype=np.float64)
    if given.ndim != 1 or order < 2 or len(given) <= order or not np.isfinite(given).all():
        raise ValueError(
            f"an input of shape {given.shape} for order {order}; give more finite values, shape (steps,), than the "
            "order, which is at least 2"
        )
    drive, y = given.tolist(), [0.0] * len(given)
    for t in range(order, len(y)):
        last = y[t - 1]
        if order == 2:
            following = 0.4 * last + 0.4 * last * y[t - 2] + 0.6 * drive[t - 1] ** 3 + 0.1
        else:
            following = 0.3 * last + 0.05 * last * sum(y[t - order : t]) + 1.5 * drive[t - order] * drive[t - 1] + 0.1
        y[t] = math.tanh(following) if saturated else following
        if not abs(y[t]) < 1e6:
            raise ValueError(
                f"NARMA-{order} grows without end from step {t}; draw another input, from 0 to at most 0.5, or give "
                "saturated=True"
            )
    return np.array(y)


def mackey_glass(
    steps: int, tau: float = 17.0, *, substeps: int = 10, initial: float = 1.2, transient: int = 1000
) -> FloatArray:
    """Integrate dx/dt = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x, one value a unit of time.

    Mackey and Glass, Science 197, 287 (1977); chaotic from tau = 16.8 on. Runge-Kutta of fourth order with
    `substeps` to the unit; the delayed value half way between two points is their mean.

    Parameters
    ----------
    steps : int
        Number of values.
    tau : float
        Delay, in units of time.
    substeps : int
        Steps of integration per unit of time; tau must be a whole number of steps.
    initial : float
        Constant value before the beginning.
    transient : int
        Units of time that are dropped at the beginning.

    Returns
    -------
    ndarray of float, shape (steps,)
    """
    lag, h = round(tau * substeps), 1.0 / substeps
    if steps < 1 or substeps < 1 or transient < 0 or lag < 1 or abs(lag - tau * substeps) > 1e-9:
        raise ValueError(
            f"{steps} steps, tau {tau}, {substeps} substeps and a transient of {transient}; give at least one of each "
            "(or no transient), and a tau that is a whole number of substeps"
        )
    x = [float(initial)] * (lag + 1)

    def slope(now: float, past: float) -> float:
        return float(0.2 * past / (1.0 + past**10) - 0.1 * now)

    for n in range(lag, lag + (steps + transient - 1) * substeps):
        past, following, now = x[n - lag], x[n - lag + 1], x[n]
        middle = 0.5 * (past + following)
        k1 = slope(now, past)
        k2 = slope(now + 0.5 * h * k1, middle)
        k3 = slope(now + 0.5 * h * k2, middle)
        k4 = slope(now + h * k3, following)
        x.append(now + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
    return np.array(x[lag + transient * substeps :: substeps])


def lorenz(
    steps: int,
    interval: float = 0.02,
    *,
    sigma: float = 10.0,
    rho: float = 28.0,
    beta: float = 8 / 3,
    initial: tuple[float, float, float] = (1.0, 1.0, 1.0),
    transient: float = 20.0,
) -> FloatArray:
    """Integrate dx/dt = sigma (y - x), dy/dt = x (rho - z) - y, dz/dt = x y - beta z.

    Lorenz, J. Atmos. Sci. 20, 130 (1963). By scipy's DOP853 with relative errors of 1e-10 a step.

    Parameters
    ----------
    steps : int
        Number of values.
    interval : float
        Time between two values.
    sigma, rho, beta : float
        Parameters of the equations; chaotic with the defaults.
    initial : (float, float, float)
        Initial values.
    transient : float
        Time that is dropped at the beginning.

    Returns
    -------
    ndarray of float, shape (steps, 3)
        x, y and z.
    """
    if steps < 1 or not 0 < interval < math.inf or not 0 <= transient < math.inf:
        raise ValueError(f"{steps} steps of {interval} after {transient}; give at least one, of more than 0")
    from scipy.integrate import solve_ivp

    def slope(_: float, state: FloatArray) -> tuple[float, float, float]:
        x, y, z = state.tolist()
        return sigma * (y - x), x * (rho - z) - y, x * y - beta * z

    times = transient + interval * np.arange(steps)
    solved = solve_ivp(
        slope, (0.0, float(times[-1]) or interval), initial, method="DOP853", t_eval=times, rtol=1e-10, atol=1e-10
    )
    if not solved.success:
        raise ValueError(f"the Lorenz equations could not be integrated with these parameters: {solved.message}")
    series: FloatArray = solved.y.T
    return series


def henon(
    steps: int, a: float = 1.4, b: float = 0.3, *, initial: tuple[float, float] = (0.0, 0.0), transient: int = 100
) -> FloatArray:
    """Iterate x(n+1) = 1 - a x(n)^2 + y(n), y(n+1) = b x(n).

    Hénon, Commun. Math. Phys. 50, 69 (1976).

    Parameters
    ----------
    steps : int
        Number of values.
    a, b : float
        Parameters of the equations; chaotic with the defaults.
    initial : (float, float)
        Initial values.
    transient : int
        Number of values that are dropped at the beginning.

    Returns
    -------
    ndarray of float, shape (steps, 2)
        x and y.
    """
    if steps < 1 or transient < 0:
        raise ValueError(f"{steps} steps after {transient}; give at least one")
    x, y = initial
    series = np.empty((steps, 2))
    for n in range(-transient, steps):
        if n >= 0:
            series[n] = x, y
        x, y = 1.0 - a * x * x + y, b * x
        if not abs(x) < 1e6:
            raise ValueError(f"the Hénon map runs away with a = {a} and b = {b} from {initial}; begin nearer to 0")
    return series


def santa_fe_laser() -> FloatArray:
    """Read the intensity of a far-infrared laser in chaos: data set A of the Santa Fe competition.

    Weigend and Gershenfeld, Time Series Prediction (1993); as it comes with reservoirpy, without download.

    Returns
    -------
    ndarray of float, shape (10093,)
        Counts of an 8-bit converter.

    Raises
    ------
    ImportError
        If reservoirpy is not installed.
    """
    # Not by reservoirpy's own function, which leaves the file open.
    try:
        folder = files("reservoirpy.datasets")
    except ImportError as error:
        raise ImportError(
            "the Santa Fe laser comes with reservoirpy; install it by pip install 'inmateria[reservoirpy]'"
        ) from error
    with folder.joinpath("santafe_laser.npy").open("rb") as file:
        return np.load(file).astype(np.float64)[:, 0]  # type: ignore[no-any-return]
