"""Cost of recording 128 channels at 30 kHz with their spikes, in exchanges of 10 ms, as int16 counts.

Claims: as fast as it can, at least 20 times real time; at real time, less than 10 % of one core.

Flat out, three ways to have the same samples in a file, in turn: ours, given counts; ours, given the
values in microvolts that a substrate gives, which are turned back into counts and checked; and a bare
h5py dataset that the same arrays are appended to, without rows of exchanges, clocks or checksums. Every
way ends with the disk having synced, and what was written is read back and compared.

Smaller files: the same values in microvolts as float64, all exact, or with ten samples of each step exact and the
others rounded, as a run keeps them; both compressed once they are ended, as a run does beside its next work.

`--recover` records a million exchanges of one sample, and copies them as `inmateria recover FILE -o NEW` does; the copy
has the same rows. Claim: at most 5 s.

At real time, a substrate that gives an exchange each 10 ms is recorded, and the processor time of the
same without a recording is taken away.
"""

import argparse
import asyncio
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from inmateria.exchange import evenly_spaced
from inmateria.recording import Exchange, KeptSamples, RecordedSubstrate, RecordingWriter, open_recording, recover
from inmateria.recording.compression import compress
from inmateria.recording.format import DATA
from inmateria.substrate import SPIKE, Channel, Response, Stimulus, Substrate, SubstrateInfo

CHANNELS, RATE, STEP, SCALE = 128, 30_000, 0.01, 0.195
SAMPLES = round(RATE * STEP)
SPIKES = 26  # an exchange: 20 Hz on each channel
FRAMES = 64  # different ones, given again and again
BATCH = 10  # exchanges that the writer's thread finds in its queue at real time

INFO = SubstrateInfo(
    id="probe-128",
    kind="neuron-culture",
    inputs=tuple(Channel(name=f"s{k}", unit="uA", low=-3, high=3) for k in range(4)),
    outputs=tuple(Channel(name=f"e{k}", unit="uV", low=-6400, high=6400) for k in range(CHANNELS)),
    step=STEP,
    sampling_rate=float(RATE),
    spiking=True,
)


def frames() -> list[np.ndarray[tuple[int, ...], np.dtype[np.int16]]]:
    generator = np.random.default_rng(0)
    return [generator.normal(0, 40, (1, SAMPLES, CHANNELS)).astype(np.int16) for _ in range(FRAMES)]


def exchanges(count: int, in_units: bool) -> list[Exchange]:
    """Make exchanges whose signals are counts, or the same in microvolts; those of a round share them."""
    generator = np.random.default_rng(1)
    signals: list[Any] = [frame * SCALE if in_units else frame for frame in frames()]
    stimulus = Stimulus(np.zeros((1, 4)), STEP)
    made = []
    for number in range(count):
        spikes = np.zeros(SPIKES, dtype=SPIKE)
        spikes["time"] = STEP * (number + np.sort(generator.uniform(size=SPIKES)))
        spikes["channel"] = generator.integers(0, CHANNELS, SPIKES)
        response = Response(signals[number % FRAMES], spikes, STEP * number, number)
        made.append(Exchange(stimulus, response, 0, 1e9 + STEP * number, 1e-4))
    return made


def with_ours(path: Path, given: list[Exchange]) -> None:
    writer = RecordingWriter(path, INFO, scale=SCALE)
    for first in range(0, len(given), BATCH):
        writer.append(given[first : first + BATCH])
    writer.sync()
    writer.end()


def with_h5py(path: Path, given: list[Exchange]) -> None:
    with h5py.File(path, "x", libver="latest") as file:
        signal = file.create_dataset("signal", (0, CHANNELS), "<i2", maxshape=(None, CHANNELS), chunks=(4096, CHANNELS))
        spikes = file.create_dataset("spikes", (0,), SPIKE, maxshape=(None,), chunks=(4096,))
        file.swmr_mode = True
        for first in range(0, len(given), BATCH):
            some = given[first : first + BATCH]
            for dataset, parts in (
                (signal, [np.asarray(each.response.signal).reshape(-1, CHANNELS) for each in some]),
                (spikes, [np.asarray(each.response.spikes) for each in some]),
            ):
                data = np.concatenate(parts)
                dataset.resize(len(dataset) + len(data), axis=0)
                dataset[-len(data) :] = data
                dataset.flush()
        os.fsync(file.id.get_vfd_handle())


