#!/usr/bin/env python3
"""Parity with PyTorch: the same initial weights and batches, forward, every gradient, the first 20 losses.

    cmake --preset release && ninja -C build/release parity
    python bench/parity/parity.py build/release/parity [--time]

Needs torch and nothing else. This script draws weights and batches by seed, writes them as a safetensors file, and
starts bench/parity/parity.c, which answers with another one. The models are written here by hand, from the formulas,
and run on PyTorch's CPU back end twice: in f32, the peer, and in f64, the yardstick that tells whose rounding a
difference is.

The error of a tensor is max |ours - theirs| / max |theirs|; a gradient's error is never hidden by a larger gradient's
elsewhere, since every parameter is its own line. The error of a loss is |ours - theirs| / |theirs|. A line passes when
the error to PyTorch in f32 or to PyTorch in f64 is within its tolerance: relu and max pooling have kinks, and where
rounding decides on which side of one an element falls, PyTorch's own f32 leaves its f64 by percents of a gradient
(one does so at step 15 of the second case with one thread). The exit code is 0 when every line passes.

--time also measures one training step of both sides, on as many threads (TSR_THREADS, default 2), in turn, many times,
medians of these. A machine that does something else spoils the time by the clock, so the load is printed with it; the
time that the process worked, with one thread, is the figure that suffers least.
"""
import argparse
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS, SEED = 20, 20
# What f32 sums of a few hundred terms in another order may differ by; losses also carry what 20 updates made of it.
TOLERANCE = {"forward": 2e-6, "gradient": 4e-6, "loss": 2e-6}
DTYPES = {torch.float32: "F32", torch.int32: "I32"}
THREADS = int(os.environ.get("TSR_THREADS", "2"))


# ---- safetensors: a length, a JSON header, the data ------------------------------------------------------------------

def write_tensors(path, tensors, metadata):
    header, data = {"__metadata__": {k: str(v) for k, v in metadata.items()}}, b""
    for name, t in tensors.items():
        raw = bytes(t.contiguous().flatten().view(torch.uint8).tolist())
        place = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": DTYPES[t.dtype], "shape": list(t.shape), "data_offsets": place}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def read_tensors(path):
    with open(path, "rb") as f:
        raw = f.read()
    begin = 8 + struct.unpack("<Q", raw[:8])[0]
    tensors = {}
    for name, t in json.loads(raw[8:begin]).items():
        if name == "__metadata__":
            continue
        lo, hi = t["data_offsets"]
        assert t["dtype"] == "F32"
        tensors[name] = torch.frombuffer(bytearray(raw[begin + lo:begin + hi]), dtype=torch.float32).reshape(t["shape"])
    return tensors


# ---- data ------------------------------------------------------------------------------------------------------------

def digits():
    """The bundled digits, unpacked as data/README.md says: images in 0..1 (N, 1, 8, 8), labels (N)."""
    with open(os.path.join(HERE, "..", "..", "data", "digits.bin"), "rb") as f:
        raw = f.read()
    count, height, width, bits = struct.unpack("<HBBB", raw[8:13])
    stream = "".join(f"{b:08b}" for b in raw[16:])
    y = [int(stream[4 * i:4 * i + 4], 2) for i in range(count)]
    at = 4 * count
    x = [int(stream[at + bits * i:at + bits * (i + 1)], 2) for i in range(count * height * width)]
    images = torch.tensor(x, dtype=torch.float32).reshape(count, 1, height, width)
    return images / 16, torch.tensor(y, dtype=torch.int32)


def digit_batches(rng, batch=32):
    x, y = digits()
    order = torch.randperm(len(y), generator=rng)[:STEPS * batch]
    return x[order].reshape(STEPS, batch, 1, 8, 8), y[order].reshape(STEPS, batch)


def token_batches(rng, m, batch=8):
    """Sequences that can be learnt: each token is the one before times 3 plus a digit that is mostly 0."""
    T, V = m["context"], m["vocab"]
    noise = (torch.rand((STEPS, batch, T), generator=rng) < 0.2) * torch.randint(10, (STEPS, batch, T), generator=rng)
    t = [torch.randint(V, (STEPS, batch), generator=rng)]
    for i in range(T):
        t.append((t[-1] * 3 + noise[:, :, i] + 1) % V)
    t = torch.stack(t, 2).to(torch.int32)
    return t[:, :, :-1].contiguous(), t[:, :, 1:].contiguous()


