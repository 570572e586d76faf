"""Every command of `inmateria`, registered with the application."""

from inmateria.cli import (
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
