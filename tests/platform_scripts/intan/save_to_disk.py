"""Vendor's demo: save to disk.

Source: https://github.com/Neuro-Mechatronics-Interfaces/python-intan/blob/c141e209f1c1c1a60c1a4d5700ce8aebbfdcac26/examples/intan_tcp/RHXSaveToDiskPythonDemo.py
Left: the dialog that asks for the place, and four of its five seconds.
"""

# %% connect, stop it if it runs, and ask what the controller is
import socket
import tempfile
import time
from pathlib import Path

COMMAND_BUFFER_SIZE = 1024
scommand = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
scommand.connect(("127.0.0.1", 5000))
scommand.sendall(b"get runmode")
if str(scommand.recv(COMMAND_BUFFER_SIZE), "utf-8") != "Return: RunMode Stop":
    scommand.sendall(b"set runmode stop")
    time.sleep(0.1)
scommand.sendall(b"get type")
is_stim = str(scommand.recv(COMMAND_BUFFER_SIZE), "utf-8") == "Return: Type ControllerStimRecord"

# %% choose a place, which ends as the controller's files do
suffix = ".rhs" if is_stim else ".rhd"
full_name = Path(tempfile.mkdtemp()) / ("a demo" + suffix)
path, base_name = str(full_name.parent), full_name.name[:-4]
scommand.sendall(b"set filename.basefilename " + base_name.encode("utf-8"))
time.sleep(0.1)
scommand.sendall(b"set filename.path " + path.encode("utf-8"))
time.sleep(0.1)

# %% record
scommand.sendall(b"set runmode record")
time.sleep(1)

# %% stop
scommand.sendall(b"set runmode stop")
time.sleep(0.1)
scommand.close()

# %% check: neo reads the file, and it holds the signal and no stimulation
import shutil

from neo.rawio import IntanRawIO

(file,) = Path(path).glob("a demo_*/a demo_*.rhs")
reader = IntanRawIO(str(file))
reader.parse_header()
assert reader.header["signal_streams"]["name"].tolist() == ["RHS2000 amplifier channel", "Stim channel"]
signal = reader.rescale_signal_raw_to_float(reader.get_analogsignal_chunk(0, 0, stream_index=0), stream_index=0)
assert signal.shape[1] == 32
assert len(signal) > 128
assert (signal.std(axis=0) > 3).all()
assert not reader.get_analogsignal_chunk(0, 0, stream_index=1).any()
shutil.rmtree(path)
