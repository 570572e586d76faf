"""Many neurons in one value, for numba: single-precision numbers, 32-bit words and masks, lowered to LLVM's vectors.

There are thirty-two lanes where the processor has AVX-512, and each operation is two of its instructions, of which
neither waits for the other; else sixteen: two instructions of AVX2, four of NEON. Nothing is rounded together unless
`fused` says so. Arrays are flat, and an index is that of the first of neighbours.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic, models, overload, register_model

from inmateria.kernel_compilation import processor_features

LANES = 32 if "+avx512f" in processor_features() else 16
SCATTERS = {"+avx512f", "+avx512fp16"} <= processor_features()
"""Whether the processor reads and writes sixteen numbers anywhere in an array at once, and fast: those of Intel since
2023. Earlier ones are slowed down against spying (Downfall), and AMD's do it one number after another."""
SUMS_BYTES = {"+avx512f", "+avx512vnni"} <= processor_features()
"""Whether the four bytes of each lane can be added by one instruction."""

_intrinsic: Any = intrinsic  # typed as a plain function, which it is not: it takes one argument less
_named_function: Any = cgutils.get_or_insert_function
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_WORDS = ir.VectorType(ir.IntType(32), LANES)
_BITS = ir.VectorType(ir.IntType(1), LANES)
_INDEX, _BYTE = ir.IntType(32), ir.IntType(8).as_pointer()
_FIRST, _SAME = ir.Constant(ir.IntType(32), 0), ir.Constant(_WORDS, [0] * LANES)


class LanesType(types.Type):
    """Type of `LANES` numbers, words or truths."""

    def __init__(self, name: str, vector: Any) -> None:
        self.vector = vector
        super().__init__(name=f"{name}{LANES}")


class FloatsType(LanesType):
    """Type of float32."""


class WordsType(LanesType):
    """Type of 32-bit integers; an operation, not the type, says whether they have a sign."""


class MaskType(LanesType):
    """Type of truths."""


floats, words, mask = FloatsType("Floats", _FLOATS), WordsType("Words", _WORDS), MaskType("Mask", _BITS)


@register_model(FloatsType)
@register_model(WordsType)
@register_model(MaskType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, fe_type.vector)  # type: ignore[no-untyped-call]


def _of(array: Any) -> LanesType:
    return floats if isinstance(array.dtype, types.Float) else words


def _address(context: Any, builder: Any, array_type: Any, array: Any, first: Any) -> Any:
    base = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(base, [first]), _of(array_type).vector.as_pointer())


@_intrinsic  # type: ignore[untyped-decorator]
def load(typing: Any, array: Any, first: Any) -> Any:
    """Load neighbours."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_address(context, builder, signature.args[0], *arguments))
        value.align = 4
        return value

    return _of(array)(array, types.intp), generate


@_intrinsic  # type: ignore[untyped-decorator]
def store(typing: Any, array: Any, first: Any, value: Any) -> Any:
    """Store neighbours."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        done = builder.store(arguments[2], _address(context, builder, signature.args[0], *arguments[:2]))
        done.align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp, _of(array)), generate


@_intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing: Any, array: Any, place: Any) -> Any:
    """Ask for the line of the cache in which a number lies, to be read soon; outside of the array nothing happens."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word, byte = ir.IntType(32), ir.IntType(8).as_pointer()
        name = "llvm.prefetch.p0"
        known = builder.module.globals.get(name)
        made = known or ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [byte, word, word, word]), name)
        base = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(base, [arguments[1]]), byte)
        # To be read, in all caches, data.
        builder.call(made, [address, ir.Constant(word, 0), ir.Constant(word, 3), ir.Constant(word, 1)])
        return context.get_dummy_value()

    return types.void(array, place), generate


def _function(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    return _named_function(builder.module, ir.FunctionType(result, arguments), name)


@_intrinsic  # type: ignore[untyped-decorator]
def add_spread(
    typing: Any, array: Any, ways: Any, weights: Any, first: Any, end: Any, left: Any, begin: Any, wrapped: Any, by: Any
) -> Any:
    """Add up to sixteen weights, times a number, to places of an array that lie apart.

    They are those from the ``first``, before the ``end``. Weight s goes to the place ``ways[s]`` plus ``begin``, or
    plus ``wrapped`` where ``ways[s]`` is not less than ``left``. No place may come twice. Each is rounded once. Only
    where `SCATTERS`.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, ways, weights = (
            context.make_array(kind)(context, builder, given).data
            for kind, given in zip(signature.args[:3], arguments[:3], strict=True)
        )
        first, end, *scalars = arguments[3:]
        size = ir.Constant(_INDEX, 4)
        floats, words, bits = (ir.VectorType(kind, 16) for kind in (ir.FloatType(), ir.IntType(32), ir.IntType(1)))
        same = ir.Constant(words, [0] * 16)

        def spread(value: Any) -> Any:
            empty = ir.Constant(ir.VectorType(value.type, 16), ir.Undefined)
            return builder.shuffle_vector(builder.insert_element(empty, value, _FIRST), empty, same)

        def neighbours(data: Any, kind: Any, letter: str) -> Any:
            address = builder.bitcast(builder.gep(data, [first]), kind.as_pointer())
            made = _function(builder, f"llvm.masked.load.v16{letter}32.p0", kind, [address.type, _INDEX, bits, kind])
            return builder.call(made, [address, size, some, ir.Constant(kind, [0] * 16)])

        many = builder.trunc(builder.sub(end, first), _INDEX)
        some = builder.icmp_signed("<", ir.Constant(words, list(range(16))), spread(many))
        way = neighbours(ways, words, "i")
        left, begin, wrapped, by = (spread(each) for each in scalars)
        at = builder.add(way, builder.select(builder.icmp_unsigned("<", way, left), begin, wrapped))
        base = builder.bitcast(array, _BYTE)
        name = "llvm.x86.avx512.mask.gather.dps.512"
        gather = _function(builder, name, floats, [floats, _BYTE, words, bits, _INDEX])
        name = "llvm.x86.avx512.mask.scatter.dps.512"
        scatter = _function(builder, name, ir.VoidType(), [_BYTE, bits, words, floats, _INDEX])
        fuse = _function(builder, "llvm.fmuladd.v16f32", floats, [floats] * 3)
        before = builder.call(gather, [ir.Constant(floats, [0.0] * 16), base, at, some, size])
        after = builder.call(fuse, [neighbours(weights, floats, "f"), by, before])
        builder.call(scatter, [base, some, at, after, size])
        return context.get_dummy_value()

    word = types.uint32
    return types.void(array, ways, weights, types.intp, types.intp, word, word, word, types.float32), generate


