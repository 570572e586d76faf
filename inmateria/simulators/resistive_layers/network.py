"""A simulated network of resistors and ideal diodes in layers that learns by equilibrium propagation."""

import copy
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import log_compilation
from inmateria.simulators.identity import simulator_id
from inmateria.simulators.parameters import convert_value, either, group_from, plain_values
from inmateria.simulators.resistive_layers import learning
from inmateria.simulators.resistive_layers.equilibrium import Layers, make_bench
from inmateria.simulators.resistive_layers.errors import NoEquilibrium
from inmateria.simulators.resistive_layers.info import describe
from inmateria.simulators.resistive_layers.netlist import write_netlist
from inmateria.simulators.resistive_layers.parameters import LayerImperfections, layer_sizes, layer_values
from inmateria.simulators.resistive_layers.records import AnyFloats, LayersState, LayersTraining, Progress
from inmateria.substrate import Response, Stimulus, SubstrateInfo

FloatArray = npt.NDArray[np.float64]

_IDEAL = LayerImperfections()
_MOST_BATCH = 1024
_WARM = 10_000_000
"""Voltages kept between epochs at most; beyond, each free state begins at 0 V."""
_CHUNK = 1e9
"""Edges times samples between two looks for an interruption."""
_EXACT = 1e-12
"""Tolerance of `ResistiveLayers.operating_points`, V for each V of the largest input."""
_RANGE = 8.0
"""Largest conductance where there are levels, for each of the first conductances' bound."""


