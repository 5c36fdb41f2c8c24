#!/usr/bin/env python3
"""Functions exported by JAX, read and run by tessera, against JAX's own results.

    pip install jax
    cmake --preset release && ninja -C build/release tessera
    python bench/parity/stablehlo_export.py FOLDER --tessera build/release/tessera [--text] [--only NAME ...]

Each case is a function and its inputs. jax.export writes it into FOLDER as a portable artifact, NAME.mlir.bc (MLIR
bytecode of the VHLO dialect, what JAX hands to a plugin), and as text, NAME.mlir, with the inputs and JAX's results
beside them as NAME.in0.npy ... and NAME.out0.npy ... (bf16 as the bits in unsigned integers). Then two checks:

  print  `tessera print` of both files gives the same text: the bytecode reader and the text reader agree.
  run    `tessera run` of the bytecode (of the text with --text) gives JAX's results: bit for bit where the case says
         so (integers, random draws), else the error, max |ours - theirs| / max |theirs|, is within the tolerance.
         Normal draws: see random_normal below.

The exit code is 0 when every line passes. JAX runs on its CPU back end. A factorization is a call into LAPACK in what
JAX exports for a CPU; those cases are exported for a TPU, where they are StableHLO's operations, and still run by JAX
on the CPU here.
"""
import argparse
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax import export, lax

EXACT, F32, BF16 = 0.0, 1e-5, 2.0 ** -7
CASES = {}


def case(*inputs, tolerance=F32, ulps=None, platform="cpu", expected=None):
    """Registers a function with its inputs: arrays, or pairs (array, shape with names of symbolic dimensions). Results
    may be `ulps` representable numbers away where that is given; `expected` gives others than JAX's own."""
    def register(f):
        CASES[f.__name__] = dict(f=f, inputs=inputs, tolerance=tolerance, ulps=ulps, platform=platform,
                                 expected=expected or jax.jit(f))
        return f
    return register


rng = np.random.default_rng(20)


