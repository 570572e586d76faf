"""Sixteen networks in lanes: what is planned for them, and their voltages beside those of each network alone."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inmateria.simulators import Filament, NanowireEnsemble, NanowireNetwork
from inmateria.simulators.nanowire.ensemble import Precision
from inmateria.simulators.nanowire.junction_table import FEELS, STATE
from inmateria.simulators.nanowire.lane_plan import CARRIES, in_order_of_use, lane_plan
from inmateria.simulators.nanowire.lane_tables import into_lanes, out_of_lanes
from inmateria.simulators.nanowire.solution import unpack

IntArray = npt.NDArray[np.intp]

ALLOWED = {"double": 1e-12, "mixed": 1e-9, "single": 1e-5}


def _network(wires: int, clique: int, seed: int, parallel: int = 0) -> NanowireNetwork:
    """Return a ring of wires with chords, of which some are all joined to one another, and some junctions twice."""
    rng = np.random.default_rng(seed)
    ring = np.column_stack((np.arange(wires), np.roll(np.arange(wires), -1)))
    chords = rng.integers(0, wires, (wires, 2))
    joined = rng.choice(wires, clique, replace=False)[np.column_stack(np.triu_indices(clique, 1))]
    pairs = np.concatenate((ring, chords[chords[:, 0] != chords[:, 1]], joined))
    pairs = np.concatenate((pairs, pairs[rng.choice(len(pairs), parallel)][:, ::-1]))
    return NanowireNetwork.from_junctions(wires, pairs, inputs=[0, 5], grounds=[1], model=Filament())


def _arrays(plan: npt.NDArray[np.uint32]) -> tuple[Any, ...]:
    return tuple(array.astype(np.intp) for array in unpack.py_func(plan))


@pytest.mark.parametrize("parallel", [0, 30])
def test_each_entry_is_set_once_before_it_is_used(parallel: int) -> None:
    _, plan = in_order_of_use(_network(120, 15, 3, parallel)._plan)
    _, first, _, slot, _, _, start, rows, target, *_ = _arrays(plan)
    lane = lane_plan(plan, np.zeros(len(start) - 1, dtype=bool))
    entries = len(rows)
    assert sorted(lane.opened[:entries]) == list(range(entries))
    length, unset, pair = np.diff(start), np.ones(entries, dtype=bool), 0
    conductance = np.zeros((entries, len(first) + 1), dtype=np.intp)  # which junctions each entry is made of
    for number, k in enumerate(lane.block.astype(np.intp)):
        now = slice(*lane.begin[number : number + 2])
        unset[lane.opened[:entries][now]] = False
        conductance[lane.opened[:entries][now], lane.origin[now]] += 1
        for into, junction in lane.parallel[slice(*lane.parallel_begin[number : number + 2])]:
            assert not unset[into]
            conductance[into, junction] += 1
        for column in range(k, k + lane.width[number] % CARRIES):
            pairs = length[column] * (length[column] - 1) // 2
            assert not unset[start[column] : start[column + 1]].any()
            assert not unset[target[pair : pair + pairs]].any()
            pair += pairs
    expected = np.zeros_like(conductance)
    np.add.at(expected, (slot[:, 1], slot[:, 0]), 1)
    assert (conductance[:, :-1] == expected[:, :-1]).all()
    assert pair == len(target)


def test_columns_of_a_block_have_the_same_rows_and_all_widths_occur() -> None:
    _, plan = in_order_of_use(_network(120, 26, 0)._plan)
    *_, start, rows, _ = _arrays(plan)[:9]
    lane = lane_plan(plan, np.zeros(len(start) - 1, dtype=bool))
    width = lane.width % CARRIES
    assert set(width) == {1, 2, 4}
    assert (np.cumsum(width) == np.append(lane.block[1:], len(start) - 1)).all()
    for k, w in zip(lane.block.astype(np.intp), width.astype(np.intp), strict=True):
        last = rows[start[k + w - 1] : start[k + w]]
        for i in range(w):
            own = rows[start[k + i] : start[k + i + 1]]
            assert list(own) == [*range(k + i + 1, k + w), *last]


def test_what_does_not_carry_is_connected_to_nothing_fixed() -> None:
    _, plan = in_order_of_use(_network(200, 5, 1)._plan)
    _, _, _, _, border, _, start, rows, *_ = _arrays(plan)
    n = len(start) - 1
    loaded = np.zeros(n, dtype=bool)
    loaded[7] = True
    lane = lane_plan(plan, loaded)
    reached = np.zeros(n)
    reached[border[:, 1]] = reached[7] = 1.0
    for k in range(n):
        reached[rows[start[k] : start[k + 1]]] += reached[k]
    assert set(np.flatnonzero(reached)) <= set(lane.carrying)
    assert len(lane.carrying) < n


def test_junctions_are_the_same_ones_in_another_order() -> None:
    network = _network(120, 15, 3, 30)
    order, plan = in_order_of_use(network._plan)
    before, after = _arrays(network._plan), _arrays(plan)
    for i in (1, 2):  # the ends
        assert (after[i] == before[i][order]).all()
    for i in (3, 4, 5):  # slot, border, contact
        assert (order[after[i][:, 0]] == before[i][:, 0]).all()
        assert (after[i][:, 1:] == before[i][:, 1:]).all()


@pytest.mark.parametrize("precision", ["double", "mixed", "single"])
@pytest.mark.parametrize(("clique", "parallel"), [(2, 0), (15, 40), (26, 0), (40, 10)])
def test_lanes_have_the_signals_of_each_network_alone(clique: int, parallel: int, precision: Precision) -> None:
    network = _network(150, clique, 2, parallel)
    replicas = [network.copy() for _ in range(21)]  # sixteen, and a group that is not full
    drive = 0.5 * np.random.default_rng(4).random((21, 6, 2))
    ensemble = NanowireEnsemble(replicas, precision=precision)
    signal = np.concatenate([ensemble.advance(drive[:, :3], 1e-3), ensemble.advance(drive[:, 3:], 1e-3)], axis=1)
    for number, each in enumerate(replicas):
        alone = network.copy()
        expected = alone.advance(alone.info.stimulus(drive[number], 1e-3)).signal
        np.testing.assert_allclose(signal[number], expected, rtol=0, atol=ALLOWED[precision] * abs(expected).max())
        np.testing.assert_allclose(each.conductance, alone.conductance, rtol=1e-4)


def test_factors_of_junctions_are_copied_when_they_come_and_when_they_go() -> None:
    tables = tuple(np.ones((6, 5)) for _ in range(16))
    order, lanes = np.arange(5, dtype=np.uint32)[::-1].copy(), np.zeros((6, 6 * 16))
    shaped = lanes.reshape(6, 6, 16)
    assert into_lanes(tables, order, lanes, False)
    assert (shaped[:4, :5] == 1.0).all()
    tables[3][FEELS, 4] = 2.0
    assert not into_lanes(tables, order, lanes, True)
    assert shaped[FEELS, 0, 3] == 2.0
    tables[3][FEELS, 4] = 1.0
    assert into_lanes(tables, order, lanes, False)
    assert (shaped[:4, :5] == 1.0).all()
    shaped[STATE] = np.arange(16)
    out_of_lanes(lanes, order, tables)
    assert [own[STATE, 2] for own in tables] == list(range(16))
