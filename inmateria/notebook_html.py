"""Short HTML for notebooks: a title, a table of facts, small drawings.

Text is escaped: names of devices and channels come from devices and files. There is no script and nothing is loaded.
Colours are the page's own, by ``currentColor``, so that it is legible on light and on dark.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["bars", "layout_map", "notebook_html", "raster", "traces"]

_WIDTH, _HEIGHT = 420, 70
_MOST_TRACES = 4
_MOST_POINTS = 300
_MOST_LINES = 600
_MOST_TICKS = 1500
_MOST_TEXT = 300
_BLUE, _RED = "#4a90d0", "#d9604a"  # readable on white and on near-black
_CELL = "padding:1px 12px 1px 0;text-align:left;vertical-align:top;border:0;background:none;color:inherit"


def notebook_html(title: str, facts: Mapping[str, Any], drawings: Iterable[str] = ()) -> str:
    """Return HTML of a title, a table of facts and drawings.

    Parameters
    ----------
    title : str
    facts : mapping of str to object
        Each is written by `str` and escaped; None and empty texts are left out.
    drawings : iterable of str
        SVG, made by the functions beside this one.
    """
    rows = "".join(
        f'<tr style="background:none"><th scope="row" style="{_CELL};font-weight:normal;opacity:.7">{_text(name)}</th>'
        f'<td style="{_CELL}">{_text(value)}</td></tr>'
        for name, value in facts.items()
        if value is not None and str(value)
    )
    return (
        '<div style="font:13px/1.45 system-ui,sans-serif;color:inherit;max-width:44em;overflow-x:auto">'
        f"<strong>{_text(title)}</strong>"
        f'<table style="border-collapse:collapse;border:0;margin:4px 0;color:inherit">{rows}</table>'
        f"{''.join(drawings)}</div>"
    )


def traces(values: npt.NDArray[Any], alt: str, *, colour: str = "output", held: bool = False) -> str:
    """Draw columns over their rows, each group of many rows by its minimum and maximum.

    Parameters
    ----------
    values : ndarray, shape (rows, columns)
        NaN leaves a gap. All columns have one scale; at most 4, evenly chosen, are drawn.
    alt : str
        Text instead of the drawing, for those who cannot see it.
    colour : {"output", "input"}
    held : bool
        Whether a value holds until the next row.
    """
    rows, columns = values.shape
    finite = np.isfinite(values)
    if not finite.any():
        return ""
    low, high = float(values[finite].min()), float(values[finite].max())
    size = (high - low) or 1.0
    shown = np.unique(np.linspace(0, columns - 1, min(columns, _MOST_TRACES)).round().astype(int))
    paths = []
    for number, column in enumerate(shown):
        x, y = _least_and_greatest(values[:, column])
        across = (x / max(1, rows - (0 if held else 1)) * _WIDTH).round(1)
        down = (_HEIGHT - 3 - (y - low) / size * (_HEIGHT - 6)).round(1)
        paths.append(
            f'<path d="{_path(across, down, held)}" fill="none" stroke="{_RED if colour == "input" else _BLUE}" '
            f'stroke-opacity="{1 - 0.6 * number / len(shown):.2f}"/>'
        )
    more = f" ({len(shown)} of {columns} drawn)" if len(shown) < columns else ""
    return _svg("".join(paths), f"{alt}{more}, {low:.4g} to {high:.4g}")


def raster(times: npt.NDArray[Any], channels: npt.NDArray[Any], of: int, alt: str) -> str:
    """Draw each spike as a tick in the row of its channel; of more than 1,500, evenly chosen ones."""
    if not len(times):
        return ""
    size = float(times.max() - times.min()) or 1.0
    chosen = np.unique(np.linspace(0, len(times) - 1, min(len(times), _MOST_TICKS)).round().astype(int))
    tall = _HEIGHT / max(1, of)
    across = ((times[chosen] - times.min()) / size * (_WIDTH - 2) + 1).round(1)
    down = ((channels[chosen] + 0.1) * tall).round(1)
    ticks = "".join(f"M{x:g} {y:g}v{max(1.0, 0.8 * tall):.1f}" for x, y in zip(across, down, strict=True))
    more = f" ({len(chosen):,} of {len(times):,} drawn)" if len(chosen) < len(times) else ""
    return _svg(f'<path d="{ticks}" stroke="currentColor" stroke-width=".8"/>', f"{alt}{more}")


def bars(values: npt.NDArray[Any], alt: str) -> str:
    """Draw values as bars from zero; of more than 210, the one of largest magnitude in each group."""
    values = np.asarray(values, dtype=np.float64).ravel()
    values = values[np.isfinite(values)]
    if not len(values) or not values.any():
        return ""
    groups = np.array_split(values, min(len(values), _WIDTH // 2))
    tops = np.array([group[np.abs(group).argmax()] for group in groups])
    low, high = min(0.0, float(tops.min())), max(0.0, float(tops.max()))
    wide, tall = _WIDTH / len(tops), (_HEIGHT - 2) / (high - low)
    zero = 1 + high * tall
    drawn = "".join(
        f'<rect x="{k * wide:.1f}" y="{zero - max(0.0, top) * tall:.1f}" width="{max(0.8, wide - 0.6):.1f}" '
        f'height="{max(0.3, abs(top) * tall):.1f}" fill="{_BLUE}"/>'
        for k, top in enumerate(tops.tolist())
    )
    line = f'<path d="M0 {zero:.1f}h{_WIDTH}" stroke="currentColor" stroke-opacity=".4"/>'
    return _svg(drawn + line, alt)


def layout_map(
    segments: Sequence[tuple[float, float, float, float]],
    points: Sequence[tuple[float, float]],
    electrodes: Mapping[str, tuple[float, float]],
    inputs: Iterable[str],
    alt: str,
) -> str:
    """Draw wires as lines, junctions or cells as dots, inputs as red and other electrodes as blue circles."""
    wires = np.array([each for each in segments if np.isfinite(each).all()], dtype=np.float64).reshape(-1, 4)
    dots = np.array([each for each in points if np.isfinite(each).all()], dtype=np.float64).reshape(-1, 2)
    places = {name: place for name, place in electrodes.items() if np.isfinite(place).all()}
    ends = np.concatenate([wires.reshape(-1, 2), dots, np.array([*places.values()], dtype=np.float64).reshape(-1, 2)])
    if not len(ends):
        return ""
    low, size = ends.min(axis=0), float(np.ptp(ends, axis=0).max()) or 1.0
    side = 190
    wires_drawn, dots_drawn = _some(wires), _some(dots)

    def placed(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        scaled: npt.NDArray[Any] = 5 + (values - low) / size * (side - 10)
        return scaled.round(1)

    lines = "".join(
        f"M{a:g} {b:g}L{c:g} {d:g}" for (a, b), (c, d) in placed(wires_drawn.reshape(-1, 2)).reshape(-1, 2, 2).tolist()
    )
    dots_path = "".join(f"M{x:g} {y:g}h.01" for x, y in placed(dots_drawn).tolist())
    driven = set(inputs)
    shown = sorted([*places][:_MOST_LINES], key=driven.__contains__)  # inputs last: outputs may lie on them
    circles = "".join(
        f'<circle cx="{x:g}" cy="{y:g}" r="3.5" fill="{_RED if name in driven else _BLUE}">'
        f"<title>{_text(name)}</title></circle>"
        for name, (x, y) in ((name, placed(np.array(places[name])).tolist()) for name in shown)
    )
    left_out = len(wires) + len(dots) - len(wires_drawn) - len(dots_drawn)
    more = f" ({left_out:,} parts not drawn)" if left_out else ""
    return _svg(
        f'<path d="{lines}" fill="none" stroke="currentColor" stroke-opacity=".45" stroke-width=".7"/>'
        f'<path d="{dots_path}" stroke="currentColor" stroke-opacity=".6" stroke-width="2" stroke-linecap="round"/>'
        + circles,
        f"{alt}{more}", side, side,
    )  # fmt: skip


def _some(items: npt.NDArray[Any]) -> npt.NDArray[Any]:
    chosen = np.unique(np.linspace(0, len(items) - 1, min(len(items), _MOST_LINES)).round().astype(int))
    some: npt.NDArray[Any] = items[chosen] if len(items) else items
    return some


def _least_and_greatest(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return positions and values of a line; of many, the minimum and maximum of each group."""
    x, y = np.arange(len(values), dtype=np.float64), np.asarray(values, dtype=np.float64)
    if len(y) <= _MOST_POINTS:
        return x, y
    groups = np.array_split(y, _MOST_POINTS // 2)
    begins = np.cumsum([0, *(len(group) for group in groups[:-1])])
    pairs = [(np.nanmin(group), np.nanmax(group)) if np.isfinite(group).any() else (np.nan, np.nan) for group in groups]
    return np.repeat(begins.astype(np.float64), 2), np.array(pairs).ravel()


def _path(x: npt.NDArray[Any], y: npt.NDArray[Any], held: bool) -> str:
    parts, drawing = [], False
    for across, down in zip(x.tolist(), y.tolist(), strict=True):
        if not np.isfinite(down):
            drawing = False
            continue
        if not drawing:
            parts.append(f"M{across:g} {down:g}")
        else:
            parts.append(f"H{across:g}V{down:g}" if held else f"L{across:g} {down:g}")
        drawing = True
    if held and drawing:
        parts.append(f"H{_WIDTH}")
    return "".join(parts)


def _svg(inside: str, alt: str, width: int = _WIDTH, height: int = _HEIGHT) -> str:
    """Return an image with its description, as text beneath and for screen readers."""
    return (
        f'<figure style="margin:4px 0"><svg role="img" aria-label="{_text(alt)}" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" style="max-width:100%;height:auto;color:inherit">{inside}</svg>'
        f'<figcaption style="font-size:11px;opacity:.7">{_text(alt)}</figcaption></figure>'
    )


def _text(value: object) -> str:
    """Escape a text of any origin, without control characters, and cut it."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(value)[: _MOST_TEXT + 1])
    return escape(text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + "...")
