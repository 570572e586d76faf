"""How fast the simulated nanowire network is beside what people use, on the same network, drive and answers.

The plain step builds the sparse nodal matrix, calls scipy's spsolve and updates all junctions with numpy; the
dense step does the same with numpy.linalg.solve; mnns, where it is installed, solves the static network. Graphs that
fill in are solved beside scipy's splu, and PARDISO where pypardiso is installed; and steps in which no junction changes
beside the same ones eliminated anew.

    python benchmarks/nanowire.py [--json] [--quick]
"""

import argparse
import json
import platform
import time
import warnings
from collections.abc import Callable
from typing import Any

import networkx  # type: ignore[import-untyped,unused-ignore]
import numpy as np
import numpy.typing as npt
from machine_peak import measured_peak
from scipy.sparse import csc_array, diags_array, triu
from scipy.sparse.linalg import splu, spsolve
from threadpoolctl import threadpool_limits

from inmateria.simulators import CoarseStepWarning, LinearDrift, NanowireEnsemble, NanowireNetwork, RandomWires
from inmateria.simulators.nanowire.solution import unpack
from inmateria.simulators.vector_lanes import LANES

Floats = npt.NDArray[np.float64]

GOALS = {100: 100, 500: 60, 2000: 30}


class PlainNetwork:
    """The usual program: assemble, solve, update, in numpy and scipy."""

    def __init__(self, network: NanowireNetwork, dense: bool) -> None:
        self.dense = dense
        self.first, self.second = network.junctions.T
        self.fixed = np.concatenate((network.input_nodes, network.ground_nodes))
        self.inputs = len(network.input_nodes)
        self.wires = network.wire_count
        self.free = np.setdiff1d(np.arange(self.wires), self.fixed)
        self.filament = np.zeros(len(self.first))

    def step(self, driven: Floats, duration: float) -> Floats:
        """Give the node voltages, then let the junctions evolve."""
        gap = 5 * np.maximum(1 - abs(self.filament) / 0.01, 0)
        tunnel = 2 / 0.17 * gap / np.sqrt(0.81) * np.exp(10.19 * 0.81**2 * gap) / 4.71307e-5
        g = 1 / (tunnel + 1 / 7.77e-5) + 7.77e-8
        a, b = self.first, self.second
        voltage = np.zeros(self.wires)
        voltage[self.fixed[: self.inputs]] = driven
        if self.dense:
            matrix = np.zeros((self.wires, self.wires))
            matrix[a, b] = matrix[b, a] = -g
            np.fill_diagonal(matrix, -matrix.sum(axis=1))
            current = -matrix[np.ix_(self.free, self.fixed)] @ voltage[self.fixed]
            voltage[self.free] = np.linalg.solve(matrix[np.ix_(self.free, self.free)], current)
        else:
            rows, columns = np.concatenate((a, b, a, b)), np.concatenate((b, a, a, b))
            sparse = csc_array((np.concatenate((-g, -g, g, g)), (rows, columns)), shape=(self.wires, self.wires))
            lines = sparse[self.free]
            current = -(lines[:, self.fixed] @ voltage[self.fixed])
            voltage[self.free] = spsolve(lines[:, self.free], current)
        drop = voltage[a] - voltage[b]
        size = abs(drop)
        x = self.filament + np.sign(drop) * np.maximum(size - 0.01, 0) * duration
        x = np.sign(x) * np.maximum(abs(x) - 10 * np.maximum(0.005 - size, 0) * duration, 0)
        self.filament = np.clip(x, -0.015, 0.015)
        return voltage


def fastest(work: Callable[[], object], repeats: int) -> float:
    """Processor time of the quickest of a few runs, s: what others do on the machine meanwhile counts little."""
    best = float("inf")
    for _ in range(repeats):
        begin = time.thread_time()
        work()
        best = min(best, time.thread_time() - begin)
    return best


