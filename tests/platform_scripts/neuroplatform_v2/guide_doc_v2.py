"""Guide doc_v2: parameters, triggers, closed loop, database, camera.

Source: https://github.com/FinalSpark-np/np-docs/blob/0466b63c74228728b9b2b15f29e1820c7cdf4cde/_sources/np_core/doc_v2.ipynb
Left: pictures of the camera; the twin says that there is none, and the guide goes on without.
"""

# %% imports
from datetime import timedelta, datetime
import numpy as np
import time
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
from neuroplatformv2.core.camera import CameraController
from neuroplatformv2.utils.enumerations import MEA
import matplotlib.pyplot as plt

# %% an experiment with nothing in it
intan = IntanController()
trigger = TriggerController("admin")
try:
    pass
finally:
    await intan._close()
    trigger.close()

# %% parameters
first = StimParam()
first.enable = True
first.trigger_key = 5
first.polarity = StimPolarity.PositiveFirst
first.phase_duration2 = 100
first.display_attributes()

# %% a list
stim_params = [first]

# %% parameters are sent and uploaded, after the controller was closed
await intan._send_stimparam(stim_params)
time.sleep(1)
await intan._upload_stimparam()
time.sleep(10)

# %% and disabled
for stim_param in stim_params:
    stim_param.enable = False
await intan._send_stimparam(stim_params)
time.sleep(1)
await intan._upload_stimparam()
time.sleep(10)

# %% flags of a trigger
trigger_gen = TriggerController("admin")
trigger_array = np.zeros(16, dtype=np.uint8)
trigger_array[5] = 1
trigger_gen.close()

# %% an experiment
second = StimParam()
second.index = 11
second.trigger_key = 7
stim_params = [second]
intan = IntanController()
trigger = TriggerController("admin")
try:
    start_exp = datetime.utcnow()
    await intan._send_stimparam(stim_params)
    await intan._upload_stimparam()
    time.sleep(10)
    trig_array = np.zeros(16, dtype=np.uint8)
    trig_array[7] = 1
    for i in range(6):
        await trigger.send(trig_array)
        time.sleep(1)
    second.enable = False
    await intan._send_stimparam(stim_params)
    await intan._upload_stimparam()
finally:
    await intan._close()
    trigger.close()

# %% counts
intan = IntanController()
try:
    count_spike = await intan._count_spike(120)
finally:
    await intan._close()

# %% triggers
start = start_exp
stop = datetime.utcnow()
query = TriggersQuery(start, stop)
df = await DatabaseController.get_all_triggers(query)
df_trig = df[df["up"] == 1].drop("up", axis=1).reset_index(drop=True)
df_trig.head()

# %% counts in each minute
query = SpikeCountQuery(start, stop, fsname="fs300")
df = await DatabaseController.get_spike_count(query)
df.head()

# %% events
query = SpikeEventQuery(start, stop, fsname="fs300")
df_events = await DatabaseController.get_spike_event(query)
df_events.head()

# %% samples of an event
channel = df_events["channel"].iloc[0]
t = df_events["Time"].iloc[0]
start = t - timedelta(milliseconds=1)
stop = t + timedelta(milliseconds=2)
query = RawSpikeQuery(start=start, stop=stop, index=channel)
raw = await get_raw_spike(query)

# %% camera
cam = CameraController(mea=MEA.Five)
lastcapture = await cam._last_capture()
if len(lastcapture) > 0:
    lastcapture = lastcapture.iloc[0]["id"]
    img = cam._image_from(lastcapture)
    plt.imshow(img)

# %% check: six pulses, six triggers, all samples of the event
assert [each[1] for each in platform.given] == [11] * 6
assert list(df_trig.columns) == ["_time", "_value", "trigger"] and df_trig["trigger"].tolist() == [7] * 6
assert count_spike.shape == (128,)
assert len(raw) == 90 and np.isclose(raw["Amplitude"].abs().max(), df_events["Amplitude"].iloc[0], rtol=0.02)
assert df["Spike per minutes"].sum() == len(df_events)