def flat_out(folder: Path, seconds: float, rounds: int) -> dict[str, tuple[float, float]]:
    """Give, for each way, how many times real time it reached, by the wall's and by the processor's clock.

    The median of some rounds. Where others use the machine too, the processor's clock says what we take.
    """
    count = round(seconds / STEP)
    ways: dict[str, tuple[Callable[[Path, list[Exchange]], None], list[Exchange]]] = {
        "ours, counts": (with_ours, exchanges(count, in_units=False)),
        "ours, microvolts": (with_ours, exchanges(count, in_units=True)),
        "h5py alone": (with_h5py, exchanges(count, in_units=False)),
    }
    expected = np.concatenate([frame[0] for frame in frames()])
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, (write, given) in ways.items():
            path = folder / f"{name}.h5"
            path.unlink(missing_ok=True)
            begun, used = time.perf_counter(), time.process_time()
            write(path, given)
            if number:  # the first round warms up
                took[name].append((time.perf_counter() - begun, time.process_time() - used))
            with h5py.File(path, "r") as file:
                some = file["signal"][: min(len(expected), count * SAMPLES)]
                assert np.array_equal(some, expected[: len(some)]), f"{name} did not write what it was given"
                assert len(file["signal"]) == count * SAMPLES
                assert len(file["spikes"]) == count * SPIKES
    with open_recording(folder / "ours, microvolts.h5") as recording:
        assert np.array_equal(np.asarray(recording.exchange(7).response.signal), frames()[7] * SCALE)
    medians = {name: np.median(times, axis=0) for name, times in took.items()}
    return {name: (seconds / float(wall), seconds / float(used)) for name, (wall, used) in medians.items()}


def smaller_files(folder: Path, seconds: float, rounds: int) -> dict[str, dict[str, float]]:
    """Give, for exact and for rounded samples, times real time by the processor's clock, and the files' megabytes."""
    count = round(seconds / STEP)
    given = exchanges(count, in_units=True)
    keep = KeptSamples(10)
    took: dict[str, list[float]] = {"exact": [], "rounded": []}
    told: dict[str, dict[str, float]] = {}
    for number in range(rounds + 1):
        for name in took:
            path = folder / f"{name}.h5"
            path.unlink(missing_ok=True)
            used = time.process_time()
            writer = RecordingWriter(path, INFO, keep=keep if name == "rounded" else None)
            for first in range(0, len(given), BATCH):
                some = given[first : first + BATCH]
                if name == "rounded":
                    some = [as_kept(each, keep) for each in some]
                writer.append(some)
            writer.sync()
            writer.end()
            if number:
                took[name].append(time.process_time() - used)
    for name, times in took.items():
        used = time.process_time()
        made = compress(folder / f"{name}.h5")
        told[name] = {
            "times_real_time": seconds / float(np.median(times)),
            "megabytes": made.before / 1e6,
            "compressed_megabytes": made.after / 1e6,
            "compressing_times_real_time": seconds / (time.process_time() - used),
        }
    with open_recording(folder / "rounded.h5") as recording:
        found = np.asarray(recording.exchange(7).response.signal)[0]
        exact = evenly_spaced(keep.samples, SAMPLES)
        expected = frames()[7][0] * SCALE
        assert np.array_equal(found[exact], expected[exact])
        assert (abs(found - expected) <= abs(expected) / 64).all()
    return told


def as_kept(exchange: Exchange, keep: KeptSamples) -> Exchange:
    """Return an exchange as it is kept."""
    kept = keep.response(exchange.response, SAMPLES)
    return Exchange(exchange.stimulus, kept, exchange.session, exchange.sent, exchange.round_trip)


def recovery(folder: Path, count: int) -> float:
    """Give the processor time that it takes to verify and copy a recording of so many exchanges of a sample, s."""
    channel = (Channel(name="v", unit="V", low=-1, high=1),)
    info = SubstrateInfo(id="one", kind="wire", inputs=channel, outputs=channel, step=1e-3, sampling_rate=1e3)
    writer = RecordingWriter(folder / "many.h5", info)
    stimulus, signal = Stimulus(np.zeros((1, 1)), 1e-3), np.full((1, 1, 1), 0.1)
    for first in range(0, count, 10_000):
        numbers = range(first, min(first + 10_000, count))
        writer.append([Exchange(stimulus, Response(signal, None, k * 1e-3, k), 0, 1e9 + k, 1e-4) for k in numbers])
    writer.end()
    used = time.process_time()
    assert recover(folder / "many.h5", folder / "copy.h5").whole == count
    used = time.process_time() - used
    with h5py.File(folder / "many.h5") as one, h5py.File(folder / "copy.h5") as other:
        for name in ("exchanges", *DATA):
            assert one[name][:].tobytes() == other[name][:].tobytes(), f"the copy has another /{name}"
    return used


