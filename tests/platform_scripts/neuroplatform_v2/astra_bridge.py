"""ASTRA bridge: counts, a pulse when it is too quiet, and a summary from the database.

Source: https://github.com/search?type=code&q=neuroplatformv2+astra_np_bridge
Left: the server that it reports to over HTTP; the index in which it was read names no repository.
"""

# %% imports
import asyncio
import time
from datetime import datetime
import numpy as np

try:
    from neuroplatformv2.core.trigger import TriggerController
    from neuroplatformv2.core.database import (
        DatabaseController,
        TriggersQuery,
        SpikeCountQuery,
        SpikeEventQuery,
        RawSpikeQuery,
        get_raw_spike,
    )
    from neuroplatformv2.core.intan import IntanController
    from neuroplatformv2.utils.schemas import StimParam, StimPolarity
    from neuroplatformv2.core.camera import CameraController
    from neuroplatformv2.utils.enumerations import MEA

    HARDWARE_AVAILABLE = True
except Exception:
    HARDWARE_AVAILABLE = False

# %% a pulse whose phases balance with other currents
sp = StimParam()
sp.enable = True
sp.index = 14
sp.trigger_key = 2
sp.polarity = StimPolarity.NegativeFirst
sp.phase_duration1 = 100.0
sp.phase_amplitude1 = 3.0
sp.phase_duration2 = 300.0
sp.phase_amplitude2 = 1.0


# %% the loop
async def run_closed_loop():
    intan = IntanController()
    trigger = TriggerController("admin")
    rates = []
    try:
        await intan._send_stimparam([sp])
        time.sleep(1)
        await intan._upload_stimparam()
        time.sleep(10)
        flags = np.zeros(16, dtype=np.uint8)
        flags[2] = 1
        for _ in range(5):
            counts = np.asarray(await intan._count_spike(100), dtype=float)
            rates.append(float(counts.sum()) / 0.1 / 128)
            if rates[-1] < 100.0:
                await trigger.send(flags)
            time.sleep(0.1)
        sp.enable = False
        await intan._send_stimparam([sp])
        await intan._upload_stimparam()
    finally:
        await intan._close()
        trigger.close()
    return rates


rates = await run_closed_loop()


# %% a summary of no time at all
async def summary(start, stop):
    triggers = await DatabaseController.get_all_triggers(TriggersQuery(start, stop))
    counts = await DatabaseController.get_spike_count(SpikeCountQuery(start, stop, fsname="fs300"))
    events = await DatabaseController.get_spike_event(SpikeEventQuery(start, stop, fsname="fs300"))
    raw = await get_raw_spike(RawSpikeQuery(start=start, stop=stop, index=14))
    last = await CameraController(mea=MEA.Five)._last_capture()
    return triggers, counts, events, raw, last


now = datetime.utcnow()
tables = await summary(now, now)

# %% check: five pulses; empty tables
assert HARDWARE_AVAILABLE and len(rates) == 5
assert [each[1] for each in platform.given] == [14] * 5
assert all(len(table) == 0 for table in tables)
