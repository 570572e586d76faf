"""The integer echo-state network as C99: sums, shifts and limits only; on AVR chips its connections stay in flash."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["write_network_c"]

_SOURCE = """\
/* An echo-state network of sums, shifts and limits; states and inputs are 16-bit counts. */
#include "{name}.h"

#ifdef __AVR__
#include <avr/pgmspace.h>
#define IN_FLASH PROGMEM
#define READ_BYTE(place) pgm_read_byte(place)
#define READ_WORD(place) pgm_read_word(place)
#else
#define IN_FLASH
#define READ_BYTE(place) (*(place))
#define READ_WORD(place) (*(place))
#endif

/* For each unit: the units that it adds, then those that it subtracts. */
static const {index} sources[{sources}] IN_FLASH = {{
{source_list}
}};

/* For each unit and input: the shift, plus 16 if the input is subtracted. */
static const uint8_t inputs_of[{input_count}] IN_FLASH = {{
{input_list}
}};

static const int16_t constants[{units}] IN_FLASH = {{
{constant_list}
}};

void {name}_update(const int16_t *inputs, int16_t *states)
{{
    static int16_t next[{NAME}_UNITS];
    const {index} *source = sources;
    const uint8_t *input = inputs_of;
    uint16_t unit, place;
    for (unit = 0; unit < {NAME}_UNITS; unit++) {{
        int32_t total = 0, part;
{adding}        total = (total >> {gain}) + (int16_t)READ_WORD(constants + unit);
        for (place = 0; place < {NAME}_INPUTS; place++) {{
            uint8_t code = READ_BYTE(input++), shift = code & 15;
            part = inputs[place];
            while (shift--)
                part >>= 1;
            total += code & 16 ? -part : part;
        }}
        if (total > {one})
            total = {one};
        if (total < -{one})
            total = -{one};
        next[unit] = (int16_t)(states[unit] + ((total - states[unit]) >> {leak}));
    }}
    for (unit = 0; unit < {NAME}_UNITS; unit++)
        states[unit] = next[unit];
}}
"""

_ADDING = """\
        for (place = 0; place < {count}; place++)
            total {sign}= states[READ_{size}(source++)];
"""

_HEADER = """\
/* States: counts of 1/{one}, zero at the beginning; inputs: counts of the largest input / {one}.
   Right shifts of negative numbers must be arithmetic, as they are with every compiler for these chips. */
#ifndef {NAME}_H
#define {NAME}_H

#include <stdint.h>

#define {NAME}_UNITS {units}
#define {NAME}_INPUTS {inputs}

void {name}_update(const int16_t *inputs, int16_t *states);

#endif
"""


def write_network_c(
    path: Path, sources: npt.NDArray[Any], shifts: npt.NDArray[Any], signs: npt.NDArray[Any],
    constants: npt.NDArray[Any], gain_shift: int, leak_shift: int, one: int = 32767,
) -> list[Path]:  # fmt: skip
    """Write NAME.h and NAME.c of a network, and return their paths.

    Parameters
    ----------
    path : Path
        Of NAME.c; NAME must be an identifier of C.
    sources : ndarray of int, shape (units, connections)
        Units that each adds (the first half), and subtracts.
    shifts, signs : ndarray of int, shape (units, inputs)
    constants : ndarray of int, shape (units,)
    gain_shift, leak_shift : int
    one : int
        Largest size of a count.

    Raises
    ------
    ValueError
        If the file's name is not NAME.c.
    """
    if path.suffix != ".c" or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", path.stem):
        raise ValueError(f"{path.name} is not NAME.c with a NAME of letters, digits and _ that begins with a letter")
    units, connections = sources.shape
    wide = units > 256
    half = connections // 2
    adding = "".join(
        _ADDING.format(count=count, sign=sign, size="WORD" if wide else "BYTE")
        for count, sign in ((half, "+"), (connections - half, "-"))
        if count
    )
    words = {
        "name": path.stem, "NAME": path.stem.upper(), "units": units, "inputs": shifts.shape[1], "one": one,
        "index": "uint16_t" if wide else "uint8_t", "sources": max(1, sources.size), "input_count": shifts.size,
        "source_list": _listed(sources), "input_list": _listed(shifts + 16 * (signs < 0)),
        "constant_list": _listed(constants), "adding": adding, "gain": gain_shift, "leak": leak_shift,
    }  # fmt: skip
    header, source = path.with_suffix(".h"), path
    header.write_text(_HEADER.format(**words), encoding="ascii")
    text = _SOURCE.format(**words)
    if not connections:  # C has no loops over nothing to read
        text = text.replace(f"    const {words['index']} *source = sources;\n", "")
        start = text.index("/* For each unit: the units"), text.index("/* For each unit and input")
        text = text[: start[0]] + text[start[1] :]
    source.write_text(text, encoding="ascii")
    return [header, source]


def _listed(values: npt.NDArray[Any]) -> str:
    words = [str(value) for value in np.asarray(values).ravel().tolist()] or ["0"]
    return ",\n".join("    " + ", ".join(words[at : at + 16]) for at in range(0, len(words), 16))
