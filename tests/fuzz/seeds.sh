#!/bin/sh
# seeds.sh FOLDER: writes small valid inputs for the fuzz targets into FOLDER/fuzz_NAME, so that fuzzing begins behind
# the first checks. (Targets with binary seeds of their own keep them in tests/fuzz/corpus.)
suites=${TSR_SUITES:-../shared/suites}
case $suites in /*) ;; *) suites=$PWD/$suites ;; esac
program=$PWD/build/release/tessera
cd "$1" || exit 1
mkdir -p fuzz_safetensors fuzz_idx fuzz_csv fuzz_stablehlo_bytecode

# tensors NAME JSON DATA: a safetensors file; the header's length must be below 256
tensors() {
    printf "\\$(printf '%03o' ${#2})\\000\\000\\000\\000\\000\\000\\000%s%s" "$2" "$3" >"fuzz_safetensors/$1"
}
tensors empty '{}' ''
tensors one '{"a":{"dtype":"U8","shape":[2,2],"data_offsets":[0,4]}}' 1234
tensors meta '{"__metadata__":{"k":"v\u00e9\ud83d\ude00"},"x":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}' 1234
tensors two '{"b":{"dtype":"BF16","shape":[1],"data_offsets":[4,6]},"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}' 123456
tensors bool '{"z":{"dtype":"BOOL","shape":[0],"data_offsets":[0,0]}}' ''

printf '\000\000\010\001\000\000\000\003abc' >fuzz_idx/u8
printf '\000\000\015\002\000\000\000\001\000\000\000\002abcdefgh' >fuzz_idx/f32
printf '\000\000\014\000abcd' >fuzz_idx/scalar
gzip -c fuzz_idx/u8 >fuzz_idx/gzip 2>/dev/null || rm -f fuzz_idx/gzip

printf '\000a,b\n1,2\n3,-4.5e1\n' >fuzz_csv/plain
printf '\010a,b\r\n"x ""y""",2\r\nz,nan\r\n' >fuzz_csv/label
printf '\003 1;2\n"3";inf' >fuzz_csv/semicolons

# StableHLO: the suite's programs where they are there (the smaller ones), its bytecode, and a few that use every syntax
mkdir -p fuzz_stablehlo_text fuzz_stablehlo_import
printf 'module @m attributes {a = 1 : i32} {\n  func.func @f(%%a: tensor<2x?xf32, #stablehlo.bounds<?, 4>>) {\n    return\n  }\n}\n' >fuzz_stablehlo_text/module
printf '%%0 = stablehlo.constant dense<[[(1.0, 0x7FC00000)], [(2., -3e5)]]> : tensor<2x1xcomplex<f32>>\n' >fuzz_stablehlo_text/list
printf '%%0 = stablehlo.constant dense<"0x01020304"> : tensor<2x!quant.uniform<i16:f32:0, {0.1:-3,2}>>\n' >fuzz_stablehlo_text/hex
printf '"a.b"() {x = #a, y = array<i1: true>, z = dense_resource<r> : tensor<1xi8>} : () -> ()\n#a = [#b<{[(">")]}>]\n{-# dialect_resources: { builtin: { r: "0x0400000001" } } #-}\n' >fuzz_stablehlo_text/alias
[ -d "$suites/stablehlo" ] || [ -d stablehlo ] || tar -xJf "$suites/stablehlo.tar.xz" 2>/dev/null
for suite in "$suites/stablehlo" stablehlo; do
    [ -d "$suite" ] || continue
    cp "$suite"/tests/vhlo/*.bc fuzz_stablehlo_bytecode
    find "$suite/tests" -name '*.mlir' -size -24k -exec cp {} fuzz_stablehlo_text \;
    find "$suite/tests/interpret" -name '*.mlir' -size -24k -exec cp {} fuzz_stablehlo_import \;
    find "$suite/testdata" -name '*.mlir' -size -5k | awk 'NR % 8 == 0' | while read -r f; do cp "$f" fuzz_stablehlo_text; done
done

# Engine files: what the program writes for a few small functions, where it is built
mkdir -p fuzz_engine seeds_engine
engine() {
    cat >"seeds_engine/$1.mlir"
    [ -x "$program" ] && "$program" compile "seeds_engine/$1.mlir" -o "fuzz_engine/$1" >/dev/null 2>&1
    return 0
}
engine chain.tsr <<'EOF'
func.func @main(%x: tensor<?x8xf32>, %y: tensor<2x4xf32>) -> (tensor<?x8xf32>, tensor<2x4xf32>) {
  %0 = stablehlo.exponential %x : tensor<?x8xf32>
  %1 = stablehlo.constant dense<[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]> : tensor<2x4xf32>
  %2 = stablehlo.add %1, %y : tensor<2x4xf32>
  return %0, %2 : tensor<?x8xf32>, tensor<2x4xf32>
}
EOF
engine sort.tsr <<'EOF'
func.func @main(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %0 = "stablehlo.sort"(%x) ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %1 = stablehlo.compare LT, %a, %b : (tensor<f32>, tensor<f32>) -> tensor<i1>
      stablehlo.return %1 : tensor<i1>
  }) {dimension = 1 : i64, is_stable = true} : (tensor<4x8xf32>) -> tensor<4x8xf32>
  return %0 : tensor<4x8xf32>
}
EOF
engine loop.tsr <<'EOF'
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %i = stablehlo.constant dense<0> : tensor<i32>
  %n = stablehlo.constant dense<5> : tensor<i32>
  %one = stablehlo.constant dense<1> : tensor<i32>
  %0:2 = stablehlo.while(%a = %i, %b = %x) : tensor<i32>, tensor<4xf32>
    cond {
      %c = stablehlo.compare LT, %a, %n : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %c : tensor<i1>
    } do {
      %d = stablehlo.add %a, %one : tensor<i32>
      %e = stablehlo.tanh %b : tensor<4xf32>
      stablehlo.return %d, %e : tensor<i32>, tensor<4xf32>
    }
  return %0#1 : tensor<4xf32>
}
EOF
engine product.tsr <<'EOF'
func.func @main(%x: tensor<?x8xbf16>, %w: tensor<8x6xbf16>, %i: tensor<3xi32>) -> (tensor<?x6xbf16>, tensor<3x6xbf16>) {
  %0 = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0] : (tensor<?x8xbf16>, tensor<8x6xbf16>) -> tensor<?x6xbf16>
  %1 = "stablehlo.gather"(%w, %i) {dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0],
    start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1, 6>, indices_are_sorted = false}
    : (tensor<8x6xbf16>, tensor<3xi32>) -> tensor<3x6xbf16>
  return %0, %1 : tensor<?x6xbf16>, tensor<3x6xbf16>
}
EOF
engine branch.tsr <<'EOF'
func.func @main(%b: tensor<i32>, %x: tensor<4xf32>) -> (tensor<4xf32>, tensor<f32>) {
  %0 = "stablehlo.case"(%b) ({
    %1 = stablehlo.negate %x : tensor<4xf32>
    stablehlo.return %1 : tensor<4xf32>
  }, {
    stablehlo.return %x : tensor<4xf32>
  }) : (tensor<i32>) -> tensor<4xf32>
  %z = stablehlo.constant dense<0.0> : tensor<f32>
  %2 = stablehlo.reduce(%0 init: %z) applies stablehlo.add across dimensions = [0] : (tensor<4xf32>, tensor<f32>) -> tensor<f32>
  return %0, %2 : tensor<4xf32>, tensor<f32>
}
EOF
