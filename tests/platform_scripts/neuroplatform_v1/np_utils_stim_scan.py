"""np-utils, stim_scan: a scan over parameters, by the electrodes of each site.

Source: https://github.com/FinalSpark-np/np-utils/blob/484e5625c81669f114c296207a4f7b370162f56c/src/np_utils/stim_scan.py
Left: progress bars (tqdm) and seaborn's style.
"""

# %% imports
from time import sleep
from datetime import datetime, timedelta, UTC
from itertools import product
import numpy as np
import pandas as pd
import matplotlib.pyplot as plt
from neuroplatform import Database, Trigger, StimParam, Experiment, StimPolarity, StimShape

try:
    from neuroplatform import IntanSofware as IntanSoftware
except ImportError:
    from neuroplatform import IntanSoftware

# %% defaults come from a StimParam
default = StimParam()
grid = {
    "amplitude": [2.0, 40.0],
    "duration": [150],
    "polarity": [StimPolarity.NegativeFirst, StimPolarity.PositiveFirst],
    "interphase_delay": [default.interphase_delay],
    "nb_pulse": [default.nb_pulse],
    "pulse_train_period": [default.pulse_train_period],
    "post_stim_ref_period": [default.post_stim_ref_period],
    "stim_shape": [default.stim_shape],
}
if any(shape == StimShape.Triphasic for shape in grid["stim_shape"]):
    raise NotImplementedError

# %% connections, and electrodes that the token allows
experiment = Experiment("OURTOKEN01")
scan_channels = range(0, 16)
trigger_gen, intan, db = Trigger(), IntanSoftware(), Database()
if not np.all(np.isin(scan_channels, experiment.electrodes)):
    raise ValueError("electrodes of another booking")


# %% parameters of one point of the grid: a trigger stimulates the same place of each site
def parameters_of(amplitude, duration, polarity, delay, count, period, refractory, shape):
    made = []
    for site in range(4):
        for trigger_key in range(8):
            p = StimParam()
            p.phase_amplitude1 = amplitude
            p.phase_amplitude2 = amplitude
            p.phase_duration1 = duration
            p.phase_duration2 = duration
            p.polarity = polarity
            p.interphase_delay = delay
            p.nb_pulse = count
            p.pulse_train_period = period
            p.post_stim_ref_period = refractory
            p.stim_shape = shape
            p.trigger_key = trigger_key
            p.index = site * 8 + trigger_key
            p.enable = True
            if p.index in scan_channels:
                made.append(p)
    return made


# %% the scan
history = {}
loaded = []


def disable_all_and_send():
    for p in loaded:
        p.enable = False
    intan.send_stimparam(loaded)


try:
    if experiment.start():
        start_time = datetime.now(UTC)
        for point in product(*grid.values()):
            loaded = parameters_of(*point)
            if not all(isinstance(p, StimParam) for p in loaded):
                raise ValueError
            intan.send_stimparam(loaded)
            for trigger in sorted({p.trigger_key for p in loaded}):
                triggers = np.zeros(16, dtype=np.uint8)
                triggers[trigger] = 1
                for _ in range(2):
                    channels = [p.index for p in loaded if p.trigger_key == trigger]
                    history[datetime.now(UTC)] = {"channel": channels, "trigger_key": trigger, "point": point}
                    trigger_gen.send(triggers)
                    sleep(timedelta(seconds=1).total_seconds())
                sleep(2)
            disable_all_and_send()
finally:
    disable_all_and_send()
    trigger_gen.close()
    intan.close()
    experiment.stop()
    stop_time = datetime.now(UTC)

# %% the history as a table
stim_df = pd.DataFrame.from_dict(history, orient="index")

# %% raster of one channel
channel_df = stim_df[stim_df["channel"].apply(lambda x: 3 in x)]
channel_df.index.name = "Time"
channel_df = channel_df.reset_index(drop=False)
channel_df["Time"] = pd.to_datetime(channel_df["Time"])
channel_df = channel_df.sort_values(by="Time")
first, last = channel_df["Time"].iloc[0], channel_df["Time"].iloc[-1]
events = db.get_spike_event(first - timedelta(seconds=1), last + timedelta(seconds=2.5), experiment.exp_name)
if events.empty:
    raise ValueError("no events")
fig, ax = plt.subplots()
for i, electrode in enumerate(experiment.electrodes):
    if electrode in events["channel"].unique():
        ax.eventplot(events[events["channel"] == electrode]["Time"], lineoffsets=i)
for t in channel_df["Time"]:
    ax.axvline(t)
plt.close(fig)

# %% counts in each minute
spike_count_df = db.get_spike_count(start_time, stop_time, experiment.exp_name)
highest = spike_count_df["Spike per minutes"].max() + 1
fig, ax = plt.subplots()
for channel, group in spike_count_df.groupby("channel"):
    ax.plot(group["Time"], group["Spike per minutes"])
plt.close(fig)

# %% check: each electrode of the scan got each of the four stimulations twice
given = [each[1] for each in platform.given]
assert sorted(set(given)) == list(scan_channels)
assert all(given.count(k) == 8 for k in scan_channels)
assert len(stim_df) == 4 * 8 * 2
assert highest > 1
