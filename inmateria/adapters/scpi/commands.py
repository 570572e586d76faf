"""The commands of the emulated source meter: what each header does, and one interpreter for each connection."""

import struct
from collections.abc import Callable, Generator, Iterable
from typing import NamedTuple

import numpy as np

from inmateria import __version__
from inmateria.adapters.scpi.errors import ErrorQueue, ScpiError
from inmateria.adapters.scpi.messages import Unit, matches, number, program_units, spellings, string
from inmateria.adapters.scpi.settings import SETTINGS, answer_number, read_switch
from inmateria.adapters.scpi.source_meter import ELEMENTS, FUNCTIONS, Reading, SourceMeter
from inmateria.errors import SubstrateError

__all__ = ["Interpreter"]

Answer = str | bytes | None
Work = Generator[bool, None, Answer]
Handler = Callable[["Interpreter", tuple[str, ...]], Answer | Work]

_MNEMONICS = {"VOLT": "VOLTage", "CURR": "CURRent", "RES": "RESistance", "TIME": "TIME", "STAT": "STATus"}
_OPERATION_COMPLETE, _POWER_ON = 1, 128
_MOST_PARAMETERS = 2500


class Command(NamedTuple):
    """Effect of a header.

    Parameters
    ----------
    run : callable
        Called with the interpreter and the parameters; returns the answer, or work that yields between readings.
    least, most : int
        Allowed numbers of parameters.
    at_once : bool
        Whether it is done while an acquisition is in progress; others wait for its end.
    """

    run: Handler
    least: int = 0
    most: int = 0
    at_once: bool = False


class Interpreter:
    """The interpreter of one connection; errors and status are its own, the source meter is shared.

    Parameters
    ----------
    meter : SourceMeter
    """

    def __init__(self, meter: SourceMeter) -> None:
        self.meter = meter
        self.errors = ErrorQueue()
        self.events = _POWER_ON
        self.enabled = {"*ESE": 0, "*SRE": 0, "MEAS": 0, "OPER": 0, "QUES": 0}

    def execute(self, message: str) -> Generator[bool, None, bytes]:
        """Execute one program message and return its answer, which is empty if nothing was asked.

        After a command error (-1xx) the rest of the message is ignored; after any other error it is executed.

        Yields
        ------
        bool
            Between readings; False if it waits for a trigger.
        """
        answers: list[bytes] = []
        try:
            for unit in program_units(message):
                try:
                    answer = yield from self._done(unit)
                except ScpiError as error:
                    if -200 < error.code <= -100:
                        raise
                    self.report(error)
                else:
                    if answer is not None:
                        answers.append(answer.encode("ascii", "replace") if isinstance(answer, str) else answer)
        except ScpiError as error:
            self.report(error)
        return b";".join(answers) + b"\n" if answers else b""

    def report(self, error: ScpiError) -> None:
        """Put an error into the queue and set its bit in the event status register."""
        self.errors.put(error)
        self.events |= error.event

    def step(self) -> bool:
        """Take the next reading of an acquisition; False if it waits for a trigger.

        An error of the simulator ends the acquisition and is reported.
        """
        try:
            return self.meter.step()
        except (SubstrateError, ValueError, ArithmeticError) as error:
            self.meter.abort()
            self.report(ScpiError(-300, str(error)))
            return True

    def until_idle(self) -> Generator[bool, None, None]:
        """Take all further readings of an acquisition."""
        while self.meter.busy:
            yield self.step()

    def _done(self, unit: Unit) -> Generator[bool, None, Answer]:
        command = _found(unit)
        given = len(unit.parameters)
        if given > command.most:
            raise ScpiError(-108, ",".join(unit.parameters[command.most : command.most + 1])[:40])
        if given < command.least:
            raise ScpiError(-109, unit.header[:60])
        if self.meter.busy and not command.at_once:
            yield from self.until_idle()
        answer = command.run(self, unit.parameters)
        if isinstance(answer, Generator):
            answer = yield from answer
        return answer

    def status_byte(self) -> int:
        """Status byte (SCPI-99, volume 1, 9.1; bit 0 is the measurement summary of this instrument)."""
        byte = 1 if self.meter.measurement_events & self.enabled["MEAS"] else 0
        byte |= 4 if len(self.errors) else 0
        byte |= 32 if self.events & self.enabled["*ESE"] else 0
        return byte | (64 if byte & self.enabled["*SRE"] else 0)

    def clear(self) -> None:
        """Clear the events and the errors."""
        self.errors.clear()
        self.events = self.meter.measurement_events = 0


