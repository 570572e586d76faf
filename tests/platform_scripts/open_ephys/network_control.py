"""open-ephys-python-tools, NetworkControl: acquisition started and stopped, digital lines, recording.

Source: https://github.com/open-ephys/open-ephys-python-tools/blob/21a0c010ed45b3a940d2cacb1cf019d59b3c26ca/src/open_ephys/control/network_control.py
Left: the library's EventListener, which reads another plugin, Event Broadcaster; the twin has none.
"""

# %% connect, with a second for each reply
import time

import zmq

context = zmq.Context()
socket = context.socket(zmq.REQ)
socket.RCVTIMEO = 1000
socket.connect("tcp://127.0.0.1:5558")


def response():
    return socket.recv().decode("utf-8")


# %% stop acquisition, ask, and start it
socket.send_string("StopAcquisition")
stopped = response()
socket.send_string("IsAcquiring")
was_acquiring = socket.recv().decode("utf-8") == "1"
socket.send_string("StartAcquisition")
started = response()
socket.send_string("IsAcquiring")
is_acquiring = socket.recv().decode("utf-8") == "1"
time.sleep(0.2)

# %% a line on and off
socket.send_string("TTL Line=" + str(5) + " State=1")
on = response()
socket.send_string("TTL Line=" + str(5) + " State=0")
off = response()

# %% ask whether it records
socket.send_string("IsRecording")
is_recording = socket.recv().decode("utf-8") == "1"

# %% refused: does not record
socket.send_string("StartRecord")
answer = response()
if answer != "StartedRecording":
    raise RuntimeError(answer)

# %% check: answers as in the library's documentation, and sample numbers from 0 again
assert (stopped, was_acquiring) == ("StoppedAcquisition", False)
assert (started, is_acquiring) == ("StartedAcquisition", True)
assert (on, off) == ("TTLHandled: Channel=5 on=1", "TTLHandled: Channel=5 on=0")
assert not is_recording
assert 0 < platform.sample < 10 * 30_000
context.destroy(0)
