"""Exported readouts on chips: every answer of an ATmega328P and a Cortex-M3 is Python's; an ATtiny needs no product."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chip_tools import skip_without_tools
from exported_programs import on_a_cortex_m3, on_an_atmega
from sklearn.datasets import load_digits

from inmateria.reservoir import RidgeClassifierReadout, TernaryClassifierReadout, TernaryReadout, mackey_glass
from inmateria.reservoir.readouts.integer import IntegerReadout, integer_readout
from inmateria.simulators import IntegerEchoStateNetwork

skip_without_tools()

HERE = Path(__file__).parent


def features(count: int) -> tuple[Any, Any, Any, Any]:
    generator = np.random.default_rng(0)
    X, labels = load_digits(return_X_y=True)
    read = np.tanh(X / 16 @ generator.normal(size=(64, count)) / 4 + 0.5 * generator.normal(size=count))
    order = generator.permutation(len(X))
    train, test = order[:1347], order[1347:]
    return read[train], labels[train], read[test], labels[test]


@pytest.mark.parametrize("planes", [1, 2])
def test_every_answer_is_pythons(tmp_path: Path, planes: int) -> None:
    X, labels, held, expected = features(512)
    readout = TernaryClassifierReadout(planes, method="obq", alpha=1e-2).fit(X, labels)
    integers = integer_readout(readout, X)
    readout.to_c(tmp_path / "digits.c", X, vector=1)
    samples = integers.counts(held[:20])
    answers, cycles, flash, _ = on_an_atmega(tmp_path / "digits.c", samples, "int8_t")
    assert answers == integers.indices(samples).tolist()
    assert np.mean(integers.predict(held) == expected) > readout.score(held, expected) - 0.004
    assert max(cycles) <= planes * 64_000  # 4 ms at 16 MHz for each plane
    assert flash <= planes * 4_000


def test_features_of_ten_bits_and_float_weights(tmp_path: Path) -> None:
    X, labels, held, _ = features(48)
    counts, others = np.round(511.5 + 511.4 * X), np.round(511.5 + 511.4 * held[:12])
    readout = TernaryClassifierReadout(2).fit(counts, labels)
    integers: IntegerReadout = integer_readout(readout, counts, bits=11)
    readout.to_c(tmp_path / "digits.c", counts, bits=11, vector=1)
    answers = on_an_atmega(tmp_path / "digits.c", integers.counts(others), "int16_t").answers
    assert answers == integers.indices(others).tolist()
    exact = RidgeClassifierReadout().fit(X, labels)
    exact.to_c(tmp_path / "digits.c", X, vector=1)
    answers = on_an_atmega(tmp_path / "digits.c", held[:12].astype(np.float32), "float").answers
    assert answers == exact.predict(held[:12].astype(np.float32)).tolist()


@pytest.mark.skipif(
    shutil.which("arm-none-eabi-gcc") is None or shutil.which("qemu-system-arm") is None,
    reason="needs arm-none-eabi-gcc and qemu-system-arm",
)
@pytest.mark.parametrize("kind", ["int8_t", "int16_t", "float"])
def test_every_answer_of_a_cortex_m3_is_pythons(tmp_path: Path, kind: str) -> None:
    X, labels, held, _ = features(128)
    if kind == "float":
        exact = RidgeClassifierReadout().fit(X, labels)
        exact.to_c(tmp_path / "digits.c", X, vector=1)
        given, expected = held.astype(np.float32), exact.predict(held.astype(np.float32))
    else:
        bits = 8 if kind == "int8_t" else 12
        readout = TernaryClassifierReadout(3, method="obq", alpha=1e-2).fit(X, labels)
        readout.to_c(tmp_path / "digits.c", X, bits=bits, vector=1)
        integers = integer_readout(readout, X, bits=bits)
        given = integers.counts(held)
        expected = integers.indices(given)
    answers, instructions, flash, ram = on_a_cortex_m3(tmp_path / "digits.c", given, kind)
    assert answers == expected.tolist()
    assert len(answers) == 450
    assert min(instructions) > 1280  # one at least for each product or sum
    assert max(instructions) < (300_000 if kind == "float" else 100_000)
    assert flash < 10_000
    assert ram == 0


def test_a_chip_without_a_multiplier_needs_none(tmp_path: Path) -> None:
    """An ATtiny85 has no multiply instruction: its compiler would call a function of its library instead."""
    X, labels, _, _ = features(64)
    readout = TernaryClassifierReadout(2, method="obq").fit(X, labels)
    readout.to_c(tmp_path / "digits.c", X, vector=1)

    def code(*options: str) -> str:
        compiled = tmp_path / "digits.o"
        subprocess.run(["avr-gcc", "-std=c99", "-mmcu=attiny85", "-Os", *options, "-c", str(tmp_path / "digits.c"), "-o", str(compiled)], check=True)  # fmt: skip  # noqa: E501
        listed = ["avr-objdump", "-dr", str(compiled)]
        return subprocess.run(listed, capture_output=True, text=True, check=True).stdout

    product = re.compile(r"\tf?muls?u?\t|__\w*(mul|div|mod)")  # an instruction, or a function of the library
    assert "\tsub\t" in code()
    assert not product.search(code())
    source = (tmp_path / "digits.c").read_text()
    (tmp_path / "digits.c").write_text(source.replace("x = *features++;", "x = *features++ * left;"))
    assert product.search(code())  # the check can fail


CHAIN = """
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/pgmspace.h>
#include <avr/sleep.h>
#include "net.h"
#include "forecast.h"

