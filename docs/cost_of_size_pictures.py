"""Draw the picture of cost_of_size.md from measurements: python docs/cost_of_size_pictures.py [LINES].

LINES is a file with the line of JSON of each benchmark named in cost_of_size.md; without it, those measured before
are drawn again.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes

mpl.use("Agg")
import matplotlib.pyplot as plt

IMAGES = Path(__file__).parent / "images"
MEASURED = IMAGES / "cost_of_size.json"
PANELS = {
    "nanowires": ("Nanowire network", "wires", "s a step"),
    "neurons": ("Culture", "neurons", "s a step of 0.1 ms"),
    "channels": ("Closed loop", "channels", "s an exchange"),
    "devices": ("Devices on one machine", "devices", "s an exchange with each"),
}
BOUND = {"devices": "one device alone"}


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the rows of all benchmarks whose lines are in a file, in one form."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        for row in told["rows"]:
            if "s_a_neuron_step" in row:
                size = row["size"]
                seconds, bound = size * row["s_a_neuron_step"], size * row["bound_s"]
                found.append({"what": "neurons", "size": size, "seconds": seconds, "bound": bound})
                continue
            found.append({name: row[name] for name in ("what", "case", "size", "seconds", "bound") if name in row})
            if row.get("ensemble_seconds"):
                found[-1]["case"] = "alone"
                together = {"case": "each of sixteen", "seconds": row["ensemble_seconds"], "bound": None}
                found.append(found[-1] | together)
    return found


def draw(axes: Axes, what: str, rows: list[dict[str, Any]]) -> None:
    """Cost by size of one thing, each case a line, with the limit beside it."""
    title, size, cost = PANELS[what]
    for number, case in enumerate(dict.fromkeys(row.get("case", "alone") for row in rows)):
        of = sorted((row for row in rows if row.get("case", "alone") == case), key=lambda row: row["size"])
        sizes = [row["size"] for row in of]
        axes.loglog(sizes, [row["seconds"] for row in of], "o-", color=f"C{number}", ms=3, label=case)
        bound = [(row["size"], row["bound"]) for row in of if row.get("bound")]
        if bound:
            axes.loglog(
                *zip(*bound, strict=True),
                "--",
                color=f"C{number}",
                lw=0.9,
                label=f"{case}, {BOUND.get(what, 'the limit')}",
            )
    axes.set(title=title, xlabel=size, ylabel=cost)
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(fontsize=7)


def main() -> None:
    """Draw all panels, and print the table of the page."""
    if len(sys.argv) > 1:
        MEASURED.write_text(json.dumps(rows_of(Path(sys.argv[1])), indent=1) + "\n", encoding="utf-8")
    rows = json.loads(MEASURED.read_text(encoding="utf-8"))
    figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
    for what, panel in zip(PANELS, axes.flat, strict=True):
        draw(panel, what, [row for row in rows if row["what"] == what])
    figure.savefig(IMAGES / "cost_of_size.png", dpi=110)
    print("| what | size | measured | limit | measured / limit |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        bound = row.get("bound")
        limit = "| | |" if not bound else f"| {bound * 1e6:,.3g} us | {row['seconds'] / bound:,.3g} x |"
        name = ", ".join(filter(None, (row["what"], row.get("case", ""))))
        print(f"| {name} | {row['size']:,} | {row['seconds'] * 1e6:,.3g} us {limit}")


if __name__ == "__main__":
    main()
