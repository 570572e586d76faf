"""The source meter behind SCPI: syntax by SCPI-99, physics of the simulator, limits, sweeps, buffers and faults."""

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pulsed import PulsedCulture

from inmateria.adapters import ScpiServer
from inmateria.adapters.scpi.commands import Interpreter
from inmateria.adapters.scpi.errors import ErrorQueue, ScpiError
from inmateria.adapters.scpi.messages import number, program_units, spellings
from inmateria.adapters.scpi.source_meter import SourceMeter
from inmateria.adapters.scpi.terminals import Terminals
from inmateria.simulators import EchoStateNetwork, NanowireNetwork
from inmateria.substrate import Channel, Response, Stimulus, SubstrateDisconnected, SubstrateError, SubstrateInfo

FAST = "*RST;:SENS:CURR:NPLC 0.05;:SOUR:DEL 0;:FORM:ELEM VOLT,CURR"


class Resistor:
    """A conductance of 1 mS with a charge that it remembers: the current falls by a tenth for each V s."""

    def __init__(self, offset: float = 0.0) -> None:
        volt = {"unit": "mV", "low": -5e3, "high": 5e3}
        self.info = SubstrateInfo(
            id="resistor", kind="resistor", step=1e-3, sampling_rate=1000.0, resettable=True,
            inputs=(Channel(name="e0", **volt),),
            outputs=(Channel(name="v0", **volt), Channel(name="i0", unit="mA", low=-10, high=10)),
        )  # fmt: skip
        self.flux, self.time, self.offset = 0.0, 0.0, offset
        self.levels: list[float] = []

    def __deepcopy__(self, memo: dict[int, object]) -> "Resistor":
        twin = object.__new__(Resistor)
        twin.__dict__ |= self.__dict__ | {"levels": self.levels[-200:]}
        return twin

    def reset(self) -> None:
        self.flux, self.time = 0.0, 0.0

    def advance(self, stimulus: Stimulus) -> Response:
        samples = self.info.samples(stimulus.step)
        signal = np.empty((len(stimulus.drive), samples, 2))
        for k, (level,) in enumerate(stimulus.drive):
            for j in range(samples):
                signal[k, j] = level, level / 1e3 * (1 - 0.1 * self.flux) + self.offset
                self.flux += level / 1e3 * stimulus.step / samples
                self.levels.append(level)
        self.time += stimulus.duration
        return Response(signal, None, self.time - stimulus.duration, 0)


def meter(offset: float = 0.0) -> Interpreter:
    return Interpreter(SourceMeter(Terminals(Resistor(offset))))


def raw(interpreter: Interpreter, line: str) -> bytes:
    work = interpreter.execute(line)
    while True:
        try:
            moved = next(work)
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]
        assert moved, "it waits for a trigger"


def ask(interpreter: Interpreter, line: str) -> str:
    return raw(interpreter, line).decode().removesuffix("\n")


def numbers(answer: str) -> list[float]:
    return [float(word) for word in answer.split(",")]


# Syntax


def test_every_spelling_of_a_header_is_its_short_or_long_form() -> None:
    assert spellings("[SENSe]:CURRent[:DC]:NPLCycles") == [
        f"{sense}{current}{dc}{nplc}"
        for sense in ("SENS:", "SENSE:", "")
        for current in ("CURR", "CURRENT")
        for dc in (":DC", "")
        for nplc in (":NPLC", ":NPLCYCLES")
    ]


@given(
    st.sampled_from(["SOURce", "VOLTage", "LEVel"]).flatmap(lambda word: st.tuples(st.just(word), st.integers(1, 7)))
)
@settings(deadline=None)
def test_only_the_short_and_the_long_form_are_accepted(cut: tuple[str, int]) -> None:
    word, length = cut
    written = word[:length]
    right = written.upper() in (word.upper(), "".join(filter(str.isupper, word)))
    header = ":SOUR:VOLT:LEV?".replace({"SOURce": "SOUR", "VOLTage": "VOLT", "LEVel": "LEV"}[word], written)
    interpreter = meter()
    assert (ask(interpreter, header) == "+0.000000E+00") == right
    assert ask(interpreter, "SYST:ERR?").startswith("0," if right else "-113,")


