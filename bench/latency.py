#!/usr/bin/env python3
"""latency.py: from a graph that was never seen to its first result and to compiled code, beside torch.compile and JAX.

    python3 bench/latency.py [--cases chain,resnet,gpt] [--who tessera,vm,torch,jax] [--rounds 1] [--limit 600]
                             [--batches] [--before COMMAND] [--program build/release/bench/latency]

Each measurement is a process of its own with an empty cache of compiled code, then a second one with what the first
left (warm); the programs take turns. One that takes longer than --limit seconds is stopped and said to have been. vm is
Tessera without its C tier. For the peers the first result and compiled code are one moment: their call compiles, then
runs. `first` is the first call's time, `run` the median of later ones, both in milliseconds. --batches measures new
batch sizes instead: Tessera binds fifty for each graph (and runs the first two of the nets, whose kernels do not depend
on which), the peers run fifty of the chain and PEER_SIZES of ResNet-50. --before is put in front of each process, for a
machine that others use too. Needs PyTorch and JAX (pip install torch jax). The graphs: twelve elementwise ops on
256x4096; ResNet-50 on one image; a gradient-descent step of GPT-2's 12 layers of width 768 on 4 x 64 tokens, vocabulary
1024.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

RUNS = 5
BATCHES = 50
PEER_SIZES = 4
LAYERS, HEADS, WIDTH, VOCAB, CONTEXT = 12, 12, 768, 1024, 64


def timed(call, ready):
    start = time.perf_counter()
    ready(call())
    return (time.perf_counter() - start) * 1e3


def report(first, call, ready, **more):
    runs = sorted(timed(call, ready) for _ in range(RUNS))
    print(json.dumps({"first": first, "run": runs[RUNS // 2], **more}))


# ---- PyTorch

def more_sizes(n, size, call, ready, compiled):
    """New batch sizes: what they cost."""
    before, start = compiled(), time.perf_counter()
    for i in range(n):
        ready(call(size(i)))
    ms = (time.perf_counter() - start) * 1e3
    print(json.dumps({"sizes": n, "compilations": compiled() - before, "batches_ms": ms}))


def torch_graphs():
    from torch._dynamo.utils import counters
    return counters["stats"]["unique_graphs"]


def torch_chain(batches):
    import torch

    def f(x, y):
        for _ in range(3):
            x = torch.tanh(x + y) * torch.sigmoid(x)
        return torch.exp(torch.maximum(x, y) - y * y)

    x, y = torch.randn(256, 4096), torch.randn(256, 4096)
    g = torch.compile(f)
    if not batches:
        return report(timed(lambda: g(x, y), lambda r: r), lambda: g(x, y), lambda r: r)
    g(x, y)
    more_sizes(BATCHES, lambda i: torch.ones(3 * i + 4, 4096), lambda z: g(z, z), lambda r: r, torch_graphs)


def torch_resnet(batches):
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, i, w, stride):
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(i, w, 1, bias=False), nn.BatchNorm2d(w), nn.ReLU(),
                nn.Conv2d(w, w, 3, stride, 1, bias=False), nn.BatchNorm2d(w), nn.ReLU(),
                nn.Conv2d(w, 4 * w, 1, bias=False), nn.BatchNorm2d(4 * w))
            self.down = None
            if i != 4 * w or stride != 1:
                self.down = nn.Sequential(nn.Conv2d(i, 4 * w, 1, stride, bias=False), nn.BatchNorm2d(4 * w))

        def forward(self, x):
            return torch.relu(self.body(x) + (x if self.down is None else self.down(x)))

    parts, i = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
    for stage, n in enumerate((3, 4, 6, 3)):
        for k in range(n):
            w = 64 << stage
            parts.append(Block(i, w, 2 if stage and not k else 1))
            i = 4 * w
    net = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000)).eval()
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        g = torch.compile(net)
        if not batches:
            return report(timed(lambda: g(x), lambda r: r), lambda: g(x), lambda r: r)
        g(x)
        more_sizes(PEER_SIZES, lambda i: torch.randn(i + 2, 3, 224, 224), g, lambda r: r, torch_graphs)


def torch_gpt(batches):
    import torch
    from torch import nn
    import torch.nn.functional as F

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.n1, self.n2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

        def forward(self, x):
            B, T, C = x.shape
            q, k, v = (t.view(B, T, HEADS, C // HEADS).transpose(1, 2) for t in self.qkv(self.n1(x)).split(C, 2))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.proj(y.transpose(1, 2).reshape(B, T, C))
            return x + self.down(F.gelu(self.up(self.n2(x)), approximate="tanh"))

    class Gpt(nn.Module):
        def __init__(self):
            super().__init__()
            self.wte, self.wpe = nn.Embedding(VOCAB, WIDTH), nn.Embedding(CONTEXT, WIDTH)
            self.layers, self.norm = nn.ModuleList(Layer() for _ in range(LAYERS)), nn.LayerNorm(WIDTH)

        def forward(self, token, target):
            x = self.wte(token) + self.wpe(torch.arange(token.shape[1]))
            for layer in self.layers:
                x = layer(x)
            return F.cross_entropy((self.norm(x) @ self.wte.weight.T).flatten(0, 1), target.flatten())

    net = Gpt()
    token, target = torch.randint(0, 10, (4, CONTEXT)), torch.randint(0, 10, (4, CONTEXT))
    g = torch.compile(net)

    def step():
        loss = g(token, target)
        loss.backward()
        with torch.no_grad():
            for p in net.parameters():
                p -= 0.01 * p.grad
                p.grad = None
        return loss

    report(timed(step, lambda r: r), step, lambda r: r)


# ---- JAX

def jax_setup():
    import jax
    jax.config.update("jax_compilation_cache_dir", os.environ["LATENCY_CACHE"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return jax


def jax_wait(r):
    import jax
    return jax.block_until_ready(r)


def jax_chain(batches):
    jax = jax_setup()
    import jax.numpy as np

    def f(x, y):
        for _ in range(3):
            x = np.tanh(x + y) * jax.nn.sigmoid(x)
        return np.exp(np.maximum(x, y) - y * y)

    x, y = np.ones((256, 4096)), np.ones((256, 4096))
    g = jax.jit(f)
    if not batches:
        return report(timed(lambda: g(x, y), jax_wait), lambda: g(x, y), jax_wait)
    jax_wait(g(x, y))
    more_sizes(BATCHES, lambda i: np.ones((3 * i + 4, 4096)), lambda z: g(z, z), jax_wait, g._cache_size)


def jax_resnet(batches):
    jax = jax_setup()
    import jax.numpy as np
    import numpy
    rng = numpy.random.default_rng(1)

    def conv(i, o, k):
        return np.asarray(0.02 * rng.standard_normal((o, i, k, k)), np.float32)

    def norm(n):
        return [np.ones(n), np.zeros(n), np.zeros(n), np.ones(n)]

    blocks, i = [], 64
    for stage, n in enumerate((3, 4, 6, 3)):
        for k in range(n):
            w, stride = 64 << stage, 2 if stage and not k else 1
            p = [conv(i, w, 1), norm(w), conv(w, w, 3), norm(w), conv(w, 4 * w, 1), norm(4 * w)]
            p += [conv(i, 4 * w, 1), norm(4 * w)] if i != 4 * w or stride != 1 else []
            blocks.append((stride, p))
            i = 4 * w
    strides = [s for s, _ in blocks]
    params = [conv(3, 64, 7), norm(64), [p for _, p in blocks], 0.02 * np.ones((2048, 1000)), np.zeros(1000)]

    def cv(x, w, stride=1):
        k = w.shape[2] // 2
        return jax.lax.conv_general_dilated(x, w, (stride, stride), [(k, k), (k, k)],
                                            dimension_numbers=("NCHW", "OIHW", "NCHW"))

    def bn(x, p):
        w, b, m, v = (t[None, :, None, None] for t in p)
        return (x - m) / np.sqrt(v + 1e-5) * w + b

    relu = jax.nn.relu

    def net(params, x):
        x = relu(bn(cv(x, params[0], 2), params[1]))
        x = jax.lax.reduce_window(x, -np.inf, jax.lax.max, (1, 1, 3, 3), (1, 1, 2, 2), [(0, 0), (0, 0), (1, 1), (1, 1)])
        for stride, p in zip(strides, params[2]):
            y = relu(bn(cv(x, p[0]), p[1]))
            y = relu(bn(cv(y, p[2], stride), p[3]))
            y = bn(cv(y, p[4]), p[5])
            x = relu(y + (bn(cv(x, p[6], stride), p[7]) if len(p) > 6 else x))
        return x.mean((2, 3)) @ params[3] + params[4]

    x = np.asarray(rng.standard_normal((1, 3, 224, 224)), np.float32)
    g = jax.jit(net)
    if not batches:
        return report(timed(lambda: g(params, x), jax_wait), lambda: g(params, x), jax_wait)
    jax_wait(g(params, x))
    more_sizes(PEER_SIZES, lambda i: np.ones((i + 2, 3, 224, 224)), lambda z: g(params, z), jax_wait, g._cache_size)


def jax_gpt(batches):
    jax = jax_setup()
    import jax.numpy as np
    import numpy
    rng = numpy.random.default_rng(1)

    def w(*shape):
        return np.asarray(0.02 * rng.standard_normal(shape), np.float32)

    C = WIDTH
    layers = [[np.ones(C), np.zeros(C), w(C, 3 * C), np.zeros(3 * C), w(C, C), np.zeros(C), np.ones(C), np.zeros(C),
               w(C, 4 * C), np.zeros(4 * C), w(4 * C, C), np.zeros(C)] for _ in range(LAYERS)]
    params = [w(VOCAB, C), w(CONTEXT, C), layers, np.ones(C), np.zeros(C)]
    token = np.asarray(rng.integers(0, 10, (4, CONTEXT)))
    target = np.asarray(rng.integers(0, 10, (4, CONTEXT)))

    def norm(x, g, b):
        m = x.mean(-1, keepdims=True)
        return (x - m) / np.sqrt(((x - m) ** 2).mean(-1, keepdims=True) + 1e-5) * g + b

    def loss(params):
        x = params[0][token] + params[1][:CONTEXT]
        B, T = token.shape
        for p in params[2]:
            q, k, v = (t.reshape(B, T, HEADS, C // HEADS).transpose(0, 2, 1, 3)
                       for t in np.split(norm(x, p[0], p[1]) @ p[2] + p[3], 3, 2))
            s = q @ k.transpose(0, 1, 3, 2) / (C // HEADS) ** 0.5
            s = np.where(np.tril(np.ones((T, T), bool)), s, -np.inf)
            y = (jax.nn.softmax(s, -1) @ v).transpose(0, 2, 1, 3).reshape(B, T, C)
            x = x + y @ p[4] + p[5]
            x = x + jax.nn.gelu(norm(x, p[6], p[7]) @ p[8] + p[9]) @ p[10] + p[11]
        logits = norm(x, params[3], params[4]) @ params[0].T
        return -np.take_along_axis(jax.nn.log_softmax(logits, -1), target[..., None], -1).mean()

    def step(params):
        value, grad = jax.value_and_grad(loss)(params)
        return value, jax.tree.map(lambda p, g: p - 0.01 * g, params, grad)

    g = jax.jit(step)
    report(timed(lambda: g(params), jax_wait), lambda: g(params), jax_wait)


# ---- the comparison

class Failure(Exception):
    pass


def measure(o, command, cache, **env):
    environment = dict(os.environ, LATENCY_CACHE=cache, TORCHINDUCTOR_CACHE_DIR=cache, TSR_CACHE=cache, **env)
    before = o.before.split()
    process = subprocess.Popen(before + command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, start_new_session=True)
    try:
        out, err = process.communicate(timeout=o.limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise Failure(f"stopped at its limit of {o.limit} s")
    if process.returncode or not out.strip():
        raise Failure(f"failed: {(err.strip().splitlines() or ['no output'])[-1]}")
    return json.loads(out.strip().splitlines()[-1])


def command_of(o, who, case):
    if who in ("tessera", "vm"):
        return [o.program] + (["--batches", str(BATCHES if case == "chain" else 2)] if o.batches else []) + [case]
    return [sys.executable, os.path.abspath(__file__), "--peer", f"{who}_{case}"] + (["--batches"] if o.batches else [])


def show(case, who, turn, r):
    r.pop("case", None)
    print(case, who, turn, " ".join(f"{k} {v:.1f}" if isinstance(v, float) else f"{k} {v}" for k, v in r.items()),
          flush=True)


def take_turn(o, who, case):
    if o.batches and case == "gpt" and who not in ("tessera", "vm"):
        return
    with tempfile.TemporaryDirectory(prefix="latency-") as cache:
        for turn in ("cold",) if o.batches or who == "vm" else ("cold", "warm"):
            try:
                show(case, who, turn, measure(o, command_of(o, who, case), cache,
                                              TSR_JIT="off" if who == "vm" else "lazy"))
            except Failure as f:
                print(case, who, turn, f, flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default="build/release/bench/latency")
    parser.add_argument("--cases", default="chain,resnet,gpt")
    parser.add_argument("--who", default="tessera,vm,torch,jax")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--limit", type=float, default=600)
    parser.add_argument("--before", default="")
    parser.add_argument("--batches", action="store_true")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.peer:
        return globals()[o.peer](o.batches)
    for case in o.cases.split(","):
        for _ in range(o.rounds):
            for who in o.who.split(","):
                take_turn(o, who, case)


if __name__ == "__main__":
    main()
