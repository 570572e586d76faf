"""Readings a second from the source meter behind SCPI, beside pyvisa-sim, which answers from a table.

The answers are compared first: each reading of the twin is what the simulator gives. pyvisa-sim computes nothing; it is
what others use to stand in for an instrument.
"""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyvisa

from inmateria.simulators import NanowireNetwork

READINGS = 1000
ROUNDS = 5
OPENING = "*RST;:SENS:CURR:NPLC 0.01;:SENS:CURR:PROT 1e-2;:SOUR:DEL 0;:FORM:ELEM CURR;:SOUR:VOLT 0.5;:OUTP ON"
TABLE = """
spec: "1.1"
devices:
  meter:
    eom:
      TCPIP SOCKET: {q: "\\n", r: "\\n"}
    dialogues:
      - {q: ":READ?", r: "+1.000000E-06"}
resources:
  TCPIP0::sim::5025::SOCKET: {device: meter}
"""


class RawClient:
    """A client on a bare socket."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")

    def send(self, line: str) -> None:
        """Send a line."""
        self._socket.sendall(line.encode() + b"\n")

    def query(self, line: str) -> str:
        """Send a line and return its answer."""
        self.send(line)
        return self._answers.readline().decode().strip()


def rate(read: Callable[[], object]) -> float:
    """Return calls a second."""
    begun = time.perf_counter()
    for _ in range(READINGS):
        read()
    return READINGS / (time.perf_counter() - begun)


def in_one_answer(client: RawClient) -> float:
    """Return readings a second of a single query that asks for many."""
    client.send(f":TRIG:COUN {READINGS}")
    begun = time.perf_counter()
    answer = client.query(":READ?")
    assert answer.count(",") == READINGS - 1
    taken = READINGS / (time.perf_counter() - begun)
    client.send(":TRIG:COUN 1")
    return taken


def compare(client: RawClient) -> None:
    """Check readings against the simulator itself."""
    network = NanowireNetwork()
    drive = np.zeros((1, 8))
    drive[0, 0] = 0.5
    for _ in range(20):
        signal = network.advance(network.info.stimulus(drive, step=2e-4)).signal
        assert signal is not None
        assert np.isclose(float(client.query(":READ?")), signal[0, 0, 7], rtol=1e-6)


def main() -> None:
    """Measure and print."""
    served = subprocess.Popen(
        [sys.executable, "-m", "inmateria", "serve", "nanowire://", "--scpi", ":0", "--json", "--until-eof"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert served.stdout is not None
    try:
        address = served.stdout.readline().split('"')[7]
        client = RawClient(int(address.split("::")[2]))
        client.send(OPENING)
        compare(client)
        visa = pyvisa.ResourceManager("@py").open_resource(address, read_termination="\n", write_termination="\n")
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "table.yaml"
            table.write_text(TABLE)
            simulated = pyvisa.ResourceManager(f"{table}@sim").open_resource(
                "TCPIP0::sim::5025::SOCKET", read_termination="\n", write_termination="\n"
            )
            ways: dict[str, Callable[[], float]] = {
                "twin, bare socket, a query each": lambda: rate(lambda: client.query(":READ?")),
                "twin, bare socket, all in one query": lambda: in_one_answer(client),
                "twin, bare socket, *STB? (no reading)": lambda: rate(lambda: client.query("*STB?")),
                "twin, pyvisa-py, a query each": lambda: rate(lambda: visa.query(":READ?")),  # type: ignore[attr-defined]
                "pyvisa-sim in process, from a table": lambda: rate(lambda: simulated.query(":READ?")),  # type: ignore[attr-defined]
            }
            found: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(ROUNDS):
                for name, way in ways.items():
                    found[name].append(way())
        for name, rates in found.items():
            print(f"{name:40} {np.median(rates):8.0f} a second ({min(rates):.0f} to {max(rates):.0f})")
    finally:
        served.terminate()
        served.wait()


if __name__ == "__main__":
    main()
