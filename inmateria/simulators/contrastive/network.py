"""A simulated analog network that learns: adjustable edges between nodes, two states, and a local rule."""

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import log_compilation
from inmateria.simulators.contrastive import learning
from inmateria.simulators.contrastive.construction import build
from inmateria.simulators.contrastive.edges import Antiparallel, Diode, Resistor, Transistor
from inmateria.simulators.contrastive.graph import (
    GROUND,
    Graph,
    floating_nodes,
    given_edges,
    periodic_grid,
    random_edges,
)
from inmateria.simulators.contrastive.lanes import in_lanes, make_lanes, near_order, operating_points_in_lanes
from inmateria.simulators.contrastive.learning_lanes import Member, TrainingGroup, likeness, train_lanes
from inmateria.simulators.contrastive.netlist import clamps, nudges, write_netlist
from inmateria.simulators.contrastive.operating_point import NoOperatingPoint, make_work, operating_points
from inmateria.simulators.contrastive.records import ContrastiveState, ContrastiveTraining
from inmateria.simulators.contrastive.rules import (
    CENTRED_NUDGE,
    NUDGE,
    CoupledLearning,
    DirectedAging,
    EquilibriumPropagation,
    Imperfections,
    SignRule,
)
from inmateria.simulators.contrastive.warm_starts import no_warm_starts
from inmateria.simulators.parameters import check_size, convert_value, either
from inmateria.simulators.vector_lanes import LANES
from inmateria.substrate import Response, Stimulus, SubstrateInfo

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

_TRANSISTOR, _COUPLED, _IDEAL = Transistor(), CoupledLearning(), Imperfections()
_MOST_NODES = 100_000
_FEW = 3
"""Networks below which lanes are slower than one training after the other."""
_UPDATES = 20_000
"""Updates between two looks for an interruption."""


