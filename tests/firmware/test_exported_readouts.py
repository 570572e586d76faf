"""Exported readouts on chips: every answer of an emulated ATmega328P is Python's; an ATtiny needs no multiplier."""

import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chip_tools import skip_without_tools
from sklearn.datasets import load_digits

from inmateria.reservoir import RidgeClassifierReadout, TernaryClassifierReadout, TernaryReadout, mackey_glass
from inmateria.reservoir.readouts.integer import IntegerReadout, integer_readout
from inmateria.simulators import IntegerEchoStateNetwork

skip_without_tools()

HERE = Path(__file__).parent
MAIN = """
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/pgmspace.h>
#include <avr/sleep.h>
#include "digits.h"

static const {kind} samples[] PROGMEM = {{{samples}}};
static {kind} features[DIGITS_FEATURES];
extern uint8_t __bss_end;

int main(void)
{{
    uint8_t sample;
    for (sample = 0; sample < {count}; sample++) {{
        memcpy_P(features, samples + (uint16_t)sample * DIGITS_FEATURES, sizeof features);
        GPIOR0 = 1;
        GPIOR1 = (uint8_t)digits_class(features);
        GPIOR0 = 2;
    }}
    cli();
    sleep_enable();
    sleep_cpu();
}}
"""


def features(count: int) -> tuple[Any, Any, Any, Any]:
    generator = np.random.default_rng(0)
    X, labels = load_digits(return_X_y=True)
    read = np.tanh(X / 16 @ generator.normal(size=(64, count)) / 4 + 0.5 * generator.normal(size=count))
    order = generator.permutation(len(X))
    train, test = order[:1347], order[1347:]
    return read[train], labels[train], read[test], labels[test]


def on_the_chip(folder: Path, samples: Any, kind: str, *options: str) -> tuple[list[int], list[int], int]:
    """Compile digits.c for an ATmega328P and run it; return cycles and answer of each sample, and bytes of flash."""
    counter = folder / "counter"
    subprocess.run(["cc", "-O1", str(HERE / "cycle_counter.c"), "-o", str(counter), "-lsimavr", "-lelf"], check=True)
    numbers = ",".join(str(value) for value in samples.ravel().tolist())
    (folder / "main.c").write_text(MAIN.format(kind=kind, samples=numbers, count=len(samples)))
    flags = ["-std=c99", "-mmcu=atmega328p", "-Os", *options, "-include", "string.h"]
    sources = [str(folder / name) for name in ("main.c", "digits.c")]
    subprocess.run(["avr-gcc", *flags, *sources, "-o", str(folder / "digits.elf")], check=True)
    subprocess.run(["avr-gcc", *flags, "-c", sources[1], "-o", str(folder / "digits.o")], check=True)
    run = subprocess.run(
        [str(counter), str(folder / "digits.elf"), "atmega328p"],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    told = [line.split() for line in run.stdout.splitlines() if re.fullmatch(r"\d+ \d+ \d+", line)]
    size = subprocess.run(
        ["avr-size", "-A", str(folder / "digits.o")], capture_output=True, text=True, check=True
    ).stdout
    flash = sum(
        int(line.split()[1]) for line in size.splitlines() if line.startswith((".text", ".progmem", ".rodata", ".data"))
    )
    return [int(each[0]) for each in told], [int(each[1]) for each in told], flash


@pytest.mark.parametrize("planes", [1, 2])
def test_every_answer_is_pythons(tmp_path: Path, planes: int) -> None:
    X, labels, held, expected = features(512)
    readout = TernaryClassifierReadout(planes, method="obq", alpha=1e-2).fit(X, labels)
    integers = integer_readout(readout, X)
    readout.to_c(tmp_path / "digits.c", X, vector=1)
    samples = integers.counts(held[:20])
    cycles, answers, flash = on_the_chip(tmp_path, samples, "int8_t")
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
    _, answers, _ = on_the_chip(tmp_path, integers.counts(others), "int16_t")
    assert answers == integers.indices(others).tolist()
    exact = RidgeClassifierReadout().fit(X, labels)
    exact.to_c(tmp_path / "digits.c", X, vector=1)
    _, answers, _ = on_the_chip(tmp_path, held[:12].astype(np.float32), "float")
    assert answers == exact.predict(held[:12].astype(np.float32)).tolist()


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
