"""Reports, opened in Chromium as their readers will, and held to run.json and to the recording."""

import asyncio
import csv
import io
import json
import os
import re
import shutil
import statistics
import xml.etree.ElementTree as ElementTree
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import h5py
import msgspec
import numpy as np
import pytest
from leaky import LeakySimulator

from inmateria.adapters import SimulatedSubstrate, connect
from inmateria.desk import compare_runs, read_catalogue
from inmateria.desk.comparison_page import write_comparison
from inmateria.desk.survey_page import survey_page
from inmateria.desk.survey_table import row_of_runs
from inmateria.desk.sweep_page import write_sweep_page
from inmateria.devices import Probe, calibrate
from inmateria.devices.passport_page import passport_page
from inmateria.devices.passports import Passports
from inmateria.figure_style import PAGE_COLOURS
from inmateria.protocols import Score, find_task, read_run, run_task
from inmateria.protocols.gains import verdict
from inmateria.protocols.report import render, write_report
from inmateria.protocols.report_sentences import device_sentence, kept_sentence, tiles
from inmateria.protocols.runs import write_run
from inmateria.recording import open_recording, read_block
from inmateria.substrate import Layout

STYLE = Path(__file__).parent.parent / "inmateria" / "pages" / "page.css"


class Placed(LeakySimulator):
    """Leaky integrators of which some have places."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        layout = Layout(
            unit="um", segments=((0, 0, 5, 5),), points=((2, 2), (3, 1)),
            electrodes={"i0": (0, 0), "o0": (0, 0), "o1": (5, 5), "o2": (2, 4)},
        )  # fmt: skip
        self.info = msgspec.structs.replace(self.info, layout=layout)


def alone(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a thread: the browser's driver has a loop of its own in this one."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, work).result()


def run(runs: Path, task: str, substrate: Any, on: str = "leaky://", keep: Any = "all", **settings: Any) -> Path:
    found = find_task(task)
    made = found.settings(round_trips=3, **settings)
    opened = [substrate] if found.several else substrate
    return alone(run_task(found, made, opened, runs, lambda *_: None, on=on, over="local", keep=keep))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of several kinds: a signal, spikes, matter that learned, nothing kept, only what readouts read."""
    runs = tmp_path_factory.mktemp("runs")
    signal = {"steps": 500, "delays": 3, "samples": 2}
    return {
        "signal": run(runs, "memory", SimulatedSubstrate(Placed()), **signal),
        "nothing": run(runs, "memory", SimulatedSubstrate(Placed()), keep="nothing", **signal),
        "features": run(runs, "memory", SimulatedSubstrate(Placed()), keep="features", **{**signal, "samples": 1}),
        "spikes": run(
            runs,
            "patterns",
            SimulatedSubstrate(LeakySimulator(inputs=16, outputs=24, spiking=True)),
            trials=50,
            rest=0.05,
        ),
        "learned": run(runs, "xor", connect("clln://?imperfections.cut=0.05"), "clln://", epochs=5),
    }