class Probe(Substrate):
    """Gives an exchange each 10 ms."""

    info = INFO

    def __init__(self, given: list[Exchange]) -> None:
        self._given = iter(given)
        self._due = 0.0

    async def _apply(self, stimulus: Stimulus) -> Response:
        """Give the next exchange when it is due."""
        now = time.perf_counter()
        self._due = max(self._due, now - 1.0) + STEP if self._due else now + STEP
        await asyncio.sleep(max(0.0, self._due - now))
        return next(self._given).response

    async def reset(self) -> None:
        """Not for a culture."""
        raise NotImplementedError


async def cost_at_real_time(folder: Path, seconds: float, in_units: bool) -> tuple[float, float]:
    """Give the part of one core that a recording at real time takes, and how many times real time that was."""
    given = exchanges(round(seconds / STEP), in_units)
    stimuli = [each.stimulus for each in given]
    costs = []
    for recorded in (False, True):
        substrate: Substrate = Probe(given)
        if recorded:
            substrate = RecordedSubstrate(substrate, folder / f"real {in_units}.h5", scale=SCALE)
        begun, used = time.perf_counter(), time.process_time()
        async with substrate, aclosing(substrate.stream(stimuli)) as responses:
            count = len([None async for _ in responses])
        assert count == len(given)
        elapsed = time.perf_counter() - begun
        costs.append((time.process_time() - used) / elapsed)
    with open_recording(folder / f"real {in_units}.h5") as recording:
        assert len(recording) == len(given)
        assert recording.finished
        assert recording.dropped == 0
    return costs[1] - costs[0], seconds / elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--seconds", type=float, default=20.0, help="of data")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where files are written; a temporary folder by default")
    parser.add_argument("--recover", type=int, nargs="?", const=1_000_000, metavar="COUNT", help="only that")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=asked.folder))
    try:
        if asked.recover:
            used = recovery(folder, asked.recover)
            row = {"claim": "a million exchanges in 5 s", "exchanges": asked.recover, "recover_seconds": used}
            print(json.dumps(row) if asked.json else f"{asked.recover:,} exchanges verified and copied in {used:.1f} s")
            return
        smaller = smaller_files(folder, min(asked.seconds, 4.0), asked.rounds)
        speeds = flat_out(folder, asked.seconds, asked.rounds)
        costs = {
            "counts": asyncio.run(cost_at_real_time(folder, asked.seconds, in_units=False)),
            "microvolts": asyncio.run(cost_at_real_time(folder, asked.seconds, in_units=True)),
        }
    finally:
        shutil.rmtree(folder)
    rate = CHANNELS * RATE * 2e-6
    if asked.json:
        told: dict[str, object] = {
            "claim": "at least 20 x real time; at real time less than 0.1 of a core",
            "megabytes_per_s": rate,
        }
        told["times_real_time"] = {name: speed for name, (speed, _) in speeds.items()}
        told["times_real_time_by_processor_time"] = {name: alone for name, (_, alone) in speeds.items()}
        told["core_at_real_time"] = {name: cost for name, (cost, _) in costs.items()}
        told["smaller_files"] = smaller
        print(json.dumps(told))
        return
    print(f"{CHANNELS} channels at {RATE / 1000:g} kHz, int16, {SPIKES / STEP:,.0f} spikes/s: {rate:.2f} MB/s")
    for name, (speed, alone) in speeds.items():
        line = f"  flat out, {name:18} {speed:6.1f} x real time  {speed * rate:6.0f} MB/s"
        print(f"{line}  ({alone:.1f} x by processor time)")
    for name, row in smaller.items():
        print(
            f"  float64, {name:8} {row['times_real_time']:6.1f} x real time by processor time, "
            f"{row['megabytes']:.0f} MB, compressed {row['compressed_megabytes']:.0f} MB "
            f"at {row['compressing_times_real_time']:.1f} x"
        )
    for name, (cost, pace) in costs.items():
        print(f"  at {pace:.2f} x real time, {name:11} {100 * cost:5.1f} % of one core")


if __name__ == "__main__":
    main()
