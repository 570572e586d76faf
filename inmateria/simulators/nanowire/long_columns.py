"""Columns of many rows, and four of the same rows at once: their multiply-adds in vectors where targets are neighbours.

What four columns change is loaded and stored once instead of four times.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic

from inmateria.kernel_compilation import borrowing_kernel
from inmateria.simulators.nanowire.short_columns import SHORT

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]

_intrinsic: Any = intrinsic  # typed as a plain function, which it is not: it takes one argument less
_inner = borrowing_kernel()
_NUMBER, _WORD = ir.DoubleType(), ir.IntType(64)
_EIGHT = ir.VectorType(_NUMBER, 8)
_CONTRACT = ("contract", "nsz")


def _splat(builder: Any, number: Any) -> Any:
    undefined, index = ir.Constant(_EIGHT, ir.Undefined), ir.IntType(32)
    first = builder.insert_element(undefined, number, ir.Constant(index, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(index, 8), [0] * 8))


def _loop(builder: Any, first: Any, end: Any, step: int, body: Any) -> Any:
    """Loop over as many whole steps as fit, and return where they end."""
    before = builder.block
    head, inside, after = (builder.append_basic_block(name) for name in ("head", "inside", "after"))
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.phi(_WORD)
    index.add_incoming(first, before)
    following = builder.add(index, ir.Constant(_WORD, step))
    builder.cbranch(builder.icmp_unsigned("<=", following, end), inside, after)
    builder.position_at_end(inside)
    body(index)
    index.add_incoming(following, builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return index


@_intrinsic  # type: ignore[untyped-decorator]
def add_row(typing: Any, link: Any, target: Any, pair: Any, count: Any, first: Any, share: Any) -> Any:
    """Add to targets the shares of one or several columns' links.

    Parameters
    ----------
    link, target : ndarray
        Entries of all columns, and the targets of all pairs.
    pair, count : uint64
        First of the pairs, and their number.
    first, share : tuple
        For each column the first of its links, and what each of them is multiplied by.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        links, targets = (
            context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in range(2)
        )  # fmt: skip
        to, count = builder.gep(targets, [arguments[2]]), arguments[3]
        columns = range(signature.args[4].count)
        own = [builder.gep(links, [builder.extract_value(arguments[4], c)]) for c in columns]
        shares = [builder.extract_value(arguments[5], c) for c in columns]
        zero = ir.Constant(_WORD, 0)

        def change(address: Any, at: Any, factors: Any) -> None:
            value = builder.load(address)
            value.align = 8
            for start, factor in zip(own, factors, strict=True):
                source = builder.load(builder.bitcast(builder.gep(start, [at]), address.type))
                source.align = 8
                value = builder.fadd(value, builder.fmul(factor, source, flags=_CONTRACT), flags=_CONTRACT)
            builder.store(value, address).align = 8

        def target_of(at: Any) -> Any:
            return builder.zext(builder.load(builder.gep(to, [at])), _WORD)

        some, after = builder.append_basic_block("some"), builder.append_basic_block("done")
        neighbours, apart = builder.append_basic_block("neighbours"), builder.append_basic_block("apart")
        builder.cbranch(builder.icmp_unsigned("==", count, zero), after, some)
        builder.position_at_end(some)
        last = builder.sub(count, ir.Constant(_WORD, 1))
        begin = target_of(zero)
        builder.cbranch(
            builder.icmp_unsigned("==", builder.sub(target_of(last), begin), last), neighbours, apart
        )  # fmt: skip

        builder.position_at_end(neighbours)
        base, wide = builder.gep(links, [begin]), [_splat(builder, value) for value in shares]

        def eight(at: Any) -> None:
            change(builder.bitcast(builder.gep(base, [at]), _EIGHT.as_pointer()), at, wide)

        rest = _loop(builder, zero, count, 8, eight)
        _loop(builder, rest, count, 1, lambda at: change(builder.gep(base, [at]), at, shares))
        builder.branch(after)

        builder.position_at_end(apart)

        def four(at: Any) -> None:
            for i in range(4):
                here = builder.add(at, ir.Constant(_WORD, i))
                change(builder.gep(links, [target_of(here)]), here, shares)

        rest = _loop(builder, zero, count, 4, four)
        _loop(builder, rest, count, 1, lambda at: change(builder.gep(links, [target_of(at)]), at, shares))
        builder.branch(after)

        builder.position_at_end(after)
        return context.get_dummy_value()

    return types.void(link, target, types.uint64, types.uint64, first, share), generate


