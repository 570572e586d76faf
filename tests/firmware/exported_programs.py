"""Exported readouts compiled and run: in an emulated ATmega328P, and in QEMU's Cortex-M3."""

import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).parent
FIRMWARE = HERE.parents[1] / "firmware"
TICKS_AN_INSTRUCTION = 1024 / 40
AVR_MAIN = """
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/pgmspace.h>
#include <avr/sleep.h>
#include <string.h>
#include "{name}.h"

static const {kind} samples[] PROGMEM = {{{samples}}};
static {kind} features[{features}];

int main(void)
{{
    uint8_t sample;
    for (sample = 0; sample < {count}; sample++) {{
        memcpy_P(features, samples + (uint16_t)sample * {features}, sizeof features);
        GPIOR0 = 1;
        GPIOR1 = (uint8_t){name}_class(features);
        GPIOR0 = 2;
    }}
    cli();
    sleep_enable();
    sleep_cpu();
}}
"""


class Run(NamedTuple):
    """Answers, cost of each (cycles, or instructions), and bytes of flash and of RAM apart from the stack."""

    answers: list[int]
    costs: list[int]
    flash: int
    ram: int


def on_an_atmega(source: Path, samples: Any, kind: str) -> Run:
    """Run NAME_class of NAME.c with each sample in an emulated ATmega328P."""
    folder, name = source.parent, source.stem
    counter = folder / "counter"
    subprocess.run(["cc", "-O1", str(HERE / "cycle_counter.c"), "-o", str(counter), "-lsimavr", "-lelf"], check=True)
    words = {"name": name, "kind": kind, "features": samples.shape[1], "count": len(samples)}
    (folder / "avr_main.c").write_text(AVR_MAIN.format(samples=_listed(samples), **words))
    flags = ["avr-gcc", "-std=c99", "-mmcu=atmega328p", "-Os"]
    elf, compiled = str(folder / "avr.elf"), str(folder / "avr.o")
    subprocess.run([*flags, str(folder / "avr_main.c"), str(source), "-o", elf, "-lm"], check=True)
    subprocess.run([*flags, "-c", str(source), "-o", compiled], check=True)
    run = subprocess.run([str(counter), elf, "atmega328p"], capture_output=True, text=True, timeout=600, check=True)
    told = [list(map(int, line.split())) for line in run.stdout.splitlines() if re.fullmatch(r"\d+ \d+ \d+", line)]
    return Run([each[1] for each in told], [each[0] for each in told], *_sizes("avr-size", compiled))


def on_a_cortex_m3(source: Path, samples: Any, kind: str) -> Run:
    """Run NAME_class of NAME.c with each sample in QEMU, which counts instructions."""
    folder, name = source.parent, source.stem
    (folder / "counted.h").write_text(
        f'#include "{name}.h"\n#define COUNTED_FEATURES {samples.shape[1]}\n#define COUNTED_SAMPLES {len(samples)}\n'
        f"#define counted_class {name}_class\nstatic const {kind} samples[] = {{{_listed(samples)}}};\n"
    )
    flags = ["arm-none-eabi-gcc", "-std=gnu11", "-mcpu=cortex-m3", "-mthumb", "-Os", f"-I{folder}"]
    linked = ["-nostartfiles", "--specs=nano.specs", f"-L{FIRMWARE}/boards/cortex_m3", "-Wl,--no-warn-rwx-segments"]
    script = FIRMWARE / "boards/mps2_an385/link.ld"
    elf, compiled = str(folder / "arm.elf"), str(folder / "arm.o")
    sources = [str(HERE / "instruction_counter.c"), str(source)]
    subprocess.run([*flags, *linked, f"-Wl,-T,{script}", *sources, "-o", elf, "-lm"], check=True)
    subprocess.run([*flags, "-c", str(source), "-o", compiled], check=True)
    machine = ["qemu-system-arm", "-M", "mps2-an385", "-display", "none", "-serial", "none", "-monitor", "none"]
    settings = ["-icount", "shift=10,sleep=off", "-semihosting-config", "enable=on,target=native", "-kernel", elf]
    run = subprocess.run([*machine, *settings], capture_output=True, text=True, timeout=600, check=True)
    told = [
        [int(word, 16) for word in line.split()]
        for line in (run.stdout + run.stderr).splitlines()
        if re.fullmatch(r"[0-9a-f]{8} [0-9a-f]{8}", line)
    ]
    counts = [round(ticks / TICKS_AN_INSTRUCTION) for ticks, _ in told]
    return Run([each[1] for each in told], counts, *_sizes("arm-none-eabi-size", compiled))


def _sizes(tool: str, compiled: str) -> tuple[int, int]:
    told = subprocess.run([tool, "-A", compiled], capture_output=True, text=True, check=True).stdout
    sizes = [line.split() for line in told.splitlines() if line.startswith(".")]
    in_flash = sum(int(each[1]) for each in sizes if each[0].startswith((".text", ".progmem", ".rodata", ".data")))
    in_ram = sum(int(each[1]) for each in sizes if each[0].startswith((".data", ".bss")))
    return in_flash, in_ram


def _listed(samples: Any) -> str:
    if np.asarray(samples).dtype.kind == "f":
        return ",".join(f"{float(value).hex()}f" for value in np.asarray(samples, np.float32).ravel().tolist())
    return ",".join(map(str, samples.ravel().tolist()))
