"""Our reservoirs and readouts as nodes of reservoirpy 0.4: ``node >> Ridge()``, ``node >> RLS()``, ``ESN >> node``.

A device has one state at a time and can only return to rest. So its node cannot be copied, pickled or run twice at
once, and if reservoirpy starts several series from one state, that state is rest.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import count
from threading import RLock
from types import TracebackType
from typing import Any, NoReturn, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import clone, is_classifier

from inmateria.reservoir.physical import BlockingReservoir, PhysicalReservoir
from inmateria.reservoir.readouts.online import OnlineRegressor
from inmateria.substrate import FloatArray, Substrate, SubstrateInfo

try:
    from reservoirpy.node import Node, OnlineNode, TrainableNode
    from reservoirpy.type import is_multiseries
    from reservoirpy.utils.data_validation import check_node_input, check_timeseries
except ImportError as error:
    raise ImportError(
        "nodes need reservoirpy 0.4 or later; install it by pip install 'inmateria[reservoirpy]'"
    ) from error

State = dict[str, npt.NDArray[Any]]
Series = FloatArray | Sequence[FloatArray]


def as_node(thing: Any, name: str | None = None) -> Any:
    """Make a node of reservoirpy from a reservoir or a readout.

    Parameters
    ----------
    thing : Substrate, str, PhysicalReservoir or BlockingReservoir; or a readout
        A substrate, its URI, or a reservoir that has not been entered (an open `BlockingReservoir` is used as it is);
        or a readout: an online readout of this package, trained step by step, or any regressor with ``fit`` and
        ``predict``, trained in batch.
    name : str, optional
        Name of the node in a model with several inputs or outputs.

    Returns
    -------
    ReservoirNode, ReadoutNode or OnlineReadoutNode

    Examples
    --------
    >>> with as_node("nanowire://?wires=100&inputs=1") as node:  # doctest: +SKIP
    ...     model = node >> Ridge(1e-6)
    ...     forecast = model.fit(u[:1000], y[:1000]).run(u[1000:])
    """
    if isinstance(thing, (str, Substrate)):
        thing = PhysicalReservoir(thing)
    if isinstance(thing, (PhysicalReservoir, BlockingReservoir)):
        return ReservoirNode(thing, name)
    if not (hasattr(thing, "fit") and hasattr(thing, "predict")):
        raise TypeError(
            f"a {type(thing).__name__} does not make a node; give a substrate, its URI, a reservoir, or a readout "
            "with fit and predict"
        )
    if is_classifier(thing):
        raise TypeError(
            f"{type(thing).__name__} names classes, and a node gives numbers; give a readout of numbers, such as "
            "RidgeReadout, and targets with one column a class"
        )
    return OnlineReadoutNode(thing, name) if isinstance(thing, OnlineRegressor) else ReadoutNode(thing, name)


class ReservoirNode(Node):  # type: ignore[misc]
    """A node of reservoirpy for a physical reservoir; a context manager that must be entered before use.

    If the substrate is resettable, it returns to rest before its first use. A single series continues from the state
    at the end of the last one. Each of a list of series begins at rest, and the node is at rest after the list. Series
    are run one after another, whatever the number of workers.

    Parameters
    ----------
    reservoir : PhysicalReservoir or BlockingReservoir
        Reservoir without washout; use reservoirpy's `warmup` instead. If the substrate is not resettable, the
        reservoir's `rest` passes between the series of a list.
    name : str, optional
        Name of the node in a model.
    """

    def __init__(self, reservoir: PhysicalReservoir | BlockingReservoir, name: str | None = None) -> None:
        self._owned = isinstance(reservoir, PhysicalReservoir)
        self._blocking = reservoir.blocking() if isinstance(reservoir, PhysicalReservoir) else reservoir
        washout = self._blocking.reservoir.washout
        if washout:
            raise ValueError(
                f"the reservoir has a washout of {washout} steps, and a node gives as many steps as it gets; make the "
                "reservoir without, and give the model's fit a warmup"
            )
        self.name = name
        self._exits = ExitStack()
        self._open = False
        self._turn = RLock()
        # A state is told by its number, negative where it is rest, and none is ever used twice.
        self._numbers = count(1)
        self._at = -next(self._numbers)
        self._rest_to_come: int | None = None
        self._out: FloatArray = np.zeros(0)

    def __enter__(self) -> Self:
        if self._owned:
            self._exits.enter_context(self._blocking)
        self._open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        self._exits.close()

    @property
    def info(self) -> SubstrateInfo:
        """Description of the substrate, and the limits of its stimuli."""
        return self._blocking.info

    def initialize(self, x: Series, y: Any = None) -> None:
        """Set the dimensions, and return the substrate to rest if it is resettable."""
        if self._owned and not self._open:
            raise RuntimeError("the node's reservoir is not open; use the node inside `with as_node(...) as node:`")
        self._set_input_dim(x)
        self._blocking.encode(np.zeros((1, self.input_dim)))  # refuses what it cannot encode
        self.output_dim = len(self._blocking.feature_names)
        if self.info.resettable:
            self._blocking.reset()
        self._out = np.zeros(self.output_dim)
        self.initialized = True

    @property
    def state(self) -> State:
        """Features of the last step, and the number of the state that the device is in."""
        if self._rest_to_come is not None:
            return self._told(np.zeros(self.output_dim), self._rest_to_come)
        return self._told(self._out, self._at)

    @state.setter
    def state(self, state: State) -> None:
        number = _number(state)
        if number in (self._at, self._rest_to_come) or (number > 0 and self._rest_to_come is not None):
            return  # it is there, or was the last series of a list, after which there is rest
        if number > 0:
            self._refuse_to_go_back()
        self._rest_to_come = -next(self._numbers)

    def run(self, x: Series | None = None, iters: int | None = None, workers: int = 1) -> Any:
        """Drive the substrate with a series, or with several in turn, each from rest.

        Parameters
        ----------
        x : ndarray, shape (steps, inputs) or (series, steps, inputs), or list of ndarray
        iters : None
            Not supported: a device needs an input.
        workers : int
            Ignored.

        Returns
        -------
        ndarray or list of ndarray
            Features, shape (steps, features) for each series.
        """
        if x is None:
            raise ValueError(f"a node of a device needs an input; {iters} steps of none were asked for")
        check_node_input(x, expected_dim=self.input_dim)
        if not self.initialized:
            self.initialize(x)
        if not is_multiseries(x):
            self.state, features = self._run(self.state, np.asarray(x))
            return features
        runs = []
        with self._turn:
            for series in x:
                if self._at > 0:
                    self._go_to_rest(-next(self._numbers))
                runs.append(self._run(self._told(self._out, self._at), series)[1])
            self._rest_to_come = -next(self._numbers)
        return runs if isinstance(x, Sequence) else np.array(runs)

    def reset(self) -> State:
        """Return to rest, by command or during the reservoir's `rest`, and return the state before."""
        before = self.state if self.initialized else {}
        with self._turn:
            self._go_to_rest(-next(self._numbers))
        return before

    def _run(self, state: State, x: FloatArray) -> tuple[State, FloatArray]:
        with self._turn:
            self._take_up(state)
            features = self._blocking.run(x)
            return self._after(features[-1]), features

    def _step(self, state: State, x: FloatArray) -> State:
        with self._turn:
            self._take_up(state)
            return self._after(self._blocking.step(x))

    def _take_up(self, state: State) -> None:
        """Be in that state: it is the present one, or rest."""
        number = _number(state)
        if number == self._at:
            return
        if number > 0:
            self._refuse_to_go_back()
        expected = number == self._rest_to_come
        self._go_to_rest(number)
        # From one rest to which reservoirpy goes back again and again, series of a list begin: rest follows them.
        if not expected:
            self._rest_to_come = -next(self._numbers)

    def _go_to_rest(self, number: int) -> None:
        reservoir = self._blocking.reservoir
        if self.info.resettable:
            self._blocking.reset()
        elif reservoir.rest > 0:
            self._blocking.relax()
        else:
            raise RuntimeError(
                f"{self.info.id} does not return to rest on command; make the reservoir with the rest in which it "
                "forgets, PhysicalReservoir(..., rest=seconds), or run one series and no list"
            )
        self._at, self._rest_to_come = number, None
        self._out = np.zeros(self.output_dim or 0)

    def _after(self, out: FloatArray) -> State:
        self._at, self._out = next(self._numbers), out
        return self._told(out, self._at)

    def _told(self, out: FloatArray, number: int) -> State:
        return {"out": out, "number": np.array([number])}

    def _refuse_to_go_back(self) -> NoReturn:
        raise RuntimeError(
            f"{self.info.id} was to go back to a state that it has left, which a device cannot: several series begin "
            "at rest (reset the model first), and a model with feedback runs with workers=1"
        )

    def _refuse_to_be_copied(self, *_: object) -> NoReturn:
        raise TypeError(
            f"a node of {self.info.id} cannot be copied or pickled, nor run in several processes: there is one device. "
            "Run it once and work on its states; inmateria.reservoir.memory_capacity takes those"
        )

    __copy__ = __deepcopy__ = __reduce__ = _refuse_to_be_copied

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        self._refuse_to_be_copied()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.info.id})"

    __str__ = __repr__