@pytest.mark.parametrize(
    ("message", "headers"),
    [
        ("SOUR:VOLT:LEV 1;RANG 2", ["SOUR:VOLT:LEV", "SOUR:VOLT:RANG"]),
        ("SOUR:VOLT 1;CURR 2;:OUTP ON", ["SOUR:VOLT", "SOUR:CURR", "OUTP"]),
        (":SOUR:VOLT:RANG 2;*OPC?;LEV 1;", ["SOUR:VOLT:RANG", "*OPC", "SOUR:VOLT:LEV"]),
        ("FORM:ELEM VOLT , CURR;:DISP:TEXT 'a;b,c'", ["FORM:ELEM", "DISP:TEXT"]),
        (":*RST", ["*RST"]),
        (" ; ;", []),
    ],
)
def test_the_path_of_a_compound_message(message: str, headers: list[str]) -> None:
    assert [unit.header for unit in program_units(message)] == headers


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [("1.5", "V", 1.5), ("20mV", "V", 0.02), ("3 MA", "A", 3e-3), ("2E+1 uV", "V", 2e-5), ("5kohm", "OHM", 5e3),
     ("2MAOHM", "OHM", 2e6), (".5", "", 0.5), ("5.", "", 5.0), ("#HFF", "", 255.0), ("#B101", "", 5.0),
     ("-inf", "V", -math.inf), ("INF", "V", math.inf)],
)  # fmt: skip
def test_numbers_with_suffixes(text: str, unit: str, value: float) -> None:
    assert number(text, unit) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("line", "code"),
    [("SOUR:VOLT 11kV", -222), ("SOUR:VOLT nan", -222), ("SOUR:VOLT inf", -222), ("SOUR:VOLT 5.1", -222),
     ("SOUR:VOLT 1 A", -131), ("SOUR:VOLT abc", -104), ("SOUR:VOLT 1x2", -121), ("SOUR:VOLT", -109),
     ("SOUR:VOLT 1,2", -108), ("SOUR:VOLTA 1", -113), ("SOUR2:VOLT 1", -114), ("SENS:FUNC CURR", -104),
     ("SENS:FUNC 'TEMP'", -224), ("SENS:FUNC 'CURR", -151), ("SOUR::VOLT 1", -102), ("SOUR:VÖLT 1", -101),
     ("SOUR:FUNC POW", -224), ("TRIG:SOUR TLIN", -224), ("FETC?", -230), ("READ?", 803), ("*TRG", -211),
     ("SENS:CURR:PROT 0", -222), ("SOUR:VOLT:RANG 2;:SOUR:VOLT 2.2", -222), ("TRIG:COUN 2500;:ARM:COUN 2", -221),
     ("*ESE 256", -222), ("SOUR:VOLT:MODE LIST;:OUTP ON;:INIT", -221), ("SENS:CURR:NPLC 11", -222)],
)  # fmt: skip
def test_errors_have_the_numbers_of_the_standard_and_change_nothing(line: str, code: int) -> None:
    interpreter = meter()
    assert ask(interpreter, "*ESR?") == "128"
    assert ask(interpreter, line) == ""
    assert ask(interpreter, "SYST:ERR:COUN?") == "1"
    event = 32 if -200 < code <= -100 else 16 if -300 < code <= -200 else 8
    assert int(ask(interpreter, "*ESR?")) & event
    assert int(ask(interpreter, "SYST:ERR?").split(",")[0]) == code
    assert ask(interpreter, "SYST:ERR?") == '0,"No error"'
    assert ask(interpreter, "SOUR:VOLT?") == "+0.000000E+00"


def test_after_a_command_error_the_rest_of_a_line_is_ignored_after_others_it_is_done() -> None:
    interpreter = meter()
    assert ask(interpreter, "SOUR:VOLT?;:SOUR:VOLT 99;VOLT?;:FOO;:SOUR:VOLT 1") == "+0.000000E+00;+0.000000E+00"
    assert ask(interpreter, "SOUR:VOLT?;:SYST:ERR:ALL?").count("+0.000000E+00") == 1


def test_a_full_queue_says_so() -> None:
    errors = ErrorQueue(3)
    for _ in range(5):
        errors.put(ScpiError(-222))
    assert [errors.take()[:4] for _ in range(4)] == ["-222", "-222", "-350", '0,"N']


