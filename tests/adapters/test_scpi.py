"""Instruments by a profile: the contract over a socket, the physics behind it, and connections that fail."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from served_scpi import served_source_meter

from inmateria.adapters import ScpiServer, ScpiSubstrate, SimulatedSubstrate, connect
from inmateria.adapters.scpi.profile import ProfileError, load_profile, profile_names
from inmateria.simulators import NanowireNetwork
from inmateria.substrate import (
    Stimulus,
    StimulusRejected,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateTimeout,
    UnknownSubstrate,
)
from inmateria.testing import check_entered_substrate

FAST = "&nplc=0.05&step=0.001&compliance=0.01&limit=2"


@pytest.fixture
async def twin() -> AsyncIterator[ScpiServer]:
    async with ScpiServer(NanowireNetwork(wires=60), port=0) as server:
        yield server


@pytest.mark.parametrize("profile", ["keithley-2400", "keithley-2400-current"])
async def test_the_contract_holds_over_a_socket(twin: ScpiServer, profile: str) -> None:
    uri = (
        f"scpi://127.0.0.1:{twin.port}?profile={profile}&nplc=0.01&step=0.001&limit={2 if profile[-1] == '0' else 1e-6}"
    )
    async with connect(uri) as substrate:
        await check_entered_substrate(substrate, window=1)


async def test_it_gives_what_the_simulator_gives_and_leaves_it_at_rest(twin: ScpiServer) -> None:
    volts = np.linspace(-1, 1, 25)
    async with connect(twin.uri + FAST) as substrate:
        assert substrate.info.identity == "serial"
        assert twin.meter.output
        got = (await substrate.stimulate(substrate.info.stimulus(volts[:, np.newaxis]))).signal
        assert twin.meter["volt"] == 0
    assert not twin.meter.output
    direct = SimulatedSubstrate(NanowireNetwork(wires=60))
    drive = np.zeros((25, 8))
    drive[:, 0] = [float(f"{value:.6E}") for value in volts]
    expected = (await direct.stimulate(direct.info.stimulus(drive, step=1e-3))).signal
    assert got is not None
    assert expected is not None
    assert got[:, 0, 0] == pytest.approx(expected[:, 0, 7], rel=1e-6, abs=1e-15)


async def test_what_the_instrument_refuses_is_an_error_and_the_inputs_rest(twin: ScpiServer) -> None:
    async with connect(twin.uri + "&step=0.001&nplc=0.01") as substrate:  # the profile allows 210 V, the network 10 V
        with pytest.raises(SubstrateError, match=r"-222.*takes|-222.*allowed are -10 to 10"):
            await substrate.stimulate(substrate.info.stimulus([[20.0]]))
        assert twin.meter["volt"] == 0
        with pytest.raises(StimulusRejected):
            await substrate.stimulate(Stimulus([[211.0]], 0.001))
        assert (await substrate.stimulate(substrate.info.stimulus([[0.1]]))).sequence == 1
        with pytest.raises(SubstrateError, match="does not do so on command"):
            await substrate.reset()
    with pytest.raises(SubstrateError, match=r"-222.*after opening it"):
        async with connect(twin.uri + "&nplc=20"):
            pass


PROFILE = """
name = "a bench"
kind = "bench"
identity = "BENCH"
step = 0.002
close = ["OFF"]
[[inputs]]
name = "a"
unit = "V"
low = -1.0
high = 1.0
set = "A {value:.6G}"
[[outputs]]
name = "x"
unit = "A"
low = -1.0
high = 1.0
query = "X?"
field = 1
"""


class Bench:
    """A scripted instrument that notes its lines; `answer` may answer otherwise, or return None to close."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.identity = "ACME,BENCH,7,1"
        self.answer: Callable[[str], str | None] = lambda line: ""
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while line := (await reader.readline()).decode().strip():
            self.lines.append(line)
            usual = {"*IDN?": self.identity, "X?": "9,0.5", ":SYST:ERR?": '+0,"No error"'}.get(line, "")
            answer = self.answer(line)
            if answer is None:
                break
            if answer != "silence" and (usual or answer):
                writer.write((answer or usual).encode() + b"\n")
        writer.close()

    @property
    def levels(self) -> list[float]:
        return [float(line[2:]) for line in self.lines if line.startswith("A ")]


