"""Asking the processor to bring memory near that will be needed soon; for Numba kernels.

The rows of the neurons that fire lie anywhere in memory, and no processor guesses which is next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LINE = 64
"""Bytes that come at once."""
_FOR_READING, _TO_KEEP, _DATA = 0, 3, 1


def _prefetch(typing: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        of = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.bitcast(builder.gep(of.data, [arguments[1]]), cgutils.voidptr_t)
        number = ir.IntType(32)
        function = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module,
            ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number]),
            "llvm.prefetch.p0i8",
        )
        hints = [number(hint) for hint in (_FOR_READING, _TO_KEEP, _DATA)]
        builder.call(function, [address, *hints])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


prefetch: Callable[[Any, int], None] = intrinsic(_prefetch)  # type: ignore[assignment]
"""Ask for the memory line of ``array[index]``, counting through all of a C-contiguous array."""
