"""Columns of few rows without loops: code for each number of rows, to which one jump leads.

A loop over each pair of a short column ends after a few turns, at another number each time, which the processor cannot
foresee: a wrong guess takes as long as a dozen multiply-adds. Written out for each number of rows, a column has one
jump, and its own links stay in registers.
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
_CONTRACT = ("contract", "nsz")


def _at(builder: Any, base: Any, index: int) -> Any:
    return builder.gep(base, [ir.Constant(_WORD, index)])


def _place(builder: Any, base: Any, index: int) -> Any:
    return builder.zext(builder.load(_at(builder, base, index)), _WORD)


def _add(builder: Any, address: Any, a: Any, b: Any) -> None:
    product = builder.fmul(a, b, flags=_CONTRACT)
    builder.store(builder.fadd(builder.load(address), product, flags=_CONTRACT), address)


def _sum(builder: Any, values: list[Any]) -> Any:
    """Add numbers pairwise: the sum is known after as many additions as a tree of them is high."""
    while len(values) > 1:
        pairs = zip(values[::2], values[1::2], strict=False)
        odd = values[len(values) // 2 * 2 :]
        values = [*(builder.fadd(one, other, flags=_CONTRACT) for one, other in pairs), *odd]
    return values[0]


def _for_each_length(builder: Any, count: Any, generate: Callable[[int], None]) -> None:
    """Branch to the code for a number of rows; nothing is done beyond `SHORT`."""
    end = builder.append_basic_block("end")
    jump = builder.switch(count, end)
    for rows in range(SHORT + 1):
        block = builder.append_basic_block(f"rows{rows}")
        jump.add_case(ir.Constant(_WORD, rows), block)
        builder.position_at_end(block)
        generate(rows)
        builder.branch(end)
    builder.position_at_end(end)


@_intrinsic  # type: ignore[untyped-decorator]
def eliminate_short(
    typing: Any,
    link: Any,
    toward: Any,
    source: Any,
    inverse: Any,
    rows: Any,
    target: Any,
    k: Any,
    low: Any,
    pair: Any,
    count: Any,
) -> Any:
    """Eliminate a column of up to `SHORT` rows.

    Parameters
    ----------
    link : ndarray
        Entries of all columns.
    toward, source, inverse : ndarray
        For each free place, its conductance to fixed ones, the current from them at 0 V, and in return one over what
        it was eliminated with.
    rows, target : ndarray
        Of the plan.
    k, low, pair, count : uint64
        Column, its first entry and pair, and its number of rows.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        link, toward, source, inverse, rows, target = (
            context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in range(6)
        )
        k, low, pair, count = arguments[6:]
        own, place, to = builder.gep(link, [low]), builder.gep(rows, [low]), builder.gep(target, [pair])
        mine, from_there, result = (builder.gep(array, [k]) for array in (toward, source, inverse))

        def column(length: int) -> None:
            links = [builder.load(_at(builder, own, i)) for i in range(length)]
            to_fixed, from_fixed = builder.load(mine), builder.load(from_there)
            total = _sum(builder, [to_fixed, *links])
            inverted = builder.fdiv(ir.Constant(_NUMBER, 1.0), total, flags=_CONTRACT)
            builder.store(inverted, result)
            to_fixed, from_fixed = (builder.fmul(value, inverted, flags=_CONTRACT) for value in (to_fixed, from_fixed))
            done = 0
            for i, value in enumerate(links):
                row = _place(builder, place, i)
                _add(builder, builder.gep(toward, [row]), value, to_fixed)
                _add(builder, builder.gep(source, [row]), value, from_fixed)
                share = builder.fmul(value, inverted, flags=_CONTRACT)
                for further in links[i + 1 :]:
                    _add(builder, builder.gep(link, [_place(builder, to, done)]), share, further)
                    done += 1

        _for_each_length(builder, count, column)
        return context.get_dummy_value()

    word = types.uint64
    return types.void(link, toward, source, inverse, rows, target, word, word, word, word), generate
