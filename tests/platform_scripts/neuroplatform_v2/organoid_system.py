"""A system of sixteen triggers that asks whether each request was accepted, and for what each electrode recorded.

Source: https://github.com/search?type=code&q=neuroplatformv2+get_organoid_status+_upload_stimparam
Left: the language models that choose the triggers; the index in which it was read names no repository.
"""

# %% imports
from datetime import timedelta, datetime, timezone
import asyncio
import time
import numpy as np
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
from neuroplatformv2.utils.schemas import StimParam, StimPolarity, StartRawRecordingRequest

# %% controllers, and sixteen parameters
intan = IntanController()
trigger = TriggerController("admin")
standard = []
for i in range(16):
    stim_param = StimParam()
    stim_param.enable = True
    stim_param.index = 2 * i
    stim_param.trigger_key = i
    stim_param.polarity = StimPolarity.PositiveFirst
    stim_param.phase_duration1 = 100
    stim_param.phase_duration2 = 100
    stim_param.phase_amplitude1 = 0.75
    stim_param.phase_amplitude2 = 0.75
    standard.append(stim_param)

# %% sent, and the answers read
resp = await intan._send_stimparam(standard)
if not resp.status:
    raise RuntimeError(resp.message)
resp = await intan._upload_stimparam()
if not resp.status:
    raise RuntimeError(resp.message)

# %% triggers, one by one
time.sleep(10)
for i in np.arange(0, 16, 5):
    triggers = np.zeros(16, dtype=np.uint8)
    triggers[i] = 1
    await trigger.send(triggers)
    time.sleep(0.5)

# %% what each electrode recorded in the last seconds
now = datetime.now(timezone.utc)
samples, active, highest = 0, 0, 0
for channel in range(32):
    query = RawSpikeQuery(start=now - timedelta(seconds=5), stop=now, index=channel)
    df = await DatabaseController.get_raw_spike(query)
    if len(df) > 0:
        active += 1
        samples += len(df)
        highest = max(highest, df["Amplitude"].max())

# %% check: four pulses; samples were kept only around events
events = await DatabaseController.get_spike_event(SpikeEventQuery(now - timedelta(seconds=5), now, fsname="fs300"))
assert [each[1] for each in platform.given] == [0, 10, 20, 30]
assert abs(samples - 90 * len(events)) <= 90 * 2  # one that is cut by either end
