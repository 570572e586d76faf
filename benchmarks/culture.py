"""How fast the simulated culture is beside Brian2, on the same network, with the same equations and the same spikes.

Brian2 gets our neurons, synapses, weights and delays, and runs them by its Cython target and as a C++ program of its
own (standalone), each in double and, the latter, in single precision too. One network is without noise: drawing a
normal number for each neuron at each step is most of what Brian2 does otherwise. Rates, their spread over neurons, the
rate of each neuron, the variation of intervals and bursts are compared before any time is told. One thread, processor
time.

With ``--sizes``, instead, what a neuron costs in a step in cultures of 100 to 100,000 neurons, beside two limits. One
is the arithmetic, counted in the compiled step: 33 vector instructions for sixteen neurons with AVX-512, 28 with VNNI,
two in a cycle, or 70 and three with AVX2; the clock is that of a chain of products. The other is the bytes that have
to come and go, of the ring of arriving spikes in each step and of the neurons once in as many as the shortest delay, at
the rate at which this core changes the sign of arrays of the culture's size in place.

    python benchmarks/culture.py [--json] [--quick] [--sizes]
"""

import argparse
import json
import multiprocessing
import platform
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import llvmlite.binding  # type: ignore[import-untyped]
import numba
import numpy as np
import numpy.typing as npt

from inmateria.simulators import Asynchronous, NeuralCulture
from inmateria.simulators.culture import kernel, lanes
from inmateria.simulators.culture.tissue import Tissue

Row = dict[str, Any]
Spikes = tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]

_compiled: Any = numba.njit

SETTLING = 3.0  # s, left out of the statistics
NETWORKS: dict[str, Row] = {
    "asynchronous": {"regime": "asynchronous"},
    "without noise": {"regime": Asynchronous(noise=0.0, drive=11.0, drive_spread=4.0)},
    "bursting": {"regime": "bursting"},
}
# Fractions by which rates and intervals, and then the population's variation, differ by chance: networks that burst, as
# the one without noise does a little, hold few bursts in a run.
ALLOWED = {"asynchronous": (0.06, 0.15), "without noise": (0.12, 0.6), "bursting": (0.35, 0.35)}
GOALS = {"Brian2, Cython": 8.0, "Brian2, C++ standalone": 1.5}
REAL_TIME_GOALS = {1000: 30.0, 10_000: 1.0}


