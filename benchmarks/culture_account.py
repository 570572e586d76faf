"""Where the time of a simulated culture's step goes: membranes, their noise, spikes sent to synapses, and all around.

A culture's run is timed beside its parts, each run by itself on the same state: the membranes with the threshold out of
reach, the same without noise, the spikes of that run sent again, and their release. What is left is finding spikes,
putting them in order, detection at the electrodes and Python. All are measured in turn, processor time, least of many.

    python benchmarks/culture_account.py [--json] [--repeats 15] [--neurons 1000]
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import numba
import numpy as np
import numpy.typing as npt

from inmateria.simulators import NeuralCulture
from inmateria.simulators.culture import kernel

Row = dict[str, Any]

_compiled: Any = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True)


@_compiled  # type: ignore[untyped-decorator]
def membranes(steps: int, constants: Any, neurons: Any, held: Any, random: Any, ring: Any) -> None:
    """Advance all membranes, which never reach the threshold."""
    together, slots, arriving = int(constants[kernel.TOGETHER]), ring.shape[1], ring.reshape(-1)
    found, many = np.empty((together, neurons.shape[1]), np.int32), np.empty(together, np.int64)
    step = 0
    while step < steps:
        if step % 64 == 0:
            kernel.settle(neurons)
        until = min(steps, step + together, step - step % 64 + 64)
        kernel.integrate(
            until - step, step % slots, constants, np.float32(np.inf), neurons, held, random, arriving, slots, found,
            many,
        )  # fmt: skip
        step = until


@_compiled  # type: ignore[untyped-decorator]
def send(fired: Any, constants: Any, synapses: Any, weights: Any, ring: Any) -> None:
    """Send spikes that release nothing."""
    slots, columns, arriving = ring.shape[1], ring.shape[2], ring.reshape(-1)
    for spike in range(fired.shape[1]):
        step, n = fired[0, spike], fired[1, spike]
        half = 0 if n < constants[kernel.EXCITATORY] else slots * columns
        kernel.send(n, half, slots * columns, step % slots * columns, np.float32(0), synapses, weights, arriving)


@_compiled  # type: ignore[untyped-decorator]
def release(fired: Any, constants: Any, neurons: Any, spiked: Any) -> None:
    """Bring short-term plasticity up to date at spikes."""
    for spike in range(fired.shape[1]):
        step, n = fired[0, spike], fired[1, spike]
        kernel.release(step - spiked[n], n, n < constants[kernel.EXCITATORY], constants, neurons)
        spiked[n] = step


def spent(work: Callable[..., object], *given: object) -> float:
    """Return processor time, s."""
    begun = time.thread_time()
    work(*given)
    return time.thread_time() - begun


def timed_run(culture: NeuralCulture, duration: float) -> tuple[float, float]:
    """Return the processor time of a run, and how much of it the compiled step took, s."""
    inside, step = 0.0, kernel.advance

    class Timed:
        overloads = step.overloads

        def __call__(self, *given: Any) -> Any:
            nonlocal inside
            begun = time.thread_time()
            done = step(*given)
            inside += time.thread_time() - begun
            return done

    with mock.patch.object(kernel, "advance", Timed()):
        whole = spent(culture.run, duration)
    return whole, inside


def account(neurons: int, regime: str, dt: float, repeats: int) -> Row:
    """Measure one culture."""
    coarse = dt > 1e-4
    culture = NeuralCulture(neurons=neurons, seed=1, regime=regime, dt=dt, continuity_correction=coarse)
    culture.run(3.0)
    state, duration = culture.state, min(1.0, 3000 / neurons)
    spikes = culture.run(duration, neuron_spikes=True).neuron_spikes
    assert spikes is not None
    fired = np.array([spikes["time"] / dt, spikes["channel"]]).astype(np.int64)
    synapses: tuple[npt.NDArray[np.int32], ...] = culture._wiring.kernel
    sent = int(np.diff(synapses[0])[fired[1]].sum())
    steps, constants = round(duration / dt), culture._constants
    quiet = constants.copy()
    quiet[kernel.NOISE] = 0
    rows = []
    for _ in range(repeats + 1):
        culture.restore(state)
        whole, inside = timed_run(culture, duration)
        culture.restore(state)
        arrays = culture._arrays
        state_of_neurons = [arrays[name] for name in ("neurons", "held", "random", "ring")]
        rows.append(
            (
                whole,
                inside,
                spent(membranes, steps, constants, *state_of_neurons),
                spent(membranes, steps, quiet, *state_of_neurons),
                spent(send, fired, constants, synapses, arrays["weights"], arrays["ring"]),
                spent(release, fired, constants, arrays["neurons"], arrays["spiked"]),
            )
        )
    names = ("run", "compiled step", "membranes", "membranes without noise", "sending", "release")
    # The first repetition compiled.
    row = dict(zip(names, np.min(rows[1:], axis=0).tolist(), strict=True))
    row["rest"] = row["run"] - row["membranes"] - row["sending"] - row["release"]
    culture.run(dt)
    call = min(spent(culture.run, dt) for _ in range(300))
    updates = neurons * steps
    return {
        "neurons": neurons,
        "regime": regime,
        "dt": dt,
        "Hz": fired.shape[1] / neurons / duration,
        "ns a neuron and step": {name: 1e9 * value / updates for name, value in row.items()},
        "ns a synapse": 1e9 * row["sending"] / max(sent, 1),
        "ns a spike": 1e9 * (row["run"] - row["membranes"]) / max(fired.shape[1], 1),
        "us a call": 1e6 * call,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--neurons", type=int, default=1000)
    chosen = parser.parse_args()
    rows = [
        account(chosen.neurons, regime, dt, chosen.repeats)
        for regime in ("asynchronous", "bursting")
        for dt in (1e-4, 5e-4)
    ]
    if chosen.json:
        print(json.dumps({"benchmark": "culture, account of a step", "rows": rows}))
        return
    names = list(rows[0]["ns a neuron and step"])
    print(f"{chosen.neurons:,} neurons, ns a neuron and step:\n")
    print(f"| regime | step, ms | Hz | {' | '.join(names)} | ns a synapse | ns a spike, all | us a call |")
    print("|" + " --- |" * (len(names) + 6))
    for row in rows:
        cells = " | ".join(f"{value:.3f}" for value in row["ns a neuron and step"].values())
        print(
            f"| {row['regime']} | {1e3 * row['dt']:g} | {row['Hz']:.1f} | {cells} | {row['ns a synapse']:.2f} "
            f"| {row['ns a spike']:.0f} | {row['us a call']:.0f} |"
        )


if __name__ == "__main__":
    main()
