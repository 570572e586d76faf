"""The page in Chromium: its pixels show what was sent, it heals, and is used by keyboard, in the dark, on a phone."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from pages import RUNNING, ToldSource, columns, hello, served
from playwright.async_api import Browser, Page, async_playwright

from inmateria.live.messages import Event, Status

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here"),
]
INK = """([id, name]) => {
  const page = window.livePage, chart = {traces: 'tracesChart', raster: 'rasterChart', stimulus: 'stimulusChart'}[id];
  const {width, height, pixels} = page.charts[chart], ground = page.colours.pixel.ground, found = [];
  const canvas = document.getElementById(id), gutter = page.charts[chart].gutter;
  const data = new Uint32Array(canvas.getContext('2d').getImageData(gutter, 0, width, height).data.buffer);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++)
    if (data[y * width + x] === page.colours.pixel[name]) found.push([x, y]);
  return {width, height, found, from: page.view.from, to: page.view.to};
}"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as driver:
        made = await driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        await made.close()


async def opened(browser: Browser, address: str, **settings: Any) -> tuple[Page, list[str]]:
    """Open a page; the list gets what goes wrong in it, and all that it asks for."""
    page = await browser.new_page(**{"viewport": {"width": 1000, "height": 800}, **settings})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on(
        "request",
        lambda request: None if request.url.startswith(address.partition("#")[0]) else wrong.append(request.url),
    )
    await page.goto(address)
    await until(page, "Boolean(window.livePage?.hello)")  # it has joined, so that nothing is sent before
    return page, wrong


async def until(page: Page, words: str, value: Any = True, *, seconds: float = 60) -> None:
    """Wait until an expression in the page has a value."""
    found = None
    for _ in range(int(seconds / 0.05)):
        if (found := await page.evaluate(f"() => {words}")) == value:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{words} is {found!r} and not {value!r} after {seconds} s")