def same_network_in_brian(network: Row, duration: float, target: str, single: bool) -> tuple[Spikes, float]:
    """Run the network in Brian2; give its spikes after settling and processor time a simulated second."""
    import brian2 as b

    b.BrianLogger.log_level_error()  # single precision warns of a comparison with 1e50
    b.prefs.core.default_float_dtype = np.float32 if single else np.float64
    folder = tempfile.TemporaryDirectory()
    if target == "cpp_standalone":
        b.set_device("cpp_standalone", directory=folder.name, build_on_run=False)
    else:
        b.prefs.codegen.target = target
    b.seed(1)
    dt = network["dt"]
    b.defaultclock.dt = dt * b.second
    names = ("tau_m", "tau_e", "tau_i", "tau_a", "tau_f", "tau_rec", "tau_inh")
    space: Row = {name: network[name] * b.second for name in names}
    space |= {name: network[name] for name in ("sigma", "threshold", "v_reset", "U_e", "U_i")}
    count, many = network["count"], network["excitatory"]
    noise = "+ sigma * sqrt(2 / tau_m) * xi" if network["sigma"] > 0 else ""
    neurons = b.NeuronGroup(
        count,
        f"""
        dv/dt = (drive - v + ge - gi - a) / tau_m {noise} : 1 (unless refractory)
        dge/dt = -ge / tau_e : 1
        dgi/dt = -gi / tau_i : 1
        da/dt = -a / tau_a : 1
        drive : 1 (constant)
        jump : 1 (constant)
        pause : second (constant)
        """,
        threshold="v > threshold",
        reset="v = v_reset\na += jump",
        refractory="pause",
        method="euler",
        namespace=space,
    )
    neurons.drive = network["drive"]
    neurons.jump = np.where(np.arange(count) < many, network["adaptation"], 0.0)
    # Ours is held for so many whole steps after the one of the spike; Brian2 counts that one.
    neurons.pause = np.where(np.arange(count) < many, network["pause_e"] + dt, network["pause_i"] + dt) * b.second
    parts = [neurons]
    for kind, use, back in (("ge", "U_e", "tau_rec"), ("gi", "U_i", "tau_inh")):
        some = (network["source"] < many) == (kind == "ge")
        synapses = b.Synapses(
            neurons,
            neurons,
            f"""
            w : 1
            dx/dt = (1 - x) / {back} : 1 (event-driven)
            du/dt = ({use} - u) / tau_f : 1 (event-driven)
            """,
            on_pre=f"""
            u += {use} * (1 - u)
            {kind}_post += w * u * x
            x -= u * x
            """,
            namespace=space,
        )
        synapses.connect(i=network["source"][some], j=network["target"][some])
        synapses.w = network["weights"][some]
        # What arrives in a step counts in ours from its start, in Brian2 from its end.
        synapses.delay = (network["delay"][some] - dt) * b.second
        synapses.x, synapses.u = 1.0, network[use]
        parts.append(synapses)
    monitor = b.SpikeMonitor(neurons)
    net = b.Network(*parts, monitor)
    if target == "cpp_standalone":
        net.run((SETTLING + duration) * b.second)
        b.device.build(directory=folder.name, compile=True, run=False)
        begun = resource.getrusage(resource.RUSAGE_CHILDREN)
        b.device.run(folder.name, with_output=False, run_args=[])
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = (ended.ru_utime - begun.ru_utime + ended.ru_stime - begun.ru_stime) / (SETTLING + duration)
    else:
        net.run(SETTLING * b.second)
        # A run of Brian2 first prepares its code again: that is timed by a run of nothing, and taken off.
        begun_at = time.process_time()
        net.run(dt * b.second)
        nothing = time.process_time() - begun_at
        begun_at = time.process_time()
        net.run(duration * b.second)
        spent = (time.process_time() - begun_at - nothing) / duration
    times, which = np.asarray(monitor.t / b.second), np.asarray(monitor.i)
    late = (times >= SETTLING) & (times < SETTLING + duration)
    folder.cleanup()
    return (times[late] - SETTLING, which[late].astype(np.intp)), spent


def network_of(culture: NeuralCulture) -> Row:
    """Give all that Brian2 has to know of a culture."""
    model, traits = culture._model, culture._traits
    return {
        "dt": float(culture.info.parameters["dt"]),
        "count": len(culture.positions),
        "excitatory": round(len(culture.positions) * float(culture.info.parameters["connectivity"]["excitatory"])),
        "source": culture.synapse_sources,
        "target": culture.synapse_targets,
        "weights": culture.weights.astype(float),
        "delay": culture.delays,
        "drive": model.drive + model.drive_spread * traits.drive,
        "adaptation": model.adaptation,
        "pause_e": model.refractory_excitatory,
        "pause_i": model.refractory_inhibitory,
        "sigma": model.noise,
        "threshold": model.threshold,
        "v_reset": model.reset,
        "tau_m": model.membrane_time,
        "tau_e": model.excitation_time,
        "tau_i": model.inhibition_time,
        "tau_a": model.adaptation_time,
        "tau_f": model.facilitation,
        "tau_rec": model.recovery,
        "tau_inh": model.inhibitory_recovery,
        "U_e": model.release,
        "U_i": model.inhibitory_release,
    }


