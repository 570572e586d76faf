"""Eight neighbours of a row in one value, for numba: a type lowered to a vector of LLVM, on any processor.

The compiler does not find by itself that the rows of an update of rank one share no memory, and leaves such a loop
unvectorised or takes narrow vectors. Here each operation is one instruction of AVX-512, two of AVX, four of NEON.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

from inmateria.reservoir.readouts.online import LANES

_intrinsic: Any = intrinsic  # typed as a plain function, which it is not: it takes one argument less
_named_function: Any = cgutils.get_or_insert_function
_VECTOR = ir.VectorType(ir.DoubleType(), LANES)
_CONTRACT = ("contract",)
_PRODUCT_AND_SUM = ir.FunctionType(_VECTOR, [_VECTOR, _VECTOR, _VECTOR])


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


def rotation(rows: int, samples: int, vectors: int, telling: bool = False) -> Callable[..., None]:
    """Make the rotation of some samples into neighbouring rows of a factor, in so many vectors of columns.

    It is called as ``rotate(factor, row, samples, sample, turns, column)``, or with the predictions `told` as a last
    argument: from the row, the sample and the column given on, ``turns[sample, i]`` times row ``i`` is subtracted from
    each sample, and ``turns[sample, rows + i]`` times what is left is added to the row, for one row and sample after
    the other. What is subtracted is added to ``told[sample, column]``.
    """

    def place(context: Any, builder: Any, array_type: Any, array: Any, row: Any, column: Any) -> Any:
        matrix = context.make_array(array_type)(context, builder, array)
        begin = builder.add(builder.mul(row, builder.extract_value(matrix.shape, 1)), column)
        return builder.gep(matrix.data, [begin]), builder.extract_value(matrix.shape, 1)

    def numbered(builder: Any, address: Any, width: Any, row: int, column: int) -> Any:
        offset = builder.add(builder.mul(width, ir.Constant(width.type, row)), ir.Constant(width.type, column))
        return builder.gep(address, [offset])

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def vectors_of(array: int, row: Any, count: int) -> list[list[Any]]:
            begin, width = place(context, builder, signature.args[array], arguments[array], row, arguments[5])
            return [
                [
                    builder.bitcast(numbered(builder, begin, width, i, m * LANES), _VECTOR.as_pointer())
                    for m in range(vectors)
                ]
                for i in range(count)
            ]

        def read(places: list[list[Any]]) -> list[list[Any]]:
            return [[builder.load(each, align=8) for each in of_row] for of_row in places]

        zero = ir.Constant(arguments[3].type, 0)
        turns, width = place(context, builder, signature.args[4], arguments[4], arguments[3], zero)
        places = [vectors_of(0, arguments[1], rows), vectors_of(2, arguments[3], samples)]
        if telling:
            places.append(vectors_of(6, arguments[3], samples))
        # Fused even if the product is used twice.
        sum_of = _named_function(builder.module, _PRODUCT_AND_SUM, f"llvm.fmuladd.v{LANES}f64")
        factor, rest, *told = (read(each) for each in places)
        # Sample n meets row i when the one before it is done there: those of one n + i need not wait for each other.
        for turn in range(samples + rows - 1):
            for i in range(max(0, turn - samples + 1), min(rows, turn + 1)):
                n = turn - i
                x, s = (
                    _splat(builder, builder.load(numbered(builder, turns, width, n, column)))
                    for column in (i, rows + i)
                )
                for m in range(vectors):
                    u, v = factor[i][m], rest[n][m]
                    for of_told in told:
                        of_told[n][m] = builder.call(sum_of, [x, u, of_told[n][m]])
                    rest[n][m] = v = builder.call(sum_of, [builder.fneg(x), u, v])
                    factor[i][m] = builder.call(sum_of, [s, v, u])
        for where, values in zip(places, [factor, rest, *told], strict=True):
            for of_row, row in zip(where, values, strict=True):
                for each, value in zip(of_row, row, strict=True):
                    builder.store(value, each, align=8)
        return context.get_dummy_value()

    if telling:

        @_intrinsic  # type: ignore[untyped-decorator]
        def tell(
            typing: Any, factor: Any, row: Any, samples: Any, sample: Any, turns: Any, column: Any, told: Any
        ) -> Any:
            index = types.intp
            return types.void(factor, index, samples, index, turns, index, told), generate

        return tell  # type: ignore[no-any-return]

    @_intrinsic  # type: ignore[untyped-decorator]
    def rotate(typing: Any, factor: Any, row: Any, samples: Any, sample: Any, turns: Any, column: Any) -> Any:
        return types.void(factor, types.intp, samples, types.intp, turns, types.intp), generate

    return rotate  # type: ignore[no-any-return]