# ---- models: functions of a dictionary of parameters -----------------------------------------------------------------

def convnet(m, p, x):
    for conv in "conv1", "conv2":
        x = F.max_pool2d(F.relu(F.conv2d(x, p[conv + ".weight"], p[conv + ".bias"], padding=1)), 2)
    return F.linear(x.flatten(1), p["fc.weight"], p["fc.bias"])


def convnet_shapes(m):
    return {"conv1.weight": (16, 1, 3, 3), "conv1.bias": (16,), "conv2.weight": (32, 16, 3, 3), "conv2.bias": (32,),
            "fc.weight": (m["classes"], 32 * (m["height"] // 4) * (m["width"] // 4)), "fc.bias": (m["classes"],)}


def attention(m, p, at, x):
    B, T, C = x.shape
    H, D = m["heads"], C // m["heads"]
    qkv = x @ p[at + "c_attn.weight"] + p[at + "c_attn.bias"]
    q, k, v = (t.reshape(B, T, H, D).transpose(1, 2) for t in qkv.split(C, 2))
    score = q @ k.transpose(2, 3) / D ** 0.5
    later = torch.ones(T, T, dtype=torch.bool).triu(1)
    y = score.masked_fill(later, -torch.inf).softmax(3) @ v
    return y.transpose(1, 2).reshape(B, T, C) @ p[at + "c_proj.weight"] + p[at + "c_proj.bias"]


def gpt(m, p, token):
    norm = lambda name, x: F.layer_norm(x, x.shape[-1:], p[name + ".weight"], p[name + ".bias"], 1e-5)
    x = p["wte.weight"][token] + p["wpe.weight"][:token.shape[1]]
    for i in range(m["layers"]):
        h = f"h.{i}."
        x = x + attention(m, p, h + "attn.", norm(h + "ln_1", x))
        y = F.gelu(norm(h + "ln_2", x) @ p[h + "mlp.c_fc.weight"] + p[h + "mlp.c_fc.bias"], approximate="tanh")
        x = x + (y @ p[h + "mlp.c_proj.weight"] + p[h + "mlp.c_proj.bias"])
    return norm("ln_f", x) @ p["wte.weight"].T


def gpt_shapes(m):
    C = m["width"]
    s = {"wte.weight": (m["vocab"], C), "wpe.weight": (m["context"], C)}
    for i in range(m["layers"]):
        for name, shape in {"ln_1.weight": (C,), "ln_1.bias": (C,),
                            "attn.c_attn.weight": (C, 3 * C), "attn.c_attn.bias": (3 * C,),
                            "attn.c_proj.weight": (C, C), "attn.c_proj.bias": (C,),
                            "ln_2.weight": (C,), "ln_2.bias": (C,),
                            "mlp.c_fc.weight": (C, 4 * C), "mlp.c_fc.bias": (4 * C,),
                            "mlp.c_proj.weight": (4 * C, C), "mlp.c_proj.bias": (C,)}.items():
            s[f"h.{i}.{name}"] = shape
    return s | {"ln_f.weight": (C,), "ln_f.bias": (C,)}


def initial(shapes, rng):
    """Weights as wide as He et al. have them; norms near 1 and biases near 0, so that no term is trivially right."""
    p = {}
    for name, shape in shapes.items():
        t = torch.randn(shape, generator=rng)
        fan_in = t[0].numel() if "conv" in name or "fc.weight" == name else shape[0]
        if len(shape) > 1:
            p[name] = t * (0.1 if "wte" in name or "wpe" in name else fan_in ** -0.5)
        else:
            p[name] = t * 0.1 + (1 if name.endswith("weight") else 0)
    return p


CONVNET = {"model": "convnet", "height": 8, "width": 8, "classes": 10}
GPT = {"model": "gpt", "vocab": 128, "context": 32, "layers": 2, "heads": 4, "width": 64}
MODELS = {"convnet": (convnet, convnet_shapes), "gpt": (gpt, gpt_shapes)}
CASES = {
    # what `tessera train digits` uses: 45 batches, 12 epochs
    "digits convnet, AdamW, one-cycle": CONVNET | {
        "optim": "adamw", "lr": 0.01, "weight_decay": 0.01, "schedule": "one_cycle", "total": 540},
    "digits convnet, SGD, Nesterov momentum": CONVNET | {
        "optim": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": 1, "weight_decay": 1e-4, "schedule": "constant"},
    "GPT, 2 layers, AdamW, clipped gradients": GPT | {
        "optim": "adamw", "lr": 1e-3, "weight_decay": 0.1, "clip_norm": 1.0, "schedule": "constant"},
    "GPT, 2 layers, Adam with L2, cosine": GPT | {
        "optim": "adam", "lr": 1e-3, "weight_decay": 1e-3, "schedule": "cosine", "total": 20, "floor": 0.1},
}


# ---- PyTorch's half --------------------------------------------------------------------------------------------------

class Peer:
    def __init__(self, case, params, x, y, dtype):
        self.case, self.build = case, MODELS[case["model"]][0]
        self.p = {k: v.to(dtype).clone().requires_grad_() for k, v in params.items()}
        self.x = x.to(dtype) if x.is_floating_point() else x.long()
        self.y = y.long()
        self.next = 0
        self.optim, self.schedule = self.optimiser()

    def optimiser(self):
        o, p = self.case, list(self.p.values())
        kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[o["optim"]]
        more = {k: o[k] for k in ("momentum", "nesterov") if k in o}
        opt = kind(p, o["lr"], weight_decay=o["weight_decay"], **more)
        schedule = None
        if o["schedule"] == "one_cycle":
            schedule = torch.optim.lr_scheduler.OneCycleLR(opt, o["lr"], o["total"], cycle_momentum=False)
        if o["schedule"] == "cosine":
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(opt, o["total"], o["floor"] * o["lr"])
        return opt, schedule

    def loss(self, i):
        logits = self.build(self.case, self.p, self.x[i])
        return logits, F.cross_entropy(logits.reshape(-1, logits.shape[-1]), self.y[i].reshape(-1))

    def probe(self):
        logits, loss = self.loss(0)
        loss.backward()
        grads = {"grad." + k: v.grad.clone() for k, v in self.p.items()}
        self.optim.zero_grad()
        return {"logits": logits.detach(), "loss": loss.detach()} | grads

    def step(self):
        _, loss = self.loss(self.next)
        self.next = (self.next + 1) % STEPS
        self.optim.zero_grad()
        loss.backward()
        if "clip_norm" in self.case:
            torch.nn.utils.clip_grad_norm_(self.p.values(), self.case["clip_norm"])
        self.optim.step()
        if self.schedule and self.schedule.last_epoch < self.last_scheduled():
            self.schedule.step()
        return loss.item()

    def last_scheduled(self):
        return self.case["total"] - 1 if "total" in self.case else STEPS

    def results(self):
        r = self.probe()
        return r | {"losses": torch.tensor([self.step() for _ in range(STEPS)], dtype=torch.float64)}

    def timed(self, steps):
        begin, work = time.perf_counter(), time.process_time()
        for _ in range(steps):
            self.step()
        return time.perf_counter() - begin, time.process_time() - work


# ---- Tessera's half --------------------------------------------------------------------------------------------------

class Ours:
    """The running C program: results at once, then timings on request."""

    def __init__(self, program, folder, case, params, x, y):
        given, found = os.path.join(folder, "in.safetensors"), os.path.join(folder, "out.safetensors")
        write_tensors(given, params | {"x": x, "y": y}, case)
        env = os.environ | {"TSR_THREADS": str(THREADS)}
        self.process = subprocess.Popen([program, given, found], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=env)
        if not self.process.stdout.readline().startswith("ready"):
            sys.exit(f"{program} failed")
        self.results = read_tensors(found)

    def timed(self, steps):
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return tuple(map(float, self.process.stdout.readline().split()))

    def close(self):
        self.process.stdin.close()
        if self.process.wait():
            sys.exit("the C program failed at its end")


# ---- comparison ------------------------------------------------------------------------------------------------------

def error(ours, theirs):
    """A NaN on either side, or another shape, is infinitely wrong."""
    if ours.shape != theirs.shape:
        return float("inf")
    e = ((ours.double() - theirs.double()).abs().max() / theirs.double().abs().max()).item()
    return e if e == e else float("inf")


def compare(name, kind, ours, peer, exact):
    """A row: name, error to PyTorch f32, to f64, PyTorch's own, tolerance, whether it passes."""
    e, to_exact = error(ours, peer), error(ours, exact)
    return name, e, to_exact, error(peer, exact), TOLERANCE[kind], min(e, to_exact) <= TOLERANCE[kind]


def check(case, params, x, y, ours):
    peer = Peer(case, params, x, y, torch.float32)
    theirs, exact = peer.results(), Peer(case, params, x, y, torch.float64).results()
    if set(ours) != set(theirs):
        sys.exit(f"names differ: {set(ours) ^ set(theirs)}")
    kind = lambda name: "gradient" if name.startswith("grad.") else "forward"
    rows = [compare(k, kind(k), ours[k], theirs[k], exact[k]) for k in theirs if k != "losses"]
    a, b, c = ours["losses"], theirs["losses"], exact["losses"]
    return rows + [compare(f"loss {i + 1:2} ({b[i]:.5f})", "loss", a[i], b[i], c[i]) for i in range(STEPS)], peer


LINE = "{:<32}  {:>14}  {:>8}  {:>18}  {:>9}  {}"


def report(title, rows):
    head = LINE.format("what", "to PyTorch f32", "to f64", "PyTorch f32 to f64", "tolerance", "")
    print(f"\n{title}\n\n{head.rstrip()}")
    for name, *errors, ok in rows:
        print(LINE.format(name, *(f"{e:.1e}" for e in errors), "PASS" if ok else "FAIL"))


def worst(rows):
    """The greatest error of each kind, as three pieces of a line of the summary."""
    kinds = {"forward": lambda n: n in ("logits", "loss"), "gradient": lambda n: n.startswith("grad."),
             "20 losses": lambda n: n.startswith("loss ")}
    return "  ".join(f"{k} {max(min(r[1], r[2]) for r in rows if of(r[0])):.1e}" for k, of in kinds.items())


def measure(ours, peer, repetitions=15, seconds=0.1):
    """Median (seconds by the clock, seconds of work) of a step of each side, in turn; a pause lets the other side's
    idle threads fall asleep."""
    sides = (ours.timed, peer.timed)
    steps = [max(1, int(seconds / (timed(20)[0] / 20))) for timed in sides]
    found = ([], [])
    for _ in range(repetitions):
        for side, timed in enumerate(sides):
            time.sleep(0.3)
            found[side].append([t / steps[side] for t in timed(steps[side])])
    return [[statistics.median(t) for t in zip(*side)] for side in found]


def timing(title, ours, peer):
    (clock, work), (peer_clock, peer_work) = measure(ours, peer)
    return (f"{title:<40}  {clock * 1e3:8.2f} {peer_clock * 1e3:8.2f} {peer_clock / clock:6.2f}x"
            f"  {work * 1e3:8.2f} {peer_work * 1e3:8.2f} {peer_work / work:6.2f}x  {os.getloadavg()[0]:5.1f}")


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("program", help="the program `parity` of a build folder")
    a.add_argument("--time", action="store_true", help="also time one training step of both sides")
    a = a.parse_args()
    torch.set_num_threads(THREADS)
    failed, summary, timings = 0, [], []
    for title, case in CASES.items():
        rng = torch.Generator().manual_seed(SEED)
        params = initial(MODELS[case["model"]][1](case), rng)
        x, y = digit_batches(rng) if case["model"] == "convnet" else token_batches(rng, case)
        with tempfile.TemporaryDirectory() as folder:
            ours = Ours(a.program, folder, case, params, x, y)
            rows, peer = check(case, params, x, y, ours.results)
            report(title, rows)
            summary.append(f"{title:<40}  {worst(rows)}")
            if a.time:
                timings.append(timing(title, ours, peer))
            ours.close()
        failed += sum(not r[-1] for r in rows)
    print("\nGreatest errors\n\n" + "\n".join(summary))
    if timings:
        print(f"\nOne training step, ms, threads: {THREADS} each, cores: {os.cpu_count()}.\n"
              "Tessera, PyTorch, ratio by the clock; the same of all threads' work; load\n\n" + "\n".join(timings))
    print(f"\n{'PASS' if not failed else f'FAIL: {failed} errors above their tolerance'} "
          f"(torch {torch.__version__}, seed {SEED})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
