"""What a sweep costs beside its tasks, how two workers divide the work, and how long listing ten thousand runs takes.

The peer of a sweep is the same task awaited in one process, again and again: the same scores, compared first. The peer
of two workers is one. Points of the second part wait for a second, as those of a device would.

    python benchmarks/desk.py [--json] [--quick]
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "desk"))

import msgspec
from small_plugin import install  # type: ignore[import-not-found]

from inmateria.adapters import connect
from inmateria.desk import SweepFolder, read_catalogue
from inmateria.desk.points import make_points
from inmateria.desk.sweeping import run_sweep
from inmateria.desk.worker import work
from inmateria.protocols.runs import read_run
from inmateria.protocols.task import find_task

ON = "scattering://?ports=2&observables=2"
GOALS = {"milliseconds_a_point": 20.0, "part_of_ideal": 0.95, "seconds_to_list": 1.0}


async def bare(points: list[Any]) -> list[float]:
    """Run the task of every point, and nothing else."""
    scores = []
    for point in points:
        task = find_task(point.task)
        outcome = await task.run(connect(point.on), task.settings_from(point.settings), lambda *_: None)
        scores.append(outcome.scores[0].score)
    return scores


def overhead(place: Path, count: int) -> dict[str, Any]:
    """Measure what a point takes in a worker beyond its task."""
    points = make_points(find_task("small"), [ON], {"x": list(range(count)), "milliseconds": [0]})
    asyncio.run(bare(points[:5]))
    folder = SweepFolder.make(place / "overhead", points)
    begun = time.perf_counter()
    theirs = asyncio.run(bare(points))
    between = time.perf_counter()
    work(folder)
    ended = time.perf_counter()
    ours = {run.settings["x"]: run.gain.score - 0.1 for run in read_catalogue(folder.runs)}
    assert [round(ours[float(x)], 9) for x in range(count)] == [round(score, 9) for score in theirs]
    return {"points": count, "milliseconds_a_point": 1e3 * ((ended - between) - (between - begun)) / count}


def division(place: Path, count: int) -> dict[str, Any]:
    """Measure the time of two workers beside one, from the first beginning to the last end."""
    seconds = {}
    for workers in (1, 2):
        log = place / f"log{workers}"
        points = make_points(
            find_task("small"), [ON], {"x": list(range(count)), "milliseconds": [1000], "log": [str(log)]}
        )
        run_sweep(SweepFolder.make(place / f"division{workers}", points), workers)
        times = [int(line.split()[4]) for line in log.read_text().splitlines()]
        seconds[workers] = (max(times) - min(times)) / 1e9
    return {"seconds_one": seconds[1], "seconds_two": seconds[2], "part_of_ideal": seconds[1] / seconds[2] / 2}


def listing(place: Path, count: int) -> dict[str, Any]:
    """Measure how long it takes to list runs that are as large as those of `memory`."""
    task = find_task("memory")
    folder = SweepFolder.make(
        place / "one",
        make_points(task, ["echo://?units=100"], {"steps": [500], "delays": [5], "round_trips": [2]}),
    )
    work(folder)
    (digest,) = folder.points
    run = read_run(folder.runs / digest)
    many = place / "many"
    for number in range(count):
        each = msgspec.structs.replace(run, settings={**run.settings, "seed": number})
        (many / f"{number:05d}").mkdir(parents=True)
        (many / f"{number:05d}" / "run.json").write_bytes(msgspec.json.encode(each))
    size = (many / "00000" / "run.json").stat().st_size
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        listed = read_catalogue(many)
        times.append(time.perf_counter() - begun)
    assert [listed_run.settings["seed"] for listed_run in listed] == list(range(count))
    return {"runs": count, "bytes_a_run": size, "seconds_first": times[0], "seconds_to_list": min(times[1:])}


def main() -> None:
    """Measure, and print a table or a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="fewer points")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "package").mkdir()
        install(place / "package")
        sys.path.insert(0, str(place / "package"))
        os.environ["PYTHONPATH"] = os.pathsep.join([str(place / "package"), os.environ.get("PYTHONPATH", "")])
        result: dict[str, Any] = {
            "processor": platform.processor() or platform.machine(),
            "overhead": overhead(place, 20 if given.quick else 200),
            "division": division(place, 8 if given.quick else 40),
            "listing": listing(place, 500 if given.quick else 10_000),
            "goals": GOALS,
        }
    if given.json:
        print(json.dumps(result))
        return
    for part in ("overhead", "division", "listing"):
        for name, value in result[part].items():
            goal = f"   goal {GOALS[name]:g}" if name in GOALS else ""
            print(f"{part:10} {name:24} {value:12.4g}{goal}")


if __name__ == "__main__":
    main()
