"""How long the package takes to start, beside bare Python.

`import inmateria` (goal: under 0.3 s), `inmateria --help` (under 0.5 s), and `inmateria run` on a terminal until its
first sign (under 0.5 s) and until its first exchange (under 2 s), once its kernels are compiled.
"""

import argparse
import json
import os
import pty
import re
import subprocess
import sys
import tempfile
import time

import numpy as np

RUNS = 9
COMMANDS = {
    "python alone": [sys.executable, "-c", "pass"],
    "import inmateria": [sys.executable, "-c", "import inmateria"],
    "inmateria --help": [sys.executable, "-m", "inmateria", "--help"],
}
RUN = [sys.executable, "-m", "inmateria", "run", "memory", "--on", "nanowire://?wires=50"]
FIRST_SIGN, FIRST_EXCHANGE = "inmateria run: first sign", "inmateria run: first exchange"
GOALS = {"import inmateria": 0.3, "inmateria --help": 0.5, FIRST_SIGN: 0.5, FIRST_EXCHANGE: 2.0}


def first_signs() -> tuple[float, float]:
    """Run a task on a terminal; time what is shown first, and the first phase after "starting", s."""
    ours, theirs = pty.openpty()
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        running = subprocess.Popen([*RUN, "--out", folder], stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        shown, first = b"", 0.0
        try:
            while re.search(rb" \d+/\d", shown) is None:  # how far the first phase is
                try:
                    shown += os.read(ours, 4096)
                except OSError:  # it has ended
                    raise SystemExit(f"{' '.join(RUN)} failed: {shown.decode()}") from None
                first = first or time.perf_counter() - begun
            return first, time.perf_counter() - begun
        finally:
            running.terminate()
            os.close(ours)
            running.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--runs", type=int, default=RUNS)
    asked = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in [*COMMANDS, FIRST_SIGN, FIRST_EXCHANGE]}
    first_signs()  # compiled
    for _ in range(asked.runs):
        for name, command in COMMANDS.items():
            begun = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - begun)
        for name, taken in zip((FIRST_SIGN, FIRST_EXCHANGE), first_signs(), strict=True):
            seconds[name].append(taken)
    medians = {name: float(np.median(taken)) for name, taken in seconds.items()}
    least = {name: min(taken) for name, taken in seconds.items()}
    if asked.json:
        print(json.dumps({"seconds": medians, "least": least, "goals": GOALS}))
        return
    alone = medians["python alone"]
    print(f"{'':30} {'median (s)':>10} {'least (s)':>10} {'goal (s)':>9} {'beside python alone':>20}")
    for name, median in medians.items():
        goal = f"{GOALS[name]:9.1f}" if name in GOALS else f"{'':9}"
        print(f"{name:30} {median:10.3f} {least[name]:10.3f} {goal} {median / alone:19.1f}x")


if __name__ == "__main__":
    main()
