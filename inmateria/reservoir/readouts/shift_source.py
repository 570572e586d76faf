"""Least mean squares in integers as C99 that predicts and learns with additions, subtractions and shifts only."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["write_learning_c"]

_SOURCE = """\
/* Normalised least mean squares of additions, subtractions and shifts; features are sums of {digits} powers of two at
   most. Right shifts of negative numbers must be arithmetic, as they are with every compiler for these chips. */
#include "{name}.h"

int32_t {name}_weights[{NAME}_OUTPUTS * {width}] = {{
{weights}
}};

/* Take the nearest power of two from what is left of a count, and return its exponent below the range. */
static uint8_t take_power(int32_t *left)
{{
    int32_t size = *left < 0 ? -*left : *left;
    uint16_t power = {full}u;
    uint8_t below = 0;
    while (size < (int32_t)power - (power >> 2)) {{
        power >>= 1;
        below++;
    }}
    *left += *left < 0 ? (int32_t)power : -(int32_t)power;
    return below;
}}

static int32_t shifted(int32_t value, uint8_t places)
{{
    while (places >= 8) {{
        value >>= 8;
        places -= 8;
    }}
    while (places--)
        value >>= 1;
    return value;
}}

static int32_t total_of(const int16_t *features, const int32_t *weight)
{{
    uint32_t total = 0;
    uint16_t feature;
    uint8_t digit;
    for (feature = 0; feature < {width}; feature++, weight++) {{
        int32_t left = {feature};
        for (digit = 0; digit < {digits} && left; digit++) {{
            uint8_t subtracts = left < 0;
            int32_t part = shifted(*weight, take_power(&left));
            total += subtracts ? -(uint32_t)part : (uint32_t)part;
        }}
    }}
    return (int32_t)total;
}}

void {name}_predict(const int16_t *features, int32_t *outputs)
{{
    const int32_t *weight = {name}_weights;
    uint16_t output;
    for (output = 0; output < {NAME}_OUTPUTS; output++, weight += {width})
        outputs[output] = ((total_of(features, weight) >> ({guard} - 1)) + 1) >> 1;
}}

void {name}_learn(const int16_t *features, const int16_t *targets)
{{
    int32_t *weight = {name}_weights;
    uint32_t power = 0;
    int8_t size = {slowness} - {power};
    uint16_t feature, output;
    for (feature = 0; feature < {width}; feature++) {{
        int32_t left = {feature};
        uint8_t below = left ? take_power(&left) : 255;
        if (below <= {half_power})
            power += (uint32_t)shifted(1l << {power}, 2 * below);
    }}
    for (; power; power >>= 1)
        size++;
    for (output = 0; output < {NAME}_OUTPUTS; output++) {{
        int32_t error = (int32_t)((uint32_t)(int32_t)targets[output] << {guard}), total = total_of(features, weight);
        /* Halves do not leave 32 bits: an error that would is limited. */
        int32_t half = (error >> 1) - (total >> 1);
        error -= half > {largest} / 2 || half < -({largest} / 2) ? error : total;
        if (half > {largest} / 2 || error > {largest})
            error = {largest};
        if (half < -({largest} / 2) || error < -{largest})
            error = -{largest};
        for (feature = 0; feature < {width}; feature++, weight++) {{
            int32_t left = {feature};
            uint8_t digit;
            for (digit = 0; digit < {digits} && left; digit++) {{
                uint8_t subtracts = left < 0;
                int8_t shift = size + (int8_t)take_power(&left);
                int32_t part = error;
                if (shift > 29)
                    continue;
                if (shift > 0)
                    part = shifted(shifted(error, (uint8_t)(shift - 1)) + 1, 1);
                *weight += subtracts ? -part : part;
                if (*weight > {most})
                    *weight = {most};
                if (*weight < -{most})
                    *weight = -{most};
            }}
        }}
    }}
}}
"""

_HEADER = """\
/* Features: counts of {feature_range!r} / {full}, and targets and outputs: counts of {target_range!r} / {full};
   rounded, at most {largest_count} in size. */
