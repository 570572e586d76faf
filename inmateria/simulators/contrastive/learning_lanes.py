"""Trainings of sixteen networks of one graph at once, in the lanes of vectors.

Each lane is a network of its own: weights, constants of its rule, imperfections, random numbers, order of samples and
warm starts. The arithmetic is that of `learning`, from the same source, and finds the same bits.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import recompile_with
from inmateria.simulators.contrastive.lanes import ALIVE, LEFT, Lanes, find_lanes, in_lanes, make_lanes, wide
from inmateria.simulators.contrastive.learning import (
    ORDER,
    UPDATE,
    Learner,
    apply_weights,
    change_weights,
    clamp,
    forget,
    normal,
    read_drops,
    uniform,
)
from inmateria.simulators.contrastive.operating_point import FREE, NO, Floats, Law, heat, inner, linearise, outer
from inmateria.simulators.contrastive.plan import Plan
from inmateria.simulators.contrastive.rules import CENTRED_NUDGE, NUDGE, STRAIN
from inmateria.simulators.contrastive.warm_starts import WarmStarts, cell_of
from inmateria.simulators.numbers_or_lanes import fused, get, put, where_above
from inmateria.simulators.vector_lanes import LANES

Whole = npt.NDArray[np.int64]


_UPDATES = 2_000
"""Updates of all lanes between two looks for an interruption."""


class Member(NamedTuple):
    """One network, as it is trained.

    Parameters
    ----------
    plan : Plan
    law : Law
    learner : Learner
    rails : ndarray
        V.
    warm : WarmStarts
    rates : ndarray, shape (epochs,)
    """

    plan: Plan
    law: Law
    learner: Learner
    rails: Floats
    warm: WarmStarts
    rates: Floats


class Kept(NamedTuple):
    """Warm starts of all lanes: for each cell of the table that a sample has, what is kept there.

    Parameters
    ----------
    free, shift : ndarray, shape (cells, 16, nodes)
    memory : ndarray, shape (cells, 16, 4)
    owner : ndarray, shape (cells, 16)
        Number of the inputs that are kept, or -1.
    cell, number : ndarray, shape (samples,)
        Cell of each sample among those used; number of its inputs, the same for equal inputs.
    start : ndarray, shape (16, nodes)
    """

    free: Floats
    shift: Floats
    memory: Floats
    owner: Whole
    cell: Whole
    number: Whole
    start: Floats


def likeness(plan: Plan, law: Law, learner: Learner) -> Any:
    """Return what networks must have in common to be trained together."""
    parts = (*plan._replace(direction=np.empty(0)), law.constants)
    same = tuple(part.tobytes() if isinstance(part, np.ndarray) else part for part in parts)
    return same, law.kind, float(learner.rule[0]), float(learner.limits[4])


class TrainingGroup:
    """Sixteen networks or fewer, of one graph, law and kind of rule, that are trained together.

    Parameters
    ----------
    members : list of Member
    inputs, labels : ndarray, shape (samples, inputs), (samples, outputs)
        V.
    tolerance : float
        V.
    """

    def __init__(self, members: list[Member], inputs: Floats, labels: Floats, tolerance: float) -> None:
        self.members, self.inputs, self.labels, self._tolerance = members, inputs, labels, tolerance
        all_ = members + (LANES - len(members)) * [members[-1]]  # the others learn the same as the last, for nothing
        plan, law = members[0].plan, members[0].law
        self._plan = plan._replace(direction=in_lanes([m.plan.direction for m in all_]))
        self._single = plan._replace(direction=plan.direction.copy())
        self._law = law._replace(
            setting=in_lanes([m.law.setting for m in all_]), factor=in_lanes([m.law.factor for m in all_])
        )
        names = ("rule", "limits", "weight", "bias", "contrast", "shock", "held")
        wide_: list[Any] = [in_lanes([getattr(m.learner, name) for m in all_]) for name in names]
        wide_ += [np.stack([m.learner.random for m in all_]), in_lanes([m.learner.tally for m in all_])]
        self._learner = Learner(*wide_)
        self._rails = in_lanes([m.rails for m in all_])
        self._rates = np.ascontiguousarray(np.stack([m.rates for m in all_], axis=-1))
        self._lanes = make_lanes(plan, law)
        self._kept = self._take_warm_starts([m.warm for m in all_])
        self._voltage, self._moved, self._memory = wide(len(plan.place)), wide(len(plan.place)), wide(4)
        self._label, self._room, self._total = wide(labels.shape[1]), wide(3), wide(1)
        self._order = np.tile(np.arange(len(inputs)), (LANES, 1))
        self.failed = np.full(LANES, -1, dtype=np.int64)
        """Epoch in which no operating point was found, or -1."""

    def _take_warm_starts(self, tables: list[WarmStarts]) -> Kept:
        cells = np.array([cell_of(tables[0], row) for row in self.inputs])
        self._cells, cell = np.unique(cells, return_inverse=True)
        _, number = np.unique(self.inputs, axis=0, return_inverse=True)
        nodes, n = len(tables[0].start), len(self._single.start) - 1
        count = len(self._cells)
        kept = Kept(
            np.zeros((count, LANES, nodes)), np.zeros((count, LANES, nodes)), np.zeros((count, LANES, 4)),
            np.full((count, LANES), -1, dtype=np.int64), cell.astype(np.int64), number.reshape(-1).astype(np.int64),
            np.stack([table.start for table in tables]),
        )  # fmt: skip
        known = {row.tobytes(): int(number) for row, number in zip(self.inputs, kept.number, strict=True)}
        for lane, table in enumerate(tables):
            for position, cell_number in enumerate(self._cells):
                row = int(table.cells[cell_number])
                if row >= 0:
                    kept.free[position, lane], kept.shift[position, lane] = table.free[row], table.shift[row]
                    kept.memory[position, lane] = table.memory[row]
                    there = table.free[row, n : n + self.inputs.shape[1]]
                    kept.owner[position, lane] = known.get(there.tobytes(), -1)
        return kept

    def learn(self, shuffle: bool) -> Floats:
        """Learn all epochs; return the error of each, shape (epochs, 16), V."""
        learner, samples = self._learner, len(self.inputs)
        limits = learner.limits
        which = (
            bool((limits[6] > 0).any()), bool((learner.rule[3] < 1).any()), bool((limits[2] > 0).any()),
            bool(((limits[2] > 0) & (limits[3] > 0)).any()), bool((limits[4] > 0).any()), bool((limits[5] < 1).any()),
            bool(shuffle),
        )  # fmt: skip
        error, part = np.empty(self._rates.shape), max(1, _UPDATES // samples)
        for first in range(0, len(error), part):
            train_lanes(
                self._plan, self._single, self._law, learner, self.inputs, self.labels, self._rails,
                self._rates[first : first + part], int(learner.rule[0, 0]), which, self._order, self._kept,
                self._voltage, self._moved, self._memory, self._label, self._room, self._total, self._tolerance,
                self._lanes, first, self.failed, error[first : first + part],
            )  # fmt: skip
        return error

    def left(self, lane: int) -> float:
        """Return the imbalance where a lane failed, A, or -1."""
        return float(self._learner.tally[2, lane])

    def put_back(self, lane: int) -> WarmStarts:
        """Put what a lane learned into its network; return its warm starts."""
        _, law, learner, _, warm, _ = self.members[lane]
        law.setting[:], learner.weight[:] = self._law.setting[:, lane], self._learner.weight[:, lane]
        learner.random[:], learner.tally[:] = self._learner.random[lane], self._learner.tally[:, lane]
        warm = warm.with_room(len(self._cells))
        for position, cell in enumerate(self._cells):
            row = int(warm.cells[cell])
            if row < 0:
                row = int(warm.used[0])
                warm.used[0], warm.cells[cell] = row + 1, row
            warm.free[row], warm.shift[row] = self._kept.free[position, lane], self._kept.shift[position, lane]
            warm.memory[row] = self._kept.memory[position, lane]
        return warm


@outer
def train_lanes(
    plan: Plan,
    single: Plan,
    law: Law,
    learner: Learner,
    inputs: Floats,
    labels: Floats,
    rails: Floats,
    rates: Floats,
    kind: int,
    which: tuple[bool, bool, bool, bool, bool, bool, bool],
    order: Whole,
    kept: Kept,
    voltage: Floats,
    moved: Floats,
    memory: Floats,
    label: Floats,
    room: Floats,
    total: Floats,
    tolerance: float,
    lanes: Lanes,
    first_epoch: int,
    failed: Whole,
    error: Floats,
) -> None:
    """Learn all samples, epoch after epoch, in each lane as `learning.train` does.

    Parameters
    ----------
    rates : ndarray, shape (epochs, 16)
    kind : int
        Kind of the rule.
    which : tuple of bool
        Whether any lane has noise, updates in part, levels, levels that lose remainders; whether weights are
        resistances; whether any leaks; whether orders are shuffled.
    order : ndarray, shape (16, samples)
    room : ndarray, shape (3, 16)
        Scratch.
    failed : ndarray, shape (16,)
        Epoch in which a lane failed, or -1; it rests from then on.
    error : ndarray, shape (epochs, 16)
    """
    noisy, partial, levels, lost, resistance, leaks, shuffle = which
    n, nodes, outputs, samples = len(plan.start) - 1, len(plan.place), len(plan.plus), inputs.shape[0]
    work, held, state, limits = lanes.work, learner.held, lanes.state, learner.limits
    nudge, near, none = room[0:1], room[1:2], room[2:3]
    put(none, 0, 0.0)
    for epoch in range(len(rates)):
        for lane in range(LANES):
            learner.rule[2, lane] = rates[epoch, lane]
            state[ALIVE, lane] = 1.0 if failed[lane] < 0 else 0.0
            if shuffle:
                row = order[lane]
                for i in range(samples - 1):
                    j = i + int(uniform(learner.random[lane], ORDER) * (samples - i))
                    row[i], row[j] = row[j], row[i]
        put(total, 0, 0.0)
        for t in range(samples):
            for lane in range(LANES):
                s = order[lane, t]
                c = kept.cell[s]
                known = kept.owner[c, lane] == kept.number[s]
                kept.owner[c, lane] = kept.number[s]
                for k in range(n):
                    voltage[k, lane] = kept.free[c, lane, k] if known else kept.start[lane, k]
                    moved[k, lane] = kept.shift[c, lane, k] if known else 0.0
                for i in range(inputs.shape[1]):
                    voltage[n + i, lane] = inputs[s, i]
                for i in range(4):
                    memory[i, lane] = kept.memory[c, lane, i] if known else (math.inf if i < 3 else 0.0)
                for o in range(outputs):
                    label[o, lane] = labels[s, o]
            for i in range(rails.shape[0]):
                put(voltage, n + inputs.shape[1] + i, get(rails, i))
            find_lanes(plan, single, law, n, NO, none, label, voltage, tolerance, lanes, memory, FREE, none, NO)
            mark(learner, state, failed, first_epoch + epoch)
            linearise(plan, work)
            put(learner.tally, 0, fused(heat(plan, voltage, work), get(limits, 7), get(learner.tally, 0)))
            for o in range(outputs):
                plus, minus = plan.plus[o], plan.minus[o]
                value = get(voltage, plus)
                if plus != minus:
                    value = value - get(voltage, minus)
                wrong = get(label, o) - value
                put(total, 0, fused(wrong, wrong, get(total, 0)))
            for k in range(n):
                put(held, k, get(voltage, k) + get(moved, k))
            for k in range(n, nodes):
                put(held, k, get(voltage, k))
            for j in range(len(plan.first)):
                put(learner.contrast, j, 0.0)
            # The second state and the update: as in `learning.learn`.
            put(near, 0, 0.0)
            put(nudge, 0, 0.0)
            centred = kind == CENTRED_NUDGE
            clamped = not centred and kind != NUDGE
            if kind != STRAIN and not centred:
                draw_normals(learner, noisy)
                read_drops(plan, law, learner, voltage, 1.0, noisy)
            if clamped:
                for o in range(outputs):
                    if noisy:
                        for lane in range(LANES):
                            if limits[6, lane] > 0.0:
                                random = learner.random[lane]
                                learner.shock[0, lane] = normal(random, UPDATE)
                                learner.shock[1, lane] = learner.shock[0, lane]
                                if plan.plus[o] != plan.minus[o]:
                                    learner.shock[1, lane] = normal(random, UPDATE)
                    away, last = clamp(plan, learner, voltage, label, o, noisy), get(near, 0)
                    put(near, 0, where_above(away, last, away, last))
                last = get(near, 0)
                put(near, 0, where_above(last, 1e-12, last, 1e-12))
            for turn in range(2 if centred else 1):
                if not clamped:
                    put(nudge, 0, 0.0 - get(learner.rule, 1) if centred and turn == 0 else get(learner.rule, 1))
                find_lanes(
                    plan, single, law, plan.hidden if clamped else n, not clamped, nudge, label, held, tolerance, lanes,
                    memory, 1 + turn, near, clamped,
                )  # fmt: skip
                mark(learner, state, failed, first_epoch + epoch)
                if centred and turn == 0:
                    draw_normals(learner, noisy)
                    read_drops(plan, law, learner, held, 1.0, noisy)
            draw_normals(learner, noisy)
            read_drops(plan, law, learner, held, -1.0, noisy)
            linearise(plan, work)
            put(learner.tally, 0, fused(heat(plan, held, work), get(limits, 7), get(learner.tally, 0)))
            if partial:
                for lane in range(LANES):
                    for j in range(len(learner.shock)):
                        learner.shock[j, lane] = 0.0
                        if learner.rule[3, lane] < 1.0:
                            learner.shock[j, lane] = uniform(learner.random[lane], UPDATE)
            change_weights(learner, kind, lost, resistance, partial)
            if leaks:
                forget(learner)
            apply_weights(law, learner, levels, resistance)
            for lane in range(LANES):
                c = kept.cell[order[lane, t]]
                for k in range(n):
                    kept.free[c, lane, k] = voltage[k, lane]
                    kept.shift[c, lane, k] = held[k, lane] - voltage[k, lane]
                for k in range(n, nodes):
                    kept.free[c, lane, k] = voltage[k, lane]
                memory[3, lane] += 1.0
                for i in range(4):
                    kept.memory[c, lane, i] = memory[i, lane]
        for lane in range(LANES):
            error[epoch, lane] = math.sqrt(total[0, lane] / (samples * outputs))


@inner
def mark(learner: Learner, state: Floats, failed: Whole, epoch: int) -> None:
    """Let lanes rest that found no operating point."""
    for lane in range(LANES):
        if state[ALIVE, lane] > 0.0 and state[LEFT, lane] != 0.0:
            state[ALIVE, lane] = 0.0
            failed[lane] = epoch
            learner.tally[2, lane] = state[LEFT, lane]


@inner
def draw_normals(learner: Learner, noisy: bool) -> None:
    """Draw a standard normal number for each edge of each lane with noise."""
    if noisy:
        for lane in range(LANES):
            if learner.limits[6, lane] > 0.0:
                random = learner.random[lane]
                for j in range(learner.contrast.shape[0]):
                    learner.shock[j, lane] = normal(random, UPDATE)


recompile_with(
    train_lanes,
    *(
        f"inmateria.simulators.{name}"
        for name in (
            "contrastive.edges", "contrastive.operating_point", "contrastive.plan", "contrastive.lanes",
            "contrastive.learning", "contrastive.rules", "contrastive.warm_starts", "numbers_or_lanes", "vector_lanes",
            "sparse_ldl.unsymmetric",
        )
    ),
)  # fmt: skip
