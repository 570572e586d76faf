"""Sparse factors of resistor networks against dense and scipy's solutions and exact fractions; their memory."""

import itertools
import tracemalloc
from fractions import Fraction

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu, spsolve

from inmateria.simulators.sparse_ldl import analyse, factor_both_into, factorise, solve_both_into
from inmateria.simulators.sparse_ldl.ordering import approximate_minimum_degree
from inmateria.simulators.sparse_ldl.symbolic import order_of


def laplacian(nodes, edges, conductance, to_ground):
    """Nodal matrix, by scipy alone."""
    a, b = np.asarray(edges, dtype=int).reshape(-1, 2).T
    diagonal = np.arange(nodes)
    return coo_array(
        (
            np.concatenate((-conductance, -conductance, conductance, conductance, to_ground)),
            (np.concatenate((a, b, a, b, diagonal)), np.concatenate((b, a, a, b, diagonal))),
        ),
        shape=(nodes, nodes),
    ).tocsc()


def connected(nodes, extra, seed):
    """Edges of a random tree and some more, parallel ones among them."""
    rng = np.random.default_rng(seed)
    tree = [(int(rng.integers(0, i)), i) for i in range(1, nodes)]
    more = [tuple(pair) for pair in rng.integers(0, nodes, (extra, 2)).tolist() if pair[0] != pair[1]]
    return np.array(tree + more, dtype=int).reshape(-1, 2)


def cube(side):
    """Edges of a three-dimensional lattice."""
    number = np.arange(side**3).reshape(side, side, side)
    pairs = [(number[:-1], number[1:]), (number[:, :-1], number[:, 1:]), (number[:, :, :-1], number[:, :, 1:])]
    return np.concatenate([np.column_stack((a.ravel(), b.ravel())) for a, b in pairs])