def statistics(spikes: Spikes, count: int, excitatory: int, duration: float) -> Row:
    """Sum up a raster: rates in Hz, variation of intervals, and how much the neurons fire together."""
    times, which = spikes
    rates = np.bincount(which, minlength=count) / duration
    order = np.lexsort((times, which))
    starts = np.searchsorted(which[order], np.arange(count + 1))
    variations = []
    for n in np.flatnonzero(rates * duration > 20):
        intervals = np.diff(times[order][starts[n] : starts[n + 1]])
        variations.append(intervals.std() / intervals.mean())
    edges = np.arange(0, duration + 0.0125, 0.025)
    together = np.histogram(times, edges)[0] / count / 0.025
    high = together > 10
    return {
        "excitatory_Hz": float(rates[:excitatory].mean()),
        "inhibitory_Hz": float(rates[excitatory:].mean()),
        "spread_Hz": float(rates.std()),
        "interval_cv": float(np.mean(variations)),
        "population_cv": float(together.std() / together.mean()),
        "bursts_a_minute": 60 / duration * float(np.count_nonzero(np.diff(high.astype(int)) > 0)),
        "rates": rates,
    }


def unlike(ours: Row, theirs: Row, network: str) -> str:
    """Say what differs by more than chance allows, or nothing."""
    some, more = ALLOWED[network]
    for name in ("excitatory_Hz", "inhibitory_Hz", "spread_Hz", "interval_cv", "population_cv"):
        if abs(theirs[name] - ours[name]) > (more if name == "population_cv" else some) * ours[name]:
            return f"{name} is {theirs[name]:.3g} there and {ours[name]:.3g} here"
    if theirs["rate_correlation"] < 0.9:
        return f"the rates of the neurons correlate by {theirs['rate_correlation']:.2f} only"
    return ""


def compare(name: str, duration: float, repeats: int, quick: bool) -> list[Row]:
    """Run one culture in ours and in Brian2, and compare what they did; stop where that is not the same."""
    culture = NeuralCulture(seed=1, **NETWORKS[name])
    network = network_of(culture)
    culture.run(SETTLING)
    state = culture.state
    spent = float("inf")
    for _ in range(repeats):
        culture.restore(state)
        begun = time.thread_time()
        activity = culture.run(duration, neuron_spikes=True)
        spent = min(spent, (time.thread_time() - begun) / duration)
    fired = activity.neuron_spikes
    assert fired is not None
    size = (network["count"], network["excitatory"], duration)
    ours = statistics((fired["time"], fired["channel"].astype(np.intp)), *size)
    rows: list[Row] = [{"network": name, "who": "inmateria", "s_a_second": spent, **ours}]
    if find_spec("brian2") is None:
        return rows
    peers = (
        ("Brian2, Cython", "cython", False),
        ("Brian2, C++ standalone", "cpp_standalone", False),
        ("Brian2, C++ standalone, float32", "cpp_standalone", True),
    )
    for who, target, single in peers[:2] if quick else peers:
        # A process each: Brian2 takes one device in a process, and its children's time is told apart.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            spikes, seconds = pool.submit(same_network_in_brian, network, duration, target, single).result()
        theirs = statistics(spikes, *size)
        theirs["rate_correlation"] = float(np.corrcoef(ours["rates"], theirs["rates"])[0, 1])
        problem = unlike(ours, theirs, name)
        if problem:
            raise SystemExit(f"{name}, {who}: {problem}; times mean nothing")
        print(f"{name}, {who}: the same spikes, {seconds / spent:.1f} x our time", file=sys.stderr, flush=True)
        rows.append({"network": name, "who": who, "s_a_second": seconds, "ratio": seconds / spent, **theirs})
    return rows