@_inner
def _sum(link: Floats, low: int, count: int) -> float:
    """Sum a column's links, in four parts that do not wait for each other."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    one, two, three, four = numba.uint64(1), numba.uint64(2), numba.uint64(3), numba.uint64(4)
    i: Any = low
    for _ in range(count >> two):
        a += link[i]
        b += link[i + one]
        c += link[i + two]
        d += link[i + three]
        i += four
    while i < low + count:
        a += link[i]
        i += one
    return (a + b) + (c + d)


@_inner
def eliminate_long(
    link: Floats,
    toward: Floats,
    source: Floats,
    inverse: Floats,
    rows: Indices,
    target: Indices,
    k: int,
    low: int,
    pair: Any,
    count: int,
) -> None:
    """Eliminate a column of any number of rows; its arguments are those of `short_columns.eliminate_short`."""
    one = numba.uint64(1)
    high = low + count
    inverted = 1.0 / (toward[k] + _sum(link, low, count))
    inverse[k] = inverted
    to_fixed, from_fixed = toward[k] * inverted, source[k] * inverted
    for i in range(low, high):
        g = link[i]
        row = rows[i]
        toward[row] += g * to_fixed
        source[row] += g * from_fixed
        further = high - i - one
        add_row(link, target, pair, further, (i + one,), (g * inverted,))
        pair += further


@_inner
def are_four(start: Indices, rows: Indices, k: int) -> bool:
    """Whether a long column and the next three have the same rows but for themselves."""
    one, two, three, four = numba.uint64(1), numba.uint64(2), numba.uint64(3), numba.uint64(4)
    low, high = numba.uint64(start[k]), numba.uint64(start[k + one])
    if high - low < numba.uint64(SHORT + 1):
        return False
    last = numba.uint64(start[k + four]) - numba.uint64(start[k + three])  # long columns have three after them
    if high != low + last + three:
        return False
    return bool(rows[low] == k + one and rows[low + one] == k + two and rows[low + two] == k + three)


@_inner
def eliminate_four(
    link: Floats,
    toward: Floats,
    source: Floats,
    inverse: Floats,
    start: Indices,
    rows: Indices,
    target: Indices,
    k: int,
    pair: Any,
) -> Any:
    """Eliminate the four columns a, b, c, d of which the first is k, for which `are_four`; return the next pair."""
    one, two, three, four = numba.uint64(1), numba.uint64(2), numba.uint64(3), numba.uint64(4)
    a, b = numba.uint64(start[k]), numba.uint64(start[k + one])
    c, d = numba.uint64(start[k + two]), numba.uint64(start[k + three])
    m = numba.uint64(start[k + four]) - d
    pair += ((m + three) * (m + two) + (m + two) * (m + one) + (m + one) * m) >> one

    ab, ac, ad = link[a], link[a + one], link[a + two]
    a += three
    inverse_a = 1.0 / (toward[k] + (ab + ac + ad) + _sum(link, a, m))
    inverse[k] = inverse_a
    to_a, from_a = toward[k] * inverse_a, source[k] * inverse_a

    share_a = ab * inverse_a
    bc, bd = link[b] + share_a * ac, link[b + one] + share_a * ad
    link[b], link[b + one] = bc, bd
    b += two
    to_b, from_b = toward[k + one] + ab * to_a, source[k + one] + ab * from_a
    source[k + one] = from_b
    for i in range(m):
        link[b + i] += share_a * link[a + i]
    inverse_b = 1.0 / (to_b + (bc + bd) + _sum(link, b, m))
    inverse[k + one] = inverse_b
    to_b, from_b = to_b * inverse_b, from_b * inverse_b

    share_a, share_b = ac * inverse_a, bc * inverse_b
    cd = link[c] + share_a * ad + share_b * bd
    link[c] = cd
    c += one
    to_c = toward[k + two] + ac * to_a + bc * to_b
    from_c = source[k + two] + ac * from_a + bc * from_b
    source[k + two] = from_c
    for i in range(m):
        link[c + i] = link[c + i] + share_a * link[a + i] + share_b * link[b + i]
    inverse_c = 1.0 / (to_c + cd + _sum(link, c, m))
    inverse[k + two] = inverse_c
    to_c, from_c = to_c * inverse_c, from_c * inverse_c

    share_a, share_b, share_c = ad * inverse_a, bd * inverse_b, cd * inverse_c
    to_d = toward[k + three] + ad * to_a + bd * to_b + cd * to_c
    from_d = source[k + three] + ad * from_a + bd * from_b + cd * from_c
    source[k + three] = from_d
    for i in range(m):
        link[d + i] = link[d + i] + share_a * link[a + i] + share_b * link[b + i] + share_c * link[c + i]
    inverse_d = 1.0 / (to_d + _sum(link, d, m))
    inverse[k + three] = inverse_d
    to_d, from_d = to_d * inverse_d, from_d * inverse_d

    for i in range(m):
        ga, gb, gc, gd = link[a + i], link[b + i], link[c + i], link[d + i]
        row = rows[d + i]
        toward[row] = toward[row] + ga * to_a + gb * to_b + gc * to_c + gd * to_d
        source[row] = source[row] + ga * from_a + gb * from_b + gc * from_c + gd * from_d
        further, j = m - i - one, i + one
        shares = ga * inverse_a, gb * inverse_b, gc * inverse_c, gd * inverse_d
        add_row(link, target, pair, further, (a + j, b + j, c + j, d + j), shares)
        pair += further
    return pair