class _Readout:
    """Base of the two readout nodes: dimensions and prediction."""

    def _begin(self, readout: Any, name: str | None) -> None:
        self.readout = readout
        self.name = name
        self.state: State = {}
        self._learned = False

    def initialize(self: Any, x: Series, y: Series | None = None) -> None:
        """Set the dimensions, and reset the readout."""
        self._set_input_dim(x)
        self._set_output_dim(y)
        if self.output_dim is None:
            raise RuntimeError(f"{self!r} has learned nothing yet; fit the model first")
        self.readout = clone(self.readout)
        self._learned = False
        self.state = {"out": np.zeros(self.output_dim)}
        self.initialized = True

    def _run(self: Any, state: State, x: FloatArray) -> tuple[State, FloatArray]:
        out = self._read(x)
        return {"out": out[-1]}, out

    def _step(self: Any, state: State, x: FloatArray) -> State:
        return {"out": self._read(x[np.newaxis])[0]}

    def _read(self: Any, x: FloatArray) -> FloatArray:
        """Read out; zeros before anything was learned."""
        if not self._learned:
            return np.zeros((len(x), self.output_dim))
        read: FloatArray = self.readout.predict(x).reshape(len(x), -1)
        return read

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.readout!r})"

    __str__ = __repr__


class ReadoutNode(_Readout, TrainableNode):  # type: ignore[misc]
    """A node of reservoirpy for a readout that is trained in batch.

    Parameters
    ----------
    readout : estimator
        Estimator with ``fit`` and ``predict`` of (steps, outputs), such as `RidgeReadout`. It is trained in place.
    name : str, optional
        Name of the node in a model.
    """

    def __init__(self, readout: Any, name: str | None = None) -> None:
        self._begin(readout, name)

    def fit(self, x: Series, y: Series, warmup: int = 0, **_: object) -> Self:
        """Learn from one series or several, without the first `warmup` steps of each."""
        check_node_input(x, expected_dim=self.input_dim)
        check_node_input(y)
        self.initialize(x, y)
        several = is_multiseries(x)
        X = np.concatenate([series[warmup:] for series in (x if several else [x])])
        Y = np.concatenate([series[warmup:] for series in (y if several else [y])])
        asked = ~np.isnan(Y).any(axis=1)
        self.readout.fit(X[asked], Y[asked])
        self._learned = True
        return self


