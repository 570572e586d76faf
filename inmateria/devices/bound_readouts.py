"""Readouts bound to the device and the calibration they were trained on, which refuse other or drifted devices.

bound = await bind(readout, reservoir, series)      # after training on that reservoir
y = await bound.run(reservoir, u)                   # calibrates first; refuses if the device is another or has drifted
"""

import math
from dataclasses import dataclass
from typing import Any, Self

import msgspec
import numpy as np
import numpy.typing as npt

from inmateria.devices.calibration import Probe, calibrate
from inmateria.devices.drift_bounds import smallest_alpha
from inmateria.devices.fingerprints import Comparison, Fingerprint, compare
from inmateria.devices.linear_maps import LinearMap, linear_map
from inmateria.notebook_html import bars, notebook_html
from inmateria.one_line import one_line
from inmateria.reservoir.physical import PhysicalReservoir
from inmateria.reservoir.readout_files import ReadoutFileError, decode_readout, encode_readout
from inmateria.substrate import FloatArray, SubstrateError, SubstrateInfo

__all__ = ["BoundReadout", "DeviceDrifted", "WrongDevice", "bind"]


_VERSION = 2


class WrongDevice(SubstrateError):
    """A readout was used on another device than the one it was trained on."""


class DeviceDrifted(SubstrateError):
    """A readout was used on its device, which has drifted beyond the readout's bound."""


@dataclass(frozen=True, eq=False)
class BoundReadout:
    """A trained readout with the device and the calibration it was trained on.

    Parameters
    ----------
    estimator : estimator
        Fitted linear readout, such as `RidgeReadout`; or a pipeline of a `StandardScaler` and one.
    fingerprint : Fingerprint
        Fingerprint of the device when the readout was trained.
    series : ndarray of float, shape (steps, inputs of the encoding)
        Series that was sent to record features of the device; no targets are needed.
    features : ndarray of float, shape (steps - washout, features)
        Features of the device for that series; `transfer` aligns another device's features with these.
    bound : float
        Largest drift at which the readout may be used, in standard deviations of the device's response.
    alpha : float
        Probability of a refusal although nothing has changed.
    """

    estimator: Any
    fingerprint: Fingerprint
    series: FloatArray
    features: FloatArray
    bound: float = 0.1
    alpha: float = 0.01

    __repr__ = one_line

    def _repr_html_(self) -> str:
        facts = {
            "device": self.device,
            "calibrated": self.fingerprint.taken,
            "readout": type(self.estimator).__name__,
            "refuses beyond": f"a drift of {self.bound:g} standard deviations (alpha {self.alpha:g})",
        }
        coef = self.weights.coef
        return notebook_html("BoundReadout", facts, [bars(coef, f"Weights of {coef.shape[1]:,} features")])

    def __post_init__(self) -> None:
        if not (0 <= self.bound < float("inf") and 0 < self.alpha < 1):
            raise ValueError(
                f"bound is {self.bound} and alpha {self.alpha}; bound must be at least 0, alpha between 0 and 1"
            )
        features = self.weights.coef.shape[1]
        if self.features.ndim != 2 or self.features.shape[1] != features:
            raise ValueError(f"features have shape {self.features.shape}; the readout needs (steps, {features})")

    @property
    def device(self) -> str:
        """Identity of the device that the readout was trained on."""
        return self.fingerprint.device

    @property
    def weights(self) -> LinearMap:
        """The weights of the estimator."""
        return linear_map(self.estimator)

    def check(self, now: Fingerprint | SubstrateInfo) -> Comparison | None:
        """Check that the readout may be used on a device, and return how far the device has drifted.

        Parameters
        ----------
        now : Fingerprint or SubstrateInfo
            The device's present calibration; with its info alone, only its identity is checked.

        Raises
        ------
        WrongDevice
            If it is another device.
        DeviceDrifted
            If it has drifted beyond the bound, with a probability of at most `alpha` for false alarms.
        """
        device = now.id if isinstance(now, SubstrateInfo) else now.device
        if device != self.device:
            raise WrongDevice(
                f"this readout was trained on {self.device} and is used on {device}",
                "weights hold for the one device they were trained on",
                "carry it over with `await transfer(readout, to=reservoir, ...)`",
            )
        if isinstance(now, SubstrateInfo):
            return None
        found = compare(self.fingerprint, now)
        if found.drifted(self.alpha, self.bound):
            raise DeviceDrifted(
                f"{device} has drifted by {found.distance:.3g} of its response since {self.fingerprint.taken} "
                f"(p = {found.p_value:.2g})",
                f"this readout is used up to a drift of {self.bound:g}",
                "carry it over with `await transfer(readout, to=reservoir, ...)`, or see with `calibrate` whether the "
                "device comes back",
            )
        return found

    def predict(self, X: npt.ArrayLike, now: Fingerprint | SubstrateInfo) -> npt.NDArray[Any]:
        """Predict from features (steps, features) of a device, after `check` of that device."""
        self.check(now)
        predicted: npt.NDArray[Any] = self.estimator.predict(X)
        return predicted

    async def run(
        self, reservoir: PhysicalReservoir, u: npt.ArrayLike, now: Fingerprint | None = None
    ) -> npt.NDArray[Any]:
        """Drive a reservoir with a series and predict from its features, after `check` of its device.

        Parameters
        ----------
        reservoir : PhysicalReservoir
            Entered, with encoding and features as in training.
        u : array_like of float, shape (steps, features) or (steps,)
        now : Fingerprint, optional
            A present calibration; without one, the device is calibrated first.
        """
        self.check(reservoir.info)
        self.check(await calibrate(reservoir.substrate, self.probe) if now is None else now)
        predicted: npt.NDArray[Any] = self.estimator.predict(await reservoir.run(u))
        return predicted

    @property
    def probe(self) -> Probe:
        """The probe of its calibration."""
        return msgspec.convert(self.fingerprint.probe, type=Probe)

    def encode(self) -> bytes:
        """Return readout, calibration, series and features as JSON.

        The readout is kept whole, as in a file of `save_readout`, so that an online readout learns on; and its weights
        beside it, for other programs. Of an estimator of another package only the weights are kept.
        """
        weights = self.weights
        try:
            readout = encode_readout(self.estimator, device=self.device)
        except ReadoutFileError:
            readout = None
        return msgspec.json.encode(
            _Written(
                coef=_Array.of(weights.coef),
                intercept=_Array.of(weights.intercept),
                classes=weights.classes,
                flat=weights.flat,
                fingerprint=self.fingerprint,
                series=_Array.of(self.series),
                features=_Array.of(self.features),
                bound=self.bound,
                alpha=self.alpha,
                readout=readout,
            )
        )

    @classmethod
    def decode(cls, written: bytes) -> Self:
        """Return the readout that `encode` wrote; no code is run, so the source need not be trusted.

        Raises
        ------
        ValueError
            If it is damaged, or of a newer version.
        """
        read = msgspec.json.decode(written, type=_Written)
        if read.version > _VERSION:
            raise ValueError(f"the readout is of version {read.version}; this inmateria reads up to {_VERSION}")
        if read.readout is None:
            estimator = LinearMap(read.coef.array, read.intercept.array, read.classes, read.flat).estimator()
        else:
            estimator = decode_readout(read.readout, device=read.fingerprint.device)
        return cls(estimator, read.fingerprint, read.series.array, read.features.array, read.bound, read.alpha)


