"""Base of every command: the application, its options, and how a command ends.

Exit codes: 0 done; 1 it failed while running; 2 the command, URI, task or folder was not right; 3 the
broker or the device is not there, is busy or has gone; 130 interrupted.
"""

import asyncio
import gc
import logging
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    name="inmateria",
    help="Compute with matter: nanowire networks, living neurons, analog circuits, real or simulated.",
    epilog="Exit codes: 0 done, 1 failed while running, 2 a wrong command, URI, task or folder, "
    "3 broker or device not there, busy or gone, 130 interrupted.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

FAILED, WRONG, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130

Result = TypeVar("Result")
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of text.")]


def main() -> NoReturn:
    """Run the command line, turning whatever goes wrong into one clear line and an exit code."""
    try:
        app(standalone_mode=True)
    except _Interrupted:
        _fail("interrupted", INTERRUPTED)
    except Exception as error:
        _fail_for(error)
    sys.exit(0)


def _version(asked: bool) -> None:
    if asked:
        from inmateria import __version__

        typer.echo(f"inmateria {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more of what happens.")] = False,
) -> None:
    logger = logging.getLogger("inmateria")
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.addHandler(_Say())
    logger.propagate = False


class _Say(logging.Handler):
    """Prints what the library logs to standard error as it is now, which a progress bar may stand on."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(self.format(record), err=True)


def complete_substrate(start: str) -> list[str]:
    """List the schemes that begin so, for the shell."""
    from inmateria.adapters import adapters_found

    return [scheme for scheme, _ in adapters_found() if scheme.startswith(start)]


def awaited(work: Coroutine[Any, Any, Result]) -> Result:
    """Do async work; Ctrl-C lets it clean up, then ends with the exit code for that."""
    gc.freeze()  # what was imported stays: looking through it again and again takes tens of ms, on the event loop
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(work)
    except KeyboardInterrupt:
        raise _Interrupted from None  # anything but a KeyboardInterrupt, which typer would answer by itself


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Find the faster event loop of the extra ``fast``, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class _Interrupted(Exception):
    """Ctrl-C came, and everything has been cleaned up."""


def uri_of(named: str) -> str:
    """Take a bare scheme for a URI without parameters."""
    return named if "://" in named else f"{named}://"


def _fail_for(error: Exception) -> NoReturn:
    """Turn an error into one line and the exit code that stands for it."""
    from inmateria.devices.errors import PassportError
    from inmateria.protocols.runs import RunFolderError
    from inmateria.protocols.task import UnknownTask, UnsuitableSubstrate
    from inmateria.recording import RecordingError
    from inmateria.substrate import (
        StimulusRejected,
        SubstrateBusy,
        SubstrateDisconnected,
        SubstrateError,
        SubstrateTimeout,
        UnknownSubstrate,
    )

    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, SubstrateBusy | SubstrateDisconnected | SubstrateTimeout):
        _fail(str(error), UNREACHABLE)
    wrong = UnknownSubstrate | UnknownTask | UnsuitableSubstrate | PassportError | RunFolderError | RecordingError
    if isinstance(error, wrong):
        _fail(str(error), WRONG)
    if isinstance(error, StimulusRejected | SubstrateError | OSError | ValueError):
        _fail(str(error), FAILED)
    raise error


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"inmateria: {plain(' '.join(message.split()))}", err=True)
    sys.exit(code)


def terminal() -> "Console":
    """Give a console that prints words of others as they are: no markup, no emoji codes."""
    from rich.console import Console

    return Console(markup=False, emoji=False)


def plain(words: str) -> str:
    """Replace what a terminal would obey in words that come from a device."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in words)