@given(st.text(max_size=80) | st.from_regex(r"[:;*?,'\"# A-Za-z0-9.+-]{0,60}", fullmatch=True))
@settings(max_examples=150, deadline=None)
def test_garbage_raises_nothing_and_leaves_an_instrument_that_answers(line: str) -> None:
    interpreter = meter()
    work = interpreter.execute(line)
    for _ in range(100):
        if next(work, None) is None:
            break
    interpreter.meter.abort()
    assert ask(interpreter, "*IDN?").startswith("INMATERIA,MODEL 2400,resistor,")


# Physics


def test_readings_are_the_simulators_own() -> None:
    network, twin = NanowireNetwork(), Interpreter(SourceMeter(Terminals(NanowireNetwork())))
    ask(twin, FAST + ";:SENS:CURR:PROT 1;:OUTP ON")
    for volts in np.linspace(0, 1, 30):
        drive = np.zeros((1, 8))
        drive[0, 0] = float(f"{volts:.6E}")
        expected = network.advance(network.info.stimulus(drive, step=1e-3)).signal
        assert expected is not None
        got = numbers(ask(twin, f":SOUR:VOLT {volts:.6E};:READ?"))
        assert got == pytest.approx([volts, expected[0, 0, 7]], rel=1e-6, abs=1e-15)