class ResistiveLayers:
    r"""Simulated network of resistors and ideal diodes in layers, trained by equilibrium propagation.

    The machine of Scellier, "A fast algorithm to simulate nonlinear resistive networks", ICML 2024. Every node of a
    layer is connected with every node of the next by an adjustable resistor. Inputs come twice, as x and -x, and
    amplified, since conductances cannot be negative. Hidden nodes have ideal diodes to ground: every other allows only
    voltages of 0 or more, the rest only 0 or less. Outputs are nodes without diodes. A constant current into each node,
    which is learned, too, is the bias. The voltages minimise

    .. math::

        \frac{1}{2} \sum_{ij} g_{ij} (v_i - v_j)^2 - \sum_j I_j v_j + \frac{\beta}{2} \sum_k (v_k - L_k)^2

    where the last term is the nudge of the outputs towards their labels, by the current :math:`\beta (L - v)`. After
    the free state (:math:`\beta = 0`) the outputs are nudged towards and away from the labels, and each edge changes by
    its own voltages alone:

    .. math::

        \Delta g = \frac{\alpha}{4 \beta} \left(\Delta v_{-\beta}^2 - \Delta v_{+\beta}^2\right), \quad g \ge 0

    which for small :math:`\beta` is the gradient of half the squared error.

    As a substrate, its inputs are the voltages ``u00``, ... before the amplifiers, the labels ``l00``, ... and
    ``learn``, a factor from 0 to 1 on the rate. The response is the free state before the update: the voltages of the
    outputs (``o00``, ..., in the order of the labels) and of the hidden nodes (``h00``, ...). One update is made in
    each ``update_interval`` with ``learn``. A step of n intervals is n updates under the same drive and has n samples;
    a shorter step is one update. At rest, inputs are 0 V (or the voltage nearest to that in their range), and nothing
    is learned.

    The same sequence of calls gives the same bits on the same machine.

    Parameters
    ----------
    sizes : str or sequence of int
        Inputs, nodes of each hidden layer, outputs.
    seed : int
        Seed of the first conductances, the imperfections and the order of samples. Conductances begin uniform between
        plus and minus the inverse square root of the nodes of the layer before, where negative ones are 0.
    gain : float, optional
        Factor of the amplifiers of the inputs. By default 480, 2000 and 4000 for one, two and three hidden layers of
        1024 nodes and 784 inputs, as published, and for others in proportion to the root of the product of the inputs
        and the nodes of the first hidden layer. Published for 784-100-10 is 100.
    rates : float, str or sequence of float, optional
        Rate of each layer of edges, in uS^2/V^2; with ``update="sign"`` the step, uS. By default as published: .006;
        with two hidden layers .002, .006, .018; with three .005, .02, .08, .005. By default the step is 1/127 of the
        largest conductance.
    nudge : float
        Strength :math:`\beta` of the nudge, uS.
    centred : bool
        Whether to nudge in both directions. One-sided, the difference is that between the free and the nudged state.
    update : {"proportional", "sign"}
        Whether an edge changes by the difference of its squared voltages or by a fixed step with its sign.
    sweeps : int
        Sweeps of coordinate descent for each equilibrium: 4 to 6 as published, or 0 for as many as `tolerance` needs.
    tolerance : float
        With ``sweeps=0``, the descent ends when all that is left is estimated to change voltages by less than this, V.
    currents : bool
        Whether nodes have a constant current that is learned.
    largest : float, str or sequence of float, optional
        Largest conductance of an edge in each layer, uS. By default there is none, or, with levels or steps by default,
        8 times the bound of the first conductances.
    imperfections : LayerImperfections
        Bias of the updates, spread, levels; none by default.
    low, high : float
        Range of the inputs, V.
    label_limit : float
        Labels are between minus this and this, V.
    update_interval : float
        Time that one update, or one reading, takes, s.
    step : float, optional
        Default duration of a stimulus step, s; one update by default.
    precision : {"single", "double"}
        Floating-point numbers of conductances and voltages: single ones have errors of about 1e-6 of the voltages.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    def __init__(
        self,
        sizes: str | Sequence[int] = "64-100-10",
        seed: int = 1,
        *,
        gain: float | None = None,
        rates: float | str | Sequence[float] | None = None,
        nudge: float = 1.0,
        centred: bool = True,
        update: Literal["proportional", "sign"] = "proportional",
        sweeps: int = 0,
        tolerance: float = 1e-4,
        currents: bool = True,
        largest: float | str | Sequence[float] | None = None,
        imperfections: LayerImperfections | Mapping[str, Any] = _IDEAL,
        low: float = 0.0,
        high: float = 1.0,
        label_limit: float = 1.0,
        update_interval: float = 1e-4,
        step: float | None = None,
        precision: Literal["single", "double"] = "single",
    ) -> None:
        self._sizes = layer_sizes(sizes)
        self._seed = convert_value("seed", seed, int)
        if self._seed < 0:
            raise ValueError(f"seed is {self._seed}; give 0 or more")
        self._imperfections: LayerImperfections = group_from("imperfections", imperfections, (LayerImperfections,))
        self._kind = np.dtype(np.float32 if either("precision", precision, "single", "double") == "single" else float)
        given = {
            "gain": _usual_gain(self._sizes) if gain is None else gain, "nudge": nudge, "tolerance": tolerance,
            "low": low, "high": high, "label_limit": label_limit, "update_interval": update_interval,
            "step": update_interval if step is None else step,
        }  # fmt: skip
        own: dict[str, Any] = {name: convert_value(name, value, float) for name, value in given.items()}
        for name in ("gain", "nudge", "tolerance", "label_limit", "update_interval", "step"):
            if own[name] <= 0:
                raise ValueError(f"{name} is {own[name]}; give more than 0")
        if not own["low"] < own["high"]:
            raise ValueError(f"inputs range from {own['low']} to {own['high']} V; give low < high")
        own["sweeps"] = convert_value("sweeps", sweeps, int)
        if own["sweeps"] < 0:
            raise ValueError(f"sweeps is {own['sweeps']}; give 1 or more, or 0 for as many as the tolerance needs")
        own |= {
            "centred": convert_value("centred", centred, bool),
            "currents": convert_value("currents", currents, bool),
        }
        sign = either("update", update, "proportional", "sign") == "sign"
        count = len(self._sizes) - 1
        bounds = [1 / math.sqrt(fan) for fan in self._fans]
        if largest is not None:
            most = layer_values("largest", largest, count)
        elif self._imperfections.levels is not None or (sign and rates is None):
            most = tuple(_RANGE * bound for bound in bounds)
        else:
            most = (math.inf,) * count
        if rates is not None:
            rate = layer_values("rates", rates, count)
        else:
            rate = tuple(each / 127 for each in most) if sign else _published_rates(count)
        self._own, self._bounds, self._interval = own, bounds, own["update_interval"]
        self._make(rate, most, sign)
        parameters = {
            "sizes": "-".join(map(str, self._sizes)), "seed": self._seed, **own, "rates": ",".join(map(repr, rate)),
            "update": update, "largest": None if math.isinf(most[0]) else ",".join(map(repr, most)),
            "imperfections": plain_values(self._imperfections, named=False), "precision": precision,
        }  # fmt: skip
        self._info = describe(
            simulator_id(f"layers-{parameters['sizes']}-s{self._seed}", parameters), self._sizes, parameters
        )
        self.reset(noise="repeat")

    def _make(self, rate: tuple[float, ...], most: tuple[float, ...], sign: bool) -> None:
        """Make the arrays of the compiled functions, and draw the first conductances and the imperfections."""
        kind, own, real, nodes = self._kind, self._own, self._imperfections, self._sizes[1:]
        place = np.concatenate(([0], np.cumsum(nodes))).astype(np.int64)
        shapes = self._shapes
        upper = [rows * columns for rows, columns in shapes[1:]]
        block = np.concatenate(([0, 0], np.cumsum(upper)))[: len(nodes)].astype(np.int64)
        low, high = np.full(place[-1], -np.inf, kind), np.full(place[-1], np.inf, kind)
        hidden = np.arange(place[-2])
        low[: -nodes[-1]][(hidden - place[np.searchsorted(place, hidden, "right") - 1]) % 2 == 0] = 0
        high[: -nodes[-1]][(hidden - place[np.searchsorted(place, hidden, "right") - 1]) % 2 == 1] = 0
        self._layers = Layers(
            np.zeros(shapes[0], kind), np.zeros(sum(upper), kind), np.zeros(place[-1], kind), low, high, place, block
        )
        generator = np.random.default_rng([self._seed, 0])
        level = np.array([0.0 if real.levels is None else each / (real.levels - 1) for each in most])
        self._level = level
        self._first: list[AnyFloats] = []
        for bound, shape, each, distance in zip(self._bounds, shapes, most, level, strict=True):
            drawn = np.clip(generator.uniform(-bound, bound, shape), 0, each)
            if distance and real.remainder != "kept":
                drawn = distance * np.rint(drawn / distance)
            self._first.append(drawn.astype(kind))
        generator = np.random.default_rng([self._seed, 1])
        empty = [np.zeros((0, 0), kind), np.zeros(0, kind)]
        if real.ideal:
            arrays = 3 * empty
        else:
            total = sum(rows * columns for rows, columns in shapes)
            drawn_factor = np.exp(real.spread * generator.standard_normal(total)).astype(kind)
            drawn_bias = (real.bias * generator.standard_normal(total)).astype(kind)
            edge = shapes[0][0] * shapes[0][1]
            arrays = []
            for flat in (np.zeros(total, kind), drawn_factor, drawn_bias):
                arrays += [flat[:edge].reshape(shapes[0]).copy(), flat[edge:].copy()]
        self._real = learning.Real(arrays[0], arrays[2], arrays[4], arrays[1], arrays[3], arrays[5], level.astype(kind))
        nudges = [0.0, own["nudge"], -own["nudge"] if own["centred"] else 0.0]
        remainder = {"kept": learning.KEPT, "lost": learning.LOST, "stochastic": learning.STOCHASTIC}[real.remainder]
        settings = np.array([own["centred"], sign, remainder, own["sweeps"], own["currents"]], dtype=np.int64)
        key = np.random.SeedSequence([self._seed, 2]).generate_state(2, np.uint32).astype(np.uint32)
        self._learner = learning.Learner(
            settings, own["tolerance"], np.array(nudges, kind), np.array(rate, kind), np.array(most, kind), key,
            np.zeros(4),
        )  # fmt: skip
        self._bench, self._room = make_bench(self._layers, 4), learning.make_room(self._layers, 4)
        self._shuffles = 0

    @property
    def _fans(self) -> list[int]:
        """Nodes of the layer before each layer of edges."""
        return [2 * self._sizes[0], *self._sizes[1:-1]]

    @property
    def _shapes(self) -> list[tuple[int, int]]:
        """Shape of each layer of edges as the compiled functions have it: nodes, nodes of the layer before."""
        return list(zip(self._sizes[1:], self._fans, strict=True))

    @property
    def info(self) -> SubstrateInfo:
        """Description of the network: channels, limits and parameters."""
        return self._info

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of inputs, of nodes of each hidden layer and of outputs."""
        return self._sizes

    @property
    def weights(self) -> tuple[AnyFloats, ...]:
        """Conductances that are learned, uS, for each layer of edges of shape (nodes before, nodes); copies.

        The first has a row for each input and then one for each negated input. Only a simulator has them. Assigning
        sets the edges.

        Raises
        ------
        ValueError
            On assigning other shapes, or values out of range.
        """
        if self._imperfections.ideal:
            return self.conductances
        return self._split(self._real.first_set, self._real.upper_set)

    @weights.setter
    def weights(self, given: Sequence[npt.ArrayLike]) -> None:
        arrays = [np.asarray(each, dtype=self._kind).T for each in given]
        if [each.shape for each in arrays] != self._shapes:
            shapes = [shape[::-1] for shape in self._shapes]
            raise ValueError(f"weights have shapes {[each.T.shape for each in arrays]}; give {shapes}")
        for layer, (array, most) in enumerate(zip(arrays, self._learner.most, strict=True)):
            if not ((array >= 0) & (array <= most) & np.isfinite(array)).all():
                raise ValueError(f"weights of layer {layer} are not between 0 and {most} uS")
        self._set(arrays)

    @property
    def conductances(self) -> tuple[AnyFloats, ...]:
        """Conductance that each edge has, uS, with levels and spread, in shapes as of `weights`; copies."""
        return self._split(self._layers.first, self._layers.upper)

    @property
    def currents(self) -> tuple[AnyFloats, ...]:
        """Constant current into each node, uA, for each layer of nodes; copies. Assigning sets them.

        Raises
        ------
        ValueError
            On assigning other shapes, values that are not finite, or any to a network without currents.
        """
        return tuple(each.copy() for each in np.split(self._layers.current, self._layers.place[1:-1]))

    @currents.setter
    def currents(self, given: Sequence[npt.ArrayLike]) -> None:
        arrays = [np.asarray(each, dtype=self._kind) for each in given]
        if [each.shape for each in arrays] != [(size,) for size in self._sizes[1:]]:
            raise ValueError(f"currents have shapes {[each.shape for each in arrays]}; give {self._sizes[1:]} of them")
        together = np.concatenate(arrays)
        if not np.isfinite(together).all() or (not self._own["currents"] and together.any()):
            raise ValueError("currents are not finite, or the network was made with currents=False")
        self._layers.current[:] = together

    @property
    def energy(self) -> float:
        """Energy that the resistors turned into heat since the last reset, in all states, J."""
        return self._energy

    @property
    def clock(self) -> float:
        """Time since the last reset, s."""
        return self._clock

    def reset(self, noise: Literal["continue", "repeat"] = "continue") -> None:
        """Return the edges to their first conductances, and currents, clock, energy and exchanges to 0.

        Parameters
        ----------
        noise : {"continue", "repeat"}
            ``"continue"`` goes on with the random numbers of orders and stochastic rounding, so that trials differ;
            ``"repeat"`` repeats them from their beginning.

        Raises
        ------
        ValueError
            If ``noise`` is neither.
        """
        if either("noise", noise, "continue", "repeat") == "repeat":
            self._shuffles, self._learner.random[1] = 0, 0
        self._set(self._first)
        self._layers.current[:] = 0
        self._energy, self._clock, self._sequence = 0.0, 0.0, 0

    def advance(self, stimulus: Stimulus) -> Response:
        """Apply a stimulus that is within the limits.

        Returns
        -------
        Response
            Signal of shape (steps, samples, outputs + hidden nodes), V.

        Raises
        ------
        NoEquilibrium
            If a nudge has no stable state; the network is as before.
        """
        intervals, inputs = self._info.samples(stimulus.step), self._sizes[0]
        rows = np.repeat(np.arange(len(stimulus.drive), dtype=np.int64), intervals)
        drive = np.ascontiguousarray(stimulus.drive, dtype=self._kind)
        before = self.state
        found = np.empty((len(rows), len(self._layers.current)), self._kind)
        try:
            done = self._present(
                np.ascontiguousarray(drive[:, :inputs]), np.ascontiguousarray(drive[:, inputs:-1]), drive[rows, -1],
                rows, 0, len(rows), 1, np.zeros((0, 0), self._kind), found,
            )  # fmt: skip
            if done < len(rows):
                raise _not_found(f"step {done // intervals} of a stimulus", self._own["nudge"])
        except BaseException:
            self.restore(before)
            raise
        self._energy += 1e-6 * self._interval * float(self._learner.tally[0])
        hidden = len(self._layers.current) - self._sizes[-1]
        signal = np.concatenate((found[:, hidden:], found[:, :hidden]), axis=1).astype(np.float64)
        response = Response(signal.reshape(len(drive), intervals, -1), None, self._clock, self._sequence)
        self._clock += stimulus.duration
        self._sequence += 1
        return response

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        epochs: int = 10,
        *,
        batch: int = 4,
        rate: float | Sequence[float] = 1.0,
        shuffle: bool = True,
        on_progress: Progress | None = None,
    ) -> LayersTraining:
        """Learn samples in a compiled loop, one update a batch.

        Parameters
        ----------
        X : array_like, shape (samples, inputs)
            V.
        y : array_like, shape (samples, outputs), or (samples,)
            Labels, V; or the number of each sample's class, whose output is then to be 1 V and all others 0 V; or, of a
            single output, its labels.
        epochs : int
        batch : int
            Samples over which changes are averaged before the edges change; 1 to 1024.
        rate : float or (float, float)
            Factor on the rates, or steps; or that of the first and of the last epoch, geometric in between.
        shuffle : bool
            Whether to present the samples in another random order in each epoch.
        on_progress : callable, optional
            Called with the samples presented, those to present in all, and a `LayersTraining` of the whole epochs so
            far: after each epoch, and in between every second. At the end of an epoch the network is that of the whole
            epoch, and its `state` may be kept.

        Returns
        -------
        LayersTraining
            Learning curves, energy and time.

        Raises
        ------
        ValueError
            If a shape is wrong, or a voltage is out of range.
        NoEquilibrium
            If a nudge has no stable state. The network is then as before, as it is when a training is interrupted or
            the callback raises.
        """
        inputs, labels = self._inputs(X), self._labels(y)
        samples = len(inputs)
        if samples != len(labels):
            raise ValueError(f"X has {samples} samples and y {len(labels)}; give a label for each")
        epochs, batch = convert_value("epochs", epochs, int), convert_value("batch", batch, int)
        if epochs < 0:
            raise ValueError(f"epochs is {epochs}; give 0 or more")
        if not 1 <= batch <= _MOST_BATCH:
            raise ValueError(f"batch is {batch}; give 1 to {_MOST_BATCH}")
        ends = [float(each) for each in rate] if isinstance(rate, Sequence) else 2 * [float(rate)]
        if len(ends) != 2 or not all(0 < each < math.inf for each in ends):
            raise ValueError(f"rate is {rate}; give a factor above 0, or two: in the first and in the last epoch")
        beyond = len(self._layers.current) - self._sizes[1]
        warm = np.zeros((samples, beyond) if samples * beyond <= _WARM else (0, 0), self._kind)
        order, none = np.arange(samples, dtype=np.int64), np.zeros((0, 0), self._kind)
        part = batch * max(1, int(_CHUNK / (sum(a * b for a, b in self._shapes) * batch)))
        before, error, wrong, energy, sweeps = self.state, np.empty(epochs), np.empty(epochs), 0.0, 0.0
        equilibria = (3 if self._own["centred"] else 2) * math.ceil(samples / batch)

        def course(done: int) -> LayersTraining:
            mean = sweeps / max(1, done * equilibria)
            return LayersTraining(
                error[:done].copy(), wrong[:done].copy(), energy, done * samples * self._interval, mean
            )

        said = time.monotonic()
        try:
            for epoch, factor in enumerate(np.geomspace(ends[0], ends[1], epochs)):
                if shuffle:
                    order = np.random.default_rng([self._seed, 3, self._shuffles]).permutation(samples)
                    self._shuffles += 1
                total = np.zeros(4)
                for begin in range(0, samples, part):
                    end = min(samples, begin + part)
                    done = self._present(
                        inputs, labels, np.array([factor], self._kind), order, begin, end, batch, warm, none
                    )
                    if done < end:
                        raise _not_found(f"epoch {epoch} of a training", self._own["nudge"])
                    total += self._learner.tally
                    if on_progress is not None and end < samples and time.monotonic() - said >= 1:
                        said = time.monotonic()
                        on_progress(epoch * samples + end, epochs * samples, course(epoch))
                error[epoch] = math.sqrt(total[1] / labels.size)
                wrong[epoch] = total[2] / samples
                energy += 1e-6 * self._interval * float(total[0])
                sweeps += float(total[3])
                if on_progress is not None:
                    said = time.monotonic()
                    on_progress((epoch + 1) * samples, epochs * samples, course(epoch + 1))
        except BaseException:
            self.restore(before)
            raise
        self._clock += epochs * samples * self._interval
        self._energy += energy
        return course(epochs)

    def predict(self, X: npt.ArrayLike) -> FloatArray:
        """Return the outputs in the free state, shape (samples, outputs), V; nothing changes.

        Parameters
        ----------
        X : array_like, shape (samples, inputs)
            V.

        Raises
        ------
        ValueError
            If the shape is wrong, or a voltage is out of range.
        """
        own = self._own
        found = self._settle(self._layers, self._inputs(X), None, 0.0, own["sweeps"], own["tolerance"])
        return found[:, -self._sizes[-1] :].astype(np.float64)

    def operating_points(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None, nudge: float = 0.0) -> FloatArray:
        """Return the voltages of all nodes, shape (samples, nodes), V: hidden layers, then outputs; nothing changes.

        They are found in double precision to about 1e-12 of the largest input, whatever `sweeps` and `tolerance` are.

        Parameters
        ----------
        X : array_like, shape (samples, inputs)
            V.
        y : array_like, optional
            Labels as for `fit`.
        nudge : float
            Strength of the nudge towards the labels, uS; negative away from them.

        Raises
        ------
        ValueError
            If a shape is wrong, or a voltage is out of range.
        NoEquilibrium
            If the nudge has no stable state.
        """
        inputs = self._inputs(X)
        labels = None if y is None else self._labels(y)
        if (labels is None and nudge != 0) or (labels is not None and len(labels) != len(inputs)):
            raise ValueError("give a label for each sample, or neither labels nor a nudge")
        own = self._layers
        layers = Layers(
            own.first.astype(np.float64), own.upper.astype(np.float64), own.current.astype(np.float64),
            own.low.astype(np.float64), own.high.astype(np.float64), own.place, own.block,
        )  # fmt: skip
        scale = self._own["gain"] * max(1.0, float(np.abs(inputs).max()))
        found = self._settle(
            layers, inputs.astype(np.float64), labels, convert_value("nudge", nudge, float), 0, _EXACT * scale
        )
        return np.asarray(found, dtype=np.float64)

    def power(self, X: npt.ArrayLike) -> FloatArray:
        """Return the power that the resistors turn into heat in the free state, shape (samples,), W."""
        volts = self.operating_points(X)
        driven = self._own["gain"] * self._inputs(X).astype(np.float64)
        below, total = np.concatenate((driven, -driven), axis=1), np.zeros(len(driven))
        for edges, here in zip(self.conductances, np.split(volts, self._layers.place[1:-1], axis=1), strict=True):
            g = edges.astype(np.float64)
            total += (below**2) @ g.sum(axis=1) + (here**2) @ g.sum(axis=0) - 2 * ((below @ g) * here).sum(axis=1)
            below = here
        return 1e-6 * total

    def netlist(self, inputs: npt.ArrayLike) -> str:
        """Write the network as a netlist for ngspice, with diodes that are nearly ideal.

        Parameters
        ----------
        inputs : array_like, shape (inputs,)
            V.

        Raises
        ------
        ValueError
            If the shape is wrong, or a voltage is out of range.
        """
        driven = self._own["gain"] * self._inputs(np.asarray(inputs)[np.newaxis])[0].astype(np.float64)
        return write_netlist(self._info.id, np.concatenate((driven, -driven)), self.conductances, self.currents)

    @property
    def state(self) -> LayersState:
        """Copy of the state; after `restore`, results are bit-identical."""
        return LayersState(
            self.weights, self._layers.current.copy(), np.array([self._shuffles, self._learner.random[1]], np.uint64),
            self._energy, self._clock, self._sequence,
        )  # fmt: skip

    def restore(self, state: LayersState) -> None:
        """Go back to a state of this network, or of one of the same sizes and precision.

        Raises
        ------
        ValueError
            If the state is of other sizes or of another precision.
        """
        arrays = [each.T for each in state.weights]
        if [each.shape for each in arrays] != self._shapes or state.currents.dtype != self._kind:
            raise ValueError(
                f"the state has weights of shapes {[each.shape for each in state.weights]} in {state.currents.dtype}; "
                f"this network has {[shape[::-1] for shape in self._shapes]} in {self._kind}"
            )
        self._set(arrays)
        self._layers.current[:] = state.currents
        self._shuffles, self._learner.random[1] = int(state.random[0]), state.random[1]
        self._energy, self._clock, self._sequence = state.energy, state.clock, state.sequence

    def copy(self) -> Self:
        """Make an independent network in the same state."""
        return copy.deepcopy(self)

    def _set(self, arrays: Sequence[AnyFloats]) -> None:
        """Set what is learned, given as (nodes, nodes before), and the conductances that follow."""
        layers, real, place = self._layers, self._real, 0
        for layer, array in enumerate(arrays):
            size = array.size
            for first, upper in ((layers.first, layers.upper), (real.first_set, real.upper_set)):
                if len(first):
                    (first.reshape(-1) if layer == 0 else upper[place : place + size])[:] = array.ravel()
            if len(real.first_set):
                to = layers.first.reshape(-1) if layer == 0 else layers.upper[place : place + size]
                if self._level[layer] and self._imperfections.remainder == "kept":
                    level = real.level[layer]
                    to[:] = level * np.rint(to / level)
                to *= real.first_factor.reshape(-1) if layer == 0 else real.upper_factor[place : place + size]
            place += size if layer else 0

    def _split(self, first: AnyFloats, upper: AnyFloats) -> tuple[AnyFloats, ...]:
        """Copy conductances to one array a layer, of shape (nodes before, nodes)."""
        parts: list[Any] = [np.ascontiguousarray(first.T)]
        place = 0
        for rows, columns in self._shapes[1:]:
            layer = upper[place : place + rows * columns].reshape(rows, columns)
            parts.append(np.ascontiguousarray(layer.T))
            place += rows * columns
        return tuple(parts)

    def _present(
        self, X: AnyFloats, Y: AnyFloats, learn: AnyFloats, order: npt.NDArray[np.int64], begin: int, end: int,
        batch: int, warm: AnyFloats, found: AnyFloats,
    ) -> int:  # fmt: skip
        """Present samples; the tally is of these."""
        if len(self._bench.free) < batch:
            rows = (batch + 3) // 4 * 4
            self._bench, self._room = make_bench(self._layers, rows), learning.make_room(self._layers, rows)
        self._learner.tally[:] = 0
        gain = np.array([self._own["gain"]], self._kind)
        with log_compilation("the kernels of networks in layers", learning.present):
            return int(
                learning.present(
                    self._layers, self._bench, self._learner, self._real, self._room, X, Y, gain, learn, order, begin,
                    end, batch, warm, found,
                )
            )  # fmt: skip

    def _settle(
        self, layers: Layers, inputs: AnyFloats, labels: AnyFloats | None, nudge: float, sweeps: int, tolerance: float
    ) -> AnyFloats:
        """Find voltages of all nodes."""
        half, kind = self._sizes[0], layers.first.dtype
        drives = (inputs * kind.type(self._own["gain"])) @ (layers.first[:, :half] - layers.first[:, half:]).T
        volts = np.zeros((len(inputs), len(layers.current)), kind)
        bench = make_bench(layers, min(64, len(inputs)))
        bench.first_sum[:] = layers.first.sum(axis=1)
        given = np.zeros((len(inputs), self._sizes[-1]), kind) if labels is None else labels.astype(kind)
        with log_compilation("the kernels of networks in layers", learning.settle):
            done = learning.settle(
                layers, bench, np.ascontiguousarray(drives), given, np.array([nudge], kind), sweeps, tolerance, volts
            )
        if done < len(inputs):
            raise _not_found(f"sample {done} or one of the next {len(bench.free) - 1}", nudge)
        return volts

    def _inputs(self, given: npt.ArrayLike) -> AnyFloats:
        """Check inputs."""
        array = np.asarray(given)
        if array.ndim != 2 or array.shape[1] != self._sizes[0] or not len(array):
            raise ValueError(f"X has shape {array.shape}; give (samples, {self._sizes[0]}), at least one sample")
        low, high = self._own["low"], self._own["high"]
        return self._in_range("X", array, low, high, "scale it, or make the network with another low or high")

    def _labels(self, given: npt.ArrayLike) -> AnyFloats:
        """Check labels; make those of classes."""
        array, outputs = np.asarray(given), self._sizes[-1]
        if array.ndim == 1 and outputs == 1:
            array = array[:, np.newaxis]
        if array.ndim == 1 and array.size:
            if not (np.issubdtype(array.dtype, np.integer) and array.min() >= 0 and array.max() < outputs):
                raise ValueError(
                    f"y has one number a sample, from {array.min()} to {array.max()} of type {array.dtype}; classes "
                    f"are whole numbers from 0 to {outputs - 1}"
                )
            array = np.eye(outputs)[array]
        if array.ndim != 2 or array.shape[1] != outputs or not len(array):
            raise ValueError(f"y has shape {array.shape}; give (samples, {outputs}) or classes, at least one sample")
        limit = self._own["label_limit"]
        return self._in_range("y", array, -limit, limit, "scale it, or make the network with a larger label_limit")

    def _in_range(self, name: str, array: Any, low: float, high: float, remedy: str) -> AnyFloats:
        converted: AnyFloats = np.ascontiguousarray(array, dtype=self._kind)
        wrong = np.argwhere(~((array >= low) & (array <= high)))
        if len(wrong):
            row, column = wrong[0]
            raise ValueError(
                f"sample {row} of {name} has {array[row, column]} V in column {column}; allowed are {low:g} to "
                f"{high:g} V: {remedy}"
            )
        return converted


def _usual_gain(sizes: tuple[int, ...]) -> float:
    """Return a gain with which the first outputs are of the order of 1 V, from those published for 784-1024-10."""
    hidden = sizes[1:-1]
    width = hidden[0] if hidden else 1
    return round(
        480 * math.sqrt(sizes[0] * width / (784 * 1024)) * {0: 1.0, 1: 1.0, 2: 25 / 6}.get(len(hidden), 25 / 3), 3
    )


def _published_rates(count: int) -> tuple[float, ...]:
    """Return the rates of the published network with so many layers of edges."""
    return {3: (0.002, 0.006, 0.018), 4: (0.005, 0.02, 0.08, 0.005)}.get(count, (0.006,) * count)


def _not_found(where: str, nudge: float) -> NoEquilibrium:
    return NoEquilibrium(
        f"{where} has no stable voltages under a nudge of {nudge:g} uS",
        "a nudge away from the labels must be weaker than the conductance between the outputs and the sources",
        "give a smaller nudge, or centred=False",
    )
