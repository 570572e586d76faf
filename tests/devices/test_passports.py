"""A passport gives back what was put into it, years later, from many processes, or says why it cannot."""

import json
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from inmateria.adapters import SimulatedSubstrate
from inmateria.cli.commands import app
from inmateria.devices import BoundReadout, Probe, WrongDevice, bind, calibrate
from inmateria.devices.errors import PassportError
from inmateria.devices.passport_figures import drift
from inmateria.devices.passports import Passports, passports_url
from inmateria.protocols.runner import run_task
from inmateria.protocols.runs import read_run
from inmateria.protocols.task import find_task
from inmateria.reservoir import PhysicalReservoir, RecursiveLeastSquares, RidgeReadout
from inmateria.simulators import NanowireNetwork, Variability

PROBE = Probe(steps=8, repeats=6, step=0.02, rest=0.2)
DAY = 86400.0


def network(seed=1):
    return NanowireNetwork(wires=60, seed=seed, variability=Variability(noise=0.02, aging=0.1), integration_step=5e-3)


def url(folder):
    return f"sqlite:///{folder / 'lab' / 'passports.sqlite'}"


async def calibrated(matter, day=0):
    taken = await calibrate(SimulatedSubstrate(matter), PROBE)
    return msgspec.structs.replace(taken, taken=f"2026-01-{1 + day:02d}T12:00:00+00:00")


async def test_calibrations_and_drift_are_read_back_in_order(tmp_path):
    matter = network()
    first = await calibrated(matter)
    matter.age(9 * DAY)
    later = await calibrated(matter, 9)
    with Passports(url(tmp_path)) as kept:
        kept.add_calibration(matter.info, later)
        kept.add_calibration(matter.info, first)
    with Passports(url(tmp_path)) as kept:
        assert kept.devices() == {matter.info.id: "nanowire-network"}
        passport = kept.passport(matter.info.id)
        assert passport.info == matter.info
        assert passport.calibrations == (first, later)
        ((now, found),) = passport.drift()
        assert now == later
        assert found.drifted()
        with pytest.raises(ValueError, match="fingerprint is of"):
            kept.add_calibration(network(2).info, first)
        with pytest.raises(PassportError, match=f"did you mean {matter.info.id}"):
            kept.passport(matter.info.id[:-1])


async def test_the_others_are_the_first_of_each_other_device_with_that_probe(tmp_path):
    with Passports(url(tmp_path)) as kept:
        made = []
        for seed in (1, 2, 3):
            matter = network(seed)
            made.append(await calibrated(matter))
            kept.add_calibration(matter.info, made[-1])
            kept.add_calibration(matter.info, await calibrated(matter, 3))
        kept.add_calibration(matter.info, await calibrate(SimulatedSubstrate(matter), Probe(steps=5, repeats=2)))
        assert kept.others(made[0]) == made[1:]


async def test_a_readout_is_kept_with_its_device_and_works_when_read_back(tmp_path):
    u = np.sin(0.3 * np.arange(200))
    matter = network()
    async with PhysicalReservoir(SimulatedSubstrate(matter), step=0.02) as reservoir:
        series = np.outer(u, np.ones(8))
        X = await reservoir.run(series)
        bound = await bind(RidgeReadout().fit(X, u), reservoir, series[:100], probe=PROBE, bound=0.3)
    with Passports(url(tmp_path)) as kept:
        kept.add_readout("sine", bound, matter.info)
        again = kept.readout(matter.info.id, "sine")
        assert isinstance(again, BoundReadout)
        assert np.allclose(again.predict(X, matter.info), bound.predict(X, matter.info), atol=1e-10)
        (row,) = kept.passport(matter.info.id).readouts
        assert (row.name, row.bound) == ("sine", 0.3)
        with pytest.raises(PassportError, match="no readout 'cosine'"):
            kept.readout(matter.info.id, "cosine")
        with pytest.raises(WrongDevice):
            kept.add_readout("sine", bound, network(2).info)


async def test_an_online_readout_learns_on_after_years_and_documents_of_version_1_are_read():
    u = np.sin(0.3 * np.arange(120))
    matter = network()
    async with PhysicalReservoir(SimulatedSubstrate(matter), step=0.02) as reservoir:
        series = np.outer(u, np.ones(8))
        X = await reservoir.run(series)
        bound = await bind(RecursiveLeastSquares().fit(X, u), reservoir, series[:60], probe=PROBE)
        with pytest.raises(ValueError, match="5 repeats, which can show a drift beyond a bound"):
            await bind(bound.estimator, reservoir, series[:60], probe=Probe(repeats=5))
    written = bound.encode()
    again = BoundReadout.decode(written)
    assert np.array_equal(again.estimator.predict(X), bound.estimator.predict(X))
    for each in (again, bound):
        each.estimator.partial_fit(X[::-1], u)
    assert np.array_equal(again.estimator.predict(X), bound.estimator.predict(X))
    old = json.loads(written) | {"version": 1}
    del old["readout"]
    of_weights = BoundReadout.decode(json.dumps(old).encode())
    assert np.allclose(of_weights.weights.coef, BoundReadout.decode(written).weights.coef, rtol=0, atol=0)
    other = json.loads(written)
    other["fingerprint"]["device"] = "another"
    for damaged in (other, json.loads(written) | {"version": 3}, old | {"coef": old["coef"] | {"shape": [-1, 2]}}):
        with pytest.raises(ValueError, match=r"another|version 3|shape"):
            BoundReadout.decode(json.dumps(damaged).encode())