@asynccontextmanager
async def bench_at(path: Path, **given: object) -> AsyncIterator[tuple[Bench, ScpiSubstrate]]:
    (path / "bench.toml").write_text(PROFILE)
    bench = Bench()
    server = await asyncio.start_server(bench.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield bench, ScpiSubstrate("127.0.0.1", port, profile=str(path / "bench.toml"), **given)  # type: ignore[arg-type]
    finally:
        server.close()


async def test_levels_are_set_in_order_and_rest_comes_last(tmp_path: Path) -> None:
    async with bench_at(tmp_path) as (bench, substrate), substrate:
        response = await substrate.stimulate(substrate.info.stimulus([[0.25], [0.25], [0.5]]))
        assert response.signal is not None
        assert response.signal.ravel().tolist() == [0.5, 0.5, 0.5]
        assert substrate.info.id == "BENCH-7"
    assert bench.lines == [
        "*IDN?", "A 0", ":SYST:ERR?", "A 0.25", "X?", "X?", "A 0.5", "X?", "A 0", ":SYST:ERR?", "OFF", ":SYST:ERR?",
    ]  # fmt: skip


async def test_a_lost_connection_is_told_and_nothing_is_applied_twice(tmp_path: Path) -> None:
    async with bench_at(tmp_path) as (bench, substrate):
        async with substrate:
            bench.answer = lambda line: None if line == "X?" and bench.levels[-1] == 0.2 else ""
            with pytest.raises(SubstrateDisconnected, match="exchange 0 was applied in part"):
                await substrate.stimulate(substrate.info.stimulus([[0.1], [0.2], [0.3]]))
            response = await substrate.stimulate(substrate.info.stimulus([[0.4]]))
            assert response.sequence == 1
        assert bench.levels == [0.0, 0.1, 0.2, 0.0, 0.4, 0.0]
        assert bench.connections == 2


async def test_after_a_timeout_a_late_answer_is_not_taken_for_the_next(tmp_path: Path) -> None:
    async with bench_at(tmp_path, timeout=1.0) as (bench, substrate):
        async with substrate:
            bench.answer = lambda line: "silence" if line == "X?" and bench.levels[-1] == 0.2 else ""
            with pytest.raises(SubstrateTimeout, match=r"did not answer 'X\?' within 1 s"):
                await substrate.stimulate(substrate.info.stimulus([[0.2]]))
            response = await substrate.stimulate(substrate.info.stimulus([[0.4]]))
            assert response.signal is not None
            assert response.signal.item() == 0.5
        assert bench.connections == 2


async def test_another_instrument_at_the_address_is_refused(tmp_path: Path) -> None:
    async with bench_at(tmp_path) as (bench, substrate):
        async with substrate:
            bench.answer = lambda line: None if line == "X?" else ""
            with pytest.raises(SubstrateDisconnected):
                await substrate.stimulate(substrate.info.stimulus([[0.1]]))
            bench.answer, bench.identity = (lambda line: ""), "ACME,BENCH,8,1"
            with pytest.raises(SubstrateDisconnected, match=r"is now 'ACME,BENCH,8,1'.*it was 'ACME,BENCH,7,1'"):
                await substrate.stimulate(substrate.info.stimulus([[0.1]]))
            assert bench.levels == [0.0, 0.1]
            bench.identity = "ACME,BENCH,7,1"
        bench.identity = "OTHER,THING,7,1"
        with pytest.raises(SubstrateError, match="give the profile of this instrument"):
            await substrate.__aenter__()


async def test_what_may_not_be_at_rest_is_said(tmp_path: Path) -> None:
    async with bench_at(tmp_path) as (bench, substrate):
        await substrate.__aenter__()
        bench.answer = lambda line: None
        with pytest.raises(SubstrateDisconnected, match="may not be at rest"):
            await substrate.__aexit__(None, None, None)


async def test_a_cancelled_exchange_ends_at_rest(tmp_path: Path) -> None:
    async with bench_at(tmp_path) as (bench, substrate), substrate:
        read = asyncio.Event()

        def answer(line: str) -> str:
            if line == "X?":
                read.set()
            return ""

        bench.answer = answer
        exchange = asyncio.create_task(substrate.stimulate(substrate.info.stimulus([[0.7], [0.8]], step=600.0)))
        await read.wait()
        exchange.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange
        assert bench.levels == [0.0, 0.7, 0.0]


@pytest.mark.parametrize(
    ("answer", "read"), [("9,9.91E37", None), ("9,-9.9e+37", None), ("9,2", None), ("9,nan", None), ("9,0.25", 0.25)]
)
async def test_overflows_are_nan(tmp_path: Path, answer: str, read: float | None) -> None:
    async with bench_at(tmp_path) as (bench, substrate), substrate:
        bench.answer = lambda line: answer if line == "X?" else ""
        signal = (await substrate.stimulate(substrate.info.stimulus([[0.1]]))).signal
        assert signal is not None
        assert signal.item() == read or (read is None and np.isnan(signal.item()))


@pytest.mark.parametrize("answer", ["9", "a,b", "x" * 70])
async def test_answers_that_are_no_numbers_are_refused_at_rest(tmp_path: Path, answer: str) -> None:
    async with bench_at(tmp_path) as (bench, substrate), substrate:
        bench.answer = lambda line: answer if line == "X?" else ""
        with pytest.raises(SubstrateError, match="see query and field"):
            await substrate.stimulate(substrate.info.stimulus([[0.1]]))
        assert bench.levels[-1] == 0


async def test_nothing_there_is_said() -> None:
    async with ScpiServer(NanowireNetwork(wires=60), port=0) as server:
        uri = server.uri
    with pytest.raises(SubstrateDisconnected, match="no connection to"):
        async with connect(uri):
            pass


@pytest.mark.parametrize(
    ("uri", "why"),
    [("scpi://", "does not name a host"), ("scpi://h:99999", "no valid port"), ("scpi://h?profile=none", "there is no"),
     ("scpi://h?nplc=a", "cannot be opened"), ("scpi://h?colour=1", "colour"), ("scpi://h?limit=-1", "more than 0"),
     ("scpi://h?step=0.1&settle=0.2", "less than a step"), ("scpi://h?settings=1", "settings")],
)  # fmt: skip
def test_uris_that_are_not_right(uri: str, why: str) -> None:
    with pytest.raises(UnknownSubstrate, match=why):
        connect(uri)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [('identity = "BENCH"', 'identity = "("', "no regular expression"), ("{value:.6G}", "1", "has no {value}"),
     ("{value:.6G}", "{level}", "no settings|cannot be written"), ('"OFF"', '"OFF\\nON"', "printable"),
     ("field = 1", "field = -1", "0 or more"), ('unit = "A"', "", "unit"), ("step = 0.002", "steps = 1", "steps"),
     ("{value:.6G}", "{value.__class__}", "no settings|cannot be written")],
)  # fmt: skip
def test_profiles_that_are_not_right(tmp_path: Path, old: str, new: str, why: str) -> None:
    assert old in PROFILE
    (tmp_path / "wrong.toml").write_text(PROFILE.replace(old, new))
    with pytest.raises(ProfileError, match=why):
        load_profile(str(tmp_path / "wrong.toml"))