class ContrastiveNetwork:
    r"""Simulated network that learns by comparing a free with a clamped or nudged state; seeded, exactly repeatable.

    Inputs and rails impose voltages on their nodes, and Kirchhoff's laws give all others: the free state. Of the
    outputs, each the voltage of a node or the difference of two, a supervisor that knows the labels makes the second
    state: it clamps them nearer to the labels, or nudges them by a current. Each edge then changes its weight by the
    voltages across it in the two states, by a local rule. Twin networks hold both states at once, as in the machines
    of Dillavou et al., Phys. Rev. Applied 18, 014040 (2022) and PNAS 121, e2319718121 (2024); the default is that of
    2024: a periodic grid of 4 x 4 nodes with 32 transistors, one differential output, two inputs, and rails of .11
    and .33 V.

    As a substrate, its inputs are the voltages ``u00``, ... of the input nodes, the labels ``l00``, ... of the
    outputs and ``learn``, a factor from 0 to 1 on the rate or step of the rule: 0 for no update, 1 for a whole one. The
    response is the free state before the update: the voltage of every node (``v00``, ..., V), and the current of every
    input and rail into the network (``i00``, ..., A). The supervisor makes one update in each ``update_interval`` with
    ``learn`` above 0. A step of n intervals holds its inputs and labels for n updates and has n samples; a shorter step
    is one update. At rest, inputs are 0 V (or the voltage nearest to that in their range), and nothing is learned. With
    a sign rule on levels whose remainder is lost, ``learn`` is 0 or 1: a part of a level would be lost or be a whole
    one.

    Voltages are found by Newton's method, from the last ones with the same inputs, so that readings of the same inputs
    in between change the last bits (below ``tolerance``) of what follows. The same sequence of stimuli gives the same
    bits, and `fit` the same as stimuli with its samples in its order.

    Parameters
    ----------
    grid : str, optional
        Rows and columns of a square grid with periodic boundaries, such as ``"4x4"``, the default; node ``r * columns +
        c`` is in row r and column c.
    edges : Transistor, Resistor, Diode or Antiparallel
        Edges with their parameters. A diode's direction is drawn with the seed.
    seed : int
        Seed of the random graph, the first weights (uniform over their range), the imperfections and all noise.
    rule : CoupledLearning, SignRule, EquilibriumPropagation or DirectedAging
        Learning rule.
    random : str, optional
        In place of ``grid``: nodes and edges of a connected random graph, such as ``"16x32"``.
    inputs : int, str or sequence of int
        Number of inputs, or their nodes, also as ``"15,13"``. Nodes that are only counted are placed far from one
        another: outputs first, minus before plus, then inputs and rails in turn.
    outputs : int, str or sequence
        Number of outputs, or a node or a pair (plus, minus) for each, also as ``"10-0"``.
    rails : str, sequence of float, or mapping of int to float
        Constant voltages, also as ``"0.11,0.33"``; or the voltage of each node, also as ``"5:0.11,7:0.33"``, V.
    differential : bool
        Whether outputs that are only counted are differences of two nodes.
    imperfections : Imperfections
        Bias, noise, spread, levels, leak and cut edges; none by default.
    low, high : float
        Range of the inputs, V. ``low`` is 0 for transistors and ``-high`` for other edges by default; transistors
        take -0.3 V or more, as below that the junctions to the body, which are left out, would conduct.
    update_interval : float
        Time that one update, or one reading, takes, s.
    step : float, optional
        Default duration of a stimulus step, s; one update by default.
    tolerance : float
        Newton's method ends when the next change of a voltage is below this, V.

    Raises
    ------
    ValueError
        If a parameter is out of range, a node has two roles, or a node is connected to no source.
    """

    def __init__(
        self,
        grid: str | None = None,
        edges: Transistor | Resistor | Diode | Antiparallel | str | Mapping[str, Any] = _TRANSISTOR,
        seed: int = 1,
        rule: CoupledLearning | SignRule | EquilibriumPropagation | DirectedAging | str | Mapping[str, Any] = _COUPLED,
        *,
        random: str | None = None,
        inputs: int | str | Sequence[int] = 2,
        outputs: int | str | Sequence[int | Sequence[int]] = 1,
        rails: str | Sequence[float] | Mapping[int, float] = "0.11,0.33",
        differential: bool = True,
        imperfections: Imperfections | Mapping[str, Any] = _IDEAL,
        low: float | None = None,
        high: float = 0.5,
        update_interval: float = 1e-4,
        step: float | None = None,
        tolerance: float = 1e-10,
    ) -> None:
        seed = _seed(seed)
        if grid is not None and random is not None:
            raise ValueError(f"grid is {grid!r} and random is {random!r}; give one of them")
        if random is None:
            rows, columns = _sizes("grid", "4x4" if grid is None else grid)
            check_size("grid", rows * columns, _MOST_NODES)
            if rows * columns < 3:
                raise ValueError(f"grid is {grid!r}; give at least 3 nodes")
            nodes, pairs = rows * columns, periodic_grid(rows, columns)
            made: dict[str, Any] = {"grid": f"{rows}x{columns}"}
        else:
            nodes, count = _sizes("random", random)
            check_size("random", nodes, _MOST_NODES)
            pairs = random_edges(nodes, count, np.random.default_rng([seed, 0]))
            made = {"random": f"{nodes}x{count}"}
        self._build(
            nodes, pairs, f"clln-{next(iter(made.values()))}-s{seed}", made, seed, edges, rule, inputs, outputs, rails,
            differential, imperfections, low, high, update_interval, step, tolerance,
        )  # fmt: skip

    @classmethod
    def from_edges(
        cls,
        node_count: int,
        pairs: Any,
        inputs: int | str | Sequence[int] = 2,
        outputs: int | str | Sequence[int | Sequence[int]] = 1,
        rails: str | Sequence[float] | Mapping[int, float] = "0.11,0.33",
        *,
        edges: Transistor | Resistor | Diode | Antiparallel | str | Mapping[str, Any] = _TRANSISTOR,
        seed: int = 1,
        rule: CoupledLearning | SignRule | EquilibriumPropagation | DirectedAging | str | Mapping[str, Any] = _COUPLED,
        differential: bool = True,
        imperfections: Imperfections | Mapping[str, Any] = _IDEAL,
        low: float | None = None,
        high: float = 0.5,
        update_interval: float = 1e-4,
        step: float | None = None,
        tolerance: float = 1e-10,
    ) -> Self:
        """Make a network of a given graph.

        Parameters
        ----------
        node_count : int
        pairs
            Two nodes for each edge, shape (edges, 2), or a networkx graph of the nodes 0 to node_count - 1. A diode
            points from the first to the second.
        inputs, outputs, rails, edges, seed, rule, differential, imperfections, low, high, update_interval, step,
        tolerance
            See `ContrastiveNetwork`.

        Raises
        ------
        ValueError
            If an edge names a node that there is not, or a parameter is out of range.
        """
        check_size("node_count", node_count, _MOST_NODES)
        nodes, seed = convert_value("node_count", node_count, int), _seed(seed)
        given = given_edges(nodes, pairs)
        network = cls.__new__(cls)
        network._build(
            nodes, given, f"clln-{nodes}-s{seed}", {"node_count": nodes, "pairs": given.tolist()}, seed, edges, rule,
            inputs, outputs, rails, differential, imperfections, low, high, update_interval, step, tolerance,
        )  # fmt: skip
        return network

    def _build(
        self, nodes: int, pairs: IntArray, prefix: str, made: dict[str, Any], seed: int, edges: Any, rule: Any,
        inputs: Any, outputs: Any, rails: Any, differential: bool, imperfections: Any, low: float | None, high: float,
        update_interval: float, step: float | None, tolerance: float,
    ) -> None:  # fmt: skip
        parts = build(
            nodes, pairs, prefix, made, seed, edges, rule, inputs, outputs, rails, differential, imperfections, low,
            high, update_interval, step, tolerance,
        )  # fmt: skip
        self._edges, self._graph, self._plan, self._law = parts.edges, parts.graph, parts.plan, parts.law
        self._learner, self._first_weights, self._info = parts.learner, parts.first_weights, parts.info
        self._seed, self._interval = seed, parts.numbers["update_interval"]
        self._tolerance, self._work = parts.numbers["tolerance"], make_work(parts.plan)
        self.reset(noise="repeat")

    @property
    def info(self) -> SubstrateInfo:
        """Description of the network: channels, limits and parameters."""
        return self._info

    @property
    def node_count(self) -> int:
        """Number of nodes."""
        return self._graph.node_count

    @property
    def edges(self) -> IntArray:
        """The two nodes of each edge, shape (edges, 2)."""
        return self._graph.edges

    @property
    def input_nodes(self) -> IntArray:
        """Driven nodes, in the order of the input channels."""
        return self._graph.inputs

    @property
    def rail_nodes(self) -> IntArray:
        """Nodes at a constant voltage."""
        return self._graph.rails

    @property
    def output_nodes(self) -> IntArray:
        """Plus and minus node of each output, shape (outputs, 2); -1 for no minus node."""
        return self._graph.outputs

    @property
    def weights(self) -> FloatArray:
        """Weight of each edge, shape (edges,), in the unit of the edges: S or ohm, V, or 1; a copy.

        Only a simulator has it. Assigning sets the edges.

        Raises
        ------
        ValueError
            On assigning another number of weights, or one out of range.
        """
        return self._learner.weight.copy()

    @weights.setter
    def weights(self, given: npt.ArrayLike) -> None:
        weights = np.array(given, dtype=np.float64)
        if weights.shape != self._learner.weight.shape:
            raise ValueError(f"weights have shape {weights.shape}; give one for each of {len(self.edges)} edges")
        wrong = np.flatnonzero(~((weights >= self._edges.low) & (weights <= self._edges.high)))
        if wrong.size:
            raise ValueError(
                f"edge {wrong[0]} was given the weight {weights[wrong[0]]}; allowed are {self._edges.low} to "
                f"{self._edges.high} {self._edges.unit}"
            )
        self._learner.weight[:] = weights
        learning.set_weights(self._law, self._learner)

    @property
    def settings(self) -> FloatArray:
        """Conductance (S), gate voltage (V) or factor on the saturation current that each edge is set to; a copy.

        With levels it is that of the level nearest to the weight.
        """
        return self._law.setting.copy()

    @property
    def cut_edges(self) -> IntArray:
        """Numbers of the edges that are cut."""
        return np.flatnonzero(self._law.factor == 0)

    @property
    def energy(self) -> float:
        """Energy that the edges turned into heat since the last reset, in both states, J."""
        return float(self._learner.tally[0])

    @property
    def clock(self) -> float:
        """Time since the last reset, s."""
        return self._clock

    def cut(self, edges: Sequence[int]) -> None:
        """Cut edges for good; what was learned elsewhere stays.

        Raises
        ------
        ValueError
            If there is no such edge, or a node would be connected to no source; nothing is cut then.
        """
        numbers = np.array(list(edges), dtype=np.intp)
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(self.edges):
            raise ValueError(
                f"edges {numbers.min()} to {numbers.max()} were to be cut; there are 0 to {len(self.edges) - 1}"
            )
        present = self._law.factor > 0
        present[numbers] = False
        floating = floating_nodes(self._graph, present)
        if floating.size:
            raise ValueError(f"without these edges node {floating[0]} is connected to no source; cut fewer")
        self._law.factor[numbers] = 0.0

    def reset(self, noise: Literal["continue", "repeat"] = "continue") -> None:
        """Return the weights to their first values, and clock, energy and exchanges to 0; cuts stay.

        Parameters
        ----------
        noise : {"continue", "repeat"}
            ``"continue"`` goes on with the random numbers, so that trials differ; ``"repeat"`` repeats them from
            their beginning.

        Raises
        ------
        ValueError
            If ``noise`` is neither.
        """
        if either("noise", noise, "continue", "repeat") == "repeat":
            self._learner.random[:] = np.random.SeedSequence([self._seed, 3]).generate_state(3, np.uint64)
        self._learner.weight[:] = self._first_weights
        self._learner.tally[:] = 0.0
        self._warm = no_warm_starts(self._start_voltage())
        self._clock, self._sequence = 0.0, 0
        with log_compilation("the kernels of networks that learn", learning.set_weights):
            learning.set_weights(self._law, self._learner)

    def advance(self, stimulus: Stimulus) -> Response:
        """Apply a stimulus that is within the limits.

        Returns
        -------
        Response
            Signal of shape (steps, samples, nodes + sources): voltages, then source currents.

        Raises
        ------
        NoOperatingPoint
            If voltages were not found; the network is as before, and seeks the next ones from the beginning.
        """
        intervals = self._info.samples(stimulus.step)
        signal = np.empty((len(stimulus.drive), intervals, len(self._info.outputs)))
        learner, rows = self._learner, signal.reshape(-1, signal.shape[2])
        weights, random, energy = learner.weight.copy(), learner.random.copy(), self.energy
        rate = float(learner.rule[2])
        self._warm = self._warm.with_room(len(stimulus.drive))
        try:
            with log_compilation("the kernels of networks that learn", learning.advance):
                done = learning.advance(
                    self._plan, self._law, learner, stimulus.drive, self._graph.rail_voltages, intervals, rate,
                    self._warm, self._tolerance, self._work, rows,
                )  # fmt: skip
        finally:
            learner.rule[2] = rate
        if done < len(rows):
            learner.weight[:], learner.random[:], learner.tally[0] = weights, random, energy
            learning.set_weights(self._law, learner)
            self._warm = no_warm_starts(self._start_voltage())
            raise _not_found(f"step {done // intervals} of a stimulus", float(learner.tally[2]))
        response = Response(signal, None, self._clock, self._sequence)
        self._clock += stimulus.duration
        self._sequence += 1
        return response

    def fit(
        self,
        X: npt.ArrayLike,
        Y: npt.ArrayLike,
        epochs: int = 100,
        *,
        rate: float | Sequence[float] = 1.0,
        shuffle: bool = True,
    ) -> ContrastiveTraining:
        """Learn samples in one compiled loop, one update each an epoch, as if they were stimuli with ``learn``.

        Parameters
        ----------
        X : array_like, shape (samples, inputs), or (samples,) for a single input
            V.
        Y : array_like, shape (samples, outputs), or (samples,) for a single output
            Labels, V.
        epochs : int
        rate : float or (float, float)
            Factor on the rate or step of the rule; or that of the first and of the last epoch, geometric in between. A
            rate that is at first too high to settle, and falls, finds better minima than a constant one.
        shuffle : bool
            Whether to present the samples in another random order in each epoch.

        Returns
        -------
        ContrastiveTraining
            Learning curve, energy and time.

        Raises
        ------
        ValueError
            If a shape is wrong, or a voltage is out of range.
        NoOperatingPoint
            If voltages were not found. The network is then as before, as it is when a training is interrupted.
        """
        inputs, labels, rates = self._course(X, Y, epochs, rate)
        usual, epochs = float(self._learner.rule[2]), len(rates)
        before, energy = self.state, self.energy
        samples = len(inputs)
        self._warm = self._warm.with_room(samples)
        order, error = np.arange(samples), np.empty(epochs)
        part = max(1, _UPDATES // samples)
        try:
            with log_compilation("the kernels of networks that learn", learning.train):
                for first in range(0, epochs, part):
                    some = error[first : first + part]
                    done = learning.train(
                        self._plan, self._law, self._learner, inputs, labels, self._graph.rail_voltages,
                        rates[first : first + part],
                        bool(shuffle), order, self._warm, self._tolerance, self._work, some,
                    )  # fmt: skip
                    if done < len(some):
                        self._refuse(before, f"epoch {first + done} of a training")
        except BaseException:
            self.restore(before)
            raise
        finally:
            self._learner.rule[2] = usual
        time = epochs * samples * self._interval
        self._clock += time
        return ContrastiveTraining(error, self.energy - energy, time)

    @classmethod
    def fit_many(
        cls,
        networks: Sequence[Self],
        X: npt.ArrayLike,
        Y: npt.ArrayLike,
        epochs: int = 100,
        *,
        rate: float | Sequence[float] = 1.0,
        shuffle: bool = True,
        return_exceptions: bool = False,
    ) -> list[ContrastiveTraining | NoOperatingPoint]:
        """Let each of many networks of one graph learn the same samples; the results are those of `fit`, to the bit.

        Small networks are trained sixteen at a time, in the lanes of vectors, if their edges are alike but for weights,
        range and levels, and their rules are of one kind. Everything else may differ: seed, weights, cut edges,
        constants of the rule, imperfections, rails. Others are trained one after the other.

        Parameters
        ----------
        networks : sequence of ContrastiveNetwork
        X, Y, epochs, rate, shuffle
            See `fit`.
        return_exceptions : bool
            Whether the result has the error of a network whose voltages were not found, which is then as before, while
            others learn; otherwise the first error is raised, and all networks are as before.

        Returns
        -------
        list of ContrastiveTraining
            One for each network.

        Raises
        ------
        ValueError
            If a shape is wrong, a voltage is out of range, or a network is given twice.
        NoOperatingPoint
            See ``return_exceptions``.
        """
        if len({id(network) for network in networks}) < len(networks):
            raise ValueError("a network is given twice; give copies")
        groups: dict[Any, list[int]] = {}
        for number, network in enumerate(networks):
            network._course(X, Y, epochs, rate)
            groups.setdefault(network._likeness(number), []).append(number)
        before = [network.state for network in networks]
        found: dict[int, ContrastiveTraining | NoOperatingPoint] = {}
        try:
            for numbers in groups.values():
                for first in range(0, len(numbers), LANES):
                    some = numbers[first : first + LANES]
                    together = [networks[number] for number in some]
                    found.update(zip(some, cls._fit_alike(together, X, Y, epochs, rate, shuffle), strict=True))
                    for result in [] if return_exceptions else [found[number] for number in some]:
                        if isinstance(result, NoOperatingPoint):
                            raise result
        except BaseException:
            for network, state in zip(networks, before, strict=True):
                network.restore(state)
            raise
        return [found[number] for number in range(len(networks))]

    @classmethod
    def _fit_alike(
        cls,
        networks: Sequence[Self],
        X: npt.ArrayLike,
        Y: npt.ArrayLike,
        epochs: int,
        rate: float | Sequence[float],
        shuffle: bool,
    ) -> list[ContrastiveTraining | NoOperatingPoint]:
        """Train up to sixteen networks that are alike."""
        results: list[ContrastiveTraining | NoOperatingPoint] = []
        if len(networks) < _FEW:
            for network in networks:
                try:
                    results.append(network.fit(X, Y, epochs, rate=rate, shuffle=shuffle))
                except NoOperatingPoint as failure:
                    results.append(failure)
            return results
        members = []
        for network in networks:
            inputs, labels, rates = network._course(X, Y, epochs, rate)
            rails = network._graph.rail_voltages
            members.append(Member(network._plan, network._law, network._learner, rails, network._warm, rates))
        together = TrainingGroup(members, inputs, labels, networks[0]._tolerance)
        with log_compilation("the kernel of networks that learn together", train_lanes):
            error = together.learn(shuffle)
        for lane, network in enumerate(networks):
            if together.failed[lane] >= 0:
                results.append(_not_found(f"epoch {together.failed[lane]} of a training", together.left(lane)))
                continue
            energy = network.energy
            network._warm = together.put_back(lane)
            time = error.shape[0] * len(inputs) * network._interval
            network._clock += time
            results.append(ContrastiveTraining(error[:, lane].copy(), network.energy - energy, time))
        return results

    def _likeness(self, number: int) -> Any:
        """Return what networks must have in common to be trained together; for a large one only its own number."""
        if len(self._plan.column):
            return number
        return likeness(self._plan, self._law, self._learner), self._tolerance

    def _course(
        self, X: npt.ArrayLike, Y: npt.ArrayLike, epochs: int, rate: float | Sequence[float]
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Check samples, labels and the course of the rate; return them, the last for each epoch."""
        inputs, labels = self._samples("X", X), self._samples("Y", Y)
        if len(inputs) != len(labels):
            raise ValueError(f"X has {len(inputs)} samples and Y {len(labels)}; give a label for each")
        epochs = convert_value("epochs", epochs, int)
        if epochs < 0:
            raise ValueError(f"epochs is {epochs}; give 0 or more")
        ends = [float(each) for each in rate] if isinstance(rate, Sequence) else 2 * [float(rate)]
        if len(ends) != 2 or not all(0 < each < math.inf for each in ends):
            raise ValueError(f"rate is {rate}; give a factor above 0, or two: in the first and in the last epoch")
        return inputs, labels, float(self._learner.rule[2]) * np.geomspace(ends[0], ends[1], epochs)

    def predict(self, X: npt.ArrayLike) -> FloatArray:
        """Return the outputs in the free state, shape (samples, outputs), V, without noise; nothing changes.

        Parameters
        ----------
        X : array_like, shape (samples, inputs), or (samples,) for a single input
            V.

        Raises
        ------
        ValueError
            If the shape is wrong, or a voltage is out of range.
        NoOperatingPoint
            If voltages were not found.
        """
        voltage = self.operating_points(X)
        plus, minus = self._graph.outputs.T
        below: FloatArray = np.where(minus == GROUND, 0.0, voltage[:, minus])
        return np.asarray(voltage[:, plus] - below)

    def operating_points(self, X: npt.ArrayLike) -> FloatArray:
        """Return the voltages of all nodes in the free state, shape (samples, nodes), V; see `predict`."""
        inputs = self._samples("X", X)
        sources = _read_only(np.column_stack((inputs, np.tile(self._graph.rail_voltages, (len(inputs), 1)))))
        found, left, begin = np.empty((len(inputs), self.node_count)), np.zeros(1), self._start_voltage()
        if len(inputs) >= 2 * LANES and not len(self._plan.column):
            plan, law = self._plan, self._law
            with log_compilation("the kernels of networks that learn", operating_points_in_lanes):
                done = operating_points_in_lanes(
                    plan._replace(direction=in_lanes(LANES * [plan.direction])),
                    plan._replace(direction=plan.direction.copy()),
                    law._replace(setting=in_lanes(LANES * [law.setting]), factor=in_lanes(LANES * [law.factor])),
                    sources, self._tolerance, make_lanes(plan, law),
                    in_lanes(LANES * [_no_memory()]), in_lanes(LANES * [begin]),
                    near_order(inputs), found, left,
                )  # fmt: skip
            if done < len(inputs):
                raise _not_found(f"sample {done}", left[0])
            return found
        with log_compilation("the kernels of networks that learn", operating_points):
            done = operating_points(
                self._plan, self._law, sources, self._tolerance, self._work, begin, found, left, _no_memory()
            )
        if done < len(inputs):
            raise _not_found(f"sample {done}", left[0])
        return np.ascontiguousarray(found[:, self._plan.place])

    def netlist(self, inputs: npt.ArrayLike, labels: npt.ArrayLike | None = None, *, opposite: bool = False) -> str:
        """Write the network with its present weights as a netlist for ngspice, whose node ``n0`` is node 0.

        Parameters
        ----------
        inputs : array_like, shape (inputs,)
            V.
        labels : array_like, shape (outputs,), optional
            V. With them it is the second state of the rule: outputs are held by sources ``vc0p``, ``vc0m``, ... near
            those of the free state, which is computed, or nudged from sources ``vl0``, ... behind resistors.
        opposite : bool
            Whether it is the state of a centred rule that is nudged away from the labels.

        Raises
        ------
        ValueError
            If the shape is wrong, or a voltage is out of range; or if ``opposite`` of a rule without such a state.
        NoOperatingPoint
            If the voltages of the free state were not found.
        """
        driven = self._samples("inputs", np.asarray(inputs, dtype=np.float64)[np.newaxis])
        kind, strength = self._learner.rule[:2]
        if opposite and (labels is None or kind != CENTRED_NUDGE):
            raise ValueError("opposite is True; give labels, and a rule that is centred")
        supervisor: list[str] = []
        if labels is not None:
            goal = self._samples("Y", np.asarray(labels, dtype=np.float64).reshape(1, -1))[0]
            if kind in (NUDGE, CENTRED_NUDGE):
                supervisor = nudges(self._graph, -strength if opposite else strength, goal)
            else:
                supervisor = clamps(self._graph, strength, goal, self.operating_points(driven)[0])
        return write_netlist(
            self._info.id, self._graph, self._edges, self._law.setting, self._law.factor,
            np.concatenate((driven[0], self._graph.rail_voltages)), supervisor,
        )  # fmt: skip

    @property
    def state(self) -> ContrastiveState:
        """Copy of the state; after `restore`, results are bit-identical."""
        learner = self._learner
        return ContrastiveState(
            learner.weight.copy(), self._law.factor.copy(), self._warm.copy(), learner.random.copy(), self.energy,
            self._clock, self._sequence,
        )  # fmt: skip

    def restore(self, state: ContrastiveState) -> None:
        """Go back to a state of this network, or of one of the same graph and edges.

        Raises
        ------
        ValueError
            If the state is of another number of edges or nodes.
        """
        if state.weights.shape != self._learner.weight.shape or state.warm.start.shape != self._warm.start.shape:
            raise ValueError(
                f"the state is of {len(state.weights)} edges and {len(state.warm.start)} nodes; this network has "
                f"{len(self.edges)} and {self.node_count}"
            )
        self._learner.weight[:], self._law.factor[:] = state.weights, state.factor
        self._learner.random[:] = state.random
        self._warm = state.warm.copy()
        self._learner.tally[0] = state.energy
        self._clock, self._sequence = state.clock, state.sequence
        learning.set_weights(self._law, self._learner)

    def copy(self) -> Self:
        """Make an independent network in the same state."""
        return copy.deepcopy(self)

    def __setstate__(self, pickled: dict[str, Any]) -> None:
        """Take what was pickled, with copies of arrays in memory that cannot be written, as of a mapped file."""
        vars(self).update({name: _writeable(value) for name, value in pickled.items()})

    def _start_voltage(self) -> FloatArray:
        """Return the voltages by place from which a first operating point is sought: the mean of the rails."""
        rails = self._graph.rail_voltages
        return np.full(self.node_count, float(rails.mean()) if rails.size else 0.0)

    def _samples(self, name: str, given: npt.ArrayLike) -> FloatArray:
        """Check an array of inputs (X, inputs) or labels (Y)."""
        array = np.asarray(given, dtype=np.float64)
        count = len(self._graph.inputs)
        channels = self._info.inputs[count:-1] if name == "Y" else self._info.inputs[:count]
        if array.ndim == 1 and len(channels) == 1:
            array = array[:, np.newaxis]
        if array.ndim != 2 or array.shape[1] != len(channels) or not len(array):
            raise ValueError(f"{name} has shape {array.shape}; give (samples, {len(channels)}), at least one sample")
        for column, channel in zip(array.T, channels, strict=True):
            wrong = np.flatnonzero(~((column >= channel.low) & (column <= channel.high)))
            if wrong.size:
                raise ValueError(
                    f"sample {wrong[0]} of {name} has {column[wrong[0]]} V on {channel.name}; allowed are "
                    f"{channel.low:g} to {channel.high:g} V: scale it, or make the network with another low or high"
                )
        return _read_only(array)

    def _refuse(self, before: ContrastiveState, where: str) -> None:
        left = float(self._learner.tally[2])
        self.restore(before)
        raise _not_found(where, left)


def _read_only(array: npt.ArrayLike) -> FloatArray:
    """Return a view that cannot be written to, as a drive is: for one type of argument kernels are compiled once."""
    view: FloatArray = np.ascontiguousarray(array, dtype=np.float64).view()
    view.flags.writeable = False
    return view


def _writeable(value: Any) -> Any:
    if isinstance(value, np.ndarray) and not value.flags.writeable:
        return value.copy()
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_writeable, value))
    if isinstance(value, Graph):
        return dataclasses.replace(value, **{name: _writeable(each) for name, each in vars(value).items()})
    return value


def _not_found(where: str, left: float) -> NoOperatingPoint:
    if left < 0:
        return NoOperatingPoint(
            f"the negative nudge in {where} has no stable state",
            "it must be weaker than the conductance of the network between the outputs",
            "give the rule a smaller beta, or centred=False",
        )
    return NoOperatingPoint(
        f"no operating point was found in {where}: currents of a node add up to {left:.3g} A",
        "Newton's method, undamped and damped, must end with changes below the tolerance",
        "give weaker nudges, a larger off_conductance or a larger tolerance",
    )


def _sizes(name: str, given: str) -> tuple[int, int]:
    first, mark, second = str(given).lower().partition("x")
    if not (mark and first.isdigit() and second.isdigit() and int(first) and int(second)):
        raise ValueError(f"{name} is {given!r}; give two whole numbers, such as '4x4'")
    return int(first), int(second)


def _seed(given: int) -> int:
    seed: int = convert_value("seed", given, int)
    if seed < 0:
        raise ValueError(f"seed is {seed}; give 0 or more")
    return seed


def _no_memory() -> FloatArray:
    return np.array([np.inf, np.inf, np.inf, 0.0])