GRAPHS = {
    "degree four": lambda: (600, np.array(networkx.random_regular_graph(4, 600, seed=1).edges)),
    "cube": lambda: (343, cube(7)),
    "complete": lambda: (90, np.array(list(itertools.combinations(range(90), 2)))),
    "star": lambda: (200, np.column_stack((np.zeros(199, dtype=int), np.arange(1, 200)))),
    "chain": lambda: (300, np.column_stack((np.arange(299), np.arange(1, 300)))),
    "parts": lambda: (40, np.array([(i, i + 1) for i in range(39) if i % 8 != 7])),
    "no edges": lambda: (5, np.empty((0, 2), dtype=int)),
    "one node": lambda: (1, np.empty((0, 2), dtype=int)),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_every_kind_of_graph_is_solved_as_scipy_does(name):
    nodes, edges = GRAPHS[name]()
    rng = np.random.default_rng(0)
    conductance = 10 ** rng.uniform(-2, 0, len(edges))
    to_ground = np.where(rng.random(nodes) < 0.1, 0.5, 0.0) if name not in ("parts", "no edges", "one node") else (
        rng.uniform(0.1, 1, nodes)
    )  # fmt: skip
    to_ground[0] = 1.0
    current = rng.normal(size=(nodes, 3))
    voltage = factorise(analyse(nodes, edges), conductance, to_ground).solve(current)
    expected = splu(laplacian(nodes, edges, conductance, to_ground)).solve(current)
    assert voltage.shape == (nodes, 3)
    np.testing.assert_allclose(voltage, expected, rtol=0, atol=1e-11 * abs(expected).max())
    one = factorise(analyse(nodes, edges), conductance, to_ground).solve(current[:, 1])
    np.testing.assert_array_equal(one, voltage[:, 1])


@pytest.mark.parametrize("size", [2, 8, 9, 15, 16, 17, 18, 24, 25, 31, 32, 33, 63, 64, 65, 80, 129, 200])
def test_blocks_of_every_size_are_solved_as_numpy_does(size):
    """Complete graphs, alone and as two that share some nodes, so that fronts have all remainders."""
    rng = np.random.default_rng(size)
    for shared in (size, size // 2, 1):
        nodes = 2 * size - shared
        left = np.column_stack(np.triu_indices(size, 1))
        edges = np.concatenate((left, left + size - shared)) if shared < size else left
        conductance, to_ground = 10 ** rng.uniform(-2, 0, len(edges)), np.zeros(nodes)
        to_ground[rng.integers(nodes)] = 0.5
        current = rng.normal(size=nodes)
        voltage = factorise(analyse(nodes, edges), conductance, to_ground).solve(current)
        expected = np.linalg.solve(laplacian(nodes, edges, conductance, to_ground).toarray(), current)
        np.testing.assert_allclose(voltage, expected, rtol=0, atol=1e-11 * abs(expected).max())


@settings(max_examples=60, deadline=None)
@given(nodes=st.integers(1, 80), extra=st.integers(0, 300), seed=st.integers(0, 10_000), decades=st.floats(0, 3))
def test_random_graphs_are_solved_as_numpy_does(nodes, extra, seed, decades):
    edges, rng = connected(nodes, extra, seed), np.random.default_rng(seed)
    conductance, to_ground = 10 ** rng.uniform(-decades, 0, len(edges)), rng.choice([0.0, 0.1, 1.0], nodes)
    to_ground[rng.integers(nodes)] = 0.3
    current = rng.normal(size=nodes)
    voltage = factorise(analyse(nodes, edges), conductance, to_ground).solve(current)
    expected = np.linalg.solve(laplacian(nodes, edges, conductance, to_ground).toarray(), current)
    np.testing.assert_allclose(voltage, expected, rtol=0, atol=1e-9 * abs(expected).max())


@pytest.mark.parametrize("seed", range(3))
def test_weights_from_1e_12_to_1_are_solved_to_rounding(seed):
    """Where floating point loses everything to cancellation, the sums of positive numbers do not: exact fractions."""
    nodes = 30
    edges, rng = connected(nodes, 60, seed), np.random.default_rng(seed)
    conductance, to_ground = 10 ** rng.uniform(-12, 0, len(edges)), np.zeros(nodes)
    to_ground[3] = 1e-9
    current = np.zeros(nodes)
    current[-1] = 1e-9
    matrix = [[Fraction(0)] * (nodes + 1) for _ in range(nodes)]
    for (a, b), g in zip(edges.tolist(), conductance, strict=True):
        for i, j in ((a, b), (b, a)):
            matrix[i][i] += Fraction(g)
            matrix[i][j] -= Fraction(g)
    for i in range(nodes):
        matrix[i][i] += Fraction(to_ground[i])
        matrix[i][nodes] = Fraction(current[i])
    for k in range(nodes):
        for i in range(nodes):
            if i != k and matrix[i][k]:
                factor = matrix[i][k] / matrix[k][k]
                matrix[i] = [x - factor * y for x, y in zip(matrix[i], matrix[k], strict=True)]
    exact = [float(matrix[i][nodes] / matrix[i][i]) for i in range(nodes)]
    np.testing.assert_allclose(
        factorise(analyse(nodes, edges), conductance, to_ground).solve(current), exact, rtol=1e-13
    )


@settings(max_examples=40, deadline=None)
@given(nodes=st.integers(1, 60), extra=st.integers(0, 120), seed=st.integers(0, 10_000))
def test_tree_and_counts_are_those_of_a_dense_symbolic_elimination(nodes, extra, seed):
    edges = connected(nodes, extra, seed)
    place, _, _, parent, count = order_of(nodes, edges)
    assert sorted(place.tolist()) == list(range(nodes))
    full = np.zeros((nodes, nodes), dtype=bool)
    full[place[edges[:, 0]], place[edges[:, 1]]] = full[place[edges[:, 1]], place[edges[:, 0]]] = True
    for k in range(nodes):
        later = np.flatnonzero(full[k, k + 1 :]) + k + 1
        assert count[k] == len(later)
        assert parent[k] == (later[0] if len(later) else -1)
        full[np.ix_(later, later)] = True


def test_the_order_fills_no_more_than_that_of_superlu():
    """Beside its multiple minimum degree, which is exact; and a tree is not filled at all."""
    for nodes, edges in (
        GRAPHS["degree four"](),
        (1000, cube(10)),
        (900, np.array(networkx.grid_2d_graph(30, 30).edges)),
    ):
        if edges.ndim == 3:
            edges = edges[..., 0] * 30 + edges[..., 1]
        count = order_of(nodes, edges).column_counts
        matrix = laplacian(nodes, edges, np.ones(len(edges)), np.ones(nodes))
        theirs = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
        assert count.sum() < 1.1 * (theirs.L.nnz - nodes)
    tree = connected(500, 0, 1)
    assert order_of(500, tree).column_counts.sum() == 499
    assert sorted(approximate_minimum_degree(500, tree)) == list(range(500))


def test_memory_grows_with_the_factor_and_its_largest_fronts_not_with_its_multiplications():
    nodes = 2000
    edges = np.array(networkx.random_regular_graph(4, nodes, seed=2).edges)
    analyse(nodes, edges)  # compiled before anything is measured
    tracemalloc.start()
    symbolic = analyse(nodes, edges)
    factor = factorise(symbolic, np.ones(len(edges)), np.ones(nodes))
    factor.solve(np.ones(nodes))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    entries = int(order_of(nodes, edges).column_counts.sum())
    assert symbolic.values < 1.35 * entries
    largest = int(np.diff(symbolic.begin.astype(int)).max())
    assert peak < 12 * 1.35 * entries + 2000 * nodes + 8 * 2.5 * largest**2  # a child's and its parent's
    plan = sum(array.nbytes for array in symbolic)
    assert plan < 4 * entries


def test_a_large_sparse_factor_agrees_with_spsolve():
    nodes, edges = 20**3, cube(20)
    rng = np.random.default_rng(3)
    conductance, to_ground = rng.uniform(0.1, 1, len(edges)), np.zeros(nodes)
    to_ground[:400] = 1.0
    current = np.zeros(nodes)
    current[-400:] = 1e-3
    voltage = factorise(analyse(nodes, edges), conductance, to_ground).solve(current)
    expected = spsolve(laplacian(nodes, edges, conductance, to_ground), current, permc_spec="MMD_AT_PLUS_A")
    np.testing.assert_allclose(voltage, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"edges": [(0, 3)]}, "there are 0 to 2"),
        ({"edges": [(0, 1), (2, 2)]}, "edge 1 joins node 2 to itself"),
        ({"conductance": [1.0]}, "give 2 numbers"),
        ({"conductance": [1.0, -1.0]}, "negative or not finite"),
        ({"to_ground": [0.0, np.nan, 1.0]}, "negative or not finite"),
        ({"to_ground": [0.0, 0.0, 0.0]}, "no way to the ground"),
        ({"current": [1.0]}, "give one to each of 3 nodes"),
    ],
)
def test_wrong_graphs_weights_and_currents_are_refused(change, message):
    usual = {"edges": [(0, 1), (1, 2)], "conductance": [1.0, 2.0], "to_ground": [1.0, 0.0, 0.0], "current": np.ones(3)}
    given = usual | change
    with pytest.raises(ValueError, match=message):
        factorise(analyse(3, given["edges"]), given["conductance"], given["to_ground"]).solve(given["current"])


