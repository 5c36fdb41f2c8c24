"""Writes data/digits.bin from scikit-learn's copy of the UCI digits (data/README.md says what they are).

    python3 tools/make_digits.py data/digits.bin
"""
import struct
import sys

from sklearn.datasets import load_digits

digits = load_digits()
images, labels = digits.images.astype(int), digits.target.astype(int)
count, height, width = images.shape
assert images.min() >= 0 and images.max() <= 16 and labels.min() >= 0 and labels.max() <= 9
bits = "".join(format(v, "04b") for v in labels) + "".join(format(v, "05b") for v in images.reshape(-1))
bits += "0" * (-len(bits) % 8)
with open(sys.argv[1], "wb") as f:
    f.write(b"tsrdigit" + struct.pack("<HBBB3x", count, height, width, 5))
    f.write(int(bits, 2).to_bytes(len(bits) // 8, "big"))