@pytest.fixture(scope="module")
def pages(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every kind of page."""
    place = tmp_path_factory.mktemp("pages")
    found = {f"report of {name}": folder / "report.html" for name, folder in folders.items()}
    compared = [folders["signal"], folders["features"], folders["spikes"]]
    write_comparison(compare_runs(compared), place / "comparison.html")
    runs = [each for each in read_catalogue(folders["signal"].parent) if each.task == "memory"]
    write_sweep_page(runs, place / "sweep.html")
    (place / "survey.html").write_text(survey_page([row_of_runs("memory", "leaky", runs)]), encoding="utf-8")

    async def fingerprint() -> Any:
        async with SimulatedSubstrate(LeakySimulator()) as substrate:
            return substrate.info, await calibrate(substrate, Probe(steps=20, repeats=4, rest=0.0))

    with Passports(f"sqlite:///{place}/p.db") as passports:
        for _ in range(2):
            passports.add_calibration(*alone(fingerprint()))
        (place / "passport.html").write_text(passport_page(passports.passport("leaky")), encoding="utf-8")
    return found | {path.stem: path for path in place.glob("*.html")}


def chromium() -> str:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        message = "no Chromium is installed; on Debian: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, rgb(...) or #rrggbb, by WCAG 2.2."""

    def luminance(colour: str) -> float:
        if colour.startswith("#"):
            parts = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
        else:
            parts = [int(float(part)) for part in re.findall(r"[\d.]+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in parts)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


TEXTS = """() => [...document.querySelectorAll('body *')].filter(e => !e.closest('svg') &&
    [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim())).map(e => {
    let b = e; while (b && getComputedStyle(b).backgroundColor == 'rgba(0, 0, 0, 0)') b = b.parentElement;
    return [e.textContent.trim().slice(0, 40), getComputedStyle(e).color,
    getComputedStyle(b || document.body).backgroundColor]})"""
SHAPES = """() => [...document.querySelectorAll('figure svg *')].filter(e => e instanceof SVGGeometryElement ||
    e.tagName == 'text' || e.tagName == 'use').filter(e => !e.closest('defs') && !e.closest('clipPath')).map(e => {
    const s = getComputedStyle(e); return [e.tagName, s.fillOpacity > 0 ? s.fill : 'none',
    s.strokeOpacity > 0 ? s.stroke : 'none', (e.closest('g[id]') || e).id]})"""
SIZES = """() => [...document.querySelectorAll('figure svg text')].map(e => {
    const svg = e.ownerSVGElement; return parseFloat(getComputedStyle(e).fontSize) *
    svg.getBoundingClientRect().width / svg.viewBox.baseVal.width})"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_is_legible_on_a_narrow_screen_and_loads_nothing(pages: dict[str, Path], scheme: Any) -> None:
    from playwright.async_api import async_playwright

    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for name, path in pages.items():
            page = await browser.new_page(viewport={"width": 400, "height": 900}, color_scheme=scheme)
            asked: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            await page.goto(path.as_uri())
            await look(page, name, scheme)
            assert asked == [path.as_uri()], name
            await page.close()
        await browser.close()


async def look(page: Any, name: str, scheme: str) -> None:
    over = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert over <= 0, (name, over)
    paper = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (contrast(paper, "#ffffff") < 1.1) == (scheme == "light")
    for text, ink, below in await page.evaluate(TEXTS):
        assert contrast(ink, below) >= 4.5, (name, text, ink, below)
    for tag, fill, stroke, group in await page.evaluate(SHAPES):
        if group.startswith("surface"):  # points in the colours of the image on which they lie
            continue
        # What is drawn in a colour of no name, such as black, would vanish on one of the two.
        for colour in (each for each in (fill, stroke) if each not in ("none", paper) and not each.startswith("url")):
            assert contrast(colour, paper) >= (4.5 if tag == "text" else 1.5), (name, tag, group, colour)
    sizes = await page.evaluate(SIZES)
    assert not sizes or min(sizes) >= 7.0, (name, min(sizes))


def test_every_colour_of_figures_has_one_for_dark_mode_with_enough_contrast() -> None:
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w{6})", part)) for part in STYLE.read_text(encoding="utf-8").split("@media")[:2]
    )
    for colour, name in PAGE_COLOURS.items():
        assert light[name] == colour
        for style in (light, dark):
            least = {"ink": 7.0, "pale": 1.7, "paper": 0.0}.get(name, 3.0)
            assert contrast(style[name], style["paper"]) >= least, (name, style[name])


def figures(page: Path) -> list[tuple[str, str, dict[str, str]]]:
    """Return the heading, the text and the files to take away of every figure."""
    text = page.read_text(encoding="utf-8")
    found = []
    for heading, figure in re.findall(r"<h2>([^<]*)</h2>\s*<figure>(.*?)</figure>", text, flags=re.DOTALL):
        alt = re.search(r'<svg role="img" aria-label="([^"]*)"', figure)
        assert alt is not None, heading
        links = re.findall(r'<a download="([^"]+)" href="data:[^,"]*,([^"]*)" aria-label="[^"]+">', figure)
        found.append((heading, alt.group(1), {name: unquote(data) for name, data in links}))
    assert len(found) == text.count("<svg ")
    return found


def test_every_figure_has_a_text_with_numbers_an_svg_and_its_data(pages: dict[str, Path]) -> None:
    for name, path in pages.items():
        found = figures(path)
        assert found or name == "report of nothing", name
        taken = [file for *_, files in found for file in files]
        assert len(taken) == len(set(taken)), name
        for heading, alt, files in found:
            assert re.search(r"\d", alt), (name, heading)
            assert len(alt) > 40, (name, heading, alt)
            (svg,) = (text for file, text in files.items() if file.endswith(".svg"))
            root = ElementTree.fromstring(svg)
            (desc,) = (each for each in root if each.tag.endswith("desc"))
            assert desc.text
            assert root.findall(".//{http://www.w3.org/2000/svg}text")
            tables = [text for file, text in files.items() if file.endswith(".csv")]
            assert tables, (name, heading)
            for table in tables:
                rows = list(csv.reader(io.StringIO(table)))
                assert len(rows) > 1, (name, heading)
                assert {len(row) for row in rows} == {len(rows[0])}


def test_two_drawings_of_a_page_share_no_name(pages: dict[str, Path]) -> None:
    for path in pages.values():
        text = re.sub(r'href="data:[^"]*"', "", path.read_text(encoding="utf-8"))
        names = re.findall(r'\bid="([^"]+)"', text)
        assert len(names) == len(set(names))
        for target in re.findall(r'(?:href="#|url\(#)([^")]+)', text):
            assert target in names


def table_of(files: dict[str, str], name: str) -> tuple[list[str], list[list[str]]]:
    heading, *rows = csv.reader(io.StringIO(files[name]))
    return heading, rows


def test_the_data_to_take_away_are_those_that_neo_reads(folders: dict[str, Path]) -> None:
    for name in ("signal", "features"):
        block = read_block(folders[name] / "recording.h5")
        volts = {"stimulus": [], "response": []}
        for segment in block.segments:
            for signal in segment.analogsignals:
                if str(signal.units.dimensionality) == "V":
                    volts[signal.name].append(signal.magnitude)
        files = {file: text for *_, each in figures(folders[name] / "report.html") for file, text in each.items()}
        for side, parts in volts.items():
            measured = np.concatenate(parts)
            heading, rows = table_of(files, f"whole-recording-{side}-V.csv")
            values = np.array(rows, dtype=float)
            if heading[0] == "time (s)":
                assert np.array_equal(values[:, 1:], measured)
                continue
            bins = values[:, 2:].reshape(len(values), -1, 2)
            assert np.nanmin(bins[..., 0], axis=0) == pytest.approx(measured.min(axis=0), abs=0)
            assert np.nanmax(bins[..., 1], axis=0) == pytest.approx(measured.max(axis=0), abs=0)
            drawn = bins[np.isfinite(bins)]
            assert np.isin(drawn, measured).all()


def test_spikes_to_take_away_are_those_of_the_recording(folders: dict[str, Path]) -> None:
    block = read_block(folders["spikes"] / "recording.h5")
    by_output = {}
    for segment in block.segments:
        for train in segment.spiketrains:
            by_output[train.name] = by_output.get(train.name, 0) + len(train)
    with open_recording(folders["spikes"] / "recording.h5") as recording:
        names = [channel.name for channel in recording.info.outputs]
        counts = np.bincount(recording.spikes()["channel"], minlength=len(names))
    assert sum(by_output.values()) == counts.sum()
    found = figures(folders["spikes"] / "report.html")
    files = {file: text for *_, each in found for file, text in each.items()}
    heading, rows = table_of(files, "whole-recording-spikes.csv")
    at = heading.index("output")
    for name, count in zip(names, counts.tolist(), strict=True):
        assert sum(int(row[3]) if len(row) > 3 else 1 for row in rows if row[at] == name) == count
    (alt,) = (alt for heading, alt, _ in found if heading.endswith("all of the recording"))
    assert f"{counts.sum():,} spikes of 24 outputs, {np.count_nonzero(counts)} of which had some" in alt
    _, rows = table_of(files, "activity.csv")
    rates = {row[1]: float(row[5]) for row in rows if row[0] == "response"}
    with h5py.File(folders["spikes"] / "recording.h5") as file:
        seconds = float((file["exchanges"]["step"] * file["exchanges"]["steps"]).sum())
    assert rates == pytest.approx(dict(zip(names, (counts / seconds).tolist(), strict=True)))


def plain(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"<style>.*?</style>|<svg.*?</svg>|<details>.*?</details>", " ", text, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", " ", text)
    return " ".join(text.replace("&#39;", "'").replace("&gt;", ">").split())


def test_every_number_of_the_text_is_that_of_run_json(folders: dict[str, Path]) -> None:
    """Computed anew from the JSON and the HDF5 file, by the definitions and not by the package."""
    for name, folder in folders.items():
        known, text = json.loads((folder / "run.json").read_text()), plain(folder / "report.html")
        outcome = known["outcome"]
        scores = outcome["scores"]
        main = next(each for each in scores if not each["control"])
        alike = [each for each in scores if each["control"] and each["readout"] == main["readout"]]
        best = max(alike, key=lambda each: statistics.fmean(each["splits"]))
        apart = [a - b for a, b in zip(main["splits"], best["splits"], strict=True)]
        gain, spread = statistics.fmean(apart), statistics.pstdev(apart)
        shown = f"{gain:+.3f}" + (f" ± {spread:.3f}" if spread else "")
        assert f"gain over the best control {shown} over {best['on']}" in text, name
        for each in scores:
            row = f"{each['on']} {each['readout']} {each['features']} {each['score']:.3f}"
            if len(each["splits"]) > 1:
                row += f" {statistics.fmean(each['splits']):.3f} ± {statistics.pstdev(each['splits']):.3f}"
            assert row in text, (name, row)
        if outcome["trained"]:
            of = f" in the first of {len(main['splits'])} " if len(main["splits"]) > 1 else "."
            assert f"{outcome['trained']:,} {outcome['items']} learned and {outcome['held_out']:,} held out{of}" in text
        exchanges = outcome["exchanges"]
        assert (
            f"exchanges a second {exchanges['count'] / exchanges['seconds']:.3g} {exchanges['count']:,} exchanges"
            in text
        )
        assert f"round trip, median {1e3 * exchanges['round_trip_p50']:.3g} ms" in text
        assert "99th" not in text  # of three round trips there is none
        info = known["substrate"]
        assert f"{len(info['inputs'])} inputs and {len(info['outputs'])} output" in text
        assert outcome["verdict"] in text
        if name == "nothing":
            assert "Nothing that was measured was kept." in text
            assert "recording.h5" not in text
            continue
        with h5py.File(folder / "recording.h5") as file:
            rows = file["exchanges"][:]
        assert f"All {len(rows):,} exchanges" in text
        assert f"{int(rows['steps'].sum()):,} steps in" in text
        if len(set(rows["session"])) > 1:
            assert f"in {len(set(rows['session'])):,} sessions, drawn one after another" in text


def test_gain_and_controls_come_first(folders: dict[str, Path]) -> None:
    text = plain(folders["signal"] / "report.html")
    places = [
        text.index(word) for word in ("The matter", "gain over the best control", "best control:", "Scores beside")
    ]
    assert places == sorted(places)
    assert places[-1] < text.index("What the matter did, and where") < text.index("What it was run with")


def test_a_report_says_what_its_recording_lacks(folders: dict[str, Path], tmp_path: Path) -> None:
    assert "exactly 1 sample of each step" not in plain(folders["signal"] / "report.html")
    assert "others were left out" in plain(folders["features"] / "report.html")
    assert "Of each step only the one sample that the readouts read was kept." in plain(
        folders["features"] / "report.html"
    )
    copied = tmp_path / "copied"
    shutil.copytree(folders["signal"], copied)
    (copied / "recording.h5").unlink()  # as `inmateria prune --recordings` does
    text = plain(write_report(copied))
    assert "The recording is no longer beside run.json" in text
    assert "holds everything" not in text
    with open_recording(folders["signal"] / "recording.h5") as recording:
        recording.finished = False
        assert "not ended properly" in kept_sentence(recording)


def test_sentences_are_true_of_other_runs(folders: dict[str, Path]) -> None:
    known = read_run(folders["signal"])
    several = msgspec.structs.replace(known, on="nanowire://?seed=1, nanowire://?seed=2")
    assert device_sentence(several).startswith("The task ran on 2 substrates; the first, leaky, is a leaky-integrator")
    echo = msgspec.structs.replace(known, substrate=msgspec.structs.replace(known.substrate, kind="echo-state"))
    assert "an echo-state of 3 inputs and 4 outputs" in device_sentence(echo)
    one = msgspec.structs.replace(
        known.substrate,
        inputs=known.substrate.inputs[:1],
        outputs=known.substrate.outputs[:1],
        rest=(0.0,),
        layout=None,
    )
    assert "1 input and 1 output," in device_sentence(msgspec.structs.replace(known, substrate=one))
    alone = msgspec.structs.replace(known.outcome, scores=known.outcome.scores[:1])
    names = [name for name, *_ in tiles(msgspec.structs.replace(known, outcome=alone))]
    assert not [name for name in names if "control" in name]
    page = render(msgspec.structs.replace(known, outcome=alone), [], "")
    assert "controls" not in re.sub(r"<p class=\"verdict\">.*?</p>", "", page, flags=re.DOTALL).lower()


def test_a_control_that_failed_is_left_out_and_said_and_a_run_with_it_is_read_again(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    known = read_run(folders["signal"])
    failed = Score(readout=known.outcome.scores[0].readout, on="broken", features=1, score=float("nan"), control=True)
    outcome = msgspec.structs.replace(
        known.outcome, scores=(known.outcome.scores[0], failed, *known.outcome.scores[1:])
    )
    said = verdict(outcome)
    assert said.startswith(verdict(known.outcome).split(". It lacks")[0][:60])
    assert "Controls without a finite score, which are left out: broken." in said
    write_run(tmp_path, msgspec.structs.replace(known, outcome=outcome, keep="nothing"))
    again = read_run(tmp_path)
    assert np.isnan(again.outcome.scores[1].score)
    assert "broken" in plain(write_report(tmp_path))


def test_edges_that_are_cut_are_told_and_not_drawn(folders: dict[str, Path]) -> None:
    (alt,) = (alt for heading, alt, _ in figures(folders["learned"] / "report.html") if heading == "The network")
    assert re.search(r"\d+ edges cut", alt)


def test_the_same_run_gives_the_same_page(folders: dict[str, Path]) -> None:
    first = (folders["spikes"] / "report.html").read_bytes()
    assert write_report(folders["spikes"]).read_bytes() == first


def test_names_of_devices_are_escaped(folders: dict[str, Path]) -> None:
    known = read_run(folders["nothing"])
    outcome = msgspec.structs.replace(known.outcome, title="<script>alert(1)</script>", sentence="<img src=x>")
    page = render(msgspec.structs.replace(known, outcome=outcome), [], "")
    assert "<script" not in page
    assert "<img" not in page


def test_a_report_stays_small(folders: dict[str, Path]) -> None:
    for folder in folders.values():
        assert (folder / "report.html").stat().st_size < 2_000_000
