"""The panels of runs and sweeps in Chromium: pixels and text show what was sent, also dark and at 400 pixels."""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import watched_runs
from matplotlib.image import imread
from playwright.async_api import Browser, Page, Route, async_playwright

from inmateria.adapters import connect
from inmateria.live.maps import map_of
from inmateria.live.messages import (
    Electrode,
    FinalScore,
    Hello,
    Map,
    Outputs,
    OwnScore,
    Readout,
    RunState,
    SettingScore,
    StageState,
    SweepRow,
    SweepState,
    WorkerState,
)

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="page.css">
<link rel="stylesheet" href="runs.css"></head><body><section id="run"></section><section id="sweep"></section>
<section id="outputs"></section><canvas id="map"></canvas><script type="module">
import { Outputs } from "./outputs.js"; import { MatterMap, colour } from "./matter_map.js";
import { RunPanel } from "./run_panel.js"; import { SweepPanel } from "./sweep_panel.js";
window.made = { Outputs, MatterMap, colour, RunPanel, SweepPanel };
</script></body></html>"""
_TYPES = {".js": "text/javascript", ".css": "text/css"}


async def _serve(route: Route) -> None:
    name = route.request.url.rpartition("/")[2]
    if not name:
        await route.fulfill(body=_PAGE, content_type="text/html")
        return
    file = files("inmateria.live").joinpath("page").joinpath(name)
    await route.fulfill(body=file.read_text(), content_type=_TYPES[Path(name).suffix])


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield opened
        finally:
            await opened.close()


@asynccontextmanager
async def panels(opened: Browser, width: int = 900, *, dark: bool = False) -> AsyncIterator[Page]:
    scheme: Any = "dark" if dark else "light"
    context = await opened.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    await context.route("http://panels.test/**", _serve)
    page = await context.new_page()
    page.set_default_timeout(300_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    await page.goto("http://panels.test/")
    await page.wait_for_function("window.made")
    yield page
    assert wrong == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await context.close()


def plain(message: msgspec.Struct) -> Any:
    return json.loads(msgspec.json.encode(message))


async def pixels(page: Page, selector: str) -> np.ndarray[Any, Any]:
    """Return the pixels (rows, columns, 3) of an element as they are seen."""
    shot = await page.locator(selector).first.screenshot()
    return np.round(255 * imread(BytesIO(shot))[..., :3]).astype(int)


def where(image: np.ndarray[Any, Any], colour: str, within: int = 40) -> np.ndarray[Any, Any]:
    """Return the rows and columns of pixels of about a colour."""
    wanted = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])
    return np.argwhere(np.abs(image - wanted).max(axis=2) <= within)


def hex_of(rgb: str) -> str:
    return "#" + "".join(f"{int(part):02x}" for part in rgb.removeprefix("rgb(").strip(")").split(","))


async def add_outputs(page: Page, hello: Hello, *messages: Outputs, begin: float, end: float) -> None:
    await page.evaluate(
        """([hello, messages, begin, end]) => {
          window.outputs = new made.Outputs(document.getElementById("outputs"), hello);
          for (const each of messages) outputs.add(each);
          outputs.draw(begin, end); }""",
        [plain(hello), [plain(each) for each in messages], begin, end],
    )


async def test_the_output_is_drawn_where_it_was_and_told_in_words() -> None:
    times = np.linspace(0.1, 10, 100)
    target, output = np.where(times < 5, -1.0, 1.0), np.where(times < 5, 1.0, -1.0)
    hello = Hello(title="r", kind="run", readout=Readout(names=("a",), metric="r² of the last 200"))
    message = Outputs(
        times=tuple(times.tolist()), target=tuple((v,) for v in target.tolist()),
        output=tuple((v,) for v in output.tolist()),
        scored=(1.0, 9.0), score=(None, 0.625),
    )  # fmt: skip
    async with browser() as opened:
        for width, dark, hue in ((900, False, "#0b63b5"), (400, True, "#6db7ff")):
            async with panels(opened, width, dark=dark) as page:
                await add_outputs(page, hello, message, begin=0.0, end=10.0)
                image = await pixels(page, "#outputs canvas")
                drawn = where(image, hue)
                middle = image.shape[1] / 2
                left, right = (drawn[part, 0].mean() for part in (drawn[:, 1] < middle - 10, drawn[:, 1] > middle + 10))
                assert left < right - 10  # up to the middle the output is high, then low
                assert drawn[:, 1].min() < 0.05 * image.shape[1]
                assert drawn[:, 1].max() > 0.95 * image.shape[1]
                text = await page.locator("#outputs").inner_text()
                assert "r² of the last 200: 0.625 (more is better)" in text
                label = await page.locator("#outputs canvas").first.get_attribute("aria-label")
                assert "a: target 1.00, output -1.00" in (label or "")


async def test_rows_come_once_in_order_and_classes_differ_in_colour_and_shape() -> None:
    numbers = Hello(title="r", kind="run", readout=Readout(names=("a",), metric="m"))
    classes = Hello(title="r", kind="run", readout=Readout(names=("digit",), metric="m", classes=("0", "1")))
    named = Outputs(times=(2.0, 8.0), target=((0.0,), (1.0,)), output=((0.0,), (0.0,)))

    def rows(first: int, last: int, *, again: bool = False) -> Outputs:
        some = tuple(float(k) for k in range(first, last))
        return Outputs(times=some, target=tuple((k,) for k in some), output=tuple((k,) for k in some), again=again)

    async with browser() as opened, panels(opened) as page:
        # The same rows once more are for pages that came late: only those before the first are taken.
        await add_outputs(page, numbers, rows(5, 8), rows(6, 10), rows(0, 10, again=True), begin=0, end=10)
        assert await page.evaluate("outputs.times") == list(range(10))
        assert await page.evaluate("outputs.target.map((row) => row[0])") == list(range(10))
        await add_outputs(page, classes, named, begin=0.0, end=10.0)
        image = await pixels(page, "#outputs canvas")
        right, wrong = where(image, "#1a7f4b"), where(image, "#c2361b")
        assert abs(right[:, 1].mean() / image.shape[1] - 0.2) < 0.01
        assert abs(wrong[:, 1].mean() / image.shape[1] - 0.8) < 0.01
        text = await page.locator("#outputs .legend").first.inner_text()
        assert "● output, right" in text
        assert "✕ output, wrong" in text


async def test_the_map_colours_each_output_by_its_activity() -> None:
    layout = Map(
        unit="um", wires=((-10, 0, 10, 0), (-10, 40, 10, 40)), wire_outputs=(0, 1), words="2 wires, 2 electrodes",
        electrodes=(Electrode(name="v0", x=0, y=0, input=0, output=0), Electrode(name="v1", x=0, y=40, output=1)),
    )  # fmt: skip
    matter = {uri: map_of(connect(uri).info) for uri in ("nanowire://?wires=100", "culture://", "clln://?grid=4x4")}
    draw = """([map, activity]) => new made.MatterMap(document.getElementById("map"), map).draw(
        Float32Array.from(activity))"""
    async with browser() as opened:
        for dark in (False, True):
            async with panels(opened, 500, dark=dark) as page:
                await page.evaluate(draw, [plain(layout), [0, 1]])
                image = await pixels(page, "#map")
                said = await page.evaluate(f"[0, 1].map((each) => made.colour(each, {str(dark).lower()}))")
                above = image[:-36]  # without the legend
                low, high = (where(above, hex_of(each), 6) for each in said)
                assert high[:, 0].mean() < low[:, 0].mean()  # y points up: the second wire is above the first
                assert min(len(low), len(high)) > 50
                label = await page.locator("#map").get_attribute("aria-label")
                assert label == "Map of the matter: 2 wires, 2 electrodes. Most active now: v1 1.00, v0 0.00."
                many = await page.evaluate(
                    f"Array.from({{ length: 21 }}, (_, k) => made.colour(k / 20, {str(dark).lower()}))"
                )
                lightness = np.array([lightness_of(hex_of(each)) for each in many])
                steps = np.diff(lightness)
                # Only falling on a light ground and only rising on a dark one, and no step much larger than another.
                assert (steps > 0).all() if dark else (steps < 0).all()
                assert np.abs(steps).max() < 2.5 * np.abs(steps).mean()
        async with panels(opened, 400) as page:
            for uri, made in matter.items():
                await page.evaluate(draw, [plain(made), [0.0] * 100])
                drawn = await pixels(page, "#map")
                assert (drawn.min(axis=2) < 240).sum() > 500, uri
                assert made.words in (await page.locator("#map").get_attribute("aria-label") or "")


def lightness_of(colour: str) -> float:
    """Return the lightness of the CIE, by which the eye orders colours (CIE 15:2004)."""
    rgb = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    y = float(linear @ [0.2126, 0.7152, 0.0722])
    return 116 * float(np.cbrt(y)) - 16 if y > 216 / 24389 else y * 24389 / 27


STATE = RunState(
    state="running", task="memory", on="nanowire://", keep="all", seconds=75.0,
    stages=(
        StageState(name="round trips", done=5, of=5, seconds=1.0),
        StageState(name="streaming", done=3, of=40, seconds=2.0),
    ),
    own=(OwnScore(name="accuracy, last 100", value=0.5, done=300),), reading="An online readout.",
)  # fmt: skip


@pytest.mark.parametrize(("width", "dark"), [(900, False), (400, True)])
async def test_a_run_is_told_in_words_and_bars(width: int, dark: bool) -> None:
    finished = msgspec.structs.replace(
        STATE, state="finished", title="Memory <capacity>", metric="r²", verdict="The matter helped.", chance=0.1,
        scores=(
            FinalScore(on="substrate", readout="sum", features=10, score=0.75, spread=0.1, control=False),
            FinalScore(on="delay line", readout="sum", features=10, score=0.5, spread=None, control=True),
        ),
    )  # fmt: skip
    async with browser() as opened, panels(opened, width, dark=dark) as page:
        await page.evaluate(
            """(state) => { window.run = new made.RunPanel(document.getElementById("run")); run.set(state); }""",
            plain(STATE),
        )
        text = await page.locator("#run").inner_text()
        for words in ("▶ running", "memory", "on nanowire://", "1 min 15 s", "streaming", "3 of 40",
                      "accuracy, last 100: 0.500 (after 300)", "An online readout."):  # fmt: skip
            assert words in text
        bar = page.get_by_role("progressbar", name="streaming")
        assert [await bar.evaluate("(each) => each.value"), await bar.evaluate("(each) => each.max")] == [3, 40]
        await page.evaluate("(state) => run.set(state)", plain(finished))
        text = await page.locator("#run").inner_text()
        assert "✓ finished" in text
        assert "Memory <capacity>" in text  # as text: nothing that was sent becomes part of the page
        assert "The matter helped." in text
        rows = await page.locator("#run tbody tr").all_inner_texts()
        assert [row.split("\t") for row in rows] == [
            ["substrate", "sum", "0.750", "± 0.100", "10"],
            ["delay line", "sum", "0.500", "", "10"],
            ["baseline", "", "0.100", "", ""],
        ]


@pytest.mark.parametrize(("width", "dark"), [(900, False), (400, True)])
async def test_a_sweep_is_told_in_words_tables_and_strips(width: int, dark: bool) -> None:
    state = SweepState(
        folder="s", what="sweep", task="memory", of=10, done=2, failed=1, running=1, left=6, state="running",
        seconds=30.0, remaining=90.0, metric="r²", columns=("wires",),
        rows=(
            SweepRow(point="0123456789", state="done", values=("80",), score=0.75, control=0.5, gain=0.25),
            SweepRow(point="abcdef0123", state="done", values=("60",), score=0.25, control=0.5, gain=-0.25),
            SweepRow(point="ffff", state="failed", values=("70",), error="ValueError: no"),
        ),
        by_setting=(
            SettingScore(setting="wires", value="60", count=1, mean=0.25, low=0.25, high=0.25),
            SettingScore(setting="wires", value="80", count=1, mean=0.75, low=0.75, high=0.75),
        ),
        workers=(
            WorkerState(
                name="host, 12", lives=True, point="aa", label="wires=90", folder="s/working/a b/run",
                stage=StageState(name="streaming", done=3, of=40, seconds=1.0),
            ),
        ),
    )  # fmt: skip
    async with browser() as opened, panels(opened, width, dark=dark) as page:
        await page.evaluate(
            """(state) => { window.sweep = new made.SweepPanel(document.getElementById("sweep"));
               sweep.set(state); }""",
            plain(state),
        )
        text = await page.locator("#sweep").inner_text()
        for words in ("▶ running", "sweep of memory", "2 done; 1 running; 1 failed; 6 left", "time left: 1 min 30 s",
                      "host, 12", "streaming, 3 of 40", "inmateria watch 's/working/a b/run' --web",
                      "0.750 (0.750 to 0.750, n = 1)", "✕ failed: ValueError: no"):  # fmt: skip
            assert words in text
        bar = page.get_by_role("progressbar")
        assert [await bar.evaluate("(each) => each.value"), await bar.evaluate("(each) => each.max")] == [3, 10]
        low, high = [
            await page.locator(".strips .mean").nth(k).evaluate("(each) => each.getBoundingClientRect().x")
            for k in (0, 1)
        ]
        assert high - low > 50
        # A table that is wider than the screen is scrolled by itself, also with the keyboard.
        assert await page.locator("#sweep .table").first.get_attribute("tabindex") == "0"
        await page.evaluate("(state) => sweep.set(state)", plain(msgspec.structs.replace(state, state="stopped")))
        assert "no process works on it" in await page.locator("#sweep").inner_text()


async def test_a_run_that_goes_on_is_seen_in_the_browser(tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.touch()
    run = watched_runs.start(tmp_path / "runs", "narma", held, steps=600, washout=50, round_trips=5)
    folder = await asyncio.to_thread(watched_runs.folder_in, tmp_path / "runs")
    served = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "inmateria", "watch", str(folder), "--web", "--port", "0", "--json",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert served.stdout is not None
        address = next(iter(json.loads(await served.stdout.readline()).values()))
        async with browser() as opened:
            page = await opened.new_page(viewport={"width": 400, "height": 900}, bypass_csp=True)
            page.set_default_timeout(300_000)
            await page.goto(address)
            await page.wait_for_function("document.querySelector('#run .how')?.textContent.includes('running')")
            await page.wait_for_function("livePage.outputs?.times?.length > 100")
            assert await page.evaluate("document.querySelector('#run').dataset.state") == "running"
            held.unlink()
            await page.wait_for_function("document.querySelector('#run').dataset.state === 'finished'")
            await page.wait_for_function("livePage.outputs.times.length === 600")
            await page.wait_for_function("document.querySelector('#run .verdict')?.textContent.length > 10")
            assert len(where(await pixels(page, "#outputs canvas"), "#0b63b5")) > 100
            late = await opened.new_page(bypass_csp=True)  # comes when all is over
            late.set_default_timeout(300_000)
            await late.goto(address)
            await late.wait_for_function("livePage.outputs?.times?.length === 600")
            await late.wait_for_function("document.querySelector('#run').dataset.state === 'finished'")
    finally:
        served.terminate()
        await served.wait()
        run.kill()
        run.wait()
