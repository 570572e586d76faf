"""Write the index of decisions from their titles: python docs/decisions_index.py."""

from itertools import groupby
from pathlib import Path

DECISIONS = Path(__file__).parent / "decisions"
INDEX = DECISIONS / "README.md"
SUBJECTS = {
    0: "The package",
    100: "Nanowire networks and recordings of others",
    200: "MQTT",
    300: "Measures and reservoirs",
    400: "Layers and bottlenecks",
    500: "Recordings",
    550: "Devices: drift, transfer, passports",
    560: "Networks that learn",
    580: "Boards on a serial line",
    590: "Sweeps",
    600: "Cultures of neurons",
    650: "Living tissue",
    700: "Firmware of boards",
    720: "Instruments",
    730: "Streams of other programs",
    740: "Readouts and runs of any size",
    800: "Boards and instruments",
    850: "Tasks and their controls",
    900: "Pages and reports",
}
"""First number of each subject; a decision belongs to the last subject whose number is not above its own."""

HEAD = """# Decisions

Why things are as they are, half a page each: context, choice, cost. A decision that no longer holds is not rewritten: a
later one says that it takes its place, and the earlier one names that in its first line. The number is the next free
one of its subject. After adding one, run `python docs/decisions_index.py`, which writes this page; a test holds it
complete.
"""


def title(path: Path) -> str:
    """Return the title of a decision, without its number."""
    number, _, words = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ").partition(". ")
    if int(number) != int(path.name[:4]):
        raise ValueError(f"{path.name} has the number {number} in its title; both must be the same")
    return words


def subject(path: Path) -> str:
    """Return the subject that the number of a decision belongs to."""
    return SUBJECTS[max(first for first in SUBJECTS if first <= int(path.name[:4]))]


def index() -> str:
    """Return the text of the index."""
    lines = [HEAD]
    for name, paths in groupby(sorted(DECISIONS.glob("[0-9]*.md")), key=subject):
        lines.append(f"## {name}\n")
        lines += [f"- {int(path.name[:4])}. [{title(path)}]({path.name})" for path in paths]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    INDEX.write_text(index(), encoding="utf-8")
