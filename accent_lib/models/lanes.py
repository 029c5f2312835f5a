"""Eight numbers side by side, as a type of Numba: ``load``, ``spread``, ``+``, ``*`` and ``store``.

A loop that is written with them keeps them in registers, as wide as the processor has them, whereas a loop
over single numbers is left to what the compiler can prove of the arrays.  Every sum and every product is
rounded alone, so that all processors give the same bytes.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

#: Numbers side by side.
LANES = 8


class _Lanes(types.Type):
    """Type of eight numbers of an array."""

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(_Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, lanes):
        super().__init__(manager, lanes, ir.VectorType(manager.lookup(lanes.dtype).get_value_type(), LANES))


def _place(context, builder, array, value, index):
    return builder.gep(context.make_array(array)(context, builder, value).data, [index])


@intrinsic
def load(typing, array, index):
    """``array[index : index + 8]`` of a contiguous array."""
    lanes = _Lanes(array.dtype)

    def generate(context, builder, sig, args):
        place = _place(context, builder, array, *args)
        place = builder.bitcast(place, context.get_value_type(lanes).as_pointer())
        return builder.load(place, align=array.dtype.bitwidth // 8)

    return lanes(array, types.intp), generate


@intrinsic
def spread(typing, array, index):
    """``array[index]``, eight times."""
    lanes = _Lanes(array.dtype)

    def generate(context, builder, sig, args):
        undefined = ir.Constant(context.get_value_type(lanes), ir.Undefined)
        number = builder.load(_place(context, builder, array, *args))
        first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(
            first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
        )

    return lanes(array, types.intp), generate


@intrinsic
def store(typing, array, index, lanes):
    """Set ``array[index : index + 8]``."""

    def generate(context, builder, sig, args):
        place = _place(context, builder, array, *args[:2])
        place = builder.bitcast(place, context.get_value_type(lanes).as_pointer())
        builder.store(args[2], place, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(array, types.intp, lanes), generate


@intrinsic
def fours(typing, lanes):
    """The sums ``(l0 + l1) + (l2 + l3)`` and ``(l4 + l5) + (l6 + l7)``."""
    pair = types.UniTuple(lanes.dtype, 2)

    def generate(context, builder, sig, args):
        number = ir.IntType(32)
        (sums,) = args
        for order in ((1, 0, 3, 2, 5, 4, 7, 6), (2, 3, 0, 1, 6, 7, 4, 5)):
            sums = builder.fadd(
                sums, builder.shuffle_vector(sums, sums, ir.Constant(ir.VectorType(number, LANES), order))
            )
        ends = [builder.extract_element(sums, ir.Constant(number, place)) for place in (0, 4)]
        return context.make_tuple(builder, pair, ends)

    return pair(lanes), generate


for _operation, _instruction in ((operator.add, "fadd"), (operator.mul, "fmul")):

    @infer_global(_operation)
    class _Operation(AbstractTemplate):
        def generic(self, args, kws):
            if isinstance(args[0], _Lanes) and args[0] == args[-1]:
                return signature(args[0], *args)

    @lower_builtin(_operation, _Lanes, _Lanes)
    def _operate(context, builder, sig, args, instruction=_instruction):
        return getattr(builder, instruction)(*args)