def alone(neurons: int, regime: str, duration: float, repeats: int) -> Row:
    """Time ours by itself."""
    begun = time.process_time()
    culture = NeuralCulture(neurons=neurons, regime=regime, seed=1)
    setup = time.process_time() - begun
    culture.run(1.0)
    times = {False: float("inf"), True: float("inf")}
    for _ in range(repeats):
        for voltage in times:
            before = time.thread_time()
            activity = culture.run(duration, voltage=voltage, neuron_spikes=True)
            times[voltage] = min(times[voltage], time.thread_time() - before)
    assert activity.neuron_spikes is not None
    return {
        "neurons": neurons,
        "regime": regime,
        "synapses": len(culture.weights),
        "setup_s": setup,
        "Hz": len(activity.neuron_spikes) / neurons / duration,
        "real_time": duration / times[False],
        "with_voltage": duration / times[True],
        "goal": REAL_TIME_GOALS[neurons],
    }


@_compiled  # type: ignore[untyped-decorator]
def chain(steps: int, x: np.uint64) -> np.uint64:
    """Multiply and add one after another: four cycles a step."""
    for _ in range(steps):
        x = x * x + np.uint64(1)
    return x


def least(work: Any, repeats: int) -> float:
    """Return the least processor time of some repetitions, s."""
    spent = float("inf")
    for _ in range(repeats):
        begun = time.thread_time()
        work()
        spent = min(spent, time.thread_time() - begun)
    return spent


