"""A laboratory's reader of spikes, after the vendor's demo.

Source: https://github.com/nurminenlab/realtime-analysis/blob/02a9146e151460ac7a2611133edb3ca91908b69c/RHXReadSpikeData.py
Left: the plot. It reads the spikes of three channels for a second; here of 32, for two.
"""

# %% connect to commands and spikes
import socket
import time

scommand = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
scommand.connect(("127.0.0.1", 5000))
sspikes = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
sspikes.connect(("127.0.0.1", 5002))

# %% stop it if it runs, and ask for the sample rate
scommand.sendall(b"get runmode")
if str(scommand.recv(1024), "utf-8") != "Return: RunMode Stop":
    scommand.sendall(b"set runmode stop")
    time.sleep(0.1)
scommand.sendall(b"get sampleratehertz")
answer = str(scommand.recv(1024), "utf-8")
begin = "Return: SampleRateHertz "
if answer.find(begin) == -1:
    raise RuntimeError("no sample rate")
timestep = 1 / float(answer[len(begin) :])

# %% choose the channels, in one command
scommand.sendall(b"execute clearalldataoutputs")
time.sleep(0.1)
chosen = "".join(f"set a-{k:03d}.tcpdataoutputenabledspike true;" for k in range(16))
scommand.sendall(chosen.encode("utf-8"))
time.sleep(0.1)
chosen = "".join(f"set a-{k:03d}.tcpdataoutputenabledspike true;" for k in range(16, 32))
scommand.sendall(chosen.encode("utf-8"))
time.sleep(0.1)

# %% run, and read once
scommand.sendall(b"set runmode run")
time.sleep(2)
scommand.sendall(b"set runmode stop")
raw = sspikes.recv(200000)
if len(raw) % 14 != 0:
    raise RuntimeError("that is no whole number of spikes")

# %% take the spikes apart
index, stamps, channels = 0, [], []
for _ in range(len(raw) // 14):
    if int.from_bytes(raw[index : index + 4], "little") != 0x3AE2710F:
        raise RuntimeError("wrong magic number")
    channels.append(raw[index + 4 : index + 9].decode())
    stamps.append(int.from_bytes(raw[index + 9 : index + 13], "little", signed=True))
    index += 14

# %% check: spikes in the order of time, on channels that exist
assert stamps
assert all(0 <= stamp * timestep < 10 for stamp in stamps)
assert set(channels) <= {f"A-{k:03d}" for k in range(32)}
