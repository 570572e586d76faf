"""The type of the fixture that runs a command in the process of the tests."""

import subprocess
from collections.abc import Callable

RunCommand = Callable[..., subprocess.CompletedProcess[str]]
