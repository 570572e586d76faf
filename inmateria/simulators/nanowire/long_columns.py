"""Columns of many rows, and four of the same rows at once: their multiply-adds in vectors where targets are neighbours.

What four columns change is loaded and stored once instead of four times. Each number gets its terms in the order of the
columns, so that results are the same to the bit as one column after another.
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
def eliminate_long(
    link: Floats, fixed: Floats, inverse: Floats, rows: Indices, target: Indices, k: int, low: int, pair: int, count: int
) -> None:
    """Eliminate a column of any number of rows; its arguments are those of `short_columns.eliminate_short`."""
    one, two = numba.uint64(1), numba.uint64(2)
    high = low + count
    total = fixed[two * k]
    for i in range(low, high):
        total += link[i]
    inverted = 1.0 / total
    inverse[k] = inverted
    to_fixed, from_fixed = fixed[two * k] * inverted, fixed[two * k + one] * inverted
    for i in range(low, high):
        g = link[i]
        row = two * numba.uint64(rows[i])
        fixed[row] += g * to_fixed
        fixed[row + one] += g * from_fixed
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
    link: Floats, fixed: Floats, inverse: Floats, start: Indices, rows: Indices, target: Indices, k: int, pair: int
) -> int:
    """Eliminate the four columns a, b, c, d of which the first is k, for which `are_four`; return the next pair."""
    one, two, three, four = numba.uint64(1), numba.uint64(2), numba.uint64(3), numba.uint64(4)
    a, b = numba.uint64(start[k]), numba.uint64(start[k + one])
    c, d = numba.uint64(start[k + two]), numba.uint64(start[k + three])
    m = numba.uint64(start[k + four]) - d
    pair += ((m + three) * (m + two) + (m + two) * (m + one) + (m + one) * m) >> one

    ab, ac, ad = link[a], link[a + one], link[a + two]
    a += three
    at = two * k
    to_a, from_a = fixed[at], fixed[at + one]
    total = to_a + ab + ac + ad
    for i in range(m):
        total += link[a + i]
    inverse_a = 1.0 / total
    inverse[k] = inverse_a
    to_a, from_a = to_a * inverse_a, from_a * inverse_a

    share_a = ab * inverse_a
    bc, bd = link[b] + share_a * ac, link[b + one] + share_a * ad
    link[b], link[b + one] = bc, bd
    b += two
    at += two
    to_b, from_b = fixed[at] + ab * to_a, fixed[at + one] + ab * from_a
    fixed[at + one] = from_b
    total = to_b + bc + bd
    for i in range(m):
        value = link[b + i] + share_a * link[a + i]
        link[b + i] = value
        total += value
    inverse_b = 1.0 / total
    inverse[k + one] = inverse_b
    to_b, from_b = to_b * inverse_b, from_b * inverse_b

    share_a, share_b = ac * inverse_a, bc * inverse_b
    cd = link[c] + share_a * ad
    cd += share_b * bd
    link[c] = cd
    c += one
    at += two
    to_c, from_c = fixed[at] + ac * to_a, fixed[at + one] + ac * from_a
    to_c += bc * to_b
    from_c += bc * from_b
    fixed[at + one] = from_c
    total = to_c + cd
    for i in range(m):
        value = link[c + i] + share_a * link[a + i]
        value += share_b * link[b + i]
        link[c + i] = value
        total += value
    inverse_c = 1.0 / total
    inverse[k + two] = inverse_c
    to_c, from_c = to_c * inverse_c, from_c * inverse_c

    share_a, share_b, share_c = ad * inverse_a, bd * inverse_b, cd * inverse_c
    at += two
    to_d, from_d = fixed[at] + ad * to_a, fixed[at + one] + ad * from_a
    to_d += bd * to_b
    from_d += bd * from_b
    to_d += cd * to_c
    from_d += cd * from_c
    fixed[at + one] = from_d
    total = to_d
    for i in range(m):
        value = link[d + i] + share_a * link[a + i]
        value += share_b * link[b + i]
        value += share_c * link[c + i]
        link[d + i] = value
        total += value
    inverse_d = 1.0 / total
    inverse[k + three] = inverse_d
    to_d, from_d = to_d * inverse_d, from_d * inverse_d

    for i in range(m):
        ga, gb, gc, gd = link[a + i], link[b + i], link[c + i], link[d + i]
        row = two * numba.uint64(rows[d + i])
        value = fixed[row] + ga * to_a
        value += gb * to_b
        value += gc * to_c
        fixed[row] = value + gd * to_d
        value = fixed[row + one] + ga * from_a
        value += gb * from_b
        value += gc * from_c
        fixed[row + one] = value + gd * from_d
        further, j = m - i - one, i + one
        shares = ga * inverse_a, gb * inverse_b, gc * inverse_c, gd * inverse_d
        add_row(link, target, pair, further, (a + j, b + j, c + j, d + j), shares)
        pair += further
    return pair
