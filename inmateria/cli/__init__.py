"""The command line. Each module holds the commands of one purpose; `application` is what they stand on."""

import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line; Ctrl-C while it is still being imported ends it in one line, too."""
    try:
        from inmateria.cli.commands import run_application

        run_application()
    except KeyboardInterrupt:
        sys.stderr.write("inmateria: interrupted\n")
        sys.exit(130)
