"""Base of the estimators whose weights are in a substrate that learns: parameters, exchange, and what a fit leaves."""

import math
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt
from anyio.from_thread import start_blocking_portal
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from inmateria.adapters import SimulatedSubstrate, connect
from inmateria.adapters.uri import is_simulated
from inmateria.reservoir.contrastive.learning_channels import LearningChannels, learning_channels
from inmateria.reservoir.contrastive.training_exchange import (
    Orders,
    Progress,
    TrainingCourse,
    is_whole,
    most_samples,
    read_outputs,
    train,
)
from inmateria.reservoir.contrastive.voltage_scale import VoltageScale, checked_range
from inmateria.substrate import FloatArray, Simulator, Substrate

__all__ = ["ContrastiveEstimator", "Range"]

Range = tuple[Any, Any] | Literal["volts"] | None
Result = TypeVar("Result")
Read = Callable[[], Awaitable[FloatArray]]

_INPUT_ROOM = 0.1
"""Part of the range of an input that is left free at each end, for values beyond those of the training."""


class ContrastiveEstimator(BaseEstimator):  # type: ignore[misc]
    """An estimator whose weights are in a substrate that learns, without the form of its targets."""

    n_features_in_: int
    substrate_: Substrate | str
    input_scale_: VoltageScale
    input_range_: FloatArray
    label_range_: FloatArray
    learning_curve_: FloatArray
    stimuli_: int
    updates_: int
    exchanges_: int
    time_: float
    energy_: float
    seconds_: float

    def __init__(
        self,
        substrate: Substrate | Simulator | str,
        *,
        epochs: int = 100,
        rate: float | Sequence[float] = 1.0,
        input_range: Range = None,
        label_range: Range = None,
        shuffle: bool = True,
        random_state: Any = 0,
        batch: int | None = None,
        warm_start: bool = False,
    ) -> None:
        self.substrate = substrate
        self.epochs = epochs
        self.rate = rate
        self.input_range = input_range
        self.label_range = label_range
        self.shuffle = shuffle
        self.random_state = random_state
        self.batch = batch
        self.warm_start = warm_start

    def __sklearn_clone__(self) -> Self:
        """Return an unfitted copy; one of a device uses the same device, since matter cannot be copied."""
        given = self.get_params(deep=False)
        device = isinstance(self.substrate, Substrate) and not isinstance(self.substrate, SimulatedSubstrate)
        copied = {
            name: clone(value, safe=False) for name, value in given.items() if not (device and name == "substrate")
        }
        made: Self = type(self)(**({**given, **copied}))
        return made

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "substrate_")

    def fit(self, X: Any, y: Any) -> Self:
        """Train the substrate; see `fit_async`. A substrate that was given as an object is entered and left."""
        return _blocking(lambda: self._fit(X, y, None, enter=True))

    async def fit_async(self, X: Any, y: Any, on_progress: Progress | None = None) -> Self:
        """Train the substrate with all samples in each epoch.

        If a training fails or is cancelled, what the substrate had learned stays in it: matter cannot be undone. It is
        brought to rest, and the estimator is not fitted, even if it was before. Only a simulator that a URI names is
        made anew for each fit, so that an earlier fit stays.

        Parameters
        ----------
        X : array_like, shape (samples, features)
        y : array_like, shape (samples,) or (samples, outputs)
        on_progress : callable, optional
            Called after each stimulus with ``"training"``, the number of stimuli that were answered, the number of all,
            and the number of presentations of a sample so far.

        Raises
        ------
        ValueError
            If samples, targets or parameters do not suit the substrate; nothing was sent then, and the estimator is as
            before.
        SubstrateError
            If the substrate does not learn, or has failed.
        """
        return await self._fit(X, y, on_progress, enter=False)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Predict targets; see `predict_async`. A substrate that was given as an object is entered and left."""
        volts = self._checked_volts(X)
        return self._decoded(_blocking(lambda: self._outputs(volts, None, enter=True)))

    async def predict_async(self, X: Any, on_progress: Progress | None = None) -> npt.NDArray[Any]:
        """Predict the targets of samples from the outputs of the free state, without learning.

        Parameters
        ----------
        X : array_like, shape (samples, features)
        on_progress : callable, optional
            As for `fit_async`, with ``"reading"``.

        Returns
        -------
        ndarray, shape (samples,) or (samples, outputs)

        Warns
        -----
        ClippedInputWarning
            If features lie beyond what the device takes; they are set to its limits.
        """
        return self._decoded(await self._outputs(self._checked_volts(X), on_progress, enter=False))

    def summary(self) -> str:
        """Return in a few sentences what the training took, and how features were scaled."""
        check_is_fitted(self, "substrate_")
        energy = "energy not known" if math.isnan(self.energy_) else f"{self.energy_:.3g} J in the free states"
        return (
            f"{self.stimuli_:,} presentations of a sample in {self.exchanges_:,} exchanges, {self.updates_:,} updates; "
            f"{self.time_:.4g} s of the matter, {self.seconds_:.3g} s here; {energy}. Error of the outputs in the last "
            f"epoch {1e3 * self.learning_curve_[-1]:.3g} mV. {self.n_features_in_} features on "
            f"{self.input_range_.min():.4g} to {self.input_range_.max():.4g} V, labels on "
            f"{self.label_range_.min():.4g} to {self.label_range_.max():.4g} V."
        )

    @abstractmethod
    def _checked(self, X: Any, y: Any, again: bool) -> tuple[FloatArray, npt.NDArray[Any]]:
        """Validate samples and targets, and set what describes them; ``again`` if an earlier fit goes on."""

    @abstractmethod
    def _labels(self, y: npt.NDArray[Any], channels: LearningChannels, again: bool) -> FloatArray:
        """Set how targets become labels, and return the labels (samples, outputs), V."""

    async def _conclude(self, y: npt.NDArray[Any], read: Read) -> None:
        """Set what is found after the training; ``read`` returns the outputs of all samples, V."""

    @abstractmethod
    def _decoded(self, outputs: FloatArray) -> npt.NDArray[Any]:
        """Return the targets that outputs (samples, outputs), V, stand for."""

    async def _fit(self, X: Any, y: Any, on_progress: Progress | None, *, enter: bool) -> Self:
        by_uri = isinstance(self.substrate, str) and is_simulated(self.substrate)
        again = bool(self.warm_start) and hasattr(self, "substrate_")
        substrate = self.substrate_ if again and not isinstance(self.substrate_, str) else self._substrate()
        course = TrainingCourse(np.empty(0))
        with self._as_before_or_unfitted(course, made_anew=by_uri and not again):
            factors = self._factors()
            X, y = self._checked(X, y, again)
            async with _entered(substrate, enter=enter or isinstance(self.substrate, str)):
                channels = learning_channels(substrate.info)
                most = most_samples(channels, self.batch)
                self._check_substrate(channels, factors)
                if not again:
                    self._set_input_scale(X, channels)
                inputs, labels = self._volts(X), self._labels(y, channels, again)
                if not self.warm_start:
                    course.begun = True
                    await substrate.reset()
                await train(
                    substrate, channels, inputs, labels, factors, self._orders(len(X)), most, course, on_progress
                )

                async def read() -> FloatArray:
                    course.stimuli += len(inputs)
                    course.exchanges += -(-len(inputs) // most)
                    return await read_outputs(substrate, channels, inputs, most)

                await self._conclude(y, read)
            self.substrate_ = substrate if by_uri or not isinstance(self.substrate, str) else self.substrate
            self.learning_curve_, self.energy_, self.seconds_ = course.error, course.energy, course.seconds
            self.stimuli_, self.updates_, self.exchanges_ = course.stimuli, course.updates, course.exchanges
            self.time_ = course.stimuli * channels.info.step
        return self

    def _checked_volts(self, X: Any) -> FloatArray:
        """Return the voltages of samples to predict."""
        check_is_fitted(self, "substrate_")
        return self._volts(validate_data(self, X, reset=False, dtype=np.float64))

    async def _outputs(self, volts: FloatArray, on_progress: Progress | None, *, enter: bool) -> FloatArray:
        """Return the outputs (samples, outputs) of voltages (samples, features), V."""
        remote = isinstance(self.substrate_, str)
        substrate = connect(self.substrate_) if isinstance(self.substrate_, str) else self.substrate_
        async with _entered(substrate, enter=enter or remote):
            channels = learning_channels(substrate.info)
            most = most_samples(channels, self.batch)
            return await read_outputs(substrate, channels, volts, most, on_progress)

    def _substrate(self) -> Substrate:
        """Return the substrate that was given, or the one that its URI names, or one around a simulator."""
        given = self.substrate
        if isinstance(given, str):
            return connect(given)
        if isinstance(given, Substrate):
            return given
        if hasattr(given, "advance") and hasattr(given, "info"):
            return SimulatedSubstrate(given)
        raise ValueError(
            f"substrate is {given!r}; give a Substrate, a simulator such as ContrastiveNetwork(), or a URI such as "
            "'clln://?grid=4x4'"
        )

    @contextmanager
    def _as_before_or_unfitted(self, course: TrainingCourse, *, made_anew: bool) -> Iterator[None]:
        """Go back if the body fails: to what was before, or, if the same matter has moved since, to no fit at all."""
        before = dict(vars(self))
        try:
            yield
        except BaseException:
            parameters = {name: before[name] for name in self.get_params(deep=False)}
            # One assignment: a second interruption cannot come between two attributes.
            self.__dict__ = parameters if course.begun and not made_anew else before
            raise

    def _factors(self) -> FloatArray:
        """Return the factor on the rate in each epoch."""
        epochs = self.epochs
        if not is_whole(epochs):
            raise ValueError(f"epochs is {epochs!r}; give a whole number of 1 or more")
        try:
            ends = np.broadcast_to(np.asarray(self.rate, dtype=np.float64), (2,))
        except (TypeError, ValueError):
            ends = np.zeros(2)
        if not ((ends > 0) & (ends <= 1)).all():
            raise ValueError(
                f"rate is {self.rate!r}; give a factor on the device's own rate, above 0 and at most 1, or two: in the "
                "first and in the last epoch. For a higher rate, make the device with one"
            )
        factors: FloatArray = np.geomspace(ends[0], ends[1], int(epochs))
        return factors

    def _orders(self, samples: int) -> Orders:
        """Return a function that draws the order of the samples in each of the next epochs."""
        if not self.shuffle:
            return lambda epochs: np.tile(np.arange(samples), (epochs, 1))
        generator = check_random_state(self.random_state)
        return lambda epochs: np.argsort(generator.random_sample((epochs, samples)), axis=1, kind="stable")

    def _check_substrate(self, channels: LearningChannels, factors: FloatArray) -> None:
        """Refuse what the substrate cannot do, before anything is sent."""
        info, learn = channels.info, channels.info.inputs[channels.learn]
        levels = learn.levels
        if levels is not None and not np.isin(factors, levels).all():
            raise ValueError(f"{info.id} takes {levels} as learn, and rate is {self.rate!r}; give rate=1.0")
        if not (learn.low <= 0.0 and factors.max() <= learn.high):
            raise ValueError(
                f"{info.id} takes {learn.low:g} to {learn.high:g} as learn; 0 and {factors.max():g} are needed"
            )
        if self.n_features_in_ > len(channels.inputs):
            raise ValueError(
                f"X has {self.n_features_in_} features and {info.id} {len(channels.inputs)} inputs; choose or combine "
                f"features, with PCA in a pipeline for instance, or use a device with inputs={self.n_features_in_}"
            )
        if not (self.warm_start or info.resettable):
            raise ValueError(
                f"{info.id} cannot return to the weights that it began with; give warm_start=True to begin with those "
                "that it has"
            )

    def _set_input_scale(self, X: FloatArray, channels: LearningChannels) -> None:
        """Set how features become voltages."""
        low, high = (limits[: X.shape[1]] for limits in channels.input_limits())
        if isinstance(self.input_range, str) and self.input_range == "volts":
            self.input_scale_ = VoltageScale.identity((low, high))
        else:
            room = _INPUT_ROOM * (high - low)
            given = self.input_range
            volts = (low + room, high - room) if given is None else checked_range("input_range", given, (low, high))
            self.input_scale_ = VoltageScale.over(X.min(axis=0), X.max(axis=0), volts, (low, high))
        self.input_range_ = self.input_scale_.volts(np.stack((X.min(axis=0), X.max(axis=0))))

    def _volts(self, X: FloatArray) -> FloatArray:
        """Return the voltages of features; those that are given in volts have to be within the limits."""
        if self.input_scale_.in_volts:
            self.input_scale_.check_limits("X", X)
        return self.input_scale_.within_limits(X)


@asynccontextmanager
async def _entered(substrate: Substrate, *, enter: bool) -> AsyncIterator[None]:
    """Enter a substrate, unless the caller has done so."""
    if not enter:
        yield
        return
    async with substrate:
        yield


def _blocking(work: Callable[[], Awaitable[Result]]) -> Result:
    """Run a coroutine in an event loop of its own in another thread, so that it also works within a running one."""
    with start_blocking_portal() as portal:
        return portal.call(work)
