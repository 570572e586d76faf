"""Messages of a program that publishes by ZeroMQ, all that have arrived at once."""

from inmateria.adapters.streams.source import MissingStreamPackage

__all__ = ["Subscription"]

_AT_ONCE = 2000  # messages of one look, so that the event loop has its turn
_MOST_WAITING = 250_000  # messages that ZeroMQ keeps until they are taken: 12 s of a MaxOne, 1 GB


class Subscription:
    """Everything that a publisher sends, whole messages in their order.

    ZeroMQ receives in a thread of its own that is not Python's, so what is taken here has arrived long before, and no
    thread of Python waits for another. If more than 250,000 messages wait, the publisher drops what follows.

    Parameters
    ----------
    host : str
    port : int
    extra : str
        The extra of this package that installs pyzmq.
    """

    def __init__(self, host: str, port: int, extra: str) -> None:
        try:
            import zmq
        except ImportError:
            raise MissingStreamPackage("pyzmq", extra) from None
        self._zmq = zmq
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, _MOST_WAITING)
        self._socket.connect(f"tcp://{host}:{port}")
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")

    def take(self) -> list[list[bytes]]:
        """Return the messages that have arrived, as lists of their parts, up to 2000 of them."""
        zmq, found = self._zmq, list[list[bytes]]()
        receive, get, at_once, more = self._socket.recv, self._socket.get, int(zmq.NOBLOCK), int(zmq.RCVMORE)
        try:
            while len(found) < _AT_ONCE:
                parts = [receive(at_once)]
                while get(more):
                    parts.append(receive())
                found.append(parts)
        except zmq.Again:
            pass
        return found

    def close(self) -> None:
        """Stop receiving."""
        self._context.destroy(0)
