"""Every command of `inmateria`, registered with the application."""

from inmateria.cli import (
    compiling,
    desk,
    imports,
    passports,
    readouts,
    recordings,
    running,
    searching,
    serving,
    surveying,
    sweeping,
    watching,
)
from inmateria.cli.application import app, run_application

__all__ = [
    "app",
    "compiling",
    "desk",
    "imports",
    "passports",
    "readouts",
    "recordings",
    "run_application",
    "running",
    "searching",
    "serving",
    "surveying",
    "sweeping",
    "watching",
]
