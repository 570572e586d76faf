"""np-utils, cross_corr: events of two channels from the database, and their correlogram.

Source: https://github.com/FinalSpark-np/np-utils/blob/main/src/np_utils/cross_corr.py
Left: the plots.
"""

# %% imports
import numpy as np
import pandas as pd
import time
from datetime import datetime, timedelta
from neuroplatform import Database

# %% events and triggers of a time
time.sleep(60)
end_time = pd.Timestamp(datetime.utcnow())
start_time = end_time - timedelta(seconds=60)
db = Database()
df_all = db.get_spike_event(start=start_time, stop=end_time, fsname="fs300")
busiest = df_all["channel"].value_counts().index
df_i = df_all[df_all["channel"] == busiest[0]]
df_j = df_all[df_all["channel"] == busiest[1]]
trigs = db.get_all_triggers(start_time, end_time)
if len(trigs) > 0:
    print(f"{len(trigs)} triggers")

# %% the correlogram
origin = min(df_i["Time"].min(), df_j["Time"].min())
first = (df_i["Time"] - origin).dt.total_seconds().to_numpy() * 1e3
second = (df_j["Time"] - origin).dt.total_seconds().to_numpy() * 1e3
lags = second - first[:, np.newaxis]
found, _ = np.histogram(lags, bins=np.arange(-50, 51, 5))

# %% rate of each channel in each second
df = df_all.copy(deep=True)
df.drop(columns=["Amplitude"], inplace=True)
df.index = pd.DatetimeIndex(df["Time"])
firing_rate = df.groupby("channel").resample("1s").size()
firing_rate = firing_rate.reset_index(name="Firing rate")

# %% check: every pair within the window is in the correlogram, every event in the rates
assert found.sum() == np.count_nonzero((lags >= -50) & (lags <= 50))
assert firing_rate["Firing rate"].sum() == len(df_all) > 0