@pytest.mark.parametrize("name", profile_names())
def test_shipped_profiles_are_right(name: str) -> None:
    ScpiSubstrate("127.0.0.1", profile=name)


# The drivers of others, unchanged


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, str]]:
    with served_source_meter() as addresses:
        yield addresses


def test_pymeasures_driver_talks_to_the_twin(served: dict[str, str]) -> None:
    from pymeasure.instruments.keithley import Keithley2400

    smu = Keithley2400(served["visa"], visa_library="@py", read_termination="\n", write_termination="\n")
    assert smu.id.startswith("INMATERIA,MODEL 2400,nanowire-100-s42-")
    smu.reset()
    smu.source_mode = "voltage"
    smu.compliance_current = 1e-3
    smu.current_nplc = 0.01
    smu.source_voltage = 0.5
    smu.enable_source()
    assert 0 < smu.current < 1e-3
    measured = smu.measure_all()
    assert measured["voltage"] == 0.5
    assert measured["resistance"] == pytest.approx(0.5 / measured["current"], rel=1e-5)
    assert smu.voltage == 0.5
    smu.compliance_current = 1e-9
    assert smu.current == pytest.approx(1e-9)
    smu.config_buffer(20)
    smu.start_buffer()
    smu.wait_for_buffer(interval=0.01)
    assert smu.buffer_data.shape == (100,)
    smu.source_mode = "current"
    smu.compliance_voltage = 2
    smu.source_current = 1e-6
    smu.enable_source()
    assert 0 < smu.voltage <= 2
    assert (smu.compliance_voltage, smu.source_current, smu.source_mode) == (2, 1e-6, "current")
    assert smu.check_errors() == []
    smu.shutdown()
    assert not smu.source_enabled
    smu.adapter.close()


