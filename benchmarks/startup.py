"""How long `import inmateria` (goal: under 0.3 s) and `inmateria --help` (under 0.5 s) take, beside bare Python."""

import argparse
import json
import subprocess
import sys
import time

import numpy as np

RUNS = 9
COMMANDS = {
    "python alone": [sys.executable, "-c", "pass"],
    "import inmateria": [sys.executable, "-c", "import inmateria"],
    "inmateria --help": [sys.executable, "-m", "inmateria", "--help"],
}
GOALS = {"import inmateria": 0.3, "inmateria --help": 0.5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    asked = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(RUNS):
        for name, command in COMMANDS.items():
            begun = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - begun)
    medians = {name: float(np.median(taken)) for name, taken in seconds.items()}
    if asked.json:
        print(json.dumps({"seconds": medians, "goals": GOALS}))
        return
    alone = medians["python alone"]
    print(f"{'':20} {'median (s)':>10} {'goal (s)':>9} {'beside python alone':>20}")
    for name, median in medians.items():
        print(f"{name:20} {median:10.3f} {GOALS.get(name, float('nan')):9.1f} {median / alone:19.1f}x")


if __name__ == "__main__":
    main()
