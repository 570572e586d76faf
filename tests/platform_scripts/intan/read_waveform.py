"""Vendor's demo: read the wideband waveform.

Source: https://github.com/Neuro-Mechatronics-Interfaces/python-intan/blob/c141e209f1c1c1a60c1a4d5700ce8aebbfdcac26/examples/intan_tcp/RHXReadWaveformData.py
Left: the plot.
"""

# %% connect to commands and waveforms
import socket
import time

COMMAND_BUFFER_SIZE, WAVEFORM_BUFFER_SIZE, FRAMES_PER_BLOCK = 1024, 200000, 128
scommand = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
scommand.connect(("127.0.0.1", 5000))
swaveform = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
swaveform.connect(("127.0.0.1", 5001))

# %% stop it if it runs, and ask for the sample rate
scommand.sendall(b"get runmode")
if str(scommand.recv(COMMAND_BUFFER_SIZE), "utf-8") != "Return: RunMode Stop":
    scommand.sendall(b"set runmode stop")
    time.sleep(0.1)
scommand.sendall(b"get sampleratehertz")
answer = str(scommand.recv(COMMAND_BUFFER_SIZE), "utf-8")
begin = "Return: SampleRateHertz "
if answer.find(begin) == -1:
    raise RuntimeError("no sample rate")
timestep = 1 / float(answer[len(begin) :])

# %% choose the wideband of A-010
scommand.sendall(b"execute clearalldataoutputs")
time.sleep(0.1)
scommand.sendall(b"set a-010.tcpdataoutputenabled true")
time.sleep(0.1)

# %% run for a second, and read once
bytes_per_block = FRAMES_PER_BLOCK * (4 + 2) + 4
scommand.sendall(b"set runmode run")
time.sleep(1)
scommand.sendall(b"set runmode stop")
raw = swaveform.recv(WAVEFORM_BUFFER_SIZE)
if len(raw) % bytes_per_block != 0:
    raise RuntimeError("that is no whole number of blocks")

# %% take the blocks apart
index, timestamps, microvolts = 0, [], []
for _ in range(len(raw) // bytes_per_block):
    magic, index = int.from_bytes(raw[index : index + 4], "little"), index + 4
    if magic != 0x2EF07A08:
        raise RuntimeError("wrong magic number")
    for _ in range(FRAMES_PER_BLOCK):
        stamp = int.from_bytes(raw[index : index + 4], "little", signed=True)
        sample = int.from_bytes(raw[index + 4 : index + 6], "little")
        index += 6
        timestamps.append(stamp * timestep)
        microvolts.append(0.195 * (sample - 32768))

# %% check: samples follow each other, and the wideband holds the signal
import numpy as np

assert np.allclose(np.diff(timestamps), timestep)
assert len(microvolts) > 128
assert 3 < np.std(microvolts) < 100  # the noise of the culture's electrodes is 5 uV