def test_every_property_of_pymeasures_driver_can_be_read_and_written(served: dict[str, str]) -> None:
    from pymeasure.instruments.keithley import Keithley2400

    smu = Keithley2400(served["visa"], visa_library="@py", read_termination="\n", write_termination="\n")
    smu.reset()
    written = {
        "source_delay": 0.01, "source_delay_auto_enabled": True, "auto_zero_enabled": False,
        "output_off_state": "disconnected", "auto_output_off_enabled": False, "filter_enabled": True,
        "repeat_filter_enabled": False, "filter_count": 3, "current_range": 1e-3, "current_nplc": 0.1,
        "voltage_range": 0.2, "source_current_range": 1e-3, "source_voltage_range": 2, "resistance_range": 2.1e5,
        "resistance_mode_auto_enabled": False, "trigger_count": 4, "arm_count": 2, "trigger_delay": 0.5,
        "arm_timer": 0.25, "arm_source": "timer", "trigger_source": "immediate", "trigger_output_event": "sense",
        "arm_output_event": "trigger_exit", "trigger_input_line": 3, "display_enabled": False, "wires": 4,
        "line_frequency": 60, "line_frequency_auto_enabled": True, "front_terminals_enabled": False,
    }  # fmt: skip
    for name, value in written.items():
        setattr(smu, name, value)
        assert getattr(smu, name) == (value if name != "arm_timer" else pytest.approx(value)), name
    smu.beep(440, 0.1)
    assert smu.check_errors() == []
    smu.adapter.close()


def test_qcodes_driver_talks_to_the_twin(served: dict[str, str]) -> None:
    from qcodes.instrument_drivers.Keithley import Keithley2400

    smu = Keithley2400("twin", served["visa"], visalib="@py", terminator="\n")
    try:
        assert smu.get_idn()["vendor"] == "INMATERIA"
        smu.mode("VOLT")
        smu.compliancei(1e-3)
        smu.nplci(0.01)
        smu.rangev(2)
        smu.volt(1.0)
        smu.output(True)
        assert 0 < smu.curr() <= 1e-3
        assert smu.volt() == 1.0
        assert smu.resistance() == pytest.approx(1.0 / smu.curr(), rel=0.5)
        assert (smu.compliancei(), smu.rangev(), smu.mode(), smu.nplci()) == (1e-3, 2.0, "VOLT", 0.01)
        smu.output(False)
        with pytest.raises(RuntimeError, match="output off"):
            smu.volt()
        smu.reset()
        assert smu.ask("SYST:ERR?") == '0,"No error"'
    finally:
        smu.close()