def draw(*shape, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


# ---- networks --------------------------------------------------------------------------------------------------------

MLP = [draw(32, 64, scale=0.2), draw(64), draw(64, 64, scale=0.2), draw(64), draw(64, 10, scale=0.2), draw(10)]


def mlp_forward(x, *p):
    x = jax.nn.relu(x @ p[0] + p[1])
    x = jax.nn.gelu(x @ p[2] + p[3])
    return jax.nn.log_softmax(x @ p[4] + p[5])


@case(draw(16, 32), *MLP)
def mlp(x, *p):
    return mlp_forward(x, *p)


@case(draw(16, 32), rng.integers(0, 10, 16).astype(np.int32), *MLP)
def mlp_gradient(x, y, *p):
    def loss(p):
        return -jnp.mean(jnp.take_along_axis(mlp_forward(x, *p), y[:, None], 1))
    return jax.value_and_grad(loss)(p)


RNN = [draw(8, 16, scale=0.3), draw(16, 16, scale=0.3), draw(16)]  # (C, H), (H, H), (H)


def rnn_forward(x, wx, wh, b):  # x (T, B, C)
    def step(h, xt):
        h = jnp.tanh(xt @ wx + h @ wh + b)
        return h, h
    return lax.scan(step, jnp.zeros((x.shape[1], 16), x.dtype), x)


@case(draw(12, 4, 8), *RNN)
def rnn_scan(x, *p):
    return rnn_forward(x, *p)


@case(draw(12, 4, 8), *RNN)
def rnn_scan_gradient(x, *p):
    return jax.grad(lambda p: jnp.sum(rnn_forward(x, *p)[1] ** 2))(p)


def layer_norm(x, g, b):
    m = x.mean(-1, keepdims=True)
    v = ((x - m) ** 2).mean(-1, keepdims=True)
    return (x - m) * lax.rsqrt(v + 1e-5) * g + b


BLOCK = [draw(32, 96, scale=0.2), draw(32, 32, scale=0.2), draw(32, 128, scale=0.2), draw(128, 32, scale=0.2),
         draw(32), draw(32), draw(32), draw(32)]


def block_forward(x, qkv, proj, up, down, g1, b1, g2, b2):  # x (B, T, C); 4 heads
    b, t, c = x.shape
    h = layer_norm(x, g1, b1)
    q, k, v = [z.reshape(b, t, 4, c // 4).transpose(0, 2, 1, 3) for z in jnp.split(h @ qkv, 3, -1)]
    s = q @ k.transpose(0, 1, 3, 2) / np.sqrt(c // 4)
    s = jnp.where(jnp.tril(jnp.ones((t, t), bool)), s, -jnp.inf)
    h = (jax.nn.softmax(s) @ v).transpose(0, 2, 1, 3).reshape(b, t, c)
    x = x + h @ proj
    return x + jax.nn.gelu(layer_norm(x, g2, b2) @ up) @ down


@case(draw(2, 10, 32), *BLOCK)
def transformer_block(x, *p):
    return block_forward(x, *p)


@case(draw(2, 10, 32), *BLOCK)
def transformer_block_gradient(x, *p):
    return jax.grad(lambda x, p: jnp.mean(block_forward(x, *p) ** 2), argnums=(0, 1))(x, p)


@case(draw(2, 12, 12, 3), draw(3, 3, 3, 8, scale=0.3))
def convolution_pool(x, w):
    y = lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return lax.reduce_window(y, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


@case(draw(2, 12, 12, 3), draw(3, 3, 3, 8, scale=0.3))
def convolution_pool_gradient(x, w):
    return jax.grad(lambda x, w: jnp.sum(convolution_pool(x, w) ** 2), argnums=(0, 1))(x, w)


# ---- random numbers: the same bits -----------------------------------------------------------------------------------

KEY = np.asarray(jax.random.PRNGKey(42))


# JAX draws normal numbers as sqrt(2) erfinv(u), and what it exports says how: log1p, sqrt and polynomials. XLA's log1p
# on a CPU is an approximation, 2 ulps off at worst. So there are two checks: against JAX, within 4 ulps, and bit for
# bit against the same formula (M. Giles, "Approximating the erfinv function", 2010) on the same uniform numbers with
# log1p rounded correctly.
GILES = [(2.81022636e-08, -0.000200214257), (3.43273939e-07, 0.000100950558), (-3.5233877e-06, 0.00134934322),
         (-4.39150654e-06, -0.00367342844), (0.00021858087, 0.00573950773), (-0.00125372503, -0.0076224613),
         (-0.00417768164, 0.00943887047), (0.246640727, 1.00167406), (1.50140941, 2.83297682)]


def rounded_normal(key):
    f = np.float32
    u = np.asarray(jax.random.uniform(key, (1000,), f, np.nextafter(f(-1), f(0)), f(1)))
    w = -np.log1p((u * -u).astype(np.float64)).astype(f)
    central = w < f(5)
    t, p = np.where(central, w - f(2.5), np.sqrt(w) - f(3)), f(0)
    for a, b in GILES:
        p = np.where(central, f(a), f(b)) + p * t
    return p * u * f(np.sqrt(2))


@case(KEY, ulps=4)
def random_normal(key):
    return jax.random.normal(key, (1000,))


@case(KEY, tolerance=EXACT, expected=rounded_normal)
def random_normal_rounded(key):
    return jax.random.normal(key, (1000,))


@case(KEY, tolerance=EXACT)
def random_uniform(key):
    return jax.random.uniform(key, (333,)), jax.random.bits(key, (5, 7))


@case(KEY, tolerance=EXACT)
def random_split(key):
    keys = jax.random.split(key, 4)
    return keys, jax.random.permutation(keys[1], 50), jax.random.categorical(keys[2], jnp.zeros((3, 9)))


# ---- element types ---------------------------------------------------------------------------------------------------

@case(draw(8, 16).astype(jnp.bfloat16), draw(16, 8).astype(jnp.bfloat16), tolerance=BF16)
def bf16_matmul(a, b):
    return jnp.tanh(a @ b) + a[:, :8]


@case((draw(6, 5) + 1j * draw(6, 5)).astype(np.complex64), (draw(6, 5) + 1j * draw(6, 5)).astype(np.complex64))
def complex_arithmetic(a, b):
    return a * b, a / b, jnp.exp(a), jnp.abs(a), jnp.conj(b), a @ b.T


@case(draw(4, 12), (draw(3, 8) + 1j * draw(3, 8)).astype(np.complex64))
def fft(x, z):
    return jnp.fft.rfft(x), jnp.fft.fft(z), jnp.fft.ifft(z), jnp.fft.irfft(jnp.fft.rfft(x))


@case(rng.integers(-100, 100, (7, 9)).astype(np.int32), rng.integers(0, 2 ** 32, (7, 9), dtype=np.uint32),
      tolerance=EXACT)
def integers(a, b):
    return a // 7, a % 7, lax.population_count(b), b >> 5, lax.clz(b), jnp.cumsum(a, 1), a.astype(jnp.int8)


# ---- data movement and control ---------------------------------------------------------------------------------------

@case(draw(40), tolerance=EXACT)
def sort_and_top_k(x):
    return jnp.sort(x), jnp.argsort(x), *lax.top_k(x, 5)


@case(draw(10, 4), rng.integers(0, 10, 6).astype(np.int32), draw(6, 4))
def gather_scatter(x, i, u):
    return x[i], x.at[i].add(u), x.at[i[0]].set(u[0]), jax.ops.segment_sum(u, i, 10)


@case(np.float32(3.0), draw(5))
def control_flow(n, x):
    _, y = lax.while_loop(lambda s: s[0] > 0, lambda s: (s[0] - 1, jnp.sin(s[1]) * 2), (n, x))
    z = lax.fori_loop(0, 7, lambda i, v: v + i * x, x)
    return y, z, lax.cond(n > 2, jnp.cos, jnp.sin, x), lax.switch(jnp.int32(1), [jnp.exp, jnp.tanh, jnp.abs], x)


# ---- factorizations, symbolic shapes ---------------------------------------------------------------------------------

@case(draw(6, 6), draw(6, 3), platform="tpu")
def cholesky_solve(a, b):
    low = jnp.linalg.cholesky(a @ a.T + 6 * jnp.eye(6))
    return low, lax.linalg.triangular_solve(low, b, left_side=True, lower=True)


@case((draw(5, 4), "b, 4"), draw(4, 3))
def symbolic_batch(x, w):
    return jax.nn.softmax(x @ w), jnp.concatenate([x, x], 0), jnp.sum(x) / x.shape[0]


# ---- export, run, compare --------------------------------------------------------------------------------------------

def as_file(a):
    a = np.asarray(a)
    return a.view(np.uint16) if a.dtype == jnp.bfloat16 else a


def write(folder, name):
    inputs = CASES[name]["inputs"]
    arrays = [i[0] if isinstance(i, tuple) else i for i in inputs]
    scope = export.SymbolicScope()
    specs = [jax.ShapeDtypeStruct(export.symbolic_shape(i[1], scope=scope), i[0].dtype) if isinstance(i, tuple)
             else jax.ShapeDtypeStruct(np.shape(i), np.asarray(i).dtype) for i in inputs]
    exported = export.export(jax.jit(CASES[name]["f"]), platforms=[CASES[name]["platform"]])(*specs)
    base = os.path.join(folder, name)
    with open(base + ".mlir.bc", "wb") as out:
        out.write(exported.mlir_module_serialized)
    with open(base + ".mlir", "w") as out:
        out.write(exported.mlir_module())
    results = jax.tree_util.tree_leaves(CASES[name]["expected"](*arrays))
    kept = [arrays[i] for i in exported.module_kept_var_idx]
    for k, a in enumerate(kept):
        np.save(f"{base}.in{k}.npy", as_file(a))
    for k, a in enumerate(results):
        np.save(f"{base}.out{k}.npy", as_file(a))
    return len(kept), [np.asarray(r) for r in results]


def difference(got, want):
    """max |got - want| / max |want|; 0 for the same bits."""
    if got.shape != want.shape:
        return f"shape {got.shape}, not {want.shape}"
    if want.dtype == jnp.bfloat16:
        if got.dtype == np.uint16:
            got = got.view(jnp.bfloat16)
        if got.dtype == want.dtype and got.tobytes() == want.tobytes():
            return 0.0
        got, want = got.astype(np.float32), want.astype(np.float32)
    if got.dtype != want.dtype:
        return f"{got.dtype}, not {want.dtype}"
    if got.tobytes() == want.tobytes():
        return 0.0
    if not np.array_equal(np.isnan(got), np.isnan(want)):
        return "NaN in other places"
    wide = np.complex128 if np.iscomplexobj(want) else np.float64
    error = np.nanmax(np.abs(got.astype(wide) - want.astype(wide)))
    return max(float(error / max(np.nanmax(np.abs(want)), 1e-30)), 1e-300)


def in_ulps(got, want):
    """How many f32 are other bits, and how many representable numbers away the worst is."""
    away = np.abs(got.view(np.int32).astype(np.int64) - want.view(np.int32))
    return int(np.count_nonzero(away)), int(away.max())


def call(arguments):
    r = subprocess.run(arguments, capture_output=True, text=True)
    return r.returncode == 0, r.stdout, r.stderr.strip().splitlines()[-1] if r.stderr.strip() else ""


def check_print(tessera, base):
    ok, bytecode, why = call([tessera, "print", base + ".mlir.bc"])
    if not ok:
        return False, "bytecode: " + why
    ok, text, why = call([tessera, "print", base + ".mlir"])
    if not ok:
        return False, "text: " + why
    return bytecode == text, "" if bytecode == text else "the two files print differently"


def check_run(tessera, base, inputs, results, case, file):
    arguments = [tessera, "run", file, "--raw", "--output-dir", base + ".got"]
    for k in range(inputs):
        arguments += ["--input", f"{base}.in{k}.npy"]
    ok, _, why = call(arguments)
    if not ok:
        return False, why
    got = [np.load(os.path.join(base + ".got", f"{k}.npy")) for k in range(len(results))]
    errors = [difference(g, want) for g, want in zip(got, results)]
    for k, error in enumerate(errors):
        if isinstance(error, str):
            return False, f"result {k}: {error}"
    if case["ulps"] is not None:
        others, away = in_ulps(got[0], results[0])
        return away <= case["ulps"], f"{got[0].size - others} of {got[0].size} same bits, others {away} ulps at most"
    worst, tolerance = max(errors), case["tolerance"]
    return worst <= tolerance, "same bits" if worst == 0 else f"error {worst:.2g} (tolerance {tolerance:.2g})"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--tessera", help="the program; without it the files are only written")
    parser.add_argument("--text", action="store_true", help="run the text, not the bytecode")
    parser.add_argument("--only", nargs="*", help="these cases")
    o = parser.parse_args()
    os.makedirs(o.folder, exist_ok=True)
    print(f"jax {jax.__version__}, {len(CASES)} functions")
    passed = failed = 0
    for name in o.only or CASES:
        inputs, results = write(o.folder, name)
        if not o.tessera:
            continue
        base = os.path.join(o.folder, name)
        lines = {"print": check_print(o.tessera, base),
                 "run": check_run(o.tessera, base, inputs, results, CASES[name],
                                  base + (".mlir" if o.text else ".mlir.bc"))}
        for what, (ok, why) in lines.items():
            passed, failed = passed + ok, failed + (not ok)
            print(f"{name:28} {what:6} {'ok' if ok else 'FAILED':7} {why}")
    if o.tessera:
        print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
