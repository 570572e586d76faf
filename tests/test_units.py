"""Units are read as UCUM writes them, and one table says what prefixes mean."""

import re
from pathlib import Path

import pytest
import quantities as pq

from inmateria.recording.formats.neo_blocks import neo_unit
from inmateria.substrate import Channel
from inmateria.units import PREFIXES, power_between, read_unit

PACKAGE = Path(__file__).parents[1] / "inmateria"


@pytest.mark.parametrize(
    ("unit", "power", "base"),
    [
        ("V", 0, "V"), ("mV", -3, "V"), ("uA", -6, "A"), ("daV", 1, "V"), ("1", 0, "1"), ("%", -2, "1"),
        ("spikes/s", 0, "spikes/s"), ("1/s", 0, "1/s"), ("s-1", 0, "1/s"), ("mV/s", -3, "V/s"), ("uA/cm2", -2, "A/m2"),
        ("kOhm", 3, "ohm"), ("kohm", 3, "ohm"), ("Cel", 0, "Cel"), ("mmol/l", -3, "mol/l"), ("mM", -3, "M"),
        ("V.s", 0, "V.s"), ("m/s2", 0, "m/s2"), ("1/ms", 3, "1/s"), ("Hz", 0, "Hz"),
        # A symbol is read as itself before it is read as a prefix and another one.
        ("m", 0, "m"), ("cd", 0, "cd"), ("Pa", 0, "Pa"), ("mol", 0, "mol"), ("T", 0, "T"), ("Gy", 0, "Gy"),
        ("min", 0, "min"), ("h", 0, "h"), ("d", 0, "d"), ("dB", 0, "dB"),
    ],
)  # fmt: skip
def test_a_unit_is_a_power_of_ten_times_one_without_prefixes(unit: str, power: int, base: str) -> None:
    read = read_unit(unit)
    assert (read.power, read.base) == (power, base)
    assert Channel(name="c", unit=unit, low=0, high=1).unit == unit


@pytest.mark.parametrize("unit", ["", "Volt", "µV", "spike rate", "V/", "/s", "V//s", "V0", "1e3", "ks/ ", "mmin",
                                  "V2.", "[red]", "k%", "x" * 65, "V/" * 40 + "s"])  # fmt: skip
def test_what_is_no_unit_is_refused_with_what_is_allowed(unit: str) -> None:
    with pytest.raises(ValueError, match=r"the unit is .* allowed are SI and UCUM symbols .* 'uA/cm2'"):
        read_unit(unit)
    with pytest.raises(ValueError, match="channel 'c': the unit is"):
        Channel(name="c", unit=unit, low=0, high=1)


def test_units_of_one_base_differ_by_a_power_of_ten_and_others_are_not_converted() -> None:
    assert power_between("mV", "V") == -3
    assert power_between("V", "uV") == 6
    assert power_between("kOhm", "ohm") == 3
    assert power_between("%", "1") == -2
    assert power_between("spikes/ms", "spikes/s") == 3
    for given, wanted in (("V", "A"), ("V", "V/s"), ("Hz", "1/s"), ("Cel", "K"), ("min", "s")):
        with pytest.raises(ValueError, match="cannot be converted"):
            power_between(given, wanted)


# What that library calls otherwise, or does not know: kat and dB are without dimension there.
@pytest.mark.parametrize("symbol", ["V", "A", "S", "Hz", "m", "g", "F", "W", "J", "Pa", "N"])
@pytest.mark.parametrize("prefix", sorted(PREFIXES))
def test_prefixes_mean_what_another_library_says(prefix: str, symbol: str) -> None:
    read = read_unit(prefix + symbol)
    known = {"da": "deca"}
    assert (read.base, read.power) in {(symbol, PREFIXES[prefix]), (prefix + symbol, 0)}
    if prefix in known or (prefix, symbol) in {("a", "A"), ("P", "a")}:
        return
    try:
        theirs = pq.unit_registry[prefix + symbol]
    except (LookupError, SyntaxError):
        return
    assert float((1 * theirs).rescale(pq.unit_registry[symbol])) == pytest.approx(read.factor, rel=1e-12)


@pytest.mark.parametrize(
    ("unit", "of"), [("uA/cm2", 0.01 * pq.A / pq.m**2), ("mV/s", 1e-3 * pq.V / pq.s), ("spikes/s", 1 / pq.s),
                     ("%", 0.01 * pq.dimensionless), ("kOhm", 1e3 * pq.ohm), ("daV", 10 * pq.V),
                     ("mV", 1e-3 * pq.V), ("1", 1 * pq.dimensionless)],
)  # fmt: skip
def test_neo_is_given_the_same_unit(unit: str, of: "pq.Quantity") -> None:
    assert float((1 * neo_unit(unit)).rescale(of.units) / of) == pytest.approx(1.0, rel=1e-12)


def test_there_is_one_table_of_prefixes() -> None:
    tables = [path.name for path in PACKAGE.rglob("*.py")
              if re.search(r"""["'](n|p|f)["']: (1e-|-9|-12|-15)""", path.read_text("utf-8"))]  # fmt: skip
    assert tables == ["units.py"]
