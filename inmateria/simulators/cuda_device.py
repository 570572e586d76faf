"""The CUDA device that numba can use, or why there is none.

numba compiles for CUDA by numba-cuda, the extra ``cuda``.
"""

from typing import Any

SHARED_MEMORY = 48 * 1024
"""Bytes that a block of threads may have without more being asked of the driver."""


class NoCudaDevice(RuntimeError):
    """There is no CUDA device that numba can use."""


def require_cuda() -> Any:
    """Return `numba.cuda` if there is a device, or its simulator.

    Raises
    ------
    NoCudaDevice
        If there is none, or what numba needs for it is not installed.
    """
    from numba import cuda

    if is_simulated() or cuda.is_available():  # type: ignore[no-untyped-call, unused-ignore]
        return cuda
    try:
        reason = str(cuda.cuda_error() or "numba sees no device")  # type: ignore[no-untyped-call, unused-ignore]
    except Exception as error:
        reason = str(error)
    raise NoCudaDevice(
        f"on='cuda' needs an NVIDIA GPU, its driver, and numba-cuda ({' '.join(reason.split())}); see that nvidia-smi "
        "lists the GPU, and pip install 'inmateria[cuda]'; or use on='cpu', which gives the same results"
    )


def is_simulated() -> bool:
    """Return whether numba's simulator of CUDA takes the place of a device (``NUMBA_ENABLE_CUDASIM=1``)."""
    from numba.core import config

    return bool(getattr(config, "ENABLE_CUDASIM", 0))