def bound(culture: NeuralCulture) -> tuple[float, float]:
    """Return the least seconds a neuron and step by arithmetic and by memory traffic."""
    chain(1, np.uint64(3))
    cycle = least(lambda: chain(100_000, np.uint64(3)), 20) / 400_000
    wide = llvmlite.binding.get_host_cpu_features().get("avx512f", False)
    arithmetic = ((28 if lanes.SUMS_BYTES else 33) / 2 if wide else 70 / 3) / 16 * cycle
    arrays, together = culture._arrays, float(culture._constants[kernel.TOGETHER])
    # Read and written: two entries of the ring in each step; five numbers, one count and two words now and then.
    traffic = 2 * 4 * (2 + 8 / together)
    size = sum(arrays[name].nbytes for name in ("ring", "neurons", "held", "random"))
    array = np.ones(size // 4, dtype=np.float32)
    many = max(1, 10_000_000 // size)

    def change() -> None:
        for _ in range(many):
            np.negative(array, out=array)

    return arithmetic, traffic * least(change, 20) / (many * 2 * array.nbytes)


def any_synapses(
    rng: np.random.Generator, tissue: Tissue, synapses: float, length: float
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Draw targets anywhere in the organoid of a neuron: as many as usual, in seconds instead of an hour."""
    many, of = round(synapses), tissue.organoid_of
    members, sizes = np.argsort(of, kind="stable"), np.bincount(of)
    before = np.cumsum(sizes) - sizes
    at = before[of][:, np.newaxis] + (rng.random((len(of), many)) * sizes[of][:, np.newaxis]).astype(np.intp)
    target = np.sort(members[at], axis=1).reshape(-1)
    way = tissue.neurons[target] - np.repeat(tissue.neurons, many, axis=0)
    return np.arange(len(of) + 1) * many, target, np.hypot(*way.T)


def cost_of(neurons: int, repeats: int) -> Row:
    """Time a culture of organoids of up to 1,000 neurons."""
    organoids = max(1, neurons // 1000)
    with mock.patch("inmateria.simulators.culture.wiring.draw_synapses", any_synapses):
        culture = NeuralCulture(
            neurons=neurons, regime="asynchronous", seed=1, organoids=organoids, electrodes=max(32, organoids)
        )
    culture.run(0.1)
    state, steps = culture.state, min(10_000, max(200, 10_000_000 // neurons))
    spent = float("inf")
    for _ in range(repeats):
        culture.restore(state)
        spent = min(spent, least(lambda: culture.run(steps * 1e-4), 1))
    arithmetic, memory = bound(culture)
    return {
        "size": neurons,
        "s_a_neuron_step": spent / neurons / steps,
        "bound_s": max(arithmetic, memory),
        "bound": "arithmetic" if arithmetic > memory else "memory",
        "arithmetic_s": arithmetic,
        "memory_s": memory,
    }


def processor() -> str:
    """Return the name of the processor, where the system tells it."""
    try:
        with Path("/proc/cpuinfo").open() as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def print_sizes(as_json: bool, repeats: int) -> None:
    """Measure what a neuron costs in cultures of many sizes, and print it beside its limits."""
    rows = [cost_of(neurons, repeats) for neurons in (100, 300, 1000, 3000, 10_000, 30_000, 100_000)]
    if as_json:
        print(json.dumps({"benchmark": "culture sizes", "machine": processor(), "dt": 1e-4, "rows": rows}))
        return
    print(f"asynchronous, 0.1 ms, one thread, {processor()}:\n")
    print("| neurons | ns a neuron and step | limit, ns | of | by arithmetic | by memory |")
    print("|" + " --- |" * 6)
    for row in rows:
        print(
            f"| {row['size']:,} | {row['s_a_neuron_step'] * 1e9:.2f} | {row['bound_s'] * 1e9:.2f} | {row['bound']} "
            f"| {row['arithmetic_s'] * 1e9:.2f} | {row['memory_s'] * 1e9:.2f} |"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of tables")
    parser.add_argument("--quick", action="store_true", help="shorter and fewer runs, none in single precision")
    parser.add_argument("--sizes", action="store_true", help="cost against size instead of Brian2")
    chosen = parser.parse_args()
    repeats = 2 if chosen.quick else 5
    if chosen.sizes:
        print_sizes(chosen.json, 3 * repeats)
        return
    rows: list[Row] = []
    for name in NETWORKS:
        long = (60.0, 120.0) if name == "bursting" else (12.0, 40.0)
        rows += compare(name, long[0] if chosen.quick else long[1], repeats, chosen.quick)
    for row in rows:
        del row["rates"]
    sizes = [alone(1000, regime, 20.0, repeats) for regime in ("asynchronous", "bursting")]
    sizes += [alone(10_000, regime, 1.0, repeats) for regime in ("asynchronous", "bursting")]
    if chosen.json:
        print(json.dumps({"benchmark": "culture", "machine": platform.processor(), "rows": rows, "sizes": sizes}))
        return
    print("1,000 neurons, 0.1 ms, one thread; statistics of all neurons after settling:\n")
    print(
        "| network | who | excitatory, inhibitory, Hz | spread, Hz | interval CV | population CV | bursts a minute "
        "| rates correlate | ms a simulated s | x real time | beside ours | goal |"
    )
    print("|" + " --- |" * 12)
    for row in rows:
        beside = "ratio" in row
        print(
            f"| {row['network']} | {row['who']} | {row['excitatory_Hz']:.2f}, {row['inhibitory_Hz']:.2f} "
            f"| {row['spread_Hz']:.2f} | {row['interval_cv']:.2f} | {row['population_cv']:.2f} "
            f"| {row['bursts_a_minute']:.0f} | {format(row['rate_correlation'], '.3f') if beside else ''} "
            f"| {row['s_a_second'] * 1e3:.1f} | {1 / row['s_a_second']:.1f} "
            f"| {format(row['ratio'], '.1f') + ' x' if beside else ''} "
            f"| {format(GOALS[row['who']], 'g') + ' x' if row['who'] in GOALS else ''} |"
        )
    if len(rows) == len(NETWORKS):
        print("\nBrian2 is not installed; pip install brian2 compares with it.")
    print("\nOurs alone:\n")
    print("| neurons | synapses | regime | rate, Hz | set-up s | x real time | with voltage | goal |")
    print("|" + " --- |" * 8)
    for row in sizes:
        print(
            f"| {row['neurons']:,} | {row['synapses']:,} | {row['regime']} | {row['Hz']:.1f} | {row['setup_s']:.1f} "
            f"| {row['real_time']:.1f} | {row['with_voltage']:.1f} | {row['goal']:g} |"
        )


if __name__ == "__main__":
    main()
