"""Parity with PyTorch: the same initial weights and batches, then forward, every gradient and 20 AdamW steps.

    cmake --build build/release --target parity && python3 bench/parity/parity.py build/release/parity

Prints, for the digits convnet and a 2-layer GPT, the largest difference of logits, of each gradient, and of the losses,
relative to the largest absolute value of the tensor. Both sides compute in f32; PyTorch is asked for its deterministic
CPU kernels on one thread. The reference in f64 says how far each of the two is from the truth. The exit status says
whether everything is within LIMIT. Tensors travel as safetensors files, written and read here by 20 lines of Python that
share no code with the library's.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F

STEPS, LIMIT = 20, 1e-5
DTYPES = {"F32": np.float32, "I32": np.int32, "I64": np.int64, "U8": np.uint8}


def write(path, tensors, meta):
    head, at, blobs = {"__metadata__": meta}, 0, []
    names = {np.dtype(v): k for k, v in DTYPES.items()}
    for name, a in tensors.items():
        blob = np.ascontiguousarray(a).tobytes()
        head[name] = {"dtype": names[a.dtype], "shape": list(a.shape), "data_offsets": [at, at + len(blob)]}
        at += len(blob)
        blobs.append(blob)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def read(path):
    with open(path, "rb") as f:
        data = f.read()
    n = struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, t in json.loads(data[8:8 + n]).items():
        if name != "__metadata__":
            begin, end = t["data_offsets"]
            out[name] = np.frombuffer(data[8 + n + begin:8 + n + end], DTYPES[t["dtype"]]).reshape(t["shape"])
    return out


def convnet(p, x):
    x = F.max_pool2d(F.relu(F.conv2d(x, p["conv1.weight"], p["conv1.bias"], padding=1)), 2)
    x = F.max_pool2d(F.relu(F.conv2d(x, p["conv2.weight"], p["conv2.bias"], padding=1)), 2)
    return F.linear(x.flatten(1), p["fc.weight"], p["fc.bias"])


def convnet_case():
    from sklearn.datasets import load_digits
    torch.manual_seed(0)
    conv1, conv2, fc = torch.nn.Conv2d(1, 16, 3), torch.nn.Conv2d(16, 32, 3), torch.nn.Linear(128, 10)
    p = {f"{n}.{k}": v for n, m in (("conv1", conv1), ("conv2", conv2), ("fc", fc)) for k, v in m.state_dict().items()}
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))[:STEPS * 32]
    x = (digits.images[order] / 16).astype(np.float32).reshape(STEPS, 32, 1, 8, 8)
    y = digits.target[order].astype(np.int32).reshape(STEPS, 32)
    return convnet, p, x, y, {"height": "8", "width": "8", "classes": "10"}


GPT = {"vocab": 65, "context": 32, "layers": 2, "heads": 4, "width": 64}


def gpt(p, token):
    width, heads, (rows, time) = GPT["width"], GPT["heads"], token.shape
    norm = lambda x, n: F.layer_norm(x, (width,), p[n + ".weight"], p[n + ".bias"])
    affine = lambda x, n: x @ p[n + ".weight"] + p[n + ".bias"]
    x = p["wte.weight"][token] + p["wpe.weight"][:time]
    for i in range(GPT["layers"]):
        h = f"h.{i}."
        q, k, v = (t.view(rows, time, heads, -1).transpose(1, 2)
                   for t in affine(norm(x, h + "ln_1"), h + "attn.c_attn").split(width, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(rows, time, width)
        x = x + affine(y, h + "attn.c_proj")
        x = x + affine(F.gelu(affine(norm(x, h + "ln_2"), h + "mlp.c_fc"), approximate="tanh"), h + "mlp.c_proj")
    return (norm(x, "ln_f") @ p["wte.weight"].T).flatten(0, 1)


def gpt_case():
    torch.manual_seed(1)
    w, p = GPT["width"], {}
    draw = lambda *shape: torch.randn(*shape) * 0.1
    p["wte.weight"], p["wpe.weight"] = draw(GPT["vocab"], w), draw(GPT["context"], w)
    for n in [f"h.{i}.ln_{j}" for i in range(GPT["layers"]) for j in (1, 2)] + ["ln_f"]:
        p[n + ".weight"], p[n + ".bias"] = 1 + draw(w), draw(w)
    for i in range(GPT["layers"]):
        for n, rows, cols in (("attn.c_attn", w, 3 * w), ("attn.c_proj", w, w), ("mlp.c_fc", w, 4 * w), ("mlp.c_proj", 4 * w, w)):
            p[f"h.{i}.{n}.weight"], p[f"h.{i}.{n}.bias"] = draw(rows, cols), draw(cols)
    text = torch.randint(0, GPT["vocab"], (STEPS, 4, GPT["context"] + 1)).numpy().astype(np.int32)
    return gpt, p, text[:, :, :-1].copy(), text[:, :, 1:].copy(), {k: str(v) for k, v in GPT.items()}


def torch_run(model, p, x, y, dtype):
    p = {k: v.detach().clone().to(dtype).requires_grad_() for k, v in p.items()}
    feed = lambda a: torch.tensor(a).to(dtype if a.dtype == np.float32 else torch.long)
    loss_of = lambda i: F.cross_entropy(model(p, feed(x[i])), feed(y[i]).flatten())
    out = {"logits": model(p, feed(x[0])).detach().numpy()}
    loss = loss_of(0)
    loss.backward()
    out["loss"] = loss.detach().numpy()
    out.update({"g." + k: v.grad.numpy().copy() for k, v in p.items()})
    optim = torch.optim.AdamW(p.values(), lr=1e-3, weight_decay=0.01)
    losses = []
    for i in range(STEPS):
        optim.zero_grad()
        loss = loss_of(i)
        loss.backward()
        optim.step()
        losses.append(loss.item())
    out["losses"] = np.array(losses)
    return out


def relative(a, b):
    return float(np.abs(a.astype(np.float64) - b).max() / max(np.abs(b).max(), 1e-30))


def compare(name, program, case):
    model, p, x, y, meta = case()
    with tempfile.TemporaryDirectory() as folder:
        source, result = os.path.join(folder, "in.safetensors"), os.path.join(folder, "out.safetensors")
        tensors = {"p." + k: v.numpy() for k, v in p.items()}
        write(source, {**tensors, "x": x, "y": y}, meta)
        subprocess.run([program, name, source, result], check=True)
        ours = read(result)
    theirs, truth = torch_run(model, p, x, y, torch.float32), torch_run(model, p, x, y, torch.float64)
    print(f"{name}: {sum(v.size for v in tensors.values())} parameters, {len(p)} tensors")
    print(f"  {'':32} {'ours - torch':>13} {'ours - f64':>13} {'torch - f64':>13}")
    worst = 0
    groups = [("logits", ["logits"]), ("loss", ["loss"]), ("gradients (worst)", [k for k in truth if k[:2] == "g."]),
              (f"first {STEPS} losses", ["losses"])]
    for title, keys in groups:
        rows = [(relative(ours[k], theirs[k]), relative(ours[k], truth[k]), relative(theirs[k], truth[k]), k) for k in keys]
        d = max(rows)
        worst = max(worst, d[0])
        note = f"  {d[3][2:]}" if len(keys) > 1 else ""
        print(f"  {title:32} {d[0]:13.2e} {max(r[1] for r in rows):13.2e} {max(r[2] for r in rows):13.2e}{note}")
    return worst


torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
print(f"PyTorch {torch.__version__}")
worst = max(compare("convnet", sys.argv[1], convnet_case), compare("gpt", sys.argv[1], gpt_case))
print(f"worst difference {worst:.2e}, limit {LIMIT:.0e}")
sys.exit(worst > LIMIT)
