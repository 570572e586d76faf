"""How two clocks run relative to each other, from repeated measurements with their uncertainties."""

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["ClockFit", "ClockRelation", "FastestDeliveries"]

_MOST = 720


@dataclass(frozen=True, slots=True)
class ClockFit:
    r"""A line through measurements of two clocks: :math:`h = d + o + r (d - d_0)`.

    Parameters
    ----------
    at : float
        :math:`d_0`, s on the device's clock: the weighted mean of the times of the measurements.
    offset, offset_error : float
        :math:`o`, s, and its standard error.
    drift, drift_error : float
        :math:`r`, s/s, and its standard error; 0 and infinity as long as it has not been measured.
    measurements : int
        Number of measurements.
    """

    at: float
    offset: float
    drift: float
    offset_error: float
    drift_error: float
    measurements: int

    def host(self, device: float) -> float:
        """Return the host's time, s since 1970, of a time on the device's clock."""
        return device + self.offset + self.drift * (device - self.at)

    def device(self, host: float) -> float:
        """Return the time on the device's clock of a time of the host, s since 1970."""
        return self.at + (host - self.at - self.offset) / (1.0 + self.drift)

    def error(self, device: float) -> float:
        """Return the standard error of `host` at a time on the device's clock, s."""
        away = device - self.at
        return float(np.hypot(self.offset_error, self.drift_error * away)) if away else self.offset_error


class ClockRelation:
    """Relation of a device's clock to the host's, by weighted least squares over the last 720 measurements.

    Each measurement has the weight of its uncertainty. If they scatter by more than their uncertainties say, the
    standard errors grow by as much (Birge's ratio), and never shrink.
    """

    def __init__(self) -> None:
        self._measured: deque[tuple[float, float, float]] = deque(maxlen=_MOST)
        self.count = 0

    def add(self, device: float, host: float, uncertainty: float) -> None:
        """Add a measurement.

        Parameters
        ----------
        device, host : float
            One moment on both clocks, s.
        uncertainty : float
            Uncertainty of their difference, s; more than 0.
        """
        if not (np.isfinite([device, host, uncertainty]).all() and uncertainty > 0):
            raise ValueError(
                f"a measurement of clocks is {device} s, {host} s, uncertainty {uncertainty} s; "
                "give finite times and an uncertainty of more than 0"
            )
        self._measured.append((device, host, uncertainty))
        self.count += 1

    @property
    def last(self) -> float:
        """Time of the last measurement, s on the device's clock; NaN if there is none."""
        return self._measured[-1][0] if self._measured else float("nan")

    @property
    def fit(self) -> ClockFit | None:
        """The line through the measurements; None if there are none."""
        if not self._measured:
            return None
        device, host, uncertainty = np.array(self._measured).T
        weight = uncertainty**-2.0
        total = weight.sum()
        at = float(weight @ device / total)
        first = host[0] - device[0]  # subtracted, so that no digits are lost to seconds since 1970
        x, y = device - at, (host - device) - first
        mean = float(weight @ y / total)
        spread = float(weight @ x**2)
        if len(x) < 3 or spread <= 0:
            return ClockFit(at, float(first + mean), 0.0, float(total**-0.5), float("inf"), len(x))
        drift = float(weight @ (x * (y - mean)) / spread)
        scatter = max(1.0, float(weight @ (y - mean - drift * x) ** 2) / (len(x) - 2)) ** 0.5
        return ClockFit(at, float(first + mean), drift, scatter * float(total**-0.5), scatter * spread**-0.5, len(x))

    def details(self) -> dict[str, Any]:
        """Return the fit and the last measurements, as they are stored in a recording."""
        fit = self.fit
        if fit is None:
            return {"measurements": []}
        return {
            "at": fit.at,
            "offset": fit.offset,
            "drift": fit.drift,
            "offset_error": fit.offset_error,
            "drift_error": fit.drift_error,
            "measurements": [list(each) for each in self._measured],
            "columns": ["device clock (s)", "host clock (s since 1970)", "uncertainty (s)"],
        }


class FastestDeliveries:
    """Measurements of a clock by deliveries in one direction: of each second, the fastest one counts.

    The delay of the fastest delivery is part of the offset and is not known; the uncertainty says how far the typical
    delivery of that second was behind the fastest, and is at least that of one sample.

    Parameters
    ----------
    relation : ClockRelation
        Relation that gets the measurements.
    resolution : float
        Least uncertainty, s.
    """

    def __init__(self, relation: ClockRelation, resolution: float) -> None:
        self._relation, self._resolution = relation, resolution
        self._window: list[tuple[float, float]] = []

    def add(self, device: float, host: float) -> None:
        """Add the delivery of a sample: its time on the device's clock, and the host's time when it had arrived."""
        if self._window and device - self._window[0][0] >= 1.0:
            self._close()
        self._window.append((device, host))
        if not self._relation.count and len(self._window) >= 3:
            self._close()

    def restart(self) -> None:
        """Forget the deliveries of the present second, which were of another clock."""
        self._window = []

    def _close(self) -> None:
        delays = np.array([host - device for device, host in self._window])
        fastest = int(np.argmin(delays))
        behind = float(np.median(delays) - delays[fastest])
        self._relation.add(*self._window[fastest], max(self._resolution, behind))
        self._window = []
