"""The report, opened in a headless browser as its readers will."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from leaky import LeakySimulator

from inmateria.protocols import ExchangeStatistics, Outcome, Run, Score
from inmateria.protocols.report import render
from inmateria.recording import Exchange
from inmateria.substrate import Layout, Stimulus, SubstrateInfo


def chromium() -> str:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        message = "no Chromium is installed; on Debian: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path


def made_up_run() -> tuple[Run, list[Exchange]]:
    simulator = LeakySimulator(inputs=2, outputs=3)
    exchanges = [
        Exchange(stimulus, simulator.advance(stimulus), 0, 0.0, 0.001)
        for stimulus in [Stimulus(np.random.default_rng(k).uniform(-1, 1, (10, 2)), 0.01) for k in range(3)]
    ]
    info = simulator.info
    layout = Layout(unit="um", segments=((0, 0, 5, 5),), points=((2, 2),), electrodes={"i0": (0, 0), "o1": (5, 5)})
    fields = {name: getattr(info, name) for name in info.__struct_fields__}
    score = Score(readout="a <readout>", on="substrate", features=6, score=0.9, splits=(0.9, 0.8), control=False)
    outcome = Outcome(
        title="Two classes",
        sentence="Something was read.",
        metric="accuracy",
        chance_description="guessing",
        classes=("0", "1"),
        chance=0.5,
        trained=30,
        held_out=10,
        splitting="Two splits.",
        scores=(score,),
        confusion={"a <readout>": ((4, 1), (0, 5))},
        learning_curve=tuple([0] * 10 + [1] * 20),
        weights=((0.1, 0.2), (0.3, 0.4), (0.0, 0.1)),
        exchanges=ExchangeStatistics(
            count=40, steps=400, seconds=2.0, round_trip_p50=0.001, round_trip_p99=0.002, round_trips=10
        ),
    )
    run = Run(
        task="digits",
        created="2026-01-01T00:00:00+00:00",
        on="leaky://",
        over="local",
        settings={},
        substrate=SubstrateInfo(**{**fields, "layout": layout}),
        outcome=outcome,
        versions={"python": "3"},
    )
    return run, exchanges


def test_a_browser_shows_every_part_and_fetches_nothing(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(render(*made_up_run()), encoding="utf-8")
    told = subprocess.run(
        [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
         page.as_uri()],
        capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    dom = told.stdout
    assert dom.count("<svg") == 5
    assert "a &lt;readout&gt;" in dom
    assert "0.850 ± 0.050" in dom
    for axis in ("predicted class", "items seen, each once", "x (um)", "time on the device", "stimulus (V)",
                 "response (uA)", "output channel"):  # fmt: skip
        assert axis in dom, axis
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", dom)
    # Two drawings may not share a name, or one would show the other's marks.
    names = re.findall(r'\bid="([^"]+)"', dom)
    assert len(names) == len(set(names))


def test_the_same_run_gives_the_same_page() -> None:
    assert render(*made_up_run()) == render(*made_up_run())