@settings(max_examples=40, deadline=None)
@given(nodes=st.integers(2, 120), extra=st.integers(0, 300), seed=st.integers(0, 10_000), decades=st.integers(0, 8))
def test_a_matrix_that_is_not_symmetric_is_solved_also_for_the_first_places_alone(nodes, extra, seed, decades):
    edges = connected(nodes, extra, seed)
    rng = np.random.default_rng(seed)
    symbolic = analyse(nodes, edges)
    low, high = np.sort(symbolic.place.astype(int)[edges], axis=1).T
    flow, back = 10.0 ** rng.uniform(-decades, 0, (2, len(edges)))
    loss = np.zeros(nodes)
    loss[rng.integers(nodes)] = 1.0
    up, down = np.zeros(symbolic.values), np.zeros(symbolic.values)
    np.add.at(up, symbolic.slot, flow)
    np.add.at(down, symbolic.slot, back)
    up[symbolic.grounded] = loss
    matrix = np.diag(loss)
    np.add.at(matrix, (high, low), -flow)
    np.add.at(matrix, (low, low), flow)
    np.add.at(matrix, (low, high), -back)
    np.add.at(matrix, (high, high), back)
    inverse, room, marks = np.empty(nodes), np.empty(symbolic.room), np.empty(symbolic.marks, dtype=np.uint32)
    planned = symbolic.column, symbolic.begin, symbolic.rows, symbolic.value
    factor_both_into(*planned, up, down, inverse, room, marks)
    wanted = rng.uniform(1, 2, nodes)
    for active in (nodes, int(rng.integers(1, nodes))):
        found = matrix[:active, :active] @ wanted[:active]
        found = np.append(found, np.ones(nodes - active))
        scale = np.abs(np.linalg.inv(matrix[:active, :active])) @ (np.abs(matrix[:active, :active]) @ wanted[:active])
        solve_both_into(*planned, up, down, inverse, room, active, found)
        assert (np.abs(found[:active] - wanted[:active]) <= 1e-12 * scale).all()
        assert (found[active:] == 0).all()