#ifndef {NAME}_H
#define {NAME}_H

#include <stdint.h>

#define {NAME}_FEATURES {features}
#define {NAME}_OUTPUTS {outputs}

/* Weights of the features{and_constant}, of one output after another. */
extern int32_t {name}_weights[{NAME}_OUTPUTS * {width}];

void {name}_predict(const int16_t *features, int32_t *outputs);
void {name}_learn(const int16_t *features, const int16_t *targets);

#endif
"""

_TEST = """\
/* Learns {count} samples; exits with 0 if every prediction and every weight is as expected. */
#include "{name}.h"

static const int16_t samples[] = {{
{samples}
}};
static const int16_t targets[] = {{
{targets}
}};
static const int32_t expected[] = {{
{expected}
}};
static const int32_t weights[] = {{
{after}
}};

int main(void)
{{
    int32_t outputs[{NAME}_OUTPUTS];
    long sample, k;
    for (sample = 0; sample < {count}; sample++) {{
        {name}_predict(samples + sample * {NAME}_FEATURES, outputs);
        for (k = 0; k < {NAME}_OUTPUTS; k++)
            if (outputs[k] != expected[sample * {NAME}_OUTPUTS + k])
                return 1;
        {name}_learn(samples + sample * {NAME}_FEATURES, targets + sample * {NAME}_OUTPUTS);
    }}
    for (k = 0; k < {NAME}_OUTPUTS * {width}; k++)
        if ({name}_weights[k] != weights[k])
            return 2;
    return 0;
}}
"""


def write_learning_c(
    path: Path, weights: npt.NDArray[Any], features: int, digits: int, slowness: int, bits: tuple[int, int, int],
    constant: int, ranges: tuple[float, float], vector: tuple[npt.NDArray[Any], ...],
) -> list[Path]:  # fmt: skip
    """Write NAME.h, NAME.c and NAME_test.c, and return their paths.

    Parameters
    ----------
    path : Path
        Of NAME.c; NAME must be an identifier of C.
    weights : ndarray of int, shape (outputs, features), with one more column for a constant if it is learned
    features, digits, slowness : int
    bits : tuple of int
        Exponent of the range, bits below one count of the target, and bits of the sum of squares.
    constant : int
        Count of the constant, if there is one.
    ranges : tuple of float
        Ranges of features and of targets.
    vector : tuple of ndarray
        Features, targets and predictions (samples, ...) in counts, and the weights after them.

    Raises
    ------
    ValueError
        If the file's name is not NAME.c.
    """
    if path.suffix != ".c" or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", path.stem):
        raise ValueError(f"{path.name} is not NAME.c with a NAME of letters, digits and _ that begins with a letter")
    full, guard, power = bits
    outputs, width = weights.shape
    has_constant = width > features
    given, wanted, found, after = vector
    words = {
        "name": path.stem, "NAME": path.stem.upper(), "features": features, "outputs": outputs, "width": width,
        "digits": digits, "slowness": slowness, "full": 2**full, "largest_count": 2**full - 1, "guard": guard,
        "power": power, "half_power": power // 2, "most": "1073741824l",
        "largest": "536870912l", "weights": _listed(weights), "count": len(given),
        "feature": f"feature < {features} ? features[feature] : {constant}" if has_constant
        else "features[feature]",
        "and_constant": ", and of a constant" if has_constant else "",
        "feature_range": ranges[0], "target_range": ranges[1], "samples": _listed(given), "targets": _listed(wanted),
        "expected": _listed(found), "after": _listed(after),
    }  # fmt: skip
    files = [path.with_suffix(".h"), path, path.with_name(f"{path.stem}_test.c")]
    for file, text in zip(files, (_HEADER, _SOURCE, _TEST), strict=True):
        file.write_text(text.format(**words), encoding="ascii")
    return files


def _listed(values: npt.NDArray[Any]) -> str:
    words = [str(value) for value in np.asarray(values).ravel().tolist()] or ["0"]
    return ",\n".join("    " + ", ".join(words[at : at + 12]) for at in range(0, len(words), 12))
