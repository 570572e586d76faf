"""Readouts written out as C99 that needs no library: a header, the source, and a program that tries a test vector.

Ternary readouts are integers, additions, subtractions and shifts only; others are single-precision sums of products.
On AVR chips weights stay in flash.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.reservoir.readouts.integer import IntegerReadout, signed_digits

__all__ = ["single_precision_outputs", "write_float_c", "write_integer_c"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_FLUSH = 240
"""Features of eight bits whose sum is sure to fit into 16 bits."""
_TOGETHER = 4
"""Rows of weights that are summed at once: an eight-bit chip has registers for so many sums."""

_FLASH = """\
#ifdef __AVR__
#include <avr/pgmspace.h>
#define IN_FLASH PROGMEM
#define READ_BYTE(place) pgm_read_byte(place)
#define READ_FLOAT(place) pgm_read_float(place)
#else
#define IN_FLASH
#define READ_BYTE(place) (*(place))
#define READ_FLOAT(place) (*(place))
#endif
"""

_LARGEST = """\
int {name}_class(const {feature} *features)
{{
    {value} outputs[{NAME}_OUTPUTS];
    int best = 0, output;
    {name}_outputs(features, outputs);
{choose}
    return best;
}}
"""

_OF_TWO = "    best = outputs[0] > 0;\n    (void)output;"
_OF_SEVERAL = """\
    for (output = 1; output < {NAME}_OUTPUTS; output++)
        if (outputs[output] > outputs[best])
            best = output;"""


def write_integer_c(readout: IntegerReadout, path: Path, samples: npt.ArrayLike) -> list[Path]:
    """Write NAME.h, NAME.c and NAME_test.c of a readout in integers, and return their paths.

    Parameters
    ----------
    readout : IntegerReadout
    path : Path
        Of NAME.c; NAME must be an identifier of C.
    samples : array_like of int, shape (samples, features)
        Features in counts for the test vector.
    """
    name = _name(path)
    planes, outputs, features = readout.planes.shape
    feature = "int8_t" if readout.bits <= 8 else "int16_t"
    value = "int64_t" if readout.wide else "int32_t"
    given = np.asarray(samples, dtype=np.int64)
    literal = "INT64_C" if readout.wide else "INT32_C"
    rows = planes * outputs
    lines = [f"    u{value} sums[{rows}] = {{0}};"]
    for first in range(0, rows, _TOGETHER):
        some = min(_TOGETHER, rows - first)
        lines.append(f"    add_{some}(weights + {first // _TOGETHER * features}, features, sums + {first});")
    for output in range(outputs):
        constant = f"(u{value}){literal}({readout.intercepts[output]})"
        added = "".join(_times(plane, output, readout) for plane in range(planes))
        lines.append(f"    outputs[{output}] = ({value})({constant}{added});")
    packed = _packed(readout.planes)
    functions = "".join(
        _adding(some, features, feature, value) for some in {min(rows, _TOGETHER), rows % _TOGETHER} - {0}
    )
    source = f"""\
/* Features in counts of {readout.step!r}, times weights of -1, 0 and 1: additions, subtractions and shifts only. */
#include "{name}.h"

{_FLASH}
/* For {_TOGETHER} rows of weights at a time (outputs, of one plane after another), for each feature: two bits a row,
   the lower one to add the feature, the higher one to subtract it. */
static const uint8_t weights[{len(packed)}] IN_FLASH = {{
{_numbers(f"0x{each:02x}" for each in packed.tolist())}
}};