def test_a_current_is_driven_and_its_voltage_read_back() -> None:
    interpreter = meter()
    ask(
        interpreter, FAST + ";:SOUR:FUNC CURR;:SENS:FUNC 'VOLT','RES';:SOUR:CURR 1e-3;:OUTP ON;:FORM:ELEM VOLT,CURR,RES"
    )
    volts, amperes, ohms = numbers(ask(interpreter, ":READ?"))
    assert (volts, amperes, ohms) == pytest.approx((1.0, 1e-3, 1e3), rel=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_limit_holds_at_every_sample_and_is_shown(sign: int) -> None:
    interpreter = meter()
    resistor = interpreter.meter.terminals._simulator
    ask(interpreter, f"*RST;:SENS:CURR:PROT 1e-3;:SOUR:DEL 0;:SOUR:VOLT {3 * sign};:OUTP ON;:FORM:ELEM CURR,STAT")
    amperes, status = numbers(ask(interpreter, ":READ?"))
    assert amperes == pytest.approx(sign * 1e-3, rel=1e-6)
    assert int(status) & 8
    assert ask(interpreter, "SENS:CURR:PROT:TRIP?") == "1"
    resistor = interpreter.meter.terminals._simulator
    held = np.array(resistor.levels)  # type: ignore[attr-defined]
    assert len(held) == 20
    flux = np.concatenate(([0.0], np.cumsum(held * 1e-6)[:-1]))
    assert (abs(held) * 1e-6 * (1 - 0.1 * flux) <= 1e-3 * (1 + 1e-6)).all()
    ask(interpreter, f":SOUR:VOLT {0.5 * sign}")
    assert not int(numbers(ask(interpreter, ":READ?"))[1]) & 8
    assert ask(interpreter, "SENS:CURR:PROT:TRIP?") == "0"


def test_a_source_of_current_stops_at_its_limit_of_voltage() -> None:
    interpreter = meter()
    ask(interpreter, FAST + ";:SOUR:FUNC CURR;:SENS:FUNC 'VOLT';:SENS:VOLT:PROT 2;:SOUR:CURR 4e-3;:OUTP ON")
    volts, amperes = numbers(ask(interpreter, ":READ?"))
    assert (volts, amperes) == pytest.approx((2.0, 2e-3), rel=1e-6)
    assert ask(interpreter, "SENS:VOLT:PROT:TRIP?") == "1"


def test_a_fixed_range_limits_too_and_says_that_it_was_the_range() -> None:
    interpreter = meter()
    ask(interpreter, FAST + ";:SENS:CURR:PROT 1;RANG 1e-4;:SOUR:VOLT 1;:OUTP ON;:FORM:ELEM CURR,STAT")
    amperes, status = numbers(ask(interpreter, ":READ?"))
    assert amperes == pytest.approx(1.05e-4, rel=1e-6)
    assert int(status) & (1 << 16)


def test_an_offset_beyond_the_limit_leaves_0_volts() -> None:
    interpreter = meter(offset=2.0)
    ask(interpreter, FAST + ";:SENS:CURR:PROT 1e-3;:SOUR:VOLT 1;:SENS:FUNC 'VOLT';:OUTP ON")
    assert numbers(ask(interpreter, ":READ?"))[0] == 0.0


@given(level=st.floats(-5, 5), limit=st.floats(1e-9, 1.0))
@settings(max_examples=60, deadline=None)
def test_ohms_law_within_the_limit(level: float, limit: float) -> None:
    held = Terminals(Resistor()).hold("VOLT", level, limit, 1e-3)
    assert abs(held.amperes) <= limit * (1 + 1e-8)
    expected = min(abs(level) * 1e-3, limit)
    assert abs(held.amperes) == pytest.approx(expected, rel=1e-8, abs=1e-15)
    assert held.limited == (abs(level) * 1e-3 > limit)


def test_time_passes_while_it_measures_and_waits_and_not_otherwise() -> None:
    interpreter = meter()
    ask(
        interpreter,
        "*RST;:SENS:CURR:NPLC 1;:SOUR:DEL 0.003;:TRIG:DEL 0.007;:FORM:ELEM TIME;:OUTP ON;:SOUR:VOLT 1;VOLT 0",
    )
    assert numbers(ask(interpreter, ":READ?")) == pytest.approx([0.030])
    ask(interpreter, ":OUTP OFF;:OUTP ON;:SYST:TIME:RES;:SENS:AVER:COUN 5;:SENS:AVER ON")
    assert numbers(ask(interpreter, ":READ?")) == pytest.approx([0.110])
    ask(interpreter, ":SYST:TIME:RES;:SENS:AVER OFF;:ARM:COUN 3;SOUR TIM;TIM 0.5")
    assert numbers(ask(interpreter, ":READ?")) == pytest.approx([0.03, 0.53, 1.03])


# Sweeps and buffers


def test_sweeps_go_through_their_points() -> None:
    interpreter = meter()
    ask(interpreter, FAST + ";:OUTP ON;:SENS:CURR:PROT 1;:FORM:ELEM VOLT;:TRIG:COUN 5")
    ask(interpreter, ":SOUR:VOLT:MODE SWE;STAR 0;STOP 1;STEP 0.25")
    assert numbers(ask(interpreter, ":READ?")) == [0.0, 0.25, 0.5, 0.75, 1.0]
    ask(interpreter, ":SOUR:SWE:DIR DOWN;SPAC LOG;POIN 3;:SOUR:VOLT:STAR 0.01;:TRIG:COUN 3")
    assert numbers(ask(interpreter, ":READ?")) == pytest.approx([1.0, 0.1, 0.01])
    ask(interpreter, ":SOUR:VOLT:CENT 1;SPAN 1;:SOUR:SWE:SPAC LIN;DIR UP")
    assert ask(interpreter, ":SOUR:VOLT:STAR?;STOP?;STEP?") == "+5.000000E-01;+1.500000E+00;+5.000000E-01"
    ask(interpreter, ":SOUR:LIST:VOLT 0.3,-0.2;VOLT:APP 100mV;:SOUR:VOLT:MODE LIST;:TRIG:COUN 4")
    assert ask(interpreter, ":SOUR:LIST:VOLT:POIN?") == "3"
    assert numbers(ask(interpreter, ":READ?")) == [0.3, -0.2, 0.1, 0.3]
    ask(interpreter, ":SOUR:LIST:VOLT 0.1,9")
    assert ask(interpreter, "SYST:ERR?").startswith("-222")
    assert ask(interpreter, ":SOUR:LIST:VOLT:POIN?") == "3"


def test_the_buffer_keeps_what_is_fed_to_it() -> None:
    interpreter = meter()
    ask(interpreter, FAST + ";:OUTP ON;:SENS:CURR:PROT 1;:SOUR:VOLT:MODE LIST;:SOUR:LIST:VOLT 1,2,3,4;:FORM:ELEM VOLT")
    ask(interpreter, ":TRAC:CLE;POIN 3;FEED SENS;FEED:CONT NEXT;:TRIG:COUN 4;:STAT:MEAS:ENAB 512;:*SRE 1;:INIT")
    assert ask(interpreter, "*OPC?;:TRAC:DATA?;POIN:ACT?") == "1;+1.000000E+00,+2.000000E+00,+3.000000E+00;3"
    assert ask(interpreter, "*STB?") == "65"
    assert ask(interpreter, ":CALC3:FORM MEAN;:SENS:FUNC 'VOLT';:CALC3:DATA?").startswith("+2.000000E+00,")
    assert ask(interpreter, ":TRAC:FEED:CONT?;:FETC?").count(",") == 3


def test_numbers_are_sent_as_a_block_in_either_order() -> None:
    interpreter = meter()
    ask(interpreter, FAST + ";:OUTP ON;:FORM:ELEM VOLT;:SOUR:VOLT 0.1;:SENS:CURR:PROT 1;:TRIG:COUN 3")
    for order, mark in (("NORM", ">"), ("SWAP", "<")):
        expected = b"#212" + struct.pack(f"{mark}3f", 0.1, 0.1, 0.1) + b"\n"
        assert raw(interpreter, f":FORM:BORD {order};:FORM SRE;:READ?") == expected


def test_reset_leaves_the_matter_as_it_is_and_switches_off() -> None:
    interpreter = meter()
    ask(interpreter, FAST + ";:OUTP ON;:SENS:CURR:PROT 1;:SOUR:VOLT 5;:SENS:CURR:NPLC 10;:READ?")
    flux = interpreter.meter.terminals._simulator.flux  # type: ignore[attr-defined]
    assert flux == pytest.approx(1.0)
    assert ask(interpreter, "*RST;:OUTP?;:SOUR:VOLT?;:SENS:CURR:PROT?") == "0;+0.000000E+00;+1.050000E-04"
    assert interpreter.meter.terminals._simulator.flux == flux  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("simulator", "options", "why"),
    [
        (PulsedCulture(4), {}, "spikes and no signal"),
        (EchoStateNetwork(), {}, "no output in amperes"),
        (EchoStateNetwork(), {"sense": "x001"}, "give a scale"),
        (Resistor(), {"source": "e7"}, "has no input 'e7'"),
        (Resistor(), {"scale": (0.0, 1.0)}, "more than 0"),
    ],
)
def test_what_has_no_volts_and_amperes_is_refused(simulator: object, options: dict[str, object], why: str) -> None:
    with pytest.raises(SubstrateError, match=why):
        Terminals(simulator, **options)  # type: ignore[arg-type]


