"""Settings of the emulated source meter: header, kind, range and value after a reset, each in one declaration."""

import math
from typing import Literal, NamedTuple

from inmateria.adapters.scpi.errors import ScpiError
from inmateria.adapters.scpi.messages import NAN, OVERFLOW, matches, number, short_form

__all__ = ["SETTINGS", "Setting", "Value", "answer_number", "read_switch"]

Value = float | int | bool | str


class Setting(NamedTuple):
    """One value that is set and asked for.

    Parameters
    ----------
    pattern : str
        Header, as for `spellings`.
    kind : {"number", "integer", "switch", "choice"}
    default : float, int, bool or str
        Value after ``*RST``; of a choice its short form.
    low, high : float
        Range of a number.
    unit : str
        Unit that a number may have, in capital letters.
    choices : tuple of str
        Mnemonics, with capital letters for the short form.
    """

    pattern: str
    kind: Literal["number", "integer", "switch", "choice"]
    default: Value
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    choices: tuple[str, ...] = ()

    def read(self, text: str) -> Value:
        """Read a value.

        Raises
        ------
        ScpiError
            If it is malformed (-1xx), out of range (-222) or no choice (-224).
        """
        if self.kind == "switch":
            return read_switch(text)
        if self.kind == "choice":
            return self._chosen(text)
        value = self._limit(text)
        if value is None:
            value = number(text, self.unit)
        self.check(value, text)
        return round(value) if self.kind == "integer" else value

    def check(self, value: float, text: str) -> None:
        """Check a number that was given as a text.

        Raises
        ------
        ScpiError
            If it is out of range or NaN (-222).
        """
        if not self.low <= value <= self.high:
            allowed = f"{self.low:g} to {self.high:g} {self.unit}".strip()
            raise ScpiError(-222, f"{text[:40]}; allowed are {allowed}")

    def answer(self, value: Value) -> str:
        """Write a value as an answer."""
        if self.kind == "switch":
            return str(int(value))
        if self.kind == "choice":
            return str(value)
        return str(value) if self.kind == "integer" else answer_number(float(value))

    def answer_limit(self, text: str) -> str:
        """Answer a query for ``MIN``, ``MAX`` or ``DEF``.

        Raises
        ------
        ScpiError
            If it is something else, or the setting is no number.
        """
        limit = self._limit(text) if self.kind in ("number", "integer") else None
        if limit is None:
            raise ScpiError(-108, text[:40])
        return self.answer(round(limit) if self.kind == "integer" and math.isfinite(limit) else limit)

    def _limit(self, text: str) -> float | None:
        for mnemonic, value in (("MINimum", self.low), ("MAXimum", self.high), ("DEFault", self.default)):
            if matches(text, mnemonic):
                return float(value)
        return None

    def _chosen(self, text: str) -> str:
        word = text.strip("\"'") if text[:1] in "\"'" else text
        for choice in self.choices:
            if matches(word, choice):
                return short_form(choice)
        raise ScpiError(-224, f"{text[:40]}; allowed are {', '.join(map(short_form, self.choices))}")


def read_switch(text: str) -> bool:
    """Read ``ON``, ``OFF`` or a number, which is rounded (7.3)."""
    if text.upper() in ("ON", "OFF"):
        return text.upper() == "ON"
    value = number(text)
    if math.isnan(value):
        raise ScpiError(-222, text[:40])
    return abs(value) >= 0.5


def answer_number(value: float) -> str:
    """Write a number as the instrument does: seven digits; 9.91E37 for NaN, 9.9E37 for infinity."""
    if math.isnan(value):
        value = NAN
    elif math.isinf(value):
        value = math.copysign(OVERFLOW, value)
    return f"{value + 0.0:+.6E}"


def _number(pattern: str, default: float, low: float, high: float, unit: str = "") -> Setting:
    return Setting(pattern, "number", default, low, high, unit)


def _integer(pattern: str, default: int, low: int, high: int) -> Setting:
    return Setting(pattern, "integer", default, low, high)


def _switch(pattern: str, default: bool) -> Setting:
    return Setting(pattern, "switch", default)


def _choice(pattern: str, *choices: str) -> Setting:
    return Setting(pattern, "choice", short_form(choices[0]), choices=choices)


def _source(key: str, node: str, unit: str, highest: float, first_range: float) -> dict[str, Setting]:
    """Return the settings of the source of voltage or of current."""
    level = (-highest, highest, unit)
    return {
        key: _number(f"SOURce:{node}[:LEVel][:IMMediate][:AMPLitude]", 0.0, *level),
        f"{key}_range": _number(f"SOURce:{node}:RANGe", first_range, *level),
        f"{key}_range_auto": _switch(f"SOURce:{node}:RANGe:AUTO", True),
        f"{key}_mode": _choice(f"SOURce:{node}:MODE", "FIXed", "SWEep", "LIST"),
        f"{key}_start": _number(f"SOURce:{node}:STARt", 0.0, *level),
        f"{key}_stop": _number(f"SOURce:{node}:STOP", 0.0, *level),
    }


