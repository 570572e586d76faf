"""Nanowire ensembles on a CUDA device: that they give what the processor gives, and how fast they are.

Agreement is checked first, for every junction model, for networks that differ, with junctions that switch, in the
ordered regime: voltages, currents, states and conductances within 1e-10 of the processor's. Then networks of 500 wires
are timed: the kernel alone, with all data on the device, and a whole call, with copies both ways.

A part of `gpu.py`; alone:

    python benchmarks/nanowire_gpu.py [--json] [--networks 10000] [--wires 500] [--limit 540]

Without a device, NUMBA_ENABLE_CUDASIM=1 runs all of it in numba's simulator at a size that suits it:

    NUMBA_ENABLE_CUDASIM=1 python benchmarks/nanowire_gpu.py --networks 2 --wires 16 --steps 2
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from inmateria.simulators import Binary, Filament, NanowireEnsemble, NanowireNetwork, RateBalance, Variability
from inmateria.simulators.cuda_device import NoCudaDevice, is_simulated, require_cuda
from inmateria.simulators.nanowire.cuda_ensemble import CudaGroup

Floats = npt.NDArray[np.float64]

AGREEMENT = 1e-10
GOAL = 100.0  # ns a network step, 10,000 networks of 500 wires on an H100
STEP = 1e-3
NOT_MADE = 77  # exit code, as other tools have for what was skipped


def slow_drive(networks: int, steps: int, inputs: int) -> Floats:
    """Return a slow drive of each network, V: it closes filaments and stays in the ordered regime."""
    time_of = np.arange(steps)[:, np.newaxis] * STEP
    wave: Floats = 1.5 * np.sin(2 * np.pi * 0.1 * time_of + np.arange(inputs)) + 1.0
    return wave * np.linspace(0.5, 1.0, networks)[:, np.newaxis, np.newaxis]


def compared(wires: int, networks: int, steps: int, **electrodes: Any) -> list[dict[str, Any]]:
    """Run the same networks and drives on both; return the largest differences, as parts of the largest values."""
    spread = Variability(voltage_spread=0.1, conductance_spread=0.1)
    filaments = [Filament(set_voltage=0.01 + 0.001 * (k % 5)) for k in range(networks)]
    cases: dict[str, list[NanowireNetwork]] = {
        "filaments that differ": [NanowireNetwork(wires, model=model, **electrodes) for model in filaments],
        "filaments, spread, loads": _copies(
            NanowireNetwork(wires, variability=spread, load=1e5, **electrodes), networks
        ),
        "filaments, square of the gap": _copies(
            NanowireNetwork(wires, model=Filament(gap_power=2.0), **electrodes), networks
        ),
        "binary": _copies(NanowireNetwork(wires, model=Binary(), **electrodes), networks),
        "rate balance": _copies(NanowireNetwork(wires, model=RateBalance(), **electrodes), networks),
        "four times as many wires": _copies(NanowireNetwork(4 * wires, **electrodes), max(1, networks // 4)),
    }
    rows = []
    for name, members in cases.items():
        alone = [network.copy() for network in members]
        drive = slow_drive(len(members), steps, len(members[0].info.inputs))
        device, processor = NanowireEnsemble(members, on="cuda"), NanowireEnsemble(alone)
        halves = np.array_split(drive, 2, axis=1)  # state is kept from one call to the next
        got = np.concatenate([device.advance(half, STEP) for half in halves], axis=1)
        expected = np.concatenate([processor.advance(half, STEP) for half in halves], axis=1)
        reads = len(members[0].output_nodes)
        conductances = [np.stack([network.conductance for network in each]) for each in (members, alone)]
        states = [np.stack([network.filament for network in each]) for each in (members, alone)]
        rest = NanowireNetwork.copy(alone[0])
        rest.reset()
        rows.append(
            {
                "case": name,
                "wires": members[0].wire_count,
                "networks": len(members),
                "in_shared_memory": bool(device._groups[0][1].shared),  # type: ignore[union-attr]
                "voltages": _apart(got[..., :reads], expected[..., :reads]),
                "currents": _apart(got[..., reads:], expected[..., reads:]),
                "states": _apart(*states),
                "conductances": float(abs(conductances[0] / conductances[1] - 1).max()),
                "switched": float(abs(np.log(conductances[1] / rest.conductance)).max()),
            }
        )
    return rows


def _copies(network: NanowireNetwork, networks: int) -> list[NanowireNetwork]:
    return [network, *(network.copy() for _ in range(networks - 1))]


def _apart(got: Floats, expected: Floats) -> float:
    return float(abs(got - expected).max() / max(abs(expected).max(), 1e-300))


def timed(wires: int, networks: int, steps: int, threads: int, **electrodes: Any) -> dict[str, Any]:
    """Time the kernel alone and a whole call, ns a network step; all networks have one drive."""
    cuda = require_cuda()
    network = NanowireNetwork(wires, **electrodes)
    members = _copies(network, networks)
    group = CudaGroup(members, threads)
    drive = slow_drive(1, steps, len(network.info.inputs))[0]
    stimuli = [network.info.stimulus(drive, STEP)] * networks
    out = [np.empty((steps, 1, len(network.info.outputs))) for _ in members]
    launches: list[float] = []
    launch = group._kernel

    class Timed:
        """The kernel, whose launches are timed until the device is done."""

        def __getitem__(self, shape: Any) -> Any:
            def run(*given: Any) -> None:
                cuda.synchronize()
                begin = time.perf_counter()
                launch[shape](*given)
                cuda.synchronize()
                launches.append(time.perf_counter() - begin)

            return run

    group._kernel = Timed()
    group.advance([network.info.stimulus(drive[:1], STEP)] * networks, [own[:1] for own in out])  # compiles
    launches.clear()
    begin = time.perf_counter()
    group.advance(stimuli, out)
    whole = time.perf_counter() - begin
    per = 1e9 / (networks * steps)
    return {
        "threads": threads,
        "wires": network.wire_count,
        "networks": networks,
        "steps": steps,
        "kernel_ns": sum(launches) * per,
        "call_ns": whole * per,
        "shared_bytes": group.shared,
    }


def check(networks: int, wires: int, steps: int, limit: float) -> dict[str, Any]:
    """Compare with the processor and then measure; nothing new is begun after ``limit`` seconds."""
    begun = time.perf_counter()
    simulated = is_simulated()
    electrodes: dict[str, Any] = {"electrodes": 4, "inputs": 2} if simulated else {}
    few, some = (2, 2) if simulated else (32, 200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = compared(wires if simulated else 200, few, some, **electrodes)
        worst = max(row[part] for row in rows for part in ("voltages", "currents", "states", "conductances"))
        times = [
            timed(wires, networks, steps, threads, **electrodes)
            for threads in ((2,) if simulated else (128, 64, 256, 96, 192))
            if time.perf_counter() - begun < limit and worst <= AGREEMENT
        ]
    return {
        "benchmark": "nanowire_gpu",
        "device": device(),
        "agreement": rows,
        "worst": worst,
        "agrees": worst <= AGREEMENT,
        "times": times,
        "goal_ns": GOAL,
        "seconds": time.perf_counter() - begun,
    }


def show(found: dict[str, Any]) -> None:
    """Print tables of a check."""
    print(
        f"Nanowires on {found['device']}, beside the processor, largest differences as parts of the largest values:\n"
    )
    print("| case | wires | networks | scratch in | voltages | currents | states | conductances | switched, e-folds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in found["agreement"]:
        print(
            f"| {row['case']} | {row['wires']} | {row['networks']} "
            f"| {'shared memory' if row['in_shared_memory'] else 'global memory'} | {row['voltages']:.1e} "
            f"| {row['currents']:.1e} | {row['states']:.1e} | {row['conductances']:.1e} | {row['switched']:.1f} |"
        )
    if not found["agrees"]:
        print(f"\nDevice and processor differ by {found['worst']:.2g}; {AGREEMENT:g} is allowed; no times were taken.")
        return
    print(f"\nTime of a network step, ns; the goal is {GOAL:g} for 10,000 networks of 500 wires on an H100:\n")
    print("| wires | networks | steps | threads a network | kernel | whole call |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in found["times"]:
        print(
            f"| {row['wires']} | {row['networks']} | {row['steps']} | {row['threads']} | {row['kernel_ns']:.1f} "
            f"| {row['call_ns']:.1f} |"
        )
    print(f"\n{found['seconds']:.0f} s in all.")


def device() -> str:
    """Return the name of the device, or end with code 77, which says that the check was not made."""
    try:
        cuda = require_cuda()
    except NoCudaDevice as error:
        print(error, file=sys.stderr)
        raise SystemExit(NOT_MADE) from None
    if is_simulated():
        return "numba's simulator"
    name = cuda.get_current_device().name
    return name.decode() if isinstance(name, bytes) else str(name)


def end(found: dict[str, Any], show: Callable[[dict[str, Any]], None], *, as_json: bool) -> NoReturn:
    """Print what was found, and end with code 0 if a device agreed with the processor, 1 if not."""
    if as_json:
        print(json.dumps(found))
    else:
        show(found)
    raise SystemExit(0 if found["agrees"] else 1)


def main() -> None:
    """Check, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of tables")
    parser.add_argument("--networks", type=int, default=10_000)
    parser.add_argument("--wires", type=int, default=500)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--limit", type=float, default=540.0, help="seconds after which nothing new is begun")
    chosen = parser.parse_args()
    device()
    found = check(chosen.networks, chosen.wires, chosen.steps, chosen.limit)
    end(found, show, as_json=chosen.json)


if __name__ == "__main__":
    main()
