"""Sweeps of amplitude, duration and polarity with a tag for each pulse, and the database's tables after.

Source: https://github.com/search?type=code&q=%22from+neuroplatform+import%22+set_tag_trigger+param_upload_wait_s
Left: the files that it writes; the index in which it was read names no repository.
"""

# %% imports
from __future__ import annotations
import itertools
import time
from datetime import datetime, timedelta, timezone
import numpy as np
import pandas as pd
from neuroplatform import Database, Experiment, IntanSofware, StimParam, StimPolarity, Trigger, TriggerController

# %% connect and start
exp = Experiment("OURTOKEN01")
fs_name = exp.exp_name
intan = IntanSofware()
trigger_gen = TriggerController("us@example.org")
if not exp.start():
    raise RuntimeError("could not be started")
start_utc = datetime.now(tz=timezone.utc)

# %% the sweep
tag = 1
electrodes = {0: 0, 8: 1, 16: 2}
for amplitude, duration, polarity in itertools.product([1.0, 5.0], [100.0, 200.0], StimPolarity):
    params = []
    for index, key in electrodes.items():
        p = StimParam()
        p.enable = True
        p.index = index
        p.trigger_key = key
        p.polarity = polarity
        p.phase_amplitude1 = amplitude
        p.phase_amplitude2 = amplitude
        p.phase_duration1 = duration
        p.phase_duration2 = duration
        p.post_stim_ref_period = 1000.0
        p.enable_amp_settle = True
        p.post_stim_amp_settle = 1000.0
        p.enable_charge_recovery = True
        p.post_charge_recovery_off = 100.0
        params.append(p)
    intan.send_stimparam(params)
    time.sleep(12)
    for key in electrodes.values():
        intan.set_tag_trigger(tag)
        flags = np.zeros(16, dtype=np.uint8)
        flags[key] = 1
        trigger_gen.send(flags)
        tag += 1
        time.sleep(2)
    off = []
    for index, key in electrodes.items():
        p = StimParam()
        p.enable = False
        p.index = index
        p.trigger_key = key
        off.append(p)
    intan.send_stimparam(off)
    time.sleep(12)
stop_utc = datetime.now(tz=timezone.utc)

# %% close
intan.var_threshold(True)
trigger_gen.close()
intan.close()
exp.stop()

# %% the database's tables, a margin around
db = Database()
triggers_df: pd.DataFrame = db.get_all_triggers(start_utc - timedelta(seconds=5), stop_utc + timedelta(seconds=5))
activity_df: pd.DataFrame = db.get_spike_event(
    start_utc - timedelta(seconds=5), stop_utc + timedelta(seconds=5), fs_name
)
print(len(triggers_df), activity_df["channel"].nunique())

# %% triggers under other names of columns
df = triggers_df.copy()
df.columns = [c.strip() for c in df.columns]
df = df.rename(columns={"_time": "Time", "_value": "tag"})
df["status"] = df["up"].astype(float).astype(int).map({1: "up", 0: "down"})
df["Time"] = pd.to_datetime(df["Time"], utc=True)
up = df[df["status"] == "up"]

# %% waveforms of the spikes in the 50 ms after each trigger
records, complete = [], 0
for _, row in up.iterrows():
    trig_tag = int(row["tag"]) if pd.notna(row.get("tag")) else -1
    end = row["Time"] + timedelta(milliseconds=50)
    for _, spike in activity_df[(activity_df["Time"] >= row["Time"]) & (activity_df["Time"] < end)].iterrows():
        t1, t2 = spike["Time"] - timedelta(milliseconds=1), spike["Time"] + timedelta(milliseconds=2)
        raw_df = db.get_raw_spike(t1, t2, int(spike["channel"]))
        samples = raw_df["Amplitude"].tolist()
        complete += len(samples) == 90
        records.append((trig_tag, float(raw_df["Amplitude"].abs().max())))

# %% check: each pulse has its tag, each spike its 90 samples
assert up["tag"].tolist() == list(range(1, 25))
assert [each[1] for each in platform.given] == [0, 8, 16] * 8
assert complete == len(records)