def work_of_a_step(network: NanowireNetwork, drive: Floats) -> tuple[float, float]:
    """Count what an ensemble does for one step of one network: operations on float64, and bytes loaded and stored.

    A multiply-add counts as two. Pairs of links are counted as the kernel does them, four columns at a time where
    four share their rows; junctions as the drive changes them.
    """
    start, rows = unpack(network._plan)[6:8]
    count = np.diff(start.astype(np.int64))
    first = np.array([rows[start[k]] if count[k] else -1 for k in range(len(count))], dtype=np.int64)
    follows = np.r_[(first[:-1] == np.arange(1, len(count))) & (count[:-1] == count[1:] + 1), False]
    single = blocked = k = 0
    while k < len(count):
        wide = bool(follows[k : k + 3].all()) and k + 3 < len(count)
        m = int(count[k + 3]) if wide else int(count[k])
        if wide:
            blocked += 4 * m * (m - 1) // 2 + 6 * m
        else:
            single += m * (m - 1) // 2
        k += 4 if wide else 1
    entries, nodes, junctions = len(rows), len(count), len(network.junctions)
    few = drive[: max(2, 1_000_000 // junctions)]
    states = network.copy().simulate(few, 1e-3, record="filaments").filaments
    assert states is not None
    moved = float((np.diff(states, axis=0) != 0).mean())
    flops = 2 * (single + blocked) + 8 * entries + 6 * nodes + (12 + 34 * moved) * junctions
    traffic = 8 * (3 * single + 1.5 * blocked + 10 * entries + 12 * nodes + (4 + moved) * junctions)
    return flops, traffic


def measure(wires: int, quick: bool) -> dict[str, Any]:
    """Compare everything on one size of network."""
    begin = time.perf_counter()
    network = NanowireNetwork(wires=wires, seed=42, electrodes=9, inputs=8)
    setup = time.perf_counter() - begin
    # Slow enough to be ordered: answers can be compared step by step.
    steps = max(20, 100_000 // wires)
    time_of = np.arange(steps) * 1e-3
    drive = 1.5 * np.sin(2 * np.pi * 0.1 * time_of[:, None] + np.arange(8)) + 1.0
    repeats = 2 if quick else 5
    row: dict[str, Any] = {"wires": wires, "junctions": len(network.junctions), "setup_s": setup}

    compared = min(steps, 20)
    ours = np.asarray(network.copy().simulate(drive[:compared], 1e-3, record="voltages").voltages)
    peers = {"plain": False, "dense": True} if wires <= 2000 else {}
    for name, dense in peers.items():
        few = compared if not (dense and wires > 500) else 3
        plain = PlainNetwork(network, dense)
        theirs = np.array([plain.step(drive[t], 1e-3) for t in range(few)])
        difference = float(abs(theirs - ours[:few]).max())
        if difference > 1e-9:
            raise SystemExit(f"{wires} wires: {name} and ours differ by {difference:.2g} V; times mean nothing")
        row[f"{name}_difference_V"] = difference

        def run(plain: PlainNetwork = plain, few: int = few) -> None:
            for t in range(few):
                plain.step(drive[t], 1e-3)

        row[f"{name}_us"] = fastest(run, repeats) / few * 1e6

    replicas = NanowireEnsemble([network.copy() for _ in range(LANES)])
    drives = np.stack([drive * scale for scale in np.linspace(0.5, 1, LANES)])
    together = replicas.advance(drives[:, :compared], 1e-3)
    single = network.copy()
    single.reset()
    alone = single.advance(single.info.stimulus(drives[0, :compared], 1e-3)).signal
    replicas.reset()
    fresh = NanowireEnsemble([single.copy() for _ in range(LANES)])
    fresh.reset()
    if abs(fresh.advance(drives[:, :compared], 1e-3)[0] - alone).max() > 1e-9:
        raise SystemExit(f"{wires} wires: the ensemble differs from its networks; times mean nothing")
    del together
    # In turn, so that both meet the same neighbours on a shared machine; the fastest run of each counts.
    stimulus = network.info.stimulus(drive, 1e-3)
    alone_s, together_s = float("inf"), float("inf")
    for _ in range(4 * repeats):
        alone_s = min(alone_s, fastest(lambda: network.advance(stimulus), 1))
        together_s = min(together_s, fastest(lambda: replicas.advance(drives, 1e-3), 1))
    row["us"], row["ensemble_us"] = alone_s / steps * 1e6, together_s / steps / LANES * 1e6
    row["ensemble_ratio"] = row["us"] / row["ensemble_us"]
    if "plain_us" in row:
        row["ratio"] = row["plain_us"] / row["us"]
        row["dense_ratio"] = row["dense_us"] / row["us"]
        row["goal"] = GOALS[wires]
    flops, traffic = work_of_a_step(network, drive)
    row["gflops"], row["ensemble_gflops"] = flops / row["us"] * 1e-3, flops / row["ensemble_us"] * 1e-3
    row["ensemble_GBs"] = traffic / row["ensemble_us"] * 1e-3
    row["ensemble_kB"] = LANES * 8 * (int(network._plan[7]) + 4 * network.wire_count + 2 * row["junctions"]) / 1024
    return row


def beside_mnns(quick: bool) -> dict[str, Any] | None:
    """Compare one right-hand side of mnns' linear drift with one step of ours; None where it is not installed."""
    try:
        import mnns  # type: ignore[import-untyped,unused-ignore]
        import networkx  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return None
    theirs = mnns.create_NWN(shape=(4.0, 4.0), density=9.0, seed=7)
    left, right = mnns.add_electrodes(theirs, "left", "right")
    part = networkx.node_connected_component(theirs, left)
    if right not in part:
        raise SystemExit("mnns drew a network that does not conduct")
    theirs.remove_nodes_from([node for node in list(theirs.nodes) if node not in part])
    number = {node: i for i, node in enumerate(sorted(theirs.nodes))}
    theirs.graph["node_indices"] = number
    theirs.resistance_function = mnns.models.resist_func
    pairs = [(number[a], number[b]) for a, b in theirs.wire_junctions]
    network = NanowireNetwork.from_junctions(
        len(number), pairs, inputs=[number[left]], grounds=[number[right]], model=LinearDrift(decay_time=0.0)
    )
    state = np.zeros(len(pairs))
    theirs.update_resistance(state)
    current = 0.1 * float(np.squeeze(mnns.solve_drain_current(theirs, left, right, 1.0)))  # its unit is 0.1 A
    mine = network.simulate([1.0], record="currents").currents
    assert mine is not None
    if abs(abs(mine[0, 1]) - abs(current)) > 1e-9 * abs(mine[0, 1]):
        raise SystemExit(f"mnns gives {current} A and ours {-mine[0, 1]} A; times mean nothing")
    drive = np.ones(2000)
    us = fastest(lambda: network.simulate(drive, record="currents"), 3) / 2000 * 1e6
    few = 3 if quick else 20

    def right_hand_side() -> None:
        for _ in range(few):
            mnns.models.HP_model(0.0, state, theirs, left, right, lambda t: 1.0, lambda x: 1.0)

    mnns_us = fastest(right_hand_side, 3) / few * 1e6
    return {"wires": len(number), "junctions": len(pairs), "us": us, "mnns_us": mnns_us, "ratio": mnns_us / us}


def dense_graphs(quick: bool) -> list[dict[str, Any]]:
    """Set up and drive graphs that fill in, beside one refactorisation by scipy's splu of the same matrix."""
    number = np.arange(20**3).reshape(20, 20, 20)
    lattice = [(number[:-1], number[1:]), (number[:, :-1], number[:, 1:]), (number[:, :, :-1], number[:, :, 1:])]
    cube = np.concatenate([np.column_stack((a.ravel(), b.ravel())) for a, b in lattice])
    graphs = {
        "random, degree four, 2000": (2000, np.array(networkx.random_regular_graph(4, 2000, seed=1).edges)),
        "random, degree four, 5000": (5000, np.array(networkx.random_regular_graph(4, 5000, seed=1).edges)),
        "cube, 20 x 20 x 20": (20**3, cube),
    }
    wires_alone = NanowireNetwork(wires=10_000, geometry=RandomWires(density=0.14))
    graphs["wires, density .14, 10000"] = (wires_alone.wire_count, wires_alone.junctions)
    NanowireNetwork.from_junctions(1000, np.array(networkx.random_regular_graph(4, 1000, seed=1).edges), [0], [1])
    rows = []
    for name, (wires, pairs) in graphs.items():
        begin = time.thread_time()
        network = NanowireNetwork.from_junctions(wires, pairs, [0], [1], outputs=[2])
        setup = time.thread_time() - begin
        a, b = network.junctions.T - 2  # both fixed wires come first, and are left out
        g = network.conductance
        inner, ends = (a >= 0) & (b >= 0), np.concatenate((a, b))
        matrix = csc_array((-g[inner], (a[inner], b[inner])), shape=(wires - 2, wires - 2))
        total = np.bincount(ends[ends >= 0], np.concatenate((g, g))[ends >= 0])
        matrix = (matrix + matrix.T + diags_array(total)).tocsc()
        voltages = network.simulate([1.0], record="voltages").voltages
        assert voltages is not None
        current = np.zeros(wires - 2)
        driven = (np.minimum(a, b) == -2) & (np.maximum(a, b) >= 0)
        np.add.at(current, np.maximum(a, b)[driven], g[driven])
        options = {"SymmetricMode": True}

        def factor(matrix: Any = matrix, options: dict[str, bool] = options) -> Any:
            return splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)

        difference = float(abs(factor().solve(current) - voltages[0, 2:]).max())
        if difference > 1e-9:
            raise SystemExit(f"{name}: ours and splu differ by {difference:.2g} V; times mean nothing")
        repeats = 2 if quick else 4
        rows.append(
            {
                "graph": name,
                "setup_s": setup,
                "MB": (network._plan.nbytes + network._nodes.nbytes) / 1e6,
                "ms": fastest(lambda network=network: network.simulate([1.0], record=()), repeats) * 1e3,  # type: ignore[misc]
                "splu_ms": fastest(factor, repeats) * 1e3,
                "pardiso_ms": pardiso_ms(matrix, current, voltages[0, 2:], repeats),
                "difference_V": difference,
            }
        )
    return rows


def pardiso_ms(matrix: Any, current: Floats, expected: Floats, repeats: int) -> float | None:
    """Processor time of one refactorisation and solution by MKL's PARDISO; None where pypardiso is not installed.

    Give MKL one thread, by MKL_NUM_THREADS=1.
    """
    try:
        from pypardiso import PyPardisoSolver  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return None
    upper, solver = triu(matrix).tocsr(), PyPardisoSolver(mtype=2)
    upper.sort_indices()
    solver.set_phase(12)
    solver._call_pardiso(upper, current[:, np.newaxis])
    solver.set_phase(23)
    found = solver._call_pardiso(upper, current[:, np.newaxis])
    if abs(np.ravel(found) - expected).max() > 1e-9:
        raise SystemExit("ours and PARDISO differ; times mean nothing")
    return fastest(lambda: solver._call_pardiso(upper, current[:, np.newaxis]), repeats) * 1e3


def still_networks(quick: bool) -> list[dict[str, Any]]:
    """Drive networks too weakly for any junction to change, with and without eliminating them at every step."""
    rows = []
    for wires, density in ((100, 0.06), (500, 0.06), (2000, 0.06), (10_000, 0.06), (10_000, 0.14)):
        network = NanowireNetwork(wires=wires, seed=42, geometry=RandomWires(density=density))
        always = network.copy()
        steps = max(10, 50_000 // wires)
        stimulus = network.info.stimulus(0.004 * np.sin(np.arange(8 * steps)).reshape(steps, 8), 1e-3)

        def eliminated(always: NanowireNetwork = always, stimulus: Any = stimulus) -> Any:
            always._nodes[-1] = 1e9  # so many steps pass before conductances are remembered
            return always.advance(stimulus).signal

        if (network.advance(stimulus).signal != eliminated()).any():
            raise SystemExit(f"{wires} wires: what is left out changes the answer; times mean nothing")
        fast, slow = float("inf"), float("inf")
        for _ in range(3 if quick else 12):  # in turn
            fast = min(fast, fastest(lambda network=network, given=stimulus: network.advance(given), 1))  # type: ignore[misc]
            slow = min(slow, fastest(eliminated, 1))
        rows.append({"wires": wires, "density": density, "us": fast / steps * 1e6, "eliminated_us": slow / steps * 1e6})
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of tables")
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", CoarseStepWarning)  # how long a step takes is measured, not what it leads to
    threadpool_limits(1)  # numpy's and scipy's threads; ours has one
    rows = [measure(wires, chosen.quick) for wires in (100, 500, 2000, 10_000)]
    mnns = beside_mnns(chosen.quick)
    dense = dense_graphs(chosen.quick)
    still = still_networks(chosen.quick)
    peak = measured_peak()
    if chosen.json:
        print(
            json.dumps(
                {
                    "benchmark": "nanowire",
                    "machine": platform.processor(),
                    "rows": rows,
                    "peak": peak,
                    "mnns": mnns,
                    "dense": dense,
                    "still": still,
                }
            )
        )
        return
    print("Microseconds a step of the network, one thread, default junctions, 8 inputs and 1 ground:\n")
    print("| wires | junctions | set-up s | plain | dense | ours | beside plain | goal | beside dense | Gflop/s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        if "ratio" in row:
            print(
                f"| {row['wires']} | {row['junctions']} | {row['setup_s']:.2f} | {row['plain_us']:.0f} "
                f"| {row['dense_us']:.0f} | {row['us']:.1f} | {row['ratio']:.0f} x | {row['goal']} x "
                f"| {row['dense_ratio']:.0f} x | {row['gflops']:.2f} |"
            )
        else:
            print(
                f"| {row['wires']} | {row['junctions']} | {row['setup_s']:.2f} | | | {row['us']:.0f} | | | "
                f"| {row['gflops']:.2f} |"
            )
    print(f"\nThis core at most, measured: {peak['gflops']:.0f} Gflop/s in registers; read and written in each cache:")
    print(", ".join(f"{name} {value:.0f}" for name, value in peak.items() if name != "gflops"))
    print(f"\n{LANES} replicas in the lanes of vectors, microseconds a network step:\n")
    print("| wires | alone | in the ensemble | ratio | steps a second | Gflop/s | of peak | GB/s | working set, kB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        print(
            f"| {row['wires']} | {row['us']:.1f} | {row['ensemble_us']:.2f} | {row['ensemble_ratio']:.1f} x "
            f"| {1e6 / row['ensemble_us']:,.0f} | {row['ensemble_gflops']:.1f} "
            f"| {row['ensemble_gflops'] / peak['gflops']:.0%} | {row['ensemble_GBs']:.0f} | {row['ensemble_kB']:,.0f} |"
        )
    print("\nGraphs that fill in, milliseconds a step:\n")
    print("| graph | set-up s | MB | ours | splu | beside splu | PARDISO |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in dense:
        other = "" if row["pardiso_ms"] is None else f"{row['pardiso_ms']:.1f}"
        print(
            f"| {row['graph']} | {row['setup_s']:.2f} | {row['MB']:.1f} | {row['ms']:.1f} | {row['splu_ms']:.0f} "
            f"| {row['splu_ms'] / row['ms']:.1f} x | {other} |"
        )
    print("\nDriven too weakly for any junction to change, microseconds a step:\n")
    print("| wires | density | ours | eliminated at every step | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for row in still:
        print(
            f"| {row['wires']} | {row['density']} | {row['us']:.1f} | {row['eliminated_us']:.1f} "
            f"| {row['eliminated_us'] / row['us']:.1f} x |"
        )
    if mnns is None:
        print("\nmnns is not installed; pip install mnns compares with it.")
    else:
        print(
            f"\nBeside mnns, {mnns['wires']} wires and {mnns['junctions']} junctions, one right-hand side: "
            f"{mnns['mnns_us']:.0f} us, ours {mnns['us']:.1f} us: {mnns['ratio']:.0f} x"
        )


if __name__ == "__main__":
    main()
