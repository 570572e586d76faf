"""Draw docs/images/in_one_picture.svg, the picture of the README: python docs/in_one_picture.py."""

import math
import random
from pathlib import Path

TO = Path(__file__).parent / "images" / "in_one_picture.svg"
WIDTH, HEIGHT = 860, 300
RED, BLUE, GREEN = "#d9604a", "#4a90d0", "#4ba36e"
STYLE = """
    text { font: 15px system-ui, sans-serif; fill: #1d2733; }
    .small { font-size: 12.5px; fill: #5a6570; }
    .line { fill: none; stroke-width: 1.8; }
    .ink { stroke: #5a6570; }
    .box { fill: none; stroke: #8a94a0; stroke-width: 1.2; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6ebf0; } .small { fill: #a9b4c0; } .ink { stroke: #a9b4c0; } .box { stroke: #7a8590; }
    }
"""


def wave(x: float, y: float, width: float, height: float, of: int) -> str:
    """Return the path of a series: a slow one, or one of what comes out."""
    points = [
        (x + width * k / 60, y - height * (math.sin(k / 6 + of) + 0.5 * of * math.sin(k / 2.3 + of)) / (1 + 0.5 * of))
        for k in range(61)
    ]
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points)


def wires(x: float, y: float, side: float, count: int = 46) -> str:
    """Return the paths of wires that lie at random in a square."""
    drawn = random.Random(4)
    path = ""
    for _ in range(count):
        a, b, angle = drawn.uniform(0.12, 0.88), drawn.uniform(0.12, 0.88), drawn.uniform(0, math.pi)
        half = 0.5 * drawn.uniform(0.2, 0.42)
        ends = [
            (
                min(0.98, max(0.02, a + sign * half * math.cos(angle))),
                min(0.98, max(0.02, b + sign * half * math.sin(angle))),
            )
            for sign in (-1, 1)
        ]
        path += "M" + "L".join(f"{x + side * u:.1f} {y + side * v:.1f}" for u, v in ends)
    return path


def arrow(x: float, y: float, to: float) -> str:
    """Return an arrow to the right."""
    return f'<path class="line ink" d="M{x} {y}H{to}m-7 -5l7 5l-7 5"/>'


def picture() -> str:
    """Return the drawing."""
    parts = [
        f'<path class="line" stroke="{RED}" d="{wave(20, 120, 110, 34, 0)}"/>',
        '<text x="75" y="190" text-anchor="middle">stimulus</text>',
        '<text class="small" x="75" y="208" text-anchor="middle">within the limits,</text>',
        '<text class="small" x="75" y="224" text-anchor="middle">exactly once</text>',
        arrow(145, 120, 200),
        '<rect class="box" x="212" y="30" width="180" height="180" rx="6"/>',
        f'<path class="line ink" style="stroke-width:1.2" d="{wires(212, 30, 180)}"/>',
        *(f'<circle cx="212" cy="{y}" r="5" fill="{RED}"/>' for y in (70, 120, 170)),
        *(f'<circle cx="392" cy="{y}" r="5" fill="{BLUE}"/>' for y in (50, 97, 143, 190)),
        '<text x="302" y="234" text-anchor="middle">matter</text>',
        '<text class="small" x="302" y="252" text-anchor="middle">nanowires, living neurons, circuits;</text>',
        '<text class="small" x="302" y="268" text-anchor="middle">real or simulated, here or behind a broker</text>',
        arrow(406, 120, 452),
        *(f'<path class="line" stroke="{BLUE}" d="{wave(466, 60 + 40 * k, 110, 13, k + 1)}"/>' for k in range(4)),
        '<text x="521" y="234" text-anchor="middle">response</text>',
        '<text class="small" x="521" y="252" text-anchor="middle">recorded as it happens</text>',
        arrow(590, 120, 636),
        f'<rect x="650" y="88" width="90" height="64" rx="6" fill="none" stroke="{GREEN}" stroke-width="1.8"/>',
        '<text x="695" y="117" text-anchor="middle">readout</text>',
        '<text class="small" x="695" y="136" text-anchor="middle">trained</text>',
        arrow(744, 120, 782),
        '<text x="792" y="125">answer</text>',
        '<path class="line ink" style="stroke-dasharray:5 4" d="M75 78V14H695V82m-5 -7l5 7l5 -7"/>',
        '<text class="small" x="545" y="30" text-anchor="middle">the same without matter: does it help?</text>',
    ]
    alt = "A stimulus goes into matter, its response into a trained readout; the same readout without matter beside it"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-labelledby="t">\n<title id="t">{alt}</title>\n<style>{STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


if __name__ == "__main__":
    TO.write_text(picture(), encoding="utf-8")
