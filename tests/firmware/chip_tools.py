"""What the emulated chip needs on this machine; tests of it are skipped without, and say what is missing."""

import shutil
from pathlib import Path

import pytest

MISSING = [
    *(tool for tool in ("make", "cc", "avr-gcc", "avr-size") if shutil.which(tool) is None),
    *(
        what
        for what, file in {
            "avr-libc": "/usr/lib/avr/include/avr/io.h",
            "libsimavr-dev": "/usr/include/simavr/sim_avr.h",
            "libelf-dev": "/usr/include/libelf.h",
        }.items()
        if not Path(file).exists()
    ),
]


def skip_without_tools() -> None:
    """Skip the module that calls this if the chip cannot be emulated here."""
    if MISSING:
        pytest.skip(f"not installed: {', '.join(MISSING)}", allow_module_level=True)
