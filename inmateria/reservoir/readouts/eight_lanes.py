"""Eight neighbours of a row in one value, for numba: a type lowered to a vector of LLVM, on any processor.

The compiler does not find by itself that the rows of an update of rank one share no memory, and leaves such a loop
unvectorised or takes narrow vectors. Here each operation is one instruction of AVX-512, two of AVX, four of NEON.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic, models, register_model

from inmateria.reservoir.readouts.online import LANES

_intrinsic: Any = intrinsic  # typed as a plain function, which it is not: it takes one argument less
_VECTOR = ir.VectorType(ir.DoubleType(), LANES)
_CONTRACT = ("contract",)


class EightLanesType(types.Type):
    """Type of eight float64."""

    def __init__(self) -> None:
        super().__init__(name="EightLanes")


_lanes = EightLanesType()


@register_model(EightLanesType)
class _EightLanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, _VECTOR)  # type: ignore[no-untyped-call]


def _address(context: Any, builder: Any, array_type: Any, array: Any, row: Any, column: Any) -> Any:
    matrix = context.make_array(array_type)(context, builder, array)
    index = builder.add(builder.mul(row, builder.extract_value(matrix.shape, 1)), column)
    return builder.bitcast(builder.gep(matrix.data, [index]), _VECTOR.as_pointer())


@_intrinsic  # type: ignore[untyped-decorator]
def load(typing: Any, matrix: Any, row: Any, column: Any) -> Any:
    """Load eight neighbours of a row of a contiguous matrix, from this column on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_address(context, builder, signature.args[0], *arguments))
        value.align = 8
        return value

    return _lanes(matrix, types.intp, types.intp), generate


@_intrinsic  # type: ignore[untyped-decorator]
def store(typing: Any, matrix: Any, row: Any, column: Any, value: Any) -> Any:
    """Store eight neighbours of a row of a contiguous matrix, from this column on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        done = builder.store(arguments[3], _address(context, builder, signature.args[0], *arguments[:3]))
        done.align = 8
        return context.get_dummy_value()

    return types.void(matrix, types.intp, types.intp, value), generate


def _splat(builder: Any, number: Any) -> Any:
    undefined, index = ir.Constant(_VECTOR, ir.Undefined), ir.IntType(32)
    first = builder.insert_element(undefined, number, ir.Constant(index, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(index, LANES), [0] * LANES))


@_intrinsic  # type: ignore[untyped-decorator]
def plus(typing: Any, a: Any, factor: Any, b: Any) -> Any:
    """Return ``a + factor * b`` of a float and two values of eight lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, factor, b = arguments
        return builder.fadd(a, builder.fmul(_splat(builder, factor), b, flags=_CONTRACT), flags=_CONTRACT)

    return _lanes(a, types.float64, b), generate


@_intrinsic  # type: ignore[untyped-decorator]
def minus(typing: Any, a: Any, factor: Any, b: Any) -> Any:
    """Return ``a - factor * b`` of a float and two values of eight lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, factor, b = arguments
        return builder.fsub(a, builder.fmul(_splat(builder, factor), b, flags=_CONTRACT), flags=_CONTRACT)

    return _lanes(a, types.float64, b), generate


@_intrinsic  # type: ignore[untyped-decorator]
def times(typing: Any, factor: Any, b: Any) -> Any:
    """Return ``factor * b`` of a float and a value of eight lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        factor, b = arguments
        return builder.fmul(_splat(builder, factor), b, flags=_CONTRACT)

    return _lanes(types.float64, b), generate