class OnlineReadoutNode(_Readout, OnlineNode):  # type: ignore[misc]
    """A node of reservoirpy for a readout that is trained online.

    During training, the output of a step is the prediction made before the readout learns from that step.

    Parameters
    ----------
    readout : OnlineRegressor
        Readout such as `RecursiveLeastSquares`, `KalmanReadout`, `LMSReadout` or `FORCEReadout`. It is trained in
        place, and handles targets that are NaN or late.
    name : str, optional
        Name of the node in a model.
    """

    def __init__(self, readout: OnlineRegressor, name: str | None = None) -> None:
        self._begin(readout, name)

    def initialize(self, x: Series, y: Series | None = None) -> None:
        """Set the dimensions, and reset the readout."""
        super().initialize(x, y)
        self.readout.begin(self.input_dim, self.output_dim)
        self._learned = True

    def fit(self, x: Series, y: Series | None = None, warmup: int = 0) -> Self:
        """Reset, then learn from each series in turn, without its first `warmup` steps."""
        check_node_input(x, expected_dim=self.input_dim)
        check_node_input(self._asked(y))
        self.initialize(x, y)
        several = is_multiseries(x)
        for series, targets in zip(x if several else [x], y if several else [y], strict=True):  # type: ignore[arg-type]
            self.partial_fit(series[warmup:], targets[warmup:])
        return self

    def partial_fit(self, x: FloatArray, y: FloatArray | None) -> FloatArray:
        """Learn from a series, and return the prediction of each step made before learning from it."""
        targets = self._asked(y)
        check_timeseries(x, expected_dim=self.input_dim)
        check_timeseries(targets, expected_length=len(x))
        if not self.initialized:
            self.initialize(x, targets)
        read: FloatArray = self.readout.learn(x, targets)
        self.state = {"out": read[-1]}
        return read

    def _learning_step(self, x: FloatArray, y: FloatArray | None) -> FloatArray:
        read: FloatArray = self.readout.step(x, self._asked(y))
        return read

    def _asked(self, y: Any) -> Any:
        if y is None:
            raise ValueError(f"{self!r} learns from targets; give y")
        return y


def _number(state: State) -> int:
    if "number" not in state:
        raise RuntimeError("the state of a device cannot be set; reset the node, or drive the device to that state")
    return int(state["number"][0])
