"""Check early that an event loop can watch sockets, with an error in words."""

import asyncio

from inmateria.substrate import SubstrateError

__all__ = ["require_socket_events"]


def require_socket_events() -> None:
    """Raise `SubstrateError` where the running event loop cannot watch a socket, as Windows' default one cannot."""
    loop = asyncio.get_running_loop()
    if type(loop).add_reader is asyncio.AbstractEventLoop.add_reader:  # which raises NotImplementedError
        raise SubstrateError(
            f"MQTT was to be used on a {type(loop).__name__}, which cannot watch sockets (add_reader)",
            "asyncio's SelectorEventLoop, or uvloop; the default on Windows is the ProactorEventLoop",
            "run it with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop)",
        )