async def ink(page: Page, chart: str, colour: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Return where a chart has a colour, as time and part of the height from above."""
    seen = await page.evaluate(INK, [chart, colour])
    found = np.array(seen["found"], dtype=np.float64).reshape(-1, 2)
    times = seen["from"] + (found[:, 0] + 0.5) / seen["width"] * (seen["to"] - seen["from"])
    return np.column_stack([times, (found[:, 1] + 0.5) / seen["height"]]), seen


def steady(
    count: int = 400, *, begin: float = 0.0, outputs: int = 4, low: Any = None, high: Any = None, **more: Any
) -> Any:
    """Make columns of 10 ms."""
    zeros = np.zeros((count, outputs))
    return columns(
        begin + np.arange(count) / 100, 0.01, zeros if low is None else low, zeros if high is None else high,
        np.zeros((count, 1)), **more,
    )  # fmt: skip


async def test_pixels_show_what_was_sent(browser: Browser) -> None:
    source = ToldSource(hello())
    low, high = np.full((400, 4), -0.9), np.full((400, 4), -0.9)
    low[100:200, 1] = high[100:200, 1] = 0.9  # a step in time on one channel
    low[250:260, 2], high[250:260, 2] = -0.9, 0.9  # a fast swing on another
    drive = np.where(np.arange(400) < 200, -0.5, 0.5)[:, np.newaxis]
    sent = columns(np.arange(400) / 100, 0.01, low, high, drive, [(0.5, 3), (1.5, 0), (3.5, 0)])
    async with served(source) as addresses:
        page, wrong = await opened(browser, addresses["watch"])
        source.tell(RUNNING, sent)
        await until(page, "livePage.charts?.latest > 3.99")
        await page.select_option("#scale", "limits")
        await until(page, "livePage.view.to > 3.99 && !livePage.charts.dirty && livePage.drawn.frames > 2")
        traces, seen = await ink(page, "traces", "trace")
        assert seen["to"] - seen["from"] == 5
        row, within = np.floor(traces[:, 1] * 4).astype(int), traces[:, 1] * 4 % 1
        quiet = (row == 0) | (row == 3)
        assert set(np.unique(row)) == {0, 1, 2, 3}
        assert (within[quiet] > 0.85).all()
        step = row == 1
        inside = step & (traces[:, 0] > 1.02) & (traces[:, 0] < 1.98)
        outside = step & ((traces[:, 0] < 0.98) | (traces[:, 0] > 2.02))
        assert (within[inside] < 0.15).all()
        assert (within[outside] > 0.85).all()
        assert inside.sum() > 50
        swing = (row == 2) & (traces[:, 0] > 2.51) & (traces[:, 0] < 2.59)
        assert within[swing].min() < 0.1
        assert within[swing].max() > 0.85
        flat = (row == 2) & ((traces[:, 0] < 2.48) | (traces[:, 0] > 2.62))
        assert (within[flat] > 0.85).all()
        assert traces[:, 0].min() == pytest.approx(0.0, abs=0.02)  # nothing where nothing was measured
        spikes, _ = await ink(page, "raster", "spike")
        places = {(round(time, 1), int(part * 4)) for time, part in spikes}
        assert places == {(0.5, 3), (1.5, 0), (3.5, 0)}
        stimulus, _ = await ink(page, "stimulus", "drive")
        assert (stimulus[stimulus[:, 0] < 1.98, 1] > 0.6).all()
        assert (stimulus[stimulus[:, 0] > 2.02, 1] < 0.4).all()
        assert (await page.inner_text("#state"), await page.inner_text("#title")) == ("online", "a device")
        facts = await page.inner_text("#facts")
        assert "ada/1" in facts
        assert "2 ms" in facts
        assert "50 exchanges/s" in facts
        await page.close()
        assert wrong == []


async def test_a_lost_connection_heals_and_what_was_missed_is_a_gap(browser: Browser) -> None:
    source, port = ToldSource(hello()), 0
    async with served(source) as addresses:
        port = int(addresses["watch"].rsplit(":", 1)[1].strip("/"))
        page, _ = await opened(browser, addresses["watch"])
        source.tell(RUNNING, steady(100))
        await until(page, "livePage.charts?.latest > 0.99")
    await until(page, "document.getElementById('state').textContent", "disconnected")
    assert "trying again" in await page.inner_text("#notice")
    assert await page.is_disabled("#stop")
    again = ToldSource(hello())
    async with served(again, port=port):
        again.tell(RUNNING)
        await until(page, "document.getElementById('state').textContent", "online")
        assert not await page.is_visible("#notice")
        again.tell(steady(100, begin=3.0))
        await until(page, "livePage.charts.latest > 3.99")
        assert await page.evaluate("() => livePage.charts.oldest") == 0  # what was seen before is kept
        assert await page.evaluate("() => livePage.charts.gaps") == [{"from": pytest.approx(1), "to": 3}]
        await until(page, "livePage.view.to > 3.98")
        gap, _ = await ink(page, "traces", "gap")
        assert gap[:, 0].min() == pytest.approx(1.0, abs=0.03)
        assert gap[:, 0].max() == pytest.approx(3.0, abs=0.03)
        await page.close()


async def test_keys_pause_scroll_zoom_and_choose(browser: Browser) -> None:
    source = ToldSource(hello())
    async with served(source) as addresses:
        page, wrong = await opened(browser, addresses["watch"])
        source.tell(RUNNING, steady(1000))
        await until(page, "livePage.view.to > 9.9")
        await page.keyboard.press("Space")
        assert await page.get_attribute("#pause", "aria-pressed") == "true"
        held = await page.evaluate("() => livePage.view.to")
        source.tell(steady(500, begin=10.0))
        await until(page, "livePage.charts.latest > 14.9")
        assert await page.evaluate("() => livePage.view.to") == held
        span = await page.evaluate("() => livePage.view.span")
        await page.keyboard.press("+")
        assert await page.evaluate("() => livePage.view.span") < span
        await page.keyboard.press("-")
        assert await page.evaluate("() => livePage.view.span") == span
        await page.keyboard.press("ArrowLeft")
        assert await page.evaluate("() => livePage.view.to") == pytest.approx(held - span / 4)
        await page.keyboard.press("Home")
        assert await page.evaluate("() => livePage.view.from") == pytest.approx(0)
        await page.keyboard.press("End")
        await until(page, "livePage.view.follows && livePage.view.to > 14.9")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("ArrowDown")
        assert await page.evaluate("() => livePage.view.chosen") == 1
        await until(page, "document.getElementById('selected').textContent.startsWith('e1')")
        await page.keyboard.press("[")
        assert await page.inner_text("#shown") == "1 to 2"
        await page.keyboard.press("PageDown")
        assert await page.inner_text("#shown") == "3 to 4"
        # All of it is reached by tab, and what has the focus is seen.
        names = set()
        for _ in range(30):
            await page.keyboard.press("Tab")
            names.add(await page.evaluate("() => document.activeElement.id"))
            outline = "getComputedStyle(document.activeElement).outlineStyle"
            assert await page.evaluate(f"() => document.activeElement === document.body || {outline} !== 'none'")
        assert {"pause", "latest", "back", "forth", "wider", "closer", "scale", "charts"} <= names
        await page.close()
        assert wrong == []


async def test_it_fits_a_narrow_screen(browser: Browser) -> None:
    source = ToldSource(hello(64, 4, title="mqtt://broker.laboratory.example.org:1883/lab/" + "a-long-name-" * 8))
    async with served(source) as addresses:
        page, _ = await opened(browser, addresses["watch and stop"], viewport={"width": 400, "height": 700})
        source.tell(Status(state="in fault", error="x" * 300), Event(time=1.0, label="y" * 200))
        await until(page, "document.getElementById('state').textContent", "in fault")
        assert await page.evaluate("() => document.documentElement.scrollWidth") <= 400
        beyond = """() => [...document.querySelectorAll('body *')].filter((each) => each.checkVisibility()
            && each.getBoundingClientRect().right > innerWidth + 1).map((each) => each.id || each.tagName)"""
        assert await page.evaluate(beyond) == []
        small = """() => [...document.querySelectorAll('button, select, summary')]
            .filter((each) => each.checkVisibility()
            && each.getBoundingClientRect().height < 20).map((each) => each.id)"""
        assert await page.evaluate(small) == []
        assert await page.evaluate("() => document.getElementById('traces').clientHeight") > 150
        await page.close()


CONTRAST = """() => {
  const light = (hex) => {
    const parts = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255);
    const [r, g, b] = parts.map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const css = getComputedStyle(document.documentElement), of = (name) => css.getPropertyValue('--' + name).trim();
  const against = (a, b) => {
    const [x, y] = [light(of(a)), light(of(b))].sort();
    return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
  };
  const pairs = ['ink', 'dim', 'good', 'warn', 'bad'].flatMap((name) => [[name, 'ground'], [name, 'panel']]);
  return {
    danger: against('danger-ink', 'danger'),
    text: Math.min(...pairs.map(([a, b]) => against(a, b))),
    marks: Math.min(...['trace', 'chosen', 'drive', 'spike'].map((name) => against(name, 'ground'))),
  };
}"""


async def test_it_turns_dark_with_the_system_and_stays_legible(browser: Browser) -> None:
    source = ToldSource(hello())
    async with served(source) as addresses:
        page, _ = await opened(browser, addresses["watch"], color_scheme="light")
        source.tell(RUNNING, steady())
        await until(page, "livePage.drawn.frames > 2")
        corner = "[...document.getElementById('traces').getContext('2d').getImageData(500, 3, 1, 1).data.slice(0, 3)]"
        assert await page.evaluate(f"() => {corner}") == [255, 255, 255]
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            contrast = await page.evaluate(CONTRAST)
            # Web Content Accessibility Guidelines 2.2, 1.4.3 and 1.4.11
            assert contrast["text"] >= 4.5, (scheme, contrast)
            assert contrast["danger"] >= 4.5, (scheme, contrast)
            assert contrast["marks"] >= 3, (scheme, contrast)
        await until(page, corner, [16, 20, 24])
        await page.close()


async def test_pictures_and_controls_have_names(browser: Browser) -> None:
    source = ToldSource(hello())
    async with served(source) as addresses:
        page, _ = await opened(browser, addresses["watch and stop"])
        source.tell(RUNNING, steady(spikes=[(0.1, 2)]))
        await until(
            page, "document.getElementById('raster').getAttribute('aria-label').includes('channels 1 to 4 of 4')"
        )
        unnamed = """() =>
            [...document.querySelectorAll('button, select, canvas:not([aria-hidden=true]), figure, dialog')]
            .filter((each) => each.checkVisibility()).filter((each) => !(each.getAttribute('aria-label')
            || each.innerText.trim() || each.labels?.length)).map((each) => each.outerHTML.slice(0, 80))"""
        assert await page.evaluate(unnamed) == []
        assert await page.evaluate("() => document.documentElement.lang") == "en"
        assert await page.get_attribute("#state", "role") == "status"
        await page.click("#table-details summary")
        await until(page, "document.querySelectorAll('#table tr').length", 4)
        assert (await page.inner_text("#table tr:nth-child(2)")).split()[0] == "e1"
        await page.close()


async def test_the_emergency_stop_asks_first_and_is_for_those_with_the_right_to_it(browser: Browser) -> None:
    source = ToldSource(hello())
    async with served(source) as addresses:
        page, _ = await opened(browser, addresses["watch"])
        source.tell(RUNNING)
        await until(page, "document.getElementById('state').textContent", "online")
        assert await page.is_disabled("#stop")
        assert "open the address for stopping" in (await page.get_attribute("#stop", "title") or "")
        # Nor does the server obey a page that says it all the same.
        await page.evaluate("() => livePage.connection.send({type: 'stop', title: 'a device'})")
        await until(page, "document.getElementById('notice').textContent.startsWith('The stop was not confirmed')")
        assert source.stopped == 0
        await page.close()

        page, wrong = await opened(browser, addresses["watch and stop"])
        await until(page, "!document.getElementById('stop').disabled")
        await page.click("#stop")
        assert await page.is_visible("#confirm")
        assert "a device" in await page.inner_text("#confirm-title")
        await page.keyboard.press("Enter")  # what has the focus is not to stop
        assert not await page.is_visible("#confirm")
        await page.click("#stop")
        await page.keyboard.press("Escape")
        assert source.stopped == 0
        await page.click("#stop")
        await page.click("#confirm-yes")
        await until(page, "document.getElementById('notice').textContent", "The device has confirmed that it stopped.")
        assert source.stopped == 1
        source.fails = "waited 5 s for it to be stopped"
        await page.click("#stop")
        await page.click("#confirm-yes")
        await until(page, "document.getElementById('notice').textContent.includes('waited 5 s')")
        await page.close()
        assert wrong == []


async def test_dropped_columns_are_counted_and_shown_as_a_gap(browser: Browser) -> None:
    source = ToldSource(hello())
    async with served(source) as addresses:
        page, _ = await opened(browser, addresses["watch"])
        source.tell(RUNNING, steady(10))
        await until(page, "livePage.charts?.latest > 0.09")
        # A page that is too slow: it does not say that it has a frame.
        await page.evaluate("() => { livePage.connection.send = () => {}; }")
        for k in range(1, 41):
            source.tell(steady(10, begin=k / 10))
            if k <= 8:  # so many are sent without an answer
                await until(page, f"livePage.charts.latest > {k / 10 + 0.09}")
        async with asyncio.timeout(60):
            while not source.queue.empty():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await page.evaluate(
            "() => { delete livePage.connection.send; livePage.connection.send({type: 'ack', number: 40}); }"
        )
        await until(page, "livePage.charts.latest > 4.09")
        dropped = await page.evaluate("() => livePage.facts.dropped")
        assert dropped == 10 * (41 - 1 - 8 - 8)
        gaps = await page.evaluate("() => livePage.charts.gaps")
        assert sum(gap["to"] - gap["from"] for gap in gaps) == pytest.approx(dropped / 100)
        await until(page, f"document.getElementById('facts').textContent.includes('columns dropped{dropped}')")
        await page.close()


async def test_history_is_bounded_and_coarser_the_older(browser: Browser) -> None:
    source = ToldSource(hello(2, spiking=False))
    async with served(source) as addresses:
        page, _ = await opened(browser, addresses["watch"])
        await until(page, "Boolean(livePage.charts)")
        script = """(peak) => {
          const history = livePage.charts.signal, [low, high] = [new Float32Array(2000), new Float32Array(2000)];
          for (let k = 0; k < 200; k++) {
            const starts = Float64Array.from({length: 1000}, (_, i) => k + i / 1000);
            const ends = starts.map((start) => start + 0.001);
            high.fill(0);
            if (k === peak) high[2 * 123] = 7;
            history.add(starts, ends, low, high);
          }
          const tops = history.ranges(0, 200, 3000).map(({level, first, last}) => {
            let top = 0;
            for (let i = first; i < last; i++) top = Math.max(top, level.high[(i % level.capacity) * 2]);
            return top;
          });
          return {
            oldest: history.oldest, latest: history.latest, top: Math.max(...tops),
            bytes: history.levels.reduce((sum, level) => sum + level.low.byteLength + level.high.byteLength, 0),
            shown: history.ranges(0, 200, 3000).reduce((sum, {first, last}) => sum + last - first, 0),
          };
        }"""
        found = await page.evaluate(script, 3)  # of 200 s, more than the finest level holds
        assert found["oldest"] == 0
        assert found["latest"] == pytest.approx(200)
        assert found["top"] == 7  # the extreme is kept in what is joined
        assert found["bytes"] <= 48 * 2**20
        assert found["shown"] < 3200
        await page.close()
