"""Every command of `inmateria`, registered with the application."""

from inmateria.cli import imports, passports, recordings, running, serving, watching
from inmateria.cli.application import app, run_application

__all__ = ["app", "imports", "passports", "recordings", "run_application", "running", "serving", "watching"]
