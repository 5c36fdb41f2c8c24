#!/bin/sh
# seeds.sh FOLDER: writes small valid inputs for the fuzz targets into FOLDER/fuzz_NAME, so that fuzzing begins behind
# the first checks. (Targets with binary seeds of their own keep them in tests/fuzz/corpus.)
suites=${TSR_SUITES:-../shared/suites}
case $suites in /*) ;; *) suites=$PWD/$suites ;; esac
cd "$1" || exit 1
mkdir -p fuzz_safetensors fuzz_idx fuzz_csv fuzz_stablehlo_bytecode

# bytecode: the suite's files, where the suite is
for f in "$suites"/stablehlo/tests/vhlo/*.bc; do
    [ -f "$f" ] && cp "$f" fuzz_stablehlo_bytecode
done

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