{functions}void {name}_outputs(const {feature} *features, {value} *outputs)
{{
{chr(10).join(lines)}
}}
"""
    expected = readout.outputs(given)
    chosen = None
    if readout.classes is not None:
        source += "\n" + _class_function(name, feature, value, outputs)
        chosen = readout.indices(given)
    description = (
        f"/* Features: counts of {readout.step!r}, rounded, at most {2 ** (readout.bits - 1) - 1} in size.\n"
        f"   Outputs: counts of {readout.unit!r}.{_class_list(readout.classes)} */"
    )
    return _write(path, name, feature, value, (outputs, features), description, source, given, expected, chosen)


def _adding(rows: int, features: int, feature: str, value: str) -> str:
    """Write the function that adds and subtracts the features as some rows of weights say."""
    small = feature == "int8_t"  # so many of these fit into 16 bits
    part, most = ("int16_t", _FLUSH) if small else (value, 255)
    blocks, rest = divmod(features, most)
    lines = [f"static void add_{rows}(const uint8_t *place, const {feature} *features, u{value} *sums)", "{"]
    lines += ["    uint8_t weight, left, block;" if blocks else "    uint8_t weight, left;"]
    lines += [f"    {part} x, {', '.join(f'part{row}' for row in range(rows))};"]
    if blocks:
        lines += [f"    for (block = 0; block < {blocks + (rest > 0)}; block++) {{"]
        lines += [f"        left = {most};" if not rest else f"        left = block < {blocks} ? {most} : {rest};"]
    else:
        lines += ["    {", f"        left = {rest};"]
    lines += [f"        {' = '.join(f'part{row}' for row in range(rows))} = 0;", "        do {"]
    lines += ["            weight = READ_BYTE(place++);", "            x = *features++;"]
    for row in range(rows):
        lines += [f"            if (weight & {1 << 2 * row}) part{row} += x;"]
        lines += [f"            if (weight & {2 << 2 * row}) part{row} -= x;"]
    lines += ["        } while (--left);"]
    lines += [f"        sums[{row}] += (u{value})({value})part{row};" for row in range(rows)]
    return "\n".join([*lines, "    }", "}", "", ""])


def write_float_c(
    coef: npt.ArrayLike, intercept: npt.ArrayLike, classes: npt.NDArray[Any] | None, path: Path, samples: npt.ArrayLike
) -> list[Path]:
    """Write NAME.h, NAME.c and NAME_test.c of a readout in single precision, and return their paths.

    Parameters
    ----------
    coef : array_like of float, shape (outputs, features)
    intercept : array_like of float, shape (outputs,)
    classes : ndarray, shape (classes,), or None
    path : Path
        Of NAME.c; NAME must be an identifier of C.
    samples : array_like of float, shape (samples, features)
        Features for the test vector.
    """
    name = _name(path)
    weights = np.atleast_2d(np.asarray(coef)).astype(np.float32)
    constant = np.atleast_1d(np.asarray(intercept)).astype(np.float32)
    if not (np.isfinite(weights).all() and np.isfinite(constant).all()):
        raise ValueError("weights are too large for single precision; scale the features")
    outputs, features = weights.shape
    given = np.asarray(samples).astype(np.float32)
    source = f"""\
/* Sums of products in single precision, one after another. */
#include "{name}.h"

{_FLASH}
static const float weights[{weights.size}] IN_FLASH = {{
{_numbers(_hexadecimal(weights.ravel()))}
}};

static const float intercepts[{outputs}] IN_FLASH = {{
{_numbers(_hexadecimal(constant))}
}};

void {name}_outputs(const float *features, float *outputs)
{{
    const float *weight = weights;
    uint16_t output, feature;
    for (output = 0; output < {name.upper()}_OUTPUTS; output++) {{
        float sum = READ_FLOAT(intercepts + output);
        for (feature = 0; feature < {name.upper()}_FEATURES; feature++) {{
            float product = READ_FLOAT(weight++) * features[feature];
            sum += product;
        }}
        outputs[output] = sum;
    }}
}}
"""
    expected = single_precision_outputs(weights, constant, given)
    chosen = None
    if classes is not None:
        source += "\n" + _class_function(name, "float", "float", outputs)
        chosen = (expected[:, 0] > 0).astype(int) if outputs == 1 else np.argmax(expected, axis=1)
    description = f"/* Features and outputs: single precision.{_class_list(classes)} */"
    return _write(path, name, "float", "float", (outputs, features), description, source, given, expected, chosen)


def single_precision_outputs(
    coef: npt.NDArray[np.float32], intercept: npt.NDArray[np.float32], samples: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return outputs (samples, outputs) summed as the C source does it: in single precision, feature by feature."""
    sums = np.broadcast_to(intercept, (len(samples), len(coef))).astype(np.float32)
    for feature in range(coef.shape[1]):
        sums = sums + coef[:, feature] * samples[:, feature : feature + 1]
    return sums


def _name(path: Path) -> str:
    if path.suffix != ".c" or not _NAME.match(path.stem):
        raise ValueError(f"{path.name} is not NAME.c with a NAME of letters, digits and _ that begins with a letter")
    return path.stem


