"""CL-03, Data Streams: entries of any kind beside a recording, read back in each way.

Source: https://github.com/Cortical-Labs/cl-api-doc/blob/a6726472cb3375ebcd836ec2dd239ebff7a1624a/CL-03.%20Data%20Streams.ipynb
Left: reading them with msgpack_numpy, which our reader does without.
"""

# %% a stream, beside a recording
import cl
import numpy

with cl.open() as neurons:
    data_stream = neurons.create_data_stream(name="our_stream", attributes={"score": 0, "list": [3, 2, 1]})
    recording = neurons.record(stop_after_seconds=0.5)
    timestamp = neurons.timestamp()
    data_stream.append(timestamp + 0, {"any": "thing"})
    data_stream.append(timestamp + 1, ["some", "words", 7])
    data_stream.append(timestamp + 2, "a text")
    data_stream.append(timestamp + 3, numpy.array([2**63, 5], dtype=numpy.uint64))
    data_stream.set_attribute("score", 1)
    data_stream.update_attributes({"score": 2, "more": 9.5})
    recording.wait_until_stopped()
view = recording.open()
print(view, view.data_streams, view.data_streams.our_stream.attributes)

# %% its entries
stream = view.data_streams.our_stream
items = list(stream.items())
timestamps = list(stream.keys())
values = list(stream.values())
assert all(numpy.all(stream[at] == data) for at, data in items)

# %% ranges
between = list(stream.items_for_range(timestamps[1], timestamps[-1]))
later = list(stream.keys_for_range(timestamps[1], timestamps[-1] + 1))
data_later = list(stream.values_for_range(timestamps[1], timestamps[-1] + 1))

# %% attributes, and the tables below
name, score = stream.attributes.name, stream.attributes.application["score"]
raw = view.file.root.data_stream.our_stream
rows = [(row["timestamp"], row["start_index"], row["end_index"]) for row in raw.index]
first_bytes = raw.data[rows[0][1] : rows[0][2]]
view.close()

# %% check: our reader has the same entries
import json
from inmateria.adapters.cortical.files import read_recording

events = {each.name: each for each in read_recording(recording.file["path"]).segments[0].events}
assert [json.loads(each) for each in events["our_stream"].labels] == [
    {"any": "thing"},
    ["some", "words", 7],
    "a text",
    [2**63, 5],
]
assert (len(items), len(between), len(later), name) == (4, 2, 3, "our_stream")
