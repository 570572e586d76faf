"""Columns of few rows without loops: code for each number of rows, to which one jump leads.

A loop over each pair of a short column ends after a few turns, at another number each time, which the processor cannot
foresee: a wrong guess takes as long as a dozen multiply-adds. Written out for each number of rows, a column has one
jump, and its own links stay in registers. The arithmetic and its order are those of the loops in `solution`.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic

SHORT = 16
"""Rows up to which a column has code of its own; with 12 and 8, a solution of 500 wires took 12 and 25 % longer."""

_intrinsic: Any = intrinsic  # typed as a plain function, which it is not: it takes one argument less
_NUMBER, _WORD = ir.DoubleType(), ir.IntType(64)
_TWO = ir.VectorType(_NUMBER, 2)
_CONTRACT = ("contract", "nsz")


def _data(context: Any, builder: Any, signature: Any, arguments: Any, which: int) -> Any:
    return context.make_array(signature.args[which])(context, builder, arguments[which]).data


def _at(builder: Any, base: Any, index: int) -> Any:
    return builder.gep(base, [ir.Constant(_WORD, index)])


def _place(builder: Any, base: Any, index: int) -> Any:
    return builder.zext(builder.load(_at(builder, base, index)), _WORD)


def _plus(builder: Any, value: Any, a: Any, b: Any) -> Any:
    return builder.fadd(value, builder.fmul(a, b, flags=_CONTRACT), flags=_CONTRACT)


def _twice(builder: Any, number: Any) -> Any:
    first = builder.insert_element(ir.Constant(_TWO, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    return builder.insert_element(first, number, ir.Constant(ir.IntType(32), 1))


def _for_each_length(builder: Any, count: Any, generate: Callable[[int], Any], otherwise: Any = None) -> Any:
    """Branch to the code for a number of rows, and return what it gives; nothing is done beyond `SHORT`."""
    other, end = builder.append_basic_block("longer"), builder.append_basic_block("end")
    jump, given = builder.switch(count, other), []
    for rows in range(SHORT + 1):
        block = builder.append_basic_block(f"rows{rows}")
        jump.add_case(ir.Constant(_WORD, rows), block)
        builder.position_at_end(block)
        given.append((generate(rows), builder.block))
        builder.branch(end)
    builder.position_at_end(other)
    builder.branch(end)
    builder.position_at_end(end)
    if otherwise is None:
        return None
    result = builder.phi(otherwise.type)
    for value, block in [*given, (otherwise, other)]:
        result.add_incoming(value, block)
    return result


@_intrinsic  # type: ignore[untyped-decorator]
def eliminate_short(
    typing: Any, link: Any, fixed: Any, inverse: Any, rows: Any, target: Any, k: Any, low: Any, pair: Any, count: Any
) -> Any:
    """Eliminate a column of up to `SHORT` rows.

    Parameters
    ----------
    link : ndarray
        Entries of all columns.
    fixed : ndarray
        For each free place, its conductance to fixed ones and the current from them at 0 V.
    inverse : ndarray
        One over what each column was eliminated with.
    rows, target : ndarray
        Of the plan.
    k, low, pair, count : uint64
        Column, its first entry and pair, and its number of rows.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        link, fixed, inverse, rows, target = (_data(context, builder, signature, arguments, i) for i in range(5))
        k, low, pair, count = arguments[5:]
        own, place, to = builder.gep(link, [low]), builder.gep(rows, [low]), builder.gep(target, [pair])
        mine = builder.gep(fixed, [builder.shl(k, ir.Constant(_WORD, 1))])

        def both(address: Any) -> Any:
            return builder.bitcast(address, _TWO.as_pointer())

        def load_both(address: Any) -> Any:
            value = builder.load(both(address))
            value.align = 8
            return value

        def column(length: int) -> None:
            links = [builder.load(_at(builder, own, i)) for i in range(length)]
            total = builder.load(mine)
            for value in links:
                total = builder.fadd(total, value, flags=_CONTRACT)
            inverted = builder.fdiv(ir.Constant(_NUMBER, 1.0), total, flags=_CONTRACT)
            builder.store(inverted, builder.gep(inverse, [k]))
            through = builder.fmul(load_both(mine), _twice(builder, inverted), flags=_CONTRACT)
            done = 0
            for i, value in enumerate(links):
                row = builder.gep(fixed, [builder.shl(_place(builder, place, i), ir.Constant(_WORD, 1))])
                changed = builder.store(_plus(builder, load_both(row), _twice(builder, value), through), both(row))
                changed.align = 8
                share = builder.fmul(value, inverted, flags=_CONTRACT)
                for further in links[i + 1 :]:
                    entry = builder.gep(link, [_place(builder, to, done)])
                    builder.store(_plus(builder, builder.load(entry), share, further), entry)
                    done += 1

        _for_each_length(builder, count, column)
        return context.get_dummy_value()

    word = types.uint64
    return types.void(link, fixed, inverse, rows, target, word, word, word, word), generate


@_intrinsic  # type: ignore[untyped-decorator]
def gather_short(typing: Any, link: Any, rows: Any, voltage: Any, low: Any, count: Any, current: Any) -> Any:
    """Return the current plus the products of a column's links and the voltages of its up to `SHORT` rows."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        link, rows, voltage = (_data(context, builder, signature, arguments, i) for i in range(3))
        low, count, current = arguments[3:]
        own, place = builder.gep(link, [low]), builder.gep(rows, [low])

        def column(length: int) -> Any:
            total = current
            for i in range(length):
                other = builder.load(builder.gep(voltage, [_place(builder, place, i)]))
                total = _plus(builder, total, builder.load(_at(builder, own, i)), other)
            return total

        return _for_each_length(builder, count, column, current)

    return types.float64(link, rows, voltage, types.uint64, types.uint64, types.float64), generate


@_intrinsic  # type: ignore[untyped-decorator]
def spread_short(typing: Any, link: Any, rows: Any, current: Any, low: Any, count: Any, through: Any) -> Any:
    """Add, to the current at each of a column's up to `SHORT` rows, its link times what goes through."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        link, rows, current = (_data(context, builder, signature, arguments, i) for i in range(3))
        low, count, through = arguments[3:]
        own, place = builder.gep(link, [low]), builder.gep(rows, [low])

        def column(length: int) -> None:
            for i in range(length):
                row = builder.gep(current, [_place(builder, place, i)])
                link_i = builder.load(_at(builder, own, i))
                builder.store(_plus(builder, builder.load(row), link_i, through), row)

        _for_each_length(builder, count, column)
        return context.get_dummy_value()

    return types.void(link, rows, current, types.uint64, types.uint64, types.float64), generate