def test_a_stated_scale_stands_for_volts_and_amperes() -> None:
    network = EchoStateNetwork()
    terminals = Terminals(EchoStateNetwork(), sense="x001", scale=(2.0, 1e-3))
    held = terminals.hold("VOLT", 1.0, 1.0, network.info.step)
    expected = network.advance(network.info.stimulus([[0.5]])).signal
    assert expected is not None
    assert held.amperes == pytest.approx(1e-3 * expected[0, -1, 1])


# Clients and faults


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: str | bytes) -> None:
        self.writer.write(data.encode() + b"\n" if isinstance(data, str) else data)

    async def ask(self, line: str) -> str:
        self.send(line)
        return (await self.reader.readline()).decode().strip()

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


@asynccontextmanager
async def client(server: ScpiServer) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    opened = Client(reader, writer)
    try:
        yield opened
    finally:
        with suppress(OSError):
            await opened.close()


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


@pytest.fixture
async def server() -> AsyncIterator[ScpiServer]:
    async with ScpiServer(Resistor(), port=0) as served:
        yield served


async def test_two_clients_share_the_instrument_and_not_their_errors(server: ScpiServer) -> None:
    async with client(server) as one, client(server) as other:
        assert await one.ask(":SOUR:VOLT 1.5;:OUTP ON;*OPC?") == "1"
        assert await other.ask("SOUR:VOLT?;:OUTP?") == "+1.500000E+00;1"
        one.send("NONSENSE")
        assert (await one.ask("SYST:ERR?")).startswith("-113")
        assert await other.ask("SYST:ERR?") == '0,"No error"'


async def test_a_line_is_whole_whatever_another_client_sends(server: ScpiServer) -> None:
    levels = (0.1, 0.2, 0.3)

    async def drive(level: float) -> set[float]:
        async with client(server) as own:
            seen = set()
            for _ in range(15):
                drive = f"{FAST};:SENS:CURR:PROT 1;:SOUR:VOLT {level};:OUTP ON;:FORM:ELEM VOLT"
                answer = await own.ask(f"{drive};:TRIG:COUN 5;:READ?;:SOUR:VOLT 0")
                seen |= set(numbers(answer))
            return seen

    async with client(server):  # so that the output stays on when one of them has ended
        assert await asyncio.gather(*map(drive, levels)) == [{level} for level in levels]


