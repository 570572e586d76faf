"""Take the picture of live_page.md, with Chromium: python docs/live_page_pictures.py."""

import asyncio
import shutil
from pathlib import Path

import numpy as np
from playwright.async_api import async_playwright

from inmateria.adapters import DeviceServer, EmbeddedBroker, RemoteSubstrate, connect
from inmateria.concurrency import cancel_and_wait
from inmateria.live.serving import serve_live
from inmateria.live.watched_device import WatchedDevice

IMAGES = Path(__file__).parent / "images"
STEPS = 10


async def drive(uri: str) -> None:
    """Stimulate all inputs by slow waves, in real time."""
    async with RemoteSubstrate(uri) as remote:
        info = remote.info
        high = np.array([channel.high for channel in info.inputs])
        for block in range(10_000):
            at = (block * STEPS + np.arange(STEPS))[:, np.newaxis] * 0.02 + np.arange(len(high))
            await remote.stimulate(info.stimulus(0.5 * high * np.sin(at)))
            await asyncio.sleep(STEPS * info.step)


async def main() -> None:
    """Serve a network, watch it, and take its picture."""
    network = connect("nanowire://?wires=100&seed=1&electrodes=16")
    async with EmbeddedBroker() as broker, DeviceServer(network, broker.uri, name="nwn-1") as server:
        ready: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve_live(WatchedDevice(server.uri), ready.set_result, port=0))
        driving = asyncio.create_task(drive(server.uri))
        async with async_playwright() as driver:
            chromium = shutil.which("chromium") or shutil.which("google-chrome")
            browser = await driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = await browser.new_page(viewport={"width": 1100, "height": 760}, color_scheme="light")
            await page.goto((await ready)["watch and stop"])
            await asyncio.sleep(12)
            await page.screenshot(path=IMAGES / "live_page.png")
            await browser.close()
        await cancel_and_wait(driving, serving)


if __name__ == "__main__":
    asyncio.run(main())
