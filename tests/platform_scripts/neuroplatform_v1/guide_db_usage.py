"""Guide db_usage: every query of the database.

Source: https://github.com/FinalSpark-np/np-docs/blob/34c863a382a7b1defb2da8fcd1f273f055051004/neuroplatform-docs/np_core/db_usage.ipynb
Left: the drawing with lets_plot, whose data are made; its package is not ours.
"""

# %% connection
from dateutil import parser
from datetime import timedelta

from neuroplatform import Database, Experiment

db = Database()
exp = Experiment("OURTOKEN01")
FS_NAME = exp.exp_name

# %% events
import time

start = parser.parse("2024-04-05T00:00:00.000Z")
stop = start + timedelta(minutes=2)
time.sleep(150)  # the twin's time begins at that start, and has to pass
spike_event_df = db.get_spike_event(start, stop, FS_NAME)

# %% counts in each minute
spike_per_min_df = db.get_spike_count(start, stop, FS_NAME)

# %% waveforms
df_spike_event = db.get_spike_event(start, start + timedelta(seconds=10), FS_NAME)
raws = []
for i, row in df_spike_event.iterrows():
    t = row["Time"]
    t1 = t - timedelta(milliseconds=1)
    t2 = t + timedelta(milliseconds=2)
    raws.append(db.get_raw_spike(t1, t2, row["channel"]))

# %% waveforms of each channel, to be drawn
import numpy as np

drawn = 0
for channel in df_spike_event["channel"].unique():
    df_chan = df_spike_event[df_spike_event["channel"] == channel]
    for i, row in df_chan.iterrows():
        df_raw = raws[i]
        if df_raw.shape[0] == 90:
            df_raw["Time [ms]"] = np.linspace(-1, 2, 90)
            drawn += 1

# %% triggers
triggers_df = db.get_all_triggers(start, stop, FS_NAME)

# %% impedances
df_impedance = db.get_impedance(start, stop)

# %% the incubator
co2_df = db.co2(start, stop)
o2_df = db.o2(start, stop)
temp_df = db.temperature(start, stop)
pressure_df = db.pressure(start, stop)
humidity_df = db.humidity(start, stop)

# %% a pump
port = 2
flow_df = db.flowrate(start, stop, port)

# %% doors
door_df = db.door(start, stop)

# %% check: columns, sums, zones; each event has its 90 samples; what is empty has its columns
assert list(spike_event_df.columns) == ["Time", "Amplitude", "channel"]
assert str(spike_event_df["Time"].dt.tz) == "UTC"
assert list(spike_per_min_df.columns) == ["Time", "channel", "Spike per minutes"]
assert spike_per_min_df["Spike per minutes"].sum() == len(spike_event_df) > 20
assert drawn == len(raws) == len(df_spike_event) > 0
for (_, event), raw in zip(df_spike_event.iterrows(), raws):
    assert np.isclose(raw["Amplitude"].abs().max(), event["Amplitude"], rtol=0.02)
assert spike_event_df.groupby("channel")["Time"].diff().min() >= timedelta(milliseconds=2.999)
assert triggers_df.empty and list(triggers_df.columns) == ["_time", "_value", "trigger", "up"]
assert df_impedance.empty and door_df.empty
assert len(co2_df) == len(flow_df) == 2
