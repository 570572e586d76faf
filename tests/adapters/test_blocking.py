"""Drivers that block run in one thread, are told of a cancellation, and are waited for."""

import asyncio
import threading

import numpy as np
import pytest

from inmateria.adapters import BlockingSubstrate, DeviceServer, EmbeddedBroker, RemoteSubstrate
from inmateria.adapters.mqtt.operator.emergency import emergency_stop
from inmateria.substrate import (
    Channel,
    Response,
    Stimulus,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateInfo,
)
from inmateria.testing import Check, substrate_checks

VOLT = {"unit": "V", "low": -1, "high": 1}


class Bench(BlockingSubstrate):
    """Holds its output, step by step; `gate`, where it is closed, keeps it in its first step."""

    def __init__(self) -> None:
        self.info = SubstrateInfo(
            id="bench", kind="bench", inputs=(Channel(name="in", **VOLT),), outputs=(Channel(name="out", **VOLT),),
            step=0.01, sampling_rate=100.0, resettable=True,
        )  # fmt: skip
        self.calls: list[str] = []
        self.threads: set[int] = set()
        self.inside = 0
        self.gate, self.begun = threading.Event(), threading.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.return_to_rest()

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self.threads.add(threading.get_ident())

    def open(self) -> None:
        self._note("open")

    def apply(self, stimulus: Stimulus, cancelled: threading.Event) -> Response:
        self.inside += 1
        assert self.inside == 1
        self._note("apply")
        self.begun.set()
        signal = np.zeros((len(stimulus.drive), 1, 1))
        for step, (volts,) in enumerate(stimulus.drive):
            while not self.gate.wait(0.001) and not cancelled.is_set():
                pass
            if cancelled.is_set():
                self._note("safe")
                self.inside -= 1
                if self.error is not None:
                    raise self.error
                break
            self.level = volts
            signal[step] = volts
        else:
            self.inside -= 1
        response = Response(signal, None, self.clock, self.count)
        self.clock, self.count = self.clock + stimulus.duration, self.count + 1
        return response

    def return_to_rest(self) -> None:
        self.calls.append("rest")
        self.level, self.clock, self.count = 0.0, 0.0, 0

    def close(self) -> None:
        self._note("close")


@pytest.mark.parametrize("check", substrate_checks())
def test_the_contract_holds(check: Check) -> None:
    check(Bench)


@pytest.mark.parametrize("error", [None, SubstrateError("the instrument complains"), OSError("unplugged")])
async def test_a_cancelled_driver_is_told_and_waited_for(
    error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with Bench() as bench:
        bench.gate.clear()
        bench.error = error
        exchange = asyncio.create_task(bench.stimulate(Stimulus([[0.5]], 0.01)))
        waiting = asyncio.create_task(bench.stimulate(Stimulus([[0.7]], 0.01)))
        await asyncio.to_thread(bench.begun.wait)
        waiting.cancel()  # it has not begun, and never does
        exchange.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange
        assert bench.calls[-1] == "safe"
        assert bench.inside == 0
        bench.gate.set()
        assert (await bench.stimulate(Stimulus([[0.3]], 0.01))).signal == 0.3
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert bench.calls.count("apply") == 2
    assert bench.calls[-1] == "close"
    assert len(bench.threads) == 1
    assert ("the driver failed when it was cancelled" in caplog.text) == (error is not None)


async def test_what_could_not_be_opened_is_closed() -> None:
    class Broken(Bench):
        def open(self) -> None:
            raise OSError("no such port")

    bench = Broken()
    with pytest.raises(OSError, match="no such port"):
        async with bench:
            pass
    assert bench.calls[-1] == "close"
    with pytest.raises(SubstrateDisconnected, match="use it inside"):
        await bench.stimulate(Stimulus([[0.5]], 0.01))


async def test_an_emergency_stop_reaches_a_driver_that_blocks() -> None:
    bench = Bench()
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(bench, broker.uri) as server,
        RemoteSubstrate(server.uri) as remote,
    ):
        bench.gate.clear()
        exchange = asyncio.create_task(remote.stimulate(Stimulus([[0.5]], 0.01)))
        await asyncio.to_thread(bench.begun.wait)
        await emergency_stop(server.uri)
        with pytest.raises(SubstrateDisconnected, match="stopped"):
            await exchange
    assert bench.calls[-3:] == ["safe", "rest", "close"]
