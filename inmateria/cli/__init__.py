"""The command line. Each module holds the commands of one purpose; `application` is what they stand on."""

from inmateria.cli import passports, recordings, running, serving, watching
from inmateria.cli.application import app, main

__all__ = ["app", "main", "passports", "recordings", "running", "serving", "watching"]