def _found(unit: Unit) -> Command:
    """Find the command of a unit.

    Raises
    ------
    ScpiError
        If there is none (-113), or none with that suffix (-114).
    """
    found = _COMMANDS.get((unit.header, unit.query))
    if found is None and any(letter.isdigit() for letter in unit.header):
        nodes = unit.header.split(":")
        bare = ":".join(node.rstrip("0123456789") for node in nodes)
        if (bare, unit.query) in _COMMANDS:
            if any(node.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ*_") not in ("", "1") for node in nodes):
                raise ScpiError(-114, unit.header[:60])
            found = _COMMANDS[bare, unit.query]
    if found is None:
        raise ScpiError(-113, unit.header[:60] + "?" * unit.query)
    return found


def _readings(interpreter: Interpreter, readings: Iterable[Reading]) -> Answer:
    """Write the chosen elements of readings, as text or as a definite-length block."""
    meter = interpreter.meter
    chosen = [ELEMENTS.index(name) for name in meter.elements]
    values = [float(reading[index]) for reading in readings for index in chosen]
    if meter["data_format"] == "ASC":
        return ",".join(map(answer_number, values))
    order = ">" if meter["byte_order"] == "NORM" else "<"
    finite = np.nan_to_num(np.array(values), nan=9.91e37, posinf=9.9e37, neginf=-9.9e37)
    data = struct.pack(f"{order}{len(values)}f", *finite.tolist())
    length = str(len(data))
    return f"#{len(length)}{length}".encode() + data


def _fetch(interpreter: Interpreter, parameters: tuple[str, ...]) -> Answer:
    if not interpreter.meter.readings:
        raise ScpiError(-230, "there is no reading")
    return _readings(interpreter, interpreter.meter.readings)


def _read(interpreter: Interpreter, parameters: tuple[str, ...]) -> Work:
    interpreter.meter.initiate()
    yield from interpreter.until_idle()
    return _fetch(interpreter, ())


def _measure(function: str) -> Handler:
    def measure(interpreter: Interpreter, parameters: tuple[str, ...]) -> Work:
        _configure(function)(interpreter, ())
        return _read(interpreter, ())

    return measure


def _configure(function: str) -> Handler:
    def configure(interpreter: Interpreter, parameters: tuple[str, ...]) -> None:
        meter = interpreter.meter
        if function:
            meter.functions = (function,)
        for key, value in (
            ("trigger_count", 1), ("arm_count", 1), ("arm_source", "IMM"), ("trigger_delay", 0.0),
            ("buffer_control", "NEV"),
        ):  # fmt: skip
            meter[key] = value

    return configure


def _configured(interpreter: Interpreter, parameters: tuple[str, ...]) -> str:
    return _functions(interpreter, parameters)


def _choose(on: bool) -> Handler:
    def choose(interpreter: Interpreter, parameters: tuple[str, ...]) -> None:
        meter = interpreter.meter
        chosen: list[str] = []
        for text in parameters:
            word = string(text).split(":")
            name = next((name for name in FUNCTIONS if matches(word[0], _MNEMONICS[name])), None)
            if name is None or word[1:] not in ([], ["DC"], ["dc"]):
                raise ScpiError(-224, text[:40])
            chosen.append(name)
        if not on:
            meter.functions = tuple(name for name in meter.functions if name not in chosen)
        elif meter["concurrent"]:
            meter.functions = tuple(name for name in FUNCTIONS if name in chosen or name in meter.functions)
        elif len(set(chosen)) > 1:
            raise ScpiError(-221, "several functions at a time need FUNC:CONC ON")
        else:
            meter.functions = (chosen[0],)

    return choose


def _all_functions(on: bool) -> Handler:
    def choose(interpreter: Interpreter, parameters: tuple[str, ...]) -> None:
        interpreter.meter.functions = FUNCTIONS if on else ()

    return choose


def _functions(interpreter: Interpreter, parameters: tuple[str, ...]) -> str:
    names = {"VOLT": '"VOLT:DC"', "CURR": '"CURR:DC"', "RES": '"RES"'}
    return ",".join(names[name] for name in interpreter.meter.functions) or '""'


def _set_elements(interpreter: Interpreter, parameters: tuple[str, ...]) -> None:
    chosen = []
    for text in parameters:
        name = next((name for name in ELEMENTS if matches(text, _MNEMONICS[name])), None)
        if name is None:
            raise ScpiError(-224, text[:40])
        chosen.append(name)
    interpreter.meter.elements = tuple(name for name in ELEMENTS if name in chosen)


def _set_nplc(interpreter: Interpreter, parameters: tuple[str, ...]) -> None:
    named = {"MINimum": 0.01, "MAXimum": 10.0, "DEFault": 1.0}
    value = next((value for word, value in named.items() if matches(parameters[0], word)), None)
    value = number(parameters[0]) if value is None else value
    if not 0.01 <= value <= 10:
        raise ScpiError(-222, f"{parameters[0][:40]}; allowed are 0.01 to 10")
    interpreter.meter.nplc = value


def _set_list(source: str, append: bool) -> Handler:
    def set_list(interpreter: Interpreter, parameters: tuple[str, ...]) -> None:
        meter, key = interpreter.meter, source.lower()
        levels = tuple(float(meter.setting(key).read(text)) for text in parameters)
        levels = (meter.lists[source] if append else ()) + levels
        meter.check_list("VOLT" if source == "VOLT" else "CURR", levels)
        meter.lists[source] = levels

    return set_list


def _set_step(source: str) -> Handler:
    def set_step(interpreter: Interpreter, parameters: tuple[str, ...]) -> None:
        meter, key = interpreter.meter, source.lower()
        step = abs(number(parameters[0], SETTINGS[key].unit))
        points = abs(float(meter[f"{key}_stop"]) - float(meter[f"{key}_start"])) / step if step else np.inf
        if not points <= 2499:
            raise ScpiError(-222, f"a step of {parameters[0][:40]} makes more than 2500 points")
        meter["sweep_points"] = round(points) + 1

    return set_step


def _get_step(source: str) -> Handler:
    def get_step(interpreter: Interpreter, parameters: tuple[str, ...]) -> str:
        meter, key = interpreter.meter, source.lower()
        span = float(meter[f"{key}_stop"]) - float(meter[f"{key}_start"])
        return answer_number(span / max(1, int(meter["sweep_points"]) - 1))

    return get_step


def _set_centre_or_span(source: str, centre: bool) -> Handler:
    def change(interpreter: Interpreter, parameters: tuple[str, ...]) -> None:
        meter, key = interpreter.meter, source.lower()
        start, stop = float(meter[f"{key}_start"]), float(meter[f"{key}_stop"])
        value = number(parameters[0], SETTINGS[key].unit)
        middle, half = (value, (stop - start) / 2) if centre else ((start + stop) / 2, value / 2)
        for end in (middle - half, middle + half):
            meter.setting(f"{key}_start").check(end, parameters[0])
        meter[f"{key}_start"], meter[f"{key}_stop"] = middle - half, middle + half

    return change


def _get_centre_or_span(source: str, centre: bool) -> Handler:
    def get(interpreter: Interpreter, parameters: tuple[str, ...]) -> str:
        meter, key = interpreter.meter, source.lower()
        start, stop = float(meter[f"{key}_start"]), float(meter[f"{key}_stop"])
        return answer_number((start + stop) / 2 if centre else stop - start)

    return get


def _tripped(other: str) -> Handler:
    """Return whether the limit of a quantity was reached when something was held last."""

    def tripped(interpreter: Interpreter, parameters: tuple[str, ...]) -> str:
        meter = interpreter.meter
        return str(int(meter.output and meter.limited and meter.source != other))

    return tripped


def _switch_output(interpreter: Interpreter, parameters: tuple[str, ...]) -> None:
    interpreter.meter.switch(read_switch(parameters[0]))


def _statistic(interpreter: Interpreter, parameters: tuple[str, ...]) -> str:
    meter = interpreter.meter
    if not meter.buffer:
        raise ScpiError(-230, "the buffer is empty")
    columns = [ELEMENTS.index(name) for name in FUNCTIONS if name in meter.functions]
    functions: dict[str, Callable[[list[float]], float]] = {
        "MEAN": lambda values: float(np.mean(values)),
        "SDEV": lambda values: float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
        "MAX": max,
        "MIN": min,
        "PKPK": lambda values: max(values) - min(values),
    }
    chosen = functions[str(meter["statistic"])]
    return ",".join(answer_number(chosen([float(reading[index]) for reading in meter.buffer])) for index in columns)


def _buffer_data(interpreter: Interpreter, parameters: tuple[str, ...]) -> Answer:
    if not interpreter.meter.buffer:
        raise ScpiError(-230, "the buffer is empty")
    return _readings(interpreter, interpreter.meter.buffer)


def _identity(interpreter: Interpreter, parameters: tuple[str, ...]) -> str:
    return f"INMATERIA,MODEL 2400,{interpreter.meter.terminals.info.id},{__version__}"


def _reset(interpreter: Interpreter, parameters: tuple[str, ...]) -> None:
    interpreter.meter.reset()


def _take_events(interpreter: Interpreter, parameters: tuple[str, ...]) -> str:
    events, interpreter.events = interpreter.events, 0
    return str(events)


def _take_measurement_events(interpreter: Interpreter, parameters: tuple[str, ...]) -> str:
    meter = interpreter.meter
    events, meter.measurement_events = meter.measurement_events, 0
    return str(events)


def _complete(interpreter: Interpreter, parameters: tuple[str, ...]) -> None:
    interpreter.events |= _OPERATION_COMPLETE


def _all_errors(interpreter: Interpreter, parameters: tuple[str, ...]) -> str:
    return ",".join([interpreter.errors.take() for _ in range(max(1, len(interpreter.errors)))])


def _preset_status(interpreter: Interpreter, parameters: tuple[str, ...]) -> None:
    interpreter.enabled |= {"MEAS": 0, "OPER": 0, "QUES": 0}


def _set_mask(name: str, most: int) -> Handler:
    def set_mask(interpreter: Interpreter, parameters: tuple[str, ...]) -> None:
        value = number(parameters[0])
        if not 0 <= value <= most:
            raise ScpiError(-222, f"{parameters[0][:40]}; allowed are 0 to {most}")
        interpreter.enabled[name] = round(value)

    return set_mask


def _nothing(interpreter: Interpreter, parameters: tuple[str, ...]) -> None:
    """Accept what has no effect on a simulator: displays, beeps, local and remote control."""


def _does(action: Callable[[Interpreter], object]) -> Handler:
    def run(interpreter: Interpreter, parameters: tuple[str, ...]) -> None:
        action(interpreter)

    return run


def _says(answer: Callable[[Interpreter], str]) -> Handler:
    return lambda interpreter, parameters: answer(interpreter)


def _list_points(source: str) -> Handler:
    return lambda interpreter, parameters: str(len(interpreter.meter.lists[source]))


def _listed(source: str) -> Handler:
    return lambda interpreter, parameters: ",".join(map(answer_number, interpreter.meter.lists[source]))


def _mask(name: str) -> Handler:
    return lambda interpreter, parameters: str(interpreter.enabled[name])


def _setting_commands() -> dict[str, Command]:
    """Return the command and the query of every plain setting."""
    made: dict[str, Command] = {}
    for key, setting in SETTINGS.items():

        def change(interpreter: Interpreter, parameters: tuple[str, ...], key: str = key) -> None:
            interpreter.meter[key] = interpreter.meter.setting(key).read(parameters[0])

        def ask(interpreter: Interpreter, parameters: tuple[str, ...], key: str = key) -> str:
            if parameters:
                return interpreter.meter.setting(key).answer_limit(parameters[0])
            return SETTINGS[key].answer(interpreter.meter[key])

        made[setting.pattern] = Command(change, 1, 1)
        made[setting.pattern + "?"] = Command(ask, 0, 1, at_once=True)
    return made


def _source_commands() -> dict[str, Command]:
    made: dict[str, Command] = {}
    for source, name in (("VOLT", "VOLTage"), ("CURR", "CURRent")):
        made |= {
            f"SOURce:LIST:{name}": Command(_set_list(source, False), 1, _MOST_PARAMETERS),
            f"SOURce:LIST:{name}?": Command(_listed(source)),
            f"SOURce:LIST:{name}:APPend": Command(_set_list(source, True), 1, _MOST_PARAMETERS),
            f"SOURce:LIST:{name}:POINts?": Command(_list_points(source)),
            f"SOURce:{name}:STEP": Command(_set_step(source), 1, 1),
            f"SOURce:{name}:STEP?": Command(_get_step(source)),
            f"[SENSe]:{name}[:DC]:PROTection:TRIPped?": Command(_tripped(source), at_once=True),
            f"MEASure:{name}[:DC]?": Command(_measure(source)),
            f"CONFigure:{name}[:DC]": Command(_configure(source)),
        }
        for word, centre in (("CENTer", True), ("SPAN", False)):
            made[f"SOURce:{name}:{word}"] = Command(_set_centre_or_span(source, centre), 1, 1)
            made[f"SOURce:{name}:{word}?"] = Command(_get_centre_or_span(source, centre))
    for name in ("VOLTage[:DC]", "CURRent[:DC]", "RESistance"):
        made[f"[SENSe]:{name}:NPLCycles"] = Command(_set_nplc, 1, 1)
        made[f"[SENSe]:{name}:NPLCycles?"] = Command(_says(lambda interpreter: answer_number(interpreter.meter.nplc)))
    return made


_STATUS = {
    "*IDN?": Command(_identity, at_once=True),
    "*RST": Command(_reset, at_once=True),
    "*CLS": Command(_does(Interpreter.clear), at_once=True),
    "*OPC": Command(_complete),
    "*OPC?": Command(_says(lambda interpreter: "1")),
    "*WAI": Command(_nothing),
    "*TST?": Command(_says(lambda interpreter: "0")),
    "*OPT?": Command(_says(lambda interpreter: "0")),
    "*ESR?": Command(_take_events, at_once=True),
    "*ESE": Command(_set_mask("*ESE", 255), 1, 1, at_once=True),
    "*ESE?": Command(_mask("*ESE"), at_once=True),
    "*SRE": Command(_set_mask("*SRE", 255), 1, 1, at_once=True),
    "*SRE?": Command(_mask("*SRE"), at_once=True),
    "*STB?": Command(_says(lambda interpreter: str(interpreter.status_byte())), at_once=True),
    "*TRG": Command(_does(lambda interpreter: interpreter.meter.trigger()), at_once=True),
    "SYSTem:ERRor[:NEXT]?": Command(_says(lambda interpreter: interpreter.errors.take()), at_once=True),
    "SYSTem:ERRor:COUNt?": Command(_says(lambda interpreter: str(len(interpreter.errors))), at_once=True),
    "SYSTem:ERRor:ALL?": Command(_all_errors, at_once=True),
    "SYSTem:CLEar": Command(_does(lambda interpreter: interpreter.errors.clear()), at_once=True),
    "SYSTem:VERSion?": Command(_says(lambda interpreter: "1999.0"), at_once=True),
    "SYSTem:PRESet": Command(_reset),
    "SYSTem:BEEPer[:IMMediate]": Command(_nothing, 0, 2, at_once=True),
    "SYSTem:LOCal": Command(_nothing, at_once=True),
    "SYSTem:REMote": Command(_nothing, at_once=True),
    "SYSTem:RWLock": Command(_nothing, at_once=True),
    "SYSTem:TIME:RESet": Command(_does(lambda interpreter: interpreter.meter.zero_time())),
    "DISPlay[:WINDow1]:TEXT:STATe": Command(_nothing, 1, 1, at_once=True),
    "DISPlay[:WINDow1]:TEXT[:DATA]": Command(_nothing, 1, 1, at_once=True),
    "STATus:PRESet": Command(_preset_status, at_once=True),
    "STATus:QUEue[:NEXT]?": Command(_says(lambda interpreter: interpreter.errors.take()), at_once=True),
    "STATus:MEASurement[:EVENt]?": Command(_take_measurement_events, at_once=True),
    "STATus:OPERation[:EVENt]?": Command(_says(lambda interpreter: "0"), at_once=True),
    "STATus:QUEStionable[:EVENt]?": Command(_says(lambda interpreter: "0"), at_once=True),
    **{
        f"STATus:{word}:ENABle": Command(_set_mask(name, 65535), 1, 1, at_once=True)
        for word, name in (("MEASurement", "MEAS"), ("OPERation", "OPER"), ("QUEStionable", "QUES"))
    },
    **{
        f"STATus:{word}:ENABle?": Command(_mask(name), at_once=True)
        for word, name in (("MEASurement", "MEAS"), ("OPERation", "OPER"), ("QUEStionable", "QUES"))
    },
}

_MEASURING = {
    "INITiate[:IMMediate]": Command(_does(lambda interpreter: interpreter.meter.initiate()), at_once=True),
    "ABORt": Command(_does(lambda interpreter: interpreter.meter.abort()), at_once=True),
    "TRIGger:CLEar": Command(_nothing, at_once=True),
    "SOURce:CLEar[:IMMediate]": Command(_does(lambda interpreter: interpreter.meter.switch(False)), at_once=True),
    "SOURce:SWEep:CABort": Command(_nothing, 1, 1),
    "READ?": Command(_read),
    "FETCh?": Command(_fetch),
    "[SENSe]:DATA[:LATest]?": Command(
        lambda interpreter, parameters: _readings(interpreter, interpreter.meter.readings[-1:])
    ),
    "MEASure?": Command(_measure("")),
    "MEASure:RESistance?": Command(_measure("RES")),
    "CONFigure:RESistance": Command(_configure("RES")),
    "CONFigure?": Command(_configured),
    "OUTPut[:STATe]": Command(_switch_output, 1, 1, at_once=True),
    "OUTPut[:STATe]?": Command(_says(lambda interpreter: str(int(interpreter.meter.output))), at_once=True),
    "[SENSe]:FUNCtion[:ON]": Command(_choose(True), 1, 3),
    "[SENSe]:FUNCtion[:ON]?": Command(_functions),
    "[SENSe]:FUNCtion:OFF": Command(_choose(False), 1, 3),
    "[SENSe]:FUNCtion[:ON]:ALL": Command(_all_functions(True)),
    "[SENSe]:FUNCtion:OFF:ALL": Command(_all_functions(False)),
    "FORMat:ELEMents[:SENSe1]": Command(_set_elements, 1, len(ELEMENTS)),
    "FORMat:ELEMents[:SENSe1]?": Command(_says(lambda interpreter: ",".join(interpreter.meter.elements))),
    "TRACe:CLEar": Command(_does(lambda interpreter: interpreter.meter.clear_buffer())),
    "TRACe:DATA?": Command(_buffer_data),
    "TRACe:POINts:ACTual?": Command(_says(lambda interpreter: str(len(interpreter.meter.buffer))), at_once=True),
    "CALCulate3:DATA?": Command(_statistic),
}


def _compiled() -> dict[tuple[str, bool], Command]:
    """Return every spelling of every header."""
    made: dict[tuple[str, bool], Command] = {}
    for pattern, command in {**_setting_commands(), **_source_commands(), **_STATUS, **_MEASURING}.items():
        query = pattern.endswith("?")
        for header in spellings(pattern.removesuffix("?")):
            made[header, query] = command
    return made


_COMMANDS = _compiled()