@_intrinsic  # type: ignore[untyped-decorator]
def sum_of_bytes(typing: Any, word: Any) -> Any:
    """Add the four bytes of each lane, and take 510 off, their mean, by one instruction; only where `SUMS_BYTES`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        half = ir.VectorType(ir.IntType(32), LANES // 2)
        made = _function(builder, "llvm.x86.avx512.vpdpbusd.512", half, [half] * 3)
        less, ones = ir.Constant(half, [-510] * (LANES // 2)), ir.Constant(half, [0x01010101] * (LANES // 2))
        empty = ir.Constant(_WORDS, ir.Undefined)
        sums = []
        for lanes in (range(LANES // 2), range(LANES // 2, LANES)):
            part = builder.shuffle_vector(arguments[0], empty, ir.Constant(half, list(lanes)))
            sums.append(builder.call(made, [less, part, ones]))
        return builder.sitofp(builder.shuffle_vector(*sums, ir.Constant(_WORDS, list(range(LANES)))), _FLOATS)

    return floats(words), generate


@_intrinsic  # type: ignore[untyped-decorator]
def splat(typing: Any, value: Any) -> Any:
    """Copy a float32 or an integer of 32 bits into all lanes."""
    kind, given = (floats, types.float32) if isinstance(value, types.Float) else (words, types.uint32)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        empty = ir.Constant(kind.vector, ir.Undefined)
        return builder.shuffle_vector(builder.insert_element(empty, arguments[0], _FIRST), empty, _SAME)

    return kind(given), generate


@_intrinsic  # type: ignore[untyped-decorator]
def fused(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Compute a * b + c, rounded once where the processor can."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        name = f"llvm.fmuladd.v{LANES}f32"
        known = builder.module.globals.get(name)
        made = known or ir.Function(builder.module, ir.FunctionType(_FLOATS, [_FLOATS] * 3), name)
        return builder.call(made, arguments)

    return floats(floats, floats, floats), generate


@_intrinsic  # type: ignore[untyped-decorator]
def at_least(typing: Any, a: Any, b: Any) -> Any:
    """Return where a >= b."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fcmp_ordered(">=", *arguments)

    return mask(floats, floats), generate


@_intrinsic  # type: ignore[untyped-decorator]
def above(typing: Any, a: Any, b: Any) -> Any:
    """Return where one integer with a sign is more than another."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.icmp_signed(">", *arguments)

    return mask(words, words), generate


@_intrinsic  # type: ignore[untyped-decorator]
def where(typing: Any, condition: Any, yes: Any, no: Any) -> Any:
    """Choose lane by lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(*arguments)

    return yes(mask, yes, yes), generate


@_intrinsic  # type: ignore[untyped-decorator]
def bits(typing: Any, condition: Any) -> Any:
    """Return a mask as a number, the first lane as its lowest bit."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.zext(builder.bitcast(arguments[0], ir.IntType(LANES)), ir.IntType(32))

    return types.uint32(mask), generate


@_intrinsic  # type: ignore[untyped-decorator]
def mask_of(typing: Any, word: Any) -> Any:
    """Return the lowest bits of a number as a mask, the lowest bit as its first lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(builder.trunc(arguments[0], ir.IntType(LANES)), _BITS)

    return mask(types.uint32), generate


@_intrinsic  # type: ignore[untyped-decorator]
def as_floats(typing: Any, value: Any) -> Any:
    """Take the bits of words for those of float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _FLOATS)

    return floats(words), generate


@_intrinsic  # type: ignore[untyped-decorator]
def first_of(typing: Any, word: Any) -> Any:
    """Return the place of the lowest bit that is set, of 32; one must be."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint32(types.uint32), generate


def _arithmetic(operation: Callable[..., Any], kind: Any, instruction: str) -> None:
    @_intrinsic  # type: ignore[untyped-decorator]
    def compute(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(*arguments)

        return kind(kind, kind), generate

    def typed(a, b):  # type: ignore[no-untyped-def] # numba wants the same bare names as in the lambda
        if a == kind and b == kind:
            return lambda a, b: compute(a, b)
        return None

    overload(operation)(typed)


for _operation, _kind, _instruction in (
    (operator.add, floats, "fadd"),
    (operator.sub, floats, "fsub"),
    (operator.mul, floats, "fmul"),
    (operator.add, words, "add"),
    (operator.sub, words, "sub"),
    (operator.mul, words, "mul"),
    (operator.and_, words, "and_"),
    (operator.or_, words, "or_"),
    (operator.xor, words, "xor"),
    (operator.lshift, words, "shl"),
    (operator.rshift, words, "lshr"),
):
    _arithmetic(_operation, _kind, _instruction)
