"""The CUDA kernel of cultures compiled for the processor: one block of one thread, with real fused multiply-adds.

numba's simulator runs the kernel in Python, a hundred thousand times more slowly.
"""

from types import ModuleType

import numba
import numpy as np
from numba.extending import intrinsic

from inmateria.simulators.culture import cuda_ensemble, cuda_kernel


@intrinsic
def fused(typing, a, b, c):
    """Multiply and add, rounded once."""
    return a(a, a, a), lambda context, builder, signature, arguments: builder.fma(*arguments)


@numba.njit
def product(a, b):
    return a * b


@numba.njit
def nothing():
    pass


@numba.njit
def add(array, index, value):
    old = array[index]
    array[index] += value
    return old


@numba.njit
def zeros(count, kind):
    return np.zeros(count, np.int32)


@numba.njit
def fused_of_any(a, b, c):
    return fused(a, b, c)


class DeviceArray(np.ndarray):
    """An array as on a device."""

    def copy_to_device(self, given):
        self[:] = given

    def copy_to_host(self):
        return np.array(self)


class Kernel:
    """A compiled kernel that is launched as on a device, with one block of one thread."""

    def __init__(self, function):
        self.compiled = numba.njit(error_model="numpy")(function)

    def __getitem__(self, shape):
        assert shape[:2] == (1, 1)
        return lambda *given: self.compiled(*(np.asarray(each) if np.ndim(each) else each for each in given))


def module(name, **members):
    made = ModuleType(name)
    made.__dict__.update(members)
    return made


def install(monkeypatch):
    """Let cultures on a CUDA device, one in an ensemble, run on the processor."""
    cuda = module(
        "cuda",
        threadIdx=module("threadIdx", x=0),
        blockIdx=module("blockIdx", x=0),
        blockDim=module("blockDim", x=1),
        syncthreads=nothing,
        atomic=module("atomic", add=add),
        shared=module("shared", array=zeros),
        jit=lambda device: numba.njit(error_model="numpy"),
        device_array=lambda shape, kind: np.empty(shape, kind).view(DeviceArray),
        to_device=lambda array: np.array(array).view(DeviceArray),
    )
    monkeypatch.setattr(cuda_kernel, "cuda", cuda)
    monkeypatch.setattr(cuda_ensemble, "require_cuda", lambda: cuda)
    monkeypatch.setattr(cuda_ensemble, "_SHARED", 0)
    monkeypatch.setattr(cuda_ensemble, "_THREADS", 1)
    arithmetic = cuda_kernel.Arithmetic(product, product, fused_of_any, fused_of_any)
    kernels = Kernel(cuda_kernel.advancing(False, arithmetic)), Kernel(cuda_kernel.gather)
    monkeypatch.setattr(cuda_ensemble, "_compiled", lambda in_shared_memory, registers: kernels)