static const int16_t drive[] PROGMEM = {{{drive}}};
static int16_t states[NET_UNITS];

int main(void)
{{
    uint8_t step;
    for (step = 0; step < {count}; step++) {{
        int16_t input = (int16_t)pgm_read_word(drive + step);
        {outputs} output;
        GPIOR0 = 1;
        net_update(&input, states);
        forecast_outputs(states, &output);
        GPIOR1 = (uint8_t)output;
        GPIOR2 = (uint8_t)(output >> 8);
        GPIOR0 = 2;
    }}
    cli();
    sleep_enable();
    sleep_cpu();
}}
"""


def test_a_whole_chain_in_integers_forecasts_a_series_without_a_product(tmp_path: Path) -> None:
    """Mackey-Glass 17 ahead by 60 units: every output of the chip is Python's, and no instruction multiplies."""
    u = mackey_glass(3217)
    drive, target = (u - u.mean()) / np.abs(u - u.mean()).max(), u[17:]
    network = IntegerEchoStateNetwork(units=60)
    network.to_c(tmp_path / "net.c")
    signal = network.advance(network.info.stimulus(drive[:3200, np.newaxis])).signal
    assert signal is not None
    counts = np.round(signal[:, 0] * 32767)
    readout = TernaryReadout(2).fit(counts[200:2200], target[200:2200])
    left = readout.predict(counts[2200:]) - target[2200:3200]
    assert np.sqrt(np.mean(left**2)) / target.std() < 0.35
    integers = integer_readout(readout, counts, bits=16)
    assert integers.step == 1.0
    readout.to_c(tmp_path / "forecast.c", counts, bits=16, vector=1)
    inputs = np.round(drive[:40] * 32767).astype(int)
    outputs = "int64_t" if integers.wide else "int32_t"
    (tmp_path / "main.c").write_text(
        CHAIN.format(drive=",".join(map(str, inputs.tolist())), count=len(inputs), outputs=outputs)
    )
    counter = tmp_path / "counter"
    subprocess.run(["cc", "-O1", str(HERE / "cycle_counter.c"), "-o", str(counter), "-lsimavr", "-lelf"], check=True)
    sources = [str(tmp_path / name) for name in ("main.c", "net.c", "forecast.c")]
    flags = ["avr-gcc", "-std=c99", "-mmcu=atmega328p", "-Os"]
    subprocess.run([*flags, *sources, "-o", str(tmp_path / "chain.elf")], check=True)
    run = subprocess.run(
        [str(counter), str(tmp_path / "chain.elf"), "atmega328p"], capture_output=True, text=True, check=True
    )
    told = [list(map(int, line.split())) for line in run.stdout.splitlines() if re.fullmatch(r"\d+ \d+ \d+", line)]
    expected = integers.outputs(counts[:40])[:, 0]
    assert [low + 256 * high for _, low, high in told] == (expected % 65536).tolist()
    assert max(cycles for cycles, _, _ in told) < 160_000  # 10 ms at 16 MHz
    product = re.compile(r"\tf?muls?u?\t|__\w*(mul|div|mod)")
    for source in sources[1:]:
        compiled = tmp_path / "tiny.o"
        subprocess.run([*flags[:2], "-mmcu=attiny85", "-Os", "-c", source, "-o", str(compiled)], check=True)
        listed = subprocess.run(["avr-objdump", "-dr", str(compiled)], capture_output=True, text=True, check=True)
        assert not product.search(listed.stdout)
