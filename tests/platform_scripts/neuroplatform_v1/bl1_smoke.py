"""bl1, finalspark_smoke: electrodes and recent activity, read only.

Source: https://github.com/m9h/bl1/blob/f9ba6604ed21b284dee95b16d040ca4557da75d3/experiments/finalspark_smoke.py
"""

# %% imports
import neuroplatform as np_sdk
from datetime import datetime, timedelta, timezone
from neuroplatform import Database, Experiment

# %% connect and read
exp = Experiment("OURTOKEN01")
exp.start()
try:
    electrodes = list(getattr(exp, "electrodes", []) or [])
    stop = datetime.now(timezone.utc)
    start = stop - timedelta(minutes=2)
    db = Database()
    counts = db.get_spike_count(start, stop, "fs300")
    events = db.get_spike_event(start, stop, "fs300")
    print(getattr(counts, "shape", "?"), getattr(events, "shape", "?"))
finally:
    exp.stop()

# %% plots
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

fig, ax = plt.subplots()
ax.scatter(events["Time"], events["channel"], s=2)
plt.close(fig)
per_electrode = counts.drop(columns=["Time"], errors="ignore").sum(numeric_only=True)
print(getattr(np_sdk, "__version__", "unknown"))

# %% check: all electrodes; nothing was recorded before the twin began, and the tables say so with all columns
assert electrodes == list(range(32))
assert events.empty and list(events.columns) == ["Time", "Amplitude", "channel"]
assert counts.empty and list(counts.columns) == ["Time", "channel", "Spike per minutes"]
