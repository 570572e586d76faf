"""Base of every command: the application, its options, and how a command ends.

Exit codes: 0 done; 1 it failed while running; 2 the command, URI, task or folder was not right; 3 the
broker or the device is not there, is busy or has gone; 130 interrupted.
"""

import asyncio
import gc
import logging
import sys
import traceback
import warnings
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from inmateria.cli.terminal_output import plain as plain
from inmateria.cli.terminal_output import transliterate_what_the_terminal_lacks
from inmateria.interruption import run_interruptibly

if TYPE_CHECKING:
    from rich.console import Console


Command = TypeVar("Command", bound=Callable[..., Any])


class _Interrupted(Exception):
    """Ctrl-C came, and everything has been cleaned up."""


class _Commands(TyperGroup):
    """The commands; Ctrl-C ends each of them with the exit code for that."""

    # Anything but a KeyboardInterrupt, which typer would answer by itself.

    def make_context(self, *args: Any, **given: Any) -> Any:
        """Read the command line."""
        try:
            return super().make_context(*args, **given)
        except KeyboardInterrupt:
            raise _Interrupted from None

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _Interrupted from None


class StrictCommand(TyperCommand):
    """A command that refuses an option given twice, of which all but the last would be ignored.

    The arguments as they were given are in ``context.meta[GIVEN]`` before any of them, such as ``--help``, acts.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments."""
        if not ctx.resilient_parsing:
            ctx.meta[GIVEN], _, given = self.make_parser(ctx).parse_args(args=list(args))
            options: list[Any] = list(given)
            for option in options:
                if options.count(option) > 1 and option.param_type_name == "option" and not option.multiple:
                    raise typer.BadParameter(f"it is given {options.count(option)} times; give it once", ctx, option)
        return super().parse_args(ctx, args)


class _Application(typer.Typer):
    """An application whose commands are strict."""

    def command(self, name: str | None = None, **given: Any) -> Callable[[Command], Command]:
        """Register a command."""
        return super().command(name, **{"cls": StrictCommand, **given})


app = _Application(
    cls=_Commands,
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

GIVEN = "inmateria.given"

Result = TypeVar("Result")
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of text.")]


def run_application() -> NoReturn:
    """Run the command line, turning whatever goes wrong into one clear line and an exit code."""
    transliterate_what_the_terminal_lacks()
    try:
        app(standalone_mode=True)
    except _Interrupted:
        fail("interrupted", INTERRUPTED)
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
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say more of what happens; with an error, where it came from.")
    ] = False,
) -> None:
    _Verbose.tracebacks = verbose
    logger = logging.getLogger("inmateria")
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.addHandler(_Say())
    logger.propagate = False
    warnings.showwarning = _say_warning


def _say_warning(message: Warning | str, *where: Any, **further: Any) -> None:
    """Print a warning in one line, without the place in a file that Python would name."""
    typer.echo(f"warning: {plain(' '.join(str(message).split()))}", err=True)


class _Verbose:
    """Whether an error is followed by its traceback."""

    tracebacks = False


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
        return run_interruptibly(work, loop_factory=_loop_factory())
    except KeyboardInterrupt as interrupted:
        if isinstance(interrupted.__cause__, Exception):
            raise interrupted.__cause__ from None
        raise _Interrupted from None  # anything but a KeyboardInterrupt, which typer would answer by itself


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Find the faster event loop of the extra ``fast``, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def uri_of(named: str) -> str:
    """Take a bare scheme for a URI without parameters."""
    return named if "://" in named else f"{named}://"


def _fail_for(error: Exception) -> NoReturn:
    """Turn an error into one line and the exit code that stands for it."""
    from inmateria.devices.errors import PassportError
    from inmateria.errors import BrokenPlugin, is_disk_full
    from inmateria.protocols.runs import RunFolderError
    from inmateria.protocols.task import UnknownTask, UnsuitableSetting, UnsuitableSubstrate
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
    if _Verbose.tracebacks:
        traceback.print_exception(error)
    during = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    if isinstance(error, OSError) and is_disk_full(error):
        during += "; is the disk full?"  # also of compiled kernels, which are kept beside their source
    if isinstance(error, SubstrateBusy | SubstrateDisconnected | SubstrateTimeout):
        fail(f"{error}{during}", UNREACHABLE)
    wrong = (
        UnknownSubstrate | UnknownTask | UnsuitableSubstrate | UnsuitableSetting | PassportError | RunFolderError
        | RecordingError | BrokenPlugin
    )  # fmt: skip
    if isinstance(error, wrong):
        fail(f"{error}{during}", WRONG)
    if isinstance(error, MemoryError):
        fail(f"there is not enough memory for this ({str(error) or 'no more is given'}){during}", FAILED)
    if isinstance(error, StimulusRejected | SubstrateError | OSError | ValueError):
        fail(f"{error}{during}", FAILED)
    last = traceback.extract_tb(error.__traceback__)[-1]
    fail(
        f"{type(error).__name__} at {last.filename}:{last.lineno}: {error}{during}; this is a mistake in a program, "
        "not in what you gave; `inmateria --verbose ...` shows where it came from",
        FAILED,
    )


def fail(message: str, code: int) -> NoReturn:
    """End with one line on standard error and an exit code."""
    typer.echo(f"inmateria: {plain(' '.join(message.split()))}", err=True)
    sys.exit(code)


def terminal() -> "Console":
    """Return a console that prints words of others as they are: no markup, no emoji codes."""
    from rich.console import Console

    return Console(markup=False, emoji=False)