def _sense(key: str, node: str, unit: str, highest: float, first_range: float, protection: float) -> dict[str, Setting]:
    """Return the settings of the meter of voltage or of current."""
    return {
        f"sense_{key}_range": _number(f"[SENSe]:{node}[:DC]:RANGe[:UPPer]", first_range, -highest, highest, unit),
        f"sense_{key}_range_auto": _switch(f"[SENSe]:{node}[:DC]:RANGe:AUTO", True),
        f"{key}_protection": _number(f"[SENSe]:{node}[:DC]:PROTection[:LEVel]", protection, -highest, highest, unit),
    }


_ARM, _TRIGGER = "ARM[:SEQuence1][:LAYer1]", "TRIGger[:SEQuence1]"

SETTINGS: dict[str, Setting] = {
    "source": _choice("SOURce:FUNCtion[:MODE]", "VOLTage", "CURRent"),
    **_source("volt", "VOLTage", "V", 210.0, 20.0),
    **_source("curr", "CURRent", "A", 1.05, 1e-4),
    "overvoltage": _number("SOURce:VOLTage:PROTection[:LEVel]", 210.0, 0.0, 210.0, "V"),
    "delay": _number("SOURce:DELay", 0.0, 0.0, 9999.999, "S"),
    "delay_auto": _switch("SOURce:DELay:AUTO", True),
    "clear_auto": _switch("SOURce:CLEar:AUTO", False),
    "spacing": _choice("SOURce:SWEep:SPACing", "LINear", "LOGarithmic"),
    "sweep_points": _integer("SOURce:SWEep:POINts", 2500, 1, 2500),
    "direction": _choice("SOURce:SWEep:DIRection", "UP", "DOWN"),
    "ranging": _choice("SOURce:SWEep:RANGing", "BEST", "AUTO", "FIXed"),
    "concurrent": _switch("[SENSe]:FUNCtion:CONCurrent", True),
    **_sense("volt", "VOLTage", "V", 210.0, 20.0, 21.0),
    **_sense("curr", "CURRent", "A", 1.05, 1e-4, 1.05e-4),
    "resistance_mode": _choice("[SENSe]:RESistance:MODE", "MANual", "AUTO"),
    "sense_res_range": _number("[SENSe]:RESistance:RANGe[:UPPer]", 2.1e5, 0.0, 2.1e8, "OHM"),
    "sense_res_range_auto": _switch("[SENSe]:RESistance:RANGe:AUTO", True),
    "average": _switch("[SENSe]:AVERage[:STATe]", False),
    "average_count": _integer("[SENSe]:AVERage:COUNt", 10, 1, 100),
    "average_control": _choice("[SENSe]:AVERage:TCONtrol", "REPeat", "MOVing"),
    "off_state": _choice("OUTPut:SMODe", "NORMal", "HIMPedance", "ZERO", "GUARd"),
    "arm_count": _integer(f"{_ARM}:COUNt", 1, 1, 2500),
    "arm_source": _choice(f"{_ARM}:SOURce", "IMMediate", "TIMer", "BUS"),
    "arm_timer": _number(f"{_ARM}:TIMer", 0.1, 0.001, 99999.99, "S"),
    "arm_output": _choice(f"{_ARM}:OUTPut", "NONE", "TENTer", "TEXit"),
    "arm_line": _integer(f"{_ARM}:ILINe", 1, 1, 4),
    "arm_output_line": _integer(f"{_ARM}:OLINe", 2, 1, 4),
    "trigger_count": _integer(f"{_TRIGGER}:COUNt", 1, 1, 2500),
    "trigger_delay": _number(f"{_TRIGGER}:DELay", 0.0, 0.0, 999.9999, "S"),
    "trigger_source": _choice(f"{_TRIGGER}:SOURce", "IMMediate"),
    "trigger_output": _choice(f"{_TRIGGER}:OUTPut", "NONE", "SOURce", "DELay", "SENSe"),
    "trigger_line": _integer(f"{_TRIGGER}:ILINe", 1, 1, 4),
    "trigger_output_line": _integer(f"{_TRIGGER}:OLINe", 2, 1, 4),
    "buffer_points": _integer("TRACe:POINts", 100, 1, 2500),
    "buffer_feed": _choice("TRACe:FEED", "SENSe1", "SENSe"),
    "buffer_control": _choice("TRACe:FEED:CONTrol", "NEVer", "NEXT"),
    "buffer_time": _choice("TRACe:TSTamp:FORMat", "ABSolute"),
    "data_format": _choice("FORMat[:DATA]", "ASCii", "SREal"),
    "byte_order": _choice("FORMat:BORDer", "NORMal", "SWAPped"),
    "statistic": _choice("CALCulate3:FORMat", "MEAN", "SDEViation", "MAXimum", "MINimum", "PKPK"),
    "auto_zero": _switch("SYSTem:AZERo[:STATe]", True),
    "remote_sense": _switch("SYSTem:RSENse", False),
    "line_frequency": _integer("SYSTem:LFRequency", 50, 50, 60),
    "line_frequency_auto": _switch("SYSTem:LFRequency:AUTO", False),
    "beeper": _switch("SYSTem:BEEPer:STATe", True),
    "display": _switch("DISPlay:ENABle", True),
    "terminals": _choice("ROUTe:TERMinals", "FRONt", "REAR"),
}
"""Settings by a short key. The last ones, from `auto_zero` without the line frequency, have no effect on a reading."""