async def test_another_client_can_stop_a_long_acquisition(server: ScpiServer) -> None:
    async with client(server) as one, client(server) as other:
        one.send(":OUTP ON;:ARM:SOUR BUS;:READ?")
        await until(lambda: server.meter.busy)
        other.send(":OUTP OFF")
        assert (await one.ask("SYST:ERR?")).startswith("-230")
        assert await other.ask(":OUTP?") == "0"


async def test_a_trigger_of_the_bus_is_waited_for_and_given_on_the_same_connection(server: ScpiServer) -> None:
    async with client(server) as one:
        one.send(":OUTP ON;:ARM:SOUR BUS;:FORM:ELEM VOLT;:INIT;*STB?")
        assert await one.reader.readline() == b"0\n"
        one.send("*TRG")
        assert await one.ask("FETC?") == "+0.000000E+00"
        one.send(":READ?")
        await until(lambda: server.meter.busy)
        assert await one.ask("*TRG") == "+0.000000E+00"
        one.send(":INIT")
        one.send(":ABOR")
        assert await one.ask("*OPC?") == "1"


async def test_half_a_line_is_not_executed_and_the_output_is_off_when_the_last_client_has_gone(
    server: ScpiServer,
) -> None:
    async with client(server) as one:
        async with client(server) as other:
            assert await other.ask(":OUTP ON;*OPC?") == "1"
            other.send(b":SOUR:VOLT 3")
        assert await one.ask(":SOUR:VOLT?;:OUTP?") == "+0.000000E+00;1"
        one.writer.transport.abort()
    await until(lambda: not server._clients)
    assert not server.meter.output


async def test_the_output_can_be_kept_on() -> None:
    async with ScpiServer(Resistor(), port=0, keep_output=True) as server:
        async with client(server) as one:
            assert await one.ask(":OUTP ON;*OPC?") == "1"
        await until(lambda: not server._clients)
        assert server.meter.output
    assert not server.meter.output


async def test_a_client_that_vanishes_in_a_long_acquisition_ends_it(server: ScpiServer) -> None:
    async with client(server) as other:
        async with client(server) as one:
            one.send(":OUTP ON;:TRIG:COUN 2500;:SENS:CURR:NPLC 10;:READ?")
            await until(lambda: server.meter.busy)
            one.writer.transport.abort()
        assert (await other.ask("*IDN?")).startswith("INMATERIA")
        assert not server.meter.busy


@pytest.mark.parametrize("end", [b"\n", b"A" * 70_000 + b"\n"])
async def test_an_over_long_line_is_discarded_whole(server: ScpiServer, end: bytes) -> None:
    async with client(server) as one:
        one.send(b":SOUR:VOLT " + b"1" * 100_000 + end)
        assert (await one.ask("SYST:ERR?")).startswith('-363,"Input buffer overrun')
        assert await one.ask("SYST:ERR?;:SOUR:VOLT?") == '0,"No error";+0.000000E+00'


async def test_a_client_that_sends_and_never_reads_is_slowed_and_others_go_on(server: ScpiServer) -> None:
    async with client(server) as deaf, client(server) as other:
        deaf.send(b":SENS:CURR:NPLC 0.01;:OUTP ON;:TRIG:COUN 100\n" + b":READ?\n" * 1500)
        assert (await other.ask("*IDN?")).startswith("INMATERIA")
        connection = next(each for each in server._clients if len(each._lines) > 1 or each._full)
        for _ in range(500):
            await asyncio.sleep(0)
        assert connection._transport.get_write_buffer_size() < 4_000_000


async def test_a_port_in_use_is_said(server: ScpiServer) -> None:
    with pytest.raises(SubstrateDisconnected, match="choose another port"):
        async with ScpiServer(Resistor(), port=server.port):
            pass


def test_garbage_bytes_of_any_kind() -> None:
    def chunks() -> Iterator[bytes]:
        generator = np.random.default_rng(0)
        for _ in range(50):
            yield generator.bytes(int(generator.integers(1, 2000)))

    async def run() -> None:
        async with ScpiServer(Resistor(), port=0) as server, client(server) as one:
            for chunk in chunks():
                one.send(chunk.replace(b"#", b"?"))
            one.send(b"\n*CLS\n")
            async with aclosing(_lines(one)) as lines:
                one.send("*IDN?")
                async for line in lines:
                    if line.startswith(b"INMATERIA"):
                        break

    asyncio.run(run())


async def _lines(one: Client) -> AsyncIterator[bytes]:
    while line := await one.reader.readline():
        yield line
