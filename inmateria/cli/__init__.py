"""The command line. Each module holds the commands of one purpose; `application` is what they stand on."""

from inmateria.cli import passports, running, serving
from inmateria.cli.application import app, main

__all__ = ["app", "main", "passports", "running", "serving"]
from inmateria.cli import watching

__all__ = ["app", "main", "running", "serving", "watching"]
