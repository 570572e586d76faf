"""One source for a float64 and for the sixteen lanes of `vector_lanes`, compiled to the same bits for both.

An array of numbers has one axis; one of lanes has two, the second of length sixteen. Where a product is to be rounded
together with a sum, `fused` says so: the compiler's own choice could differ between numbers and vectors. Numbers and
lanes mix; a number then stands for sixteen equal ones.
"""

import math
import operator
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic, overload

from inmateria.kernel_compilation import borrowing_kernel
from inmateria.simulators.vector_lanes import BITS, LANES, VECTOR, LanesType, lanes_type

_intrinsic: Any = intrinsic  # typed as a plain function, which it is not: it takes one argument less
_NUMBER, _WORD = ir.DoubleType(), ir.IntType(64)
_function = borrowing_kernel()


def _is_lanes(kind: Any) -> bool:
    return isinstance(kind, LanesType)


def _common(kinds: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """Return the type of a result, and those that the arguments are cast to before they are widened."""
    wide = any(_is_lanes(kind) for kind in kinds)
    return (lanes_type if wide else types.float64), tuple(kind if _is_lanes(kind) else types.float64 for kind in kinds)


def _widened(builder: Any, signature: Any, arguments: Any) -> Any:
    if not _is_lanes(signature.return_type):
        return arguments
    return [
        value if _is_lanes(kind) else _copied(builder, value)
        for kind, value in zip(signature.args, arguments, strict=True)
    ]


def _copied(builder: Any, value: Any) -> Any:
    empty = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(empty, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    base = context.make_array(array_type)(context, builder, array).data
    wide = builder.zext(index, _WORD) if index.type.width < 64 else index
    if array_type.ndim == 1:
        return builder.gep(base, [wide])
    first = builder.gep(base, [builder.mul(wide, ir.Constant(_WORD, LANES))])
    return builder.bitcast(first, VECTOR.as_pointer())


@_intrinsic  # type: ignore[untyped-decorator]
def get(typing: Any, array: Any, entry: Any) -> Any:
    """Load an entry, which is not negative."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_address(context, builder, signature.args[0], *arguments))
        value.align = 8
        return value

    return (types.float64 if array.ndim == 1 else lanes_type)(array, entry), generate


@_intrinsic  # type: ignore[untyped-decorator]
def put(typing: Any, array: Any, entry: Any, value: Any) -> Any:
    """Store an entry, which is not negative; a number into all lanes."""
    given = value if _is_lanes(value) else types.float64
    if _is_lanes(given) and array.ndim == 1:
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, entry, value = arguments
        if signature.args[0].ndim == 2 and not _is_lanes(signature.args[2]):
            value = _copied(builder, value)
        done = builder.store(value, _address(context, builder, signature.args[0], array, entry))
        done.align = 8
        return context.get_dummy_value()

    return types.void(array, entry, given), generate


@_intrinsic  # type: ignore[untyped-decorator]
def zero(typing: Any, array: Any) -> Any:
    """Return 0 as the entries of an array are: a number, or lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(VECTOR, [0.0] * LANES) if _is_lanes(signature.return_type) else ir.Constant(_NUMBER, 0.0)

    return (types.float64 if array.ndim == 1 else lanes_type)(array), generate


@_intrinsic  # type: ignore[untyped-decorator]
def where_above(typing: Any, a: Any, b: Any, above: Any, otherwise: Any) -> Any:
    """Choose ``above`` where a > b, and ``otherwise`` elsewhere."""
    condition, _ = _common((a, b))
    result, given = _common((a, b, above, otherwise))

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        both = _widened(builder, signature, arguments)
        if _is_lanes(condition):
            return builder.select(builder.fcmp_ordered(">", *both[:2]), *both[2:])
        return builder.select(builder.fcmp_ordered(">", *arguments[:2]), *both[2:])

    return result(*given), generate


def _function_of_llvm(name: str) -> Any:
    def typed(typing: Any, *arguments: Any) -> Any:
        result, given = _common(arguments)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            wide = _is_lanes(signature.return_type)
            kind, full = (VECTOR, f"llvm.{name}.v{LANES}f64") if wide else (_NUMBER, f"llvm.{name}.f64")
            known = builder.module.globals.get(full)
            made = known or ir.Function(builder.module, ir.FunctionType(kind, [kind] * len(arguments)), full)
            return builder.call(made, _widened(builder, signature, arguments))

        return result(*given), generate

    return typed


@_intrinsic  # type: ignore[untyped-decorator]
def fused(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Compute a * b + c, rounded once where the processor can."""
    return _function_of_llvm("fmuladd")(typing, a, b, c)


@_intrinsic  # type: ignore[untyped-decorator]
def root(typing: Any, value: Any) -> Any:
    """Take the square root."""
    return _function_of_llvm("sqrt")(typing, value)


@_intrinsic  # type: ignore[untyped-decorator]
def size(typing: Any, value: Any) -> Any:
    """Take the absolute value."""
    return _function_of_llvm("fabs")(typing, value)


@_intrinsic  # type: ignore[untyped-decorator]
def to_whole(typing: Any, value: Any) -> Any:
    """Round to the nearest whole number."""
    return _function_of_llvm("rint")(typing, value)


@_intrinsic  # type: ignore[untyped-decorator]
def times_two_to(typing: Any, value: Any, power: Any) -> Any:
    """Multiply by two to a whole power k, given as the float k + 1.5 * 2^52, whose last bits are those of k."""
    result, given = _common((value, power))

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, power = _widened(builder, signature, arguments)
        wide = _is_lanes(signature.return_type)
        bits, places = (BITS, [52] * LANES) if wide else (_WORD, 52)
        value, power = builder.bitcast(value, bits), builder.bitcast(power, bits)
        raised = builder.add(value, builder.shl(power, ir.Constant(bits, places)))
        return builder.bitcast(raised, VECTOR if wide else _NUMBER)

    return result(*given), generate


def _mixed(operation: Any, instruction: str) -> None:
    @_intrinsic  # type: ignore[untyped-decorator]
    def compute(typing: Any, a: Any, b: Any) -> Any:
        result, given = _common((a, b))

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(*_widened(builder, signature, arguments), flags=("contract",))

        return result(*given), generate

    def typed(a, b):  # type: ignore[no-untyped-def] # numba wants the same bare names as in the lambda
        numbers = (types.Float, types.Integer)
        if (_is_lanes(a) and isinstance(b, numbers)) or (_is_lanes(b) and isinstance(a, numbers)):
            return lambda a, b: compute(a, b)
        return None

    overload(operation)(typed)


for _operation, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _mixed(_operation, _instruction)

_PER_LN2, _LN2, _LN2_REST, _SHIFT = 1 / math.log(2), 0.693147180369123816490, 1.90821492927058770002e-10, 1.5 * 2.0**52
_SERIES = tuple(1.0 / math.factorial(k) for k in range(14))


@_function
def exponential(x: Any) -> Any:
    """Compute e^x to the last bit or so, for x of -700 to 700: a power of two times Taylor's series."""
    power = fused(x, _PER_LN2, _SHIFT)
    k = power - _SHIFT
    rest = fused(k, -_LN2_REST, fused(k, -_LN2, x))
    total = fused(rest, _SERIES[13], _SERIES[12])
    for m in range(12):
        total = fused(rest, total, _SERIES[11 - m])
    return times_two_to(total, power)
