#!/usr/bin/env python3
"""Collectives against JAX: a shard_map program over four devices, as a StableHLO module that checks itself.

JAX lowers a shard_map to the program of one device (psum, all_gather, ppermute, psum_scatter, all_to_all, axis_index,
sums inside loops, groups, a gradient) inside sdy.manual_computation. This script takes that program out, lets four
partitions run it on the shards of one array, and expects the shards of JAX's own results within 2 ulp.

    pip install jax
    python bench/parity/jax_mesh.py > mesh.mlir
    tessera conformance stablehlo mesh.mlir [--tier reference]
"""
import os
import re

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from jax import lax, shard_map  # noqa: E402
from jax.sharding import Mesh, PartitionSpec  # noqa: E402

N = 4


def program(x):
    four = jnp.concatenate([x] * N)
    looped = lax.fori_loop(0, 3, lambda k, v: lax.psum(v, "i") * 0.25 + k, x)
    scanned, _ = lax.scan(lambda c, y: (c + lax.pmin(y, "i"), None), jnp.zeros(()), x)
    return (lax.psum(x, "i"), lax.pmax(x, "i"), lax.psum(x, "i", axis_index_groups=[[0, 3], [1, 2]]),
            lax.all_gather(x, "i", tiled=True), lax.ppermute(x, "i", [(0, 1), (1, 2)]),
            lax.psum_scatter(four, "i", tiled=True),
            lax.all_to_all(four, "i", 0, 0, tiled=True) + lax.axis_index("i"), looped, scanned[None],
            jax.grad(lambda v: jnp.sum(jnp.sin(lax.psum(v * v, "i"))))(x))


def literal(a):
    return "dense<[" + ", ".join(repr(float(v)) for v in a.reshape(-1)) + "]>"


def main():
    mesh = Mesh(np.array(jax.devices()), ("i",))
    spec = PartitionSpec("i")
    f = jax.jit(shard_map(program, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False))
    x = jnp.arange(2 * N, dtype=jnp.float32) * 0.5 - 1
    text = f.lower(x).as_text()
    arg, kind, body, values, kinds = re.search(
        r'manual_axes=\{"i"\} \((%\w+): (tensor<[^>]*>)\) \{\n(.*?)\n +sdy.return (.*?) : (.*?)\n', text, re.S).groups()
    kinds = re.findall(r"tensor<[^>]*>", kinds)
    print("func.func @f(%s: %s) -> (%s) {\n%s\n  return %s : %s\n}" % (
        arg, kind, ", ".join(kinds), body, values, ", ".join(kinds)))
    print("".join(re.findall(r"  func.func private.*?\n  \}\n", text, re.S)) + "func.func @main() {")
    shards = np.split(np.asarray(x), N)
    for i, s in enumerate(shards):
        print("  %%x%d = stablehlo.constant %s : %s" % (i, literal(s), kind))
    print('  %%r:%d = "interpreter.run_parallel"(%s) {programs = [[%s]]} : (%s) -> (%s)' % (
        N * len(kinds), ", ".join("%%x%d" % i for i in range(N)), ", ".join(["@f"] * N), ", ".join([kind] * N),
        ", ".join(kinds * N)))
    for j, (result, t) in enumerate(zip(f(x), kinds)):
        for i, s in enumerate(np.split(np.asarray(result), N)):
            name = "%%w%d_%d" % (j, i)
            print("  %s = stablehlo.constant %s : %s" % (name, literal(s), t))
            print("  check.expect_close %%r#%d, %s, max_ulp_difference = 2 : %s, %s" % (
                i * len(kinds) + j, name, t, t))
    print("  return\n}")


main()
