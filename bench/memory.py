"""Memory-bound kernels beside PyTorch and JAX, in one run.

    python bench/memory.py [--tessera build/release/tessera] [--rounds 7] [--threads 2]

Needs torch and jax (CPU builds) and a C++ compiler for torch.compile; what is missing is left out of the table. Each
round runs `tessera bench` (tile VM, C tier with a warm cache, the copy limit), then every peer on the same shapes; a
figure is the median over rounds of its rate divided by the copy rate of the same round, since machines drift. Bytes
are what must be read and written once. All operands are f32; results are fresh each time, as a program would ask.
"""
import argparse
import json
import os
import statistics
import subprocess
import time

M = 1 << 20
# name in `tessera bench`, bytes that must move, shapes of the operands
CASES = [
    ("relu(x y + x), 16 M", 3 * 4 * 16 * M, [(16 * M,), (16 * M,)]),
    ("gelu(x / 2 + 1 / 3) y, 16 M", 3 * 4 * 16 * M, [(16 * M,), (16 * M,)]),
    ("softmax, 8192 x 1024", 2 * 4 * 8 * M, [(8192, 1024)]),
    ("layer_norm, 8192 x 1024", 2 * 4 * 8 * M, [(8192, 1024), (1024,), (1024,)]),
    ("sum, 16 M", 4 * 16 * M, [(16 * M,)]),
]
REPEATS = 3  # of each case in a round; the median counts


def torch_functions(torch):
    f = torch.nn.functional
    return [
        lambda x, y: torch.relu(x * y + x),
        lambda x, y: f.gelu(x * 0.5 + 1 / 3) * y,
        lambda x: torch.softmax(x, -1),
        lambda x, w, b: f.layer_norm(x, (1024,), w, b, 1e-5),
        lambda x: x.sum(),
    ]


def jax_functions(jax, jnp):
    def layer_norm(x, w, b):
        d = x - x.mean(-1, keepdims=True)
        return d * jax.lax.rsqrt((d * d).mean(-1, keepdims=True) + 1e-5) * w + b

    return [
        lambda x, y: jax.nn.relu(x * y + x),
        lambda x, y: jax.nn.gelu(x * 0.5 + 1 / 3, approximate=False) * y,
        lambda x: jax.nn.softmax(x, -1),
        layer_norm,
        lambda x: x.sum(),
    ]


def torch_peers(threads):
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    data = [[torch.rand(s) * 2 - 1 for s in shapes] for _, _, shapes in CASES]

    def runner(f, args):
        def run():
            with torch.inference_mode():
                return f(*args)
        return run

    eager = torch_functions(torch)
    peers = {f"PyTorch {torch.__version__} eager": [runner(f, d) for f, d in zip(eager, data)]}
    compiled = [runner(torch.compile(f), d) for f, d in zip(torch_functions(torch), data)]
    try:
        for run in compiled:
            run()
        peers["torch.compile"] = compiled
    except Exception as e:  # no C++ compiler
        print(f"torch.compile left out: {str(e).splitlines()[0]}")
    return peers


def jax_peers():
    try:
        import jax
        import jax.numpy as jnp
    except ImportError:
        return {}
    key = jax.random.key(1)
    data = [[jax.random.uniform(key, s, minval=-1, maxval=1) for s in shapes] for _, _, shapes in CASES]

    def runner(f, args):
        return lambda: jax.block_until_ready(f(*args))

    return {f"JAX {jax.__version__} jit": [runner(jax.jit(f), d) for f, d in zip(jax_functions(jax, jnp), data)]}


def seconds(run):
    took = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def tessera_round(program, threads):
    """Rates in GB/s: copy, and {(case, tier)}."""
    env = dict(os.environ, TSR_THREADS=str(threads))
    words = ["relu", "gelu", "softmax", "norm", "sum"]
    out = subprocess.run([program, "bench", *words, "--json", "--rounds", str(REPEATS)], env=env, check=True,
                         capture_output=True, text=True).stdout
    rows = [json.loads(line) for line in out.splitlines()]
    copy = max(r["rate"] for r in rows if r["case"].startswith("copy"))
    return copy, {(r["case"], r["tier"]): r["rate"] for r in rows if "tier" in r}


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--tessera", default="build/release/tessera")
    a.add_argument("--rounds", type=int, default=7)
    a.add_argument("--threads", type=int, default=2)
    o = a.parse_args()
    # XLA has no option for its number of threads: it sees the processors that the process may use.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: o.threads])
    peers = {**torch_peers(o.threads), **jax_peers()}
    for runs in peers.values():  # compile and warm up
        for run in runs:
            run()
    tessera_round(o.tessera, o.threads)
    columns = {"vm": "tessera, tile VM", "c": "tessera, C tier"}
    ratio, copies = {}, []
    for _ in range(o.rounds):
        copy, rates = tessera_round(o.tessera, o.threads)
        copies.append(copy)
        for (case, tier), rate in rates.items():
            ratio.setdefault((case, columns[tier]), []).append(rate / copy)
        for name, runs in peers.items():
            for (case, size, _), run in zip(CASES, runs):
                ratio.setdefault((case, name), []).append(size / seconds(run) * 1e-9 / copy)
    names = [n for n in [*columns.values(), *peers] if any(c == n for _, c in ratio)]
    print(f"{o.threads} threads, {o.rounds} rounds, copy {statistics.median(copies):.1f} GB/s "
          f"({min(copies):.1f} to {max(copies):.1f}); per cent of the round's copy rate, medians\n")
    print("| case | " + " | ".join(names) + " |")
    print("|---|" + "---:|" * len(names))
    for case, _, _ in CASES:
        cells = [f"{100 * statistics.median(ratio[case, n]):.0f}" if (case, n) in ratio else "" for n in names]
        print(f"| {case} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
