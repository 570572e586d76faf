"""FinalSparkClient: a read-only client that runs each query in an event loop of its own.

Source: https://github.com/search?type=code&q=FinalSparkClient+neuroplatformv2+DatabaseController
Left: the files that it writes; the index in which it was read names no repository.
"""

# %% imports
import inspect
import asyncio
import time
import pandas as pd
from neuroplatformv2.core.database import DatabaseController
from neuroplatformv2.utils.schemas import SpikeEventQuery, TriggersQuery


# %% helpers
def run_maybe_async(value):
    return asyncio.run(value) if inspect.isawaitable(value) else value


def utc(value):
    ts = pd.Timestamp(value)
    return (ts.tz_localize("UTC") if ts.tzinfo is None else ts.tz_convert("UTC")).to_pydatetime()


# %% events, of a time given in another zone
time.sleep(70)
start, stop = utc("2024-04-05T02:00:00+02:00"), utc("2024-04-05T00:01:00Z")
spikes = run_maybe_async(DatabaseController.get_spike_event(SpikeEventQuery(start=start, stop=stop, fsname="fs300")))
triggers = run_maybe_async(DatabaseController.get_all_triggers(TriggersQuery(start=start, stop=stop)))

# %% columns that it knows
missing = {"Time", "channel", "Amplitude"} - set(spikes.columns)
if missing:
    raise RuntimeError(f"no {missing}")
times = pd.to_datetime(triggers["_time"][triggers["up"] == 1], utc=True, errors="coerce").dropna()

# %% check: the first minute, in UTC, whatever zone it was asked in
assert len(spikes) > 0 and len(times) == 0
assert spikes["Time"].min() >= pd.Timestamp("2024-04-05", tz="UTC")
assert spikes["Time"].max() < pd.Timestamp("2024-04-05T00:01", tz="UTC")