def _packed(planes: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
    """Return the weights of some rows at a time: a byte for each feature, two bits of it for each row."""
    rows = planes.reshape(-1, planes.shape[2])
    rows = np.concatenate([rows, np.zeros((-len(rows) % _TOGETHER, rows.shape[1]), dtype=np.int8)])
    codes = np.where(rows == 1, 1, np.where(rows == -1, 2, 0)).reshape(-1, _TOGETHER, rows.shape[1])
    shifts = 2 * np.arange(_TOGETHER)[:, np.newaxis]
    packed: npt.NDArray[np.uint8] = (codes << shifts).sum(axis=1).astype(np.uint8).ravel()
    return packed


def _times(plane: int, output: int, readout: IntegerReadout) -> str:
    """Write the sum of one plane of an output, times its multiplier by shifts, to be added."""
    row = plane * readout.planes.shape[1] + output
    digits = signed_digits(int(readout.multipliers[plane, output]))
    return "".join(f" {'+' if sign > 0 else '-'} (sums[{row}] << {exponent})" for sign, exponent in reversed(digits))


def _class_function(name: str, feature: str, value: str, outputs: int) -> str:
    choose = _OF_TWO if outputs == 1 else _OF_SEVERAL.format(NAME=name.upper())
    return _LARGEST.format(name=name, NAME=name.upper(), feature=feature, value=value, choose=choose)


def _class_list(classes: npt.NDArray[Any] | None) -> str:
    if classes is None:
        return ""
    named = ", ".join(f"{number}: {label}" for number, label in enumerate(classes.tolist()))
    safe = named.replace("*/", "* /").encode("ascii", "backslashreplace").decode().replace("\n", "\\n")
    return f"\n   Classes: {safe}."


def _write(
    path: Path, name: str, feature: str, value: str, shape: tuple[int, int], description: str, source: str,
    samples: npt.NDArray[Any], expected: npt.NDArray[Any], chosen: npt.NDArray[Any] | None,
) -> list[Path]:  # fmt: skip
    outputs, features = shape
    upper = name.upper()
    has_class = chosen is not None
    header = f"""\
{description}
#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#define {upper}_FEATURES {features}
#define {upper}_OUTPUTS {outputs}

void {name}_outputs(const {feature} *features, {value} *outputs);
{f"int {name}_class(const {feature} *features);{chr(10)}" if has_class else ""}
#endif
"""
    shown = _hexadecimal if value == "float" else _plain
    written = _hexadecimal if feature == "float" else _plain
    arrays = [
        _array(f"static const {feature} samples", written(samples.ravel())),
        _array(f"static const {value} expected", shown(expected.ravel())),
    ]
    tries = [
        f"        {name}_outputs(samples + (long)sample * {upper}_FEATURES, outputs);",
        f"        for (output = 0; output < {upper}_OUTPUTS; output++)",
        f"            if (outputs[output] != expected[(long)sample * {upper}_OUTPUTS + output])",
        "                return 1;",
    ]
    if chosen is not None:
        arrays.append(_array("static const uint16_t classes", _plain(chosen)))
        tries += [f"        if ({name}_class(samples + (long)sample * {upper}_FEATURES) != classes[sample])"]
        tries += ["            return 2;"]
    test = f"""\
/* Tries {len(samples)} samples; exits with 0 if every output is as expected. */
#include "{name}.h"

{chr(10).join(arrays)}
int main(void)
{{
    {value} outputs[{upper}_OUTPUTS];
    int sample, output;
    for (sample = 0; sample < {len(samples)}; sample++) {{
{chr(10).join(tries)}
    }}
    return 0;
}}
"""
    files = [(path.with_suffix(".h"), header), (path, source), (path.with_name(f"{name}_test.c"), test)]
    for file, text in files:
        file.write_text(text, encoding="ascii")
    return [file for file, _ in files]


def _array(declared: str, words: list[str]) -> str:
    return f"{declared}[{max(1, len(words))}] = {{\n{_numbers(words)}\n}};\n"


def _plain(values: npt.NDArray[Any]) -> list[str]:
    return [str(value) for value in values.tolist()]


def _hexadecimal(values: npt.NDArray[np.float32]) -> list[str]:
    """Write single-precision numbers exactly."""
    return [f"{float(value).hex()}f" for value in values]


def _numbers(words: Iterable[str]) -> str:
    """Arrange words in lines; a single 0 if there are none, since C has no empty arrays."""
    each = list(words) or ["0"]
    return ",\n".join("    " + ", ".join(each[at : at + 12]) for at in range(0, len(each), 12))
