"""The compiled step of eight networks of one graph at once, each in one lane of the processor's vectors.

numba cannot be trusted to vectorise over replicas (every access is indirect), so a type of eight float64 is
defined here and lowered to LLVM's own vectors, which become AVX-512, AVX or NEON, whatever the machine has.
The arithmetic is that of `nanowire_kernel`; an array of lanes is flat, eight numbers to an entry.
"""

import operator
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic, models, overload, register_model

from inmateria.simulators.nanowire_kernel import unpack

LANES = 8

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

_intrinsic: Any = intrinsic  # typed as a plain function, which it is not: it takes one argument less
_VECTOR = ir.VectorType(ir.DoubleType(), LANES)
_WORD = ir.IntType(64)


class _Lanes(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"Lanes{LANES}")


_lanes = _Lanes()


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, _VECTOR)  # type: ignore[no-untyped-call]


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    base = context.make_array(array_type)(context, builder, array).data
    wide = builder.zext(index, _WORD) if index.type.width < 64 else index
    return builder.bitcast(builder.gep(base, [builder.mul(wide, ir.Constant(_WORD, LANES))]), _VECTOR.as_pointer())


@_intrinsic  # type: ignore[untyped-decorator]
def load(typing: Any, array: Any, entry: Any) -> Any:
    """Take the lanes of an entry."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_address(context, builder, signature.args[0], *arguments))
        value.align = 8
        return value

    return _lanes(array, entry), generate


@_intrinsic  # type: ignore[untyped-decorator]
def store(typing: Any, array: Any, entry: Any, value: Any) -> Any:
    """Put the lanes of an entry."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        done = builder.store(arguments[2], _address(context, builder, signature.args[0], *arguments[:2]))
        done.align = 8
        return context.get_dummy_value()

    return types.void(array, entry, value), generate


@_intrinsic  # type: ignore[untyped-decorator]
def splat(typing: Any, number: Any) -> Any:
    """Put one float into all lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), arguments[0], ir.Constant(ir.IntType(32), 0))
        same = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), same)

    return _lanes(types.float64), generate


@_intrinsic  # type: ignore[untyped-decorator]
def choose(typing: Any, a: Any, b: Any, greater: Any, otherwise: Any) -> Any:
    """Lane by lane, take ``greater`` where a > b and ``otherwise`` elsewhere."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *arguments[:2]), *arguments[2:])

    return _lanes(a, b, greater, otherwise), generate


