"""``python -m inmateria`` is the command line, whatever is on the PATH."""

from inmateria.cli import main

main()