async def bind(
    estimator: Any,
    reservoir: PhysicalReservoir,
    series: npt.ArrayLike,
    *,
    probe: Probe | None = None,
    bound: float = 0.1,
    alpha: float = 0.01,
) -> BoundReadout:
    """Bind a trained readout to the device of a reservoir and its present calibration.

    Parameters
    ----------
    estimator : estimator
        Linear readout that was trained on features of this reservoir.
    reservoir : PhysicalReservoir
        Reservoir that has been entered.
    series : array_like of float, shape (steps, inputs of the encoding) or (steps,)
        Some hundred steps, similar to the series on which the readout will be used; `transfer` sends them to another
        device too.
    probe : Probe, optional
        Probe of the calibration.
    bound, alpha : float
        See `BoundReadout`.

    Raises
    ------
    ValueError
        If the probe has too few repeats to show a drift with that alpha; nothing is sent.
    """
    repeats = (Probe() if probe is None else probe).repeats
    if bound > 0 and (smallest := smallest_alpha(repeats)) > alpha:
        raise ValueError(
            f"the probe has {repeats} repeats, which can show a drift beyond a bound with a rate of false alarms of "
            f"{smallest:.2g} at the least, and alpha is {alpha:g}; give the probe more repeats, or a larger alpha"
        )
    given = np.array(series, dtype=np.float64)
    given = given[:, np.newaxis] if given.ndim == 1 else given
    fingerprint = await calibrate(reservoir.substrate, probe)
    return BoundReadout(estimator, fingerprint, given, await reservoir.run(given), bound, alpha)


class _Array(msgspec.Struct, frozen=True):
    """An array as bytes, little-endian float64."""

    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of(cls, array: FloatArray) -> Self:
        return cls(array.shape, np.ascontiguousarray(array, dtype="<f8").tobytes())

    @property
    def array(self) -> FloatArray:
        if min(self.shape, default=0) < 0 or 8 * math.prod(self.shape) != len(self.data):
            raise ValueError(f"an array of shape {self.shape} has {len(self.data)} bytes; it needs 8 a value")
        return np.frombuffer(self.data, dtype="<f8").reshape(self.shape).astype(np.float64)


class _Written(msgspec.Struct, frozen=True, kw_only=True):
    coef: _Array
    intercept: _Array
    classes: tuple[str | int | float | bool, ...] | None
    flat: bool
    fingerprint: Fingerprint
    series: _Array
    features: _Array
    bound: float
    alpha: float
    version: int = _VERSION
    readout: bytes | None = None  # since version 2: a file of `save_readout`
