"""Exchange with the Python package `safetensors`: what we write it reads, what it writes we read.

    pip install safetensors numpy && python3 bench/parity/safetensors_package.py build/release/tessera

A model is trained for one epoch, read by the package, written again by the package, and must predict the same numbers
to the last digit; and the package must find in our file every tensor, byte for byte where our header says it is.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

from safetensors import safe_open
from safetensors.numpy import load_file, save_file

program = sys.argv[1]
with tempfile.TemporaryDirectory() as folder:
    ours, theirs = os.path.join(folder, "ours.safetensors"), os.path.join(folder, "theirs.safetensors")
    subprocess.run([program, "train", "digits", "--epochs", "1", "--out", ours], check=True, stdout=subprocess.DEVNULL)
    tensors = load_file(ours)
    with open(ours, "rb") as f:
        data = f.read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    metadata = header.pop("__metadata__")
    assert sorted(tensors) == sorted(header)
    for name, t in header.items():
        begin, end = t["data_offsets"]
        assert tensors[name].tobytes() == data[8 + size + begin:8 + size + end], name
        assert (8 + size + begin) % tensors[name].itemsize == 0, name
    with safe_open(ours, "numpy") as f:
        assert f.metadata() == metadata
    save_file(tensors, theirs, metadata)
    show = lambda path: subprocess.run([program, "predict", path, "--json", "--count", "400"], check=True,
                                       stdout=subprocess.PIPE).stdout
    assert show(ours) == show(theirs)
print(f"{len(tensors)} tensors: the package reads what we write, we read what it writes")
