"""Fits to many recordings: time on one Dask worker and on two, and memory; beside the fit in one piece.

Recordings hold 500 outputs as int16 counts; the same files are listed as often as the steps asked for need. The peer is
`RidgeReadout.fit` on the features of all steps in one array, for so many steps as fit into memory.

    python benchmarks/fit_recordings.py [--steps 1e7] [--validation gcv] [--json] [--quick]
"""

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.desk import RecordedBlock, fit_recordings
from inmateria.desk.dask_cluster import dask_client
from inmateria.recording.format import Exchange
from inmateria.recording.writing import RecordingWriter
from inmateria.reservoir.readouts.ridge import RidgeReadout
from inmateria.substrate import Channel, Limits, Response, Stimulus, SubstrateInfo

OUTPUTS, IN_A_FILE, SCALE = 500, 50_000, 1e-4
GOALS = {"ratio_of_two_workers": 1.8, "difference": 1e-10}


def info() -> SubstrateInfo:
    """Describe a device of 500 outputs."""
    return SubstrateInfo(
        id="recorded", kind="recorded", step=1e-3, sampling_rate=1e3, resettable=True,
        inputs=(Channel(name="i", unit="V", low=-1, high=1),),
        outputs=tuple(Channel(name=f"o{k}", unit="V", low=-4, high=4) for k in range(OUTPUTS)),
        limits=Limits(steps=IN_A_FILE, values=OUTPUTS * IN_A_FILE, shortest_step=1e-3, longest_step=1e-3),
    )  # fmt: skip


def record(path: Path, seed: int) -> None:
    """Record outputs that are mixtures of the last inputs, with noise."""
    generator = np.random.default_rng(seed)
    drive = generator.uniform(-1, 1, (IN_A_FILE, 1))
    past = np.stack([np.roll(drive[:, 0], lag) for lag in range(20)], axis=1)
    mixed = np.tanh(past @ np.random.default_rng(0).normal(0, 0.3, (20, OUTPUTS)))
    counts = np.round((mixed + generator.normal(0, 0.01, mixed.shape)) / SCALE).astype(np.int16)
    writer = RecordingWriter(path, info(), scale=SCALE)
    for begin in range(0, IN_A_FILE, 1000):
        now = slice(begin, begin + 1000)
        response = Response((counts[now, np.newaxis] * SCALE).astype(np.float64), None, begin * 1e-3, begin // 1000)
        writer.append([Exchange(Stimulus(drive[now], 1e-3), response, 0, 0.0, 0.0)])
    writer.end()
    writer.close()


def targets(block: RecordedBlock) -> npt.NDArray[np.float64]:
    """Return products of an input and the one before it."""
    product: npt.NDArray[np.float64] = block.drive[:, 0, 0] * block.lagged(1)[:, 0, 0]
    return product


def fit(paths: list[Path], validation: Any, workers: int) -> tuple[RidgeReadout, float, float]:
    """Fit on a cluster of so many workers that has started; return readout, s, and most memory of a worker, MB."""
    with dask_client("local", workers) as client:
        client.run(np.zeros, 1)
        begun = time.perf_counter()
        found = fit_recordings(
            paths, RidgeReadout(validation=validation), targets, discard=1, dask=client.scheduler.address
        )
        seconds = time.perf_counter() - begun
        largest = max(client.run(largest_memory).values())
    return found, seconds, largest


def largest_memory() -> float:
    """Return the largest memory of this process so far, MB; only Linux tells it."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), float("nan"))


def main() -> None:
    """Print a table, or with --json a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=float, default=1e6)
    parser.add_argument("--validation", choices=["loo", "gcv"], default="gcv")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    files = max(2, round((2e5 if asked.quick else asked.steps) / IN_A_FILE))
    with tempfile.TemporaryDirectory() as folder:
        kept = [Path(folder) / f"{seed}.h5" for seed in range(4)]
        for seed, path in enumerate(kept):
            record(path, seed)
        few = fit_recordings(kept[:2], RidgeReadout(validation=asked.validation), targets, discard=1)
        X, y = whole(kept[:2])
        peer = RidgeReadout(validation=asked.validation).fit(X, y)
        difference = float(np.abs(few.coef_ - peer.coef_).max() / np.abs(peer.coef_).max())
        del X, y
        paths = [kept[number % len(kept)] for number in range(files)]
        _, one, memory = fit(paths, asked.validation, 1)
        _, two, _ = fit(paths, asked.validation, 2)
    found = {
        "steps": files * IN_A_FILE, "features": OUTPUTS, "validation": asked.validation, "seconds_one_worker": one,
        "seconds_two_workers": two, "ratio_of_two_workers": one / two, "megabytes_of_a_worker": memory,
        "difference": difference, "goals": GOALS, "processor": platform.processor() or platform.machine(),
    }  # fmt: skip
    if asked.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:24} {value:,.4g}" if isinstance(value, float) else f"{name:24} {value}")


def whole(paths: list[Path]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the features and targets of recordings, each in one array."""
    from inmateria.recording.reading import open_recording

    X, y = [], []
    for path in paths:
        with open_recording(path) as recording:
            X.append(recording.signal()[1:])
            drive = recording.drive()[:, 0]
            y.append(drive[1:] * drive[:-1])
    return np.concatenate(X), np.concatenate(y)


if __name__ == "__main__":
    main()