async def test_a_newer_format_a_broken_file_and_a_bad_url_are_said_to_be(tmp_path):
    with Passports(url(tmp_path)):
        pass
    file = tmp_path / "lab" / "passports.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("update inmateria set version = 99")
    connection.close()
    with pytest.raises(PassportError, match="version 99"):
        Passports(url(tmp_path))
    file.write_bytes(b"this is no database at all, and long enough to be looked at" * 20)
    with pytest.raises(PassportError, match=r"cannot be used \(file is not a database\)"):
        Passports(url(tmp_path))
    with pytest.raises(PassportError, match="not the URL of a database"):
        Passports("runs/passports.sqlite")
    with pytest.raises(PassportError, match="driver that is not installed"):
        Passports("firebird://somebody:secret@nowhere/lab")
    with pytest.raises(PassportError) as caught:
        Passports(f"sqlite:///{file}/below/a/file.sqlite")
    assert "secret" not in str(caught.value)


async def test_a_password_is_never_told(monkeypatch):
    with pytest.raises(PassportError) as caught:
        Passports("postgresql+nothing://somebody:secret@nowhere/lab")
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("INMATERIA_PASSPORTS", "postgresql://lab/passports")
    assert passports_url(Path("runs")) == "postgresql://lab/passports"


def _many(place, fingerprint):
    with Passports(place) as kept:
        for _ in range(5):
            kept.add_calibration(network().info, fingerprint)


async def test_several_writers_of_one_new_database(tmp_path):
    fingerprint = await calibrated(network())
    with ThreadPoolExecutor(6) as writers:
        list(writers.map(_many, [url(tmp_path)] * 6, [fingerprint] * 6))
    with Passports(url(tmp_path)) as kept:
        assert len(kept.passport(network().info.id).calibrations) == 30


async def test_the_picture_shows_each_calibration(tmp_path):
    matter = network()
    with Passports(url(tmp_path)) as kept:
        for day in range(4):
            kept.add_calibration(matter.info, await calibrated(matter, day))
            matter.age(DAY)
        passport = kept.passport(matter.info.id)
    figure = drift(passport)
    (ax,) = figure.axes
    drawn = [line.get_ydata() for line in ax.lines if len(line.get_xdata()) == 3]
    assert any(np.allclose(values, [found.distance for _, found in passport.drift()]) for values in drawn)
    figure.savefig(tmp_path / "drift.png")


def inmateria(*arguments):
    told = CliRunner().invoke(app, arguments)
    if told.exception is not None and not isinstance(told.exception, SystemExit):
        raise told.exception
    assert told.exit_code == 0, told.output
    return told.stdout


def test_the_commands_fill_and_show_a_passport(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    uri = "nanowire://?wires=60&variability.noise=0.02"
    few = ("--steps", "5", "--repeats", "5", "--rest", "0.1", "--json")
    first = json.loads(inmateria("calibrate", uri, *few))
    assert first["drift"] is None
    second = json.loads(inmateria("calibrate", uri, *few))
    assert second["calibrations"] == 2
    assert second["drift"]["distance"] == 0
    inmateria("run", "waveform", "--on", uri, "-s", "steps=500", "--json")
    device = first["device"]
    shown = json.loads(inmateria("passport", device, "--json"))
    (folder,) = (tmp_path / "runs").glob("*-waveform")
    scores = read_run(folder).outcome.scores
    assert [row["score"] for row in shown["scores"]] == [score.score for score in scores]
    assert (tmp_path / shown["plot"]).read_bytes().startswith(b"\x89PNG")
    assert device in inmateria("passport")
    told = inmateria("passport", device)
    assert "Drift since the first calibration" in told
    assert "waveform" in told
    assert "is not shown to have changed" in inmateria("calibrate", uri, *few[:-1])


def test_a_passport_without_a_database_is_one_line_and_exit_code_two(tmp_path):
    told = subprocess.run(
        [sys.executable, "-m", "inmateria", "passport", "nobody"],
        capture_output=True,
        text=True,
        timeout=500,
        cwd=tmp_path,
    )
    assert told.returncode == 2
    assert "there is no database of passports at runs/passports.sqlite" in told.stderr
    assert told.stderr.count("\n") == 1


async def test_a_run_is_whole_where_its_passport_cannot_be_written(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("INMATERIA_PASSPORTS", f"sqlite:///{tmp_path}")  # a folder, not a file
    task = find_task("waveform")
    settings = task.settings_from({"steps": "500", "round_trips": "1"})
    substrate = SimulatedSubstrate(network())
    folder = await run_task(task, settings, substrate, tmp_path, lambda *_: None, on="x", over="local")
    assert read_run(folder).outcome.scores
    assert "not in the device's passport" in caplog.text