def _arithmetic(operation: Callable[..., Any], instruction: str) -> None:
    @_intrinsic  # type: ignore[untyped-decorator]
    def compute(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(*arguments, flags=("contract",))

        return _lanes(a, b), generate

    def typed(a, b):  # type: ignore[no-untyped-def] # numba wants bare names as in what is returned
        if isinstance(a, _Lanes) and isinstance(b, _Lanes):
            return lambda a, b: compute(a, b)
        return None

    overload(operation)(typed)


for _operation, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _arithmetic(_operation, _instruction)

_inner = numba.njit(error_model="numpy", nogil=True)
_outer = numba.njit(error_model="numpy", nogil=True, cache=True)


@_outer
def advance_lanes(
    plan: Indices,
    binary: bool,
    constants: Floats,
    step: float,
    samples: int,
    drive: Floats,
    inputs: int,
    state: Floats,
    conductance: Floats,
    feels: Floats,
    conducts: Floats,
    nodes: Floats,
    signal: Floats,
) -> None:
    """Run all steps of eight drives on eight networks of filaments that share a graph.

    Parameters
    ----------
    plan, step, samples
        As in `nanowire_kernel.advance`.
    binary : bool
        Whether junctions switch instead of tunnelling.
    constants : ndarray, shape (11 * 8,)
    drive : ndarray, shape (steps * inputs * 8,)
    state, conductance, feels, conducts : ndarray, shape (junctions * 8,)
    nodes : ndarray
        As in `nanowire_kernel.advance`, in lanes.
    signal : ndarray, shape (steps * samples * outputs * 8,)
    """
    place, first, second, slot, border, contact, start, rows, target, read = unpack(plan)
    free = len(start) - 1
    voltage = nodes[: len(place) * LANES]
    load_of = nodes[len(place) * LANES : (len(place) + free) * LANES]
    work = nodes[(len(place) + free) * LANES :]
    # numba makes a float of a signed and an unsigned integer, so that those which are added are all unsigned.
    n, fixed = numba.uint64(free), numba.uint64(len(place) - free)
    zero = splat(0.0)
    at: Any = numba.uint64(0)
    for t in range(len(drive) // (inputs * LANES)):
        for i in range(inputs):
            store(voltage, n + numba.uint64(i), load(drive, numba.uint64(t * inputs + i)))
        for i in range(numba.uint64(inputs), fixed):
            store(voltage, n + i, zero)
        for _ in range(samples):
            _solve(slot, border, start, rows, target, load_of, conductance, work, voltage)
            for i in range(len(read)):
                store(signal, at, load(voltage, read[i]))
                at += numba.uint64(1)
            for i in range(fixed):
                store(signal, at + i, zero)
            for i in range(contact.shape[0]):
                j = contact[i, 0]
                flow = load(conductance, j) * (load(voltage, first[j]) - load(voltage, second[j]))
                into = at + numba.uint64(contact[i, 1])
                total = load(signal, into)
                store(signal, into, total - flow if contact[i, 2] else total + flow)
            at += fixed
            _grow(constants, step, first, second, voltage, feels, state)
            if binary:
                _switch(constants, conducts, state, conductance)
            else:
                _tunnel(constants, conducts, state, conductance)


@_inner
def _solve(
    slot: Indices,
    border: Indices,
    start: Indices,
    rows: Indices,
    target: Indices,
    load_of: Floats,
    conductance: Floats,
    work: Floats,
    voltage: Floats,
) -> None:
    free, entries = len(start) - 1, len(rows)
    link = work[: entries * LANES]
    toward = work[entries * LANES : (entries + free) * LANES]
    source = work[(entries + free) * LANES : (entries + 2 * free) * LANES]
    inverse = work[(entries + 2 * free) * LANES : (entries + 3 * free) * LANES]
    n = numba.uint64(free)
    zero, one = splat(0.0), splat(1.0)
    for i in range(numba.uint64(entries)):
        store(link, i, zero)
    for k in range(n):
        store(toward, k, load(load_of, k))
        store(source, k, zero)
    for i in range(slot.shape[0]):
        store(link, slot[i, 1], load(link, slot[i, 1]) + load(conductance, slot[i, 0]))
    for i in range(border.shape[0]):
        g = load(conductance, border[i, 0])
        k = border[i, 1]
        store(toward, k, load(toward, k) + g)
        store(source, k, load(source, k) + g * load(voltage, border[i, 2]))
    pair: Any = numba.uint64(0)
    for k in range(n):
        low, high = numba.uint64(start[k]), numba.uint64(start[k + 1])
        total = load(toward, k)
        for i in range(low, high):
            total = total + load(link, i)
        inverted = one / total
        store(inverse, k, inverted)
        to_fixed = load(toward, k) * inverted
        from_fixed = load(source, k) * inverted
        for i in range(low, high):
            g = load(link, i)
            r = rows[i]
            store(toward, r, load(toward, r) + g * to_fixed)
            store(source, r, load(source, r) + g * from_fixed)
            share = g * inverted
            for j in range(i + numba.uint64(1), high):
                to = target[pair]
                store(link, to, load(link, to) + share * load(link, j))
                pair += numba.uint64(1)
    for m in range(n):
        last: Any = n - numba.uint64(1) - m
        current = load(source, last)
        for i in range(numba.uint64(start[last]), numba.uint64(start[last + numba.uint64(1)])):
            current = current + load(link, i) * load(voltage, rows[i])
        store(voltage, last, current * load(inverse, last))


@_inner
def _grow(
    constants: Floats, step: float, first: Indices, second: Indices, voltage: Floats, feels: Floats, state: Floats
) -> None:
    zero, duration = splat(0.0), splat(step)
    set_voltage, reset_voltage = load(constants, numba.uint64(0)), load(constants, numba.uint64(1))
    shrinking = load(constants, numba.uint64(2)) * duration
    full, overshoot = load(constants, numba.uint64(3)), load(constants, numba.uint64(10))
    for j in range(numba.uint64(len(first))):
        v = (load(voltage, first[j]) - load(voltage, second[j])) * load(feels, j)
        size = choose(zero, v, zero - v, v)
        above, below = size - set_voltage, reset_voltage - size
        growth = choose(above, zero, above, zero) * duration
        x = load(state, j) + choose(zero, v, zero - growth, growth)
        extent = choose(zero, x, zero - x, x)
        left = extent - choose(below, zero, below, zero) * shrinking
        left = choose(left, zero, left, left * overshoot)
        left = choose(left, full, full, left)
        store(state, j, choose(zero, x, zero - left, left))


@_inner
def _switch(constants: Floats, conducts: Floats, state: Floats, conductance: Floats) -> None:
    zero = splat(0.0)
    closed = load(constants, numba.uint64(4))
    on, off = load(constants, numba.uint64(5)), load(constants, numba.uint64(6))
    for j in range(numba.uint64(len(state) // LANES)):
        x = load(state, j)
        size = choose(zero, x, zero - x, x)
        store(conductance, j, load(conducts, j) * choose(closed, size, off, on))


@_inner
def _tunnel(constants: Floats, conducts: Floats, state: Floats, conductance: Floats) -> None:
    zero, one = splat(0.0), splat(1.0)
    per_closed, on_resistance = load(constants, numba.uint64(4)), load(constants, numba.uint64(5))
    off, widest = load(constants, numba.uint64(6)), load(constants, numba.uint64(7))
    exponent = load(constants, numba.uint64(8))
    for j in range(numba.uint64(len(state) // LANES)):
        x = load(state, j)
        gap = one - choose(zero, x, zero - x, x) * per_closed
        gap = choose(gap, zero, gap, zero)
        y = gap * exponent
        e = splat(1.0 / 479001600.0)
        e = e * y + splat(1.0 / 39916800.0)
        e = e * y + splat(1.0 / 3628800.0)
        e = e * y + splat(1.0 / 362880.0)
        e = e * y + splat(1.0 / 40320.0)
        e = e * y + splat(1.0 / 5040.0)
        e = e * y + splat(1.0 / 720.0)
        e = e * y + splat(1.0 / 120.0)
        e = e * y + splat(1.0 / 24.0)
        e = e * y + splat(1.0 / 6.0)
        e = e * y + splat(0.5)
        e = e * y + one
        e = e * y + one
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        store(conductance, j, load(conducts, j) * (one / (widest * gap * e + on_resistance) + off))
