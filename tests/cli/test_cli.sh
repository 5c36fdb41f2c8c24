#!/bin/sh
# test_cli.sh BUILD: the program from outside: help, exit codes, bad files, JSON that parses, interrupt and resume.
#
# What would be wrong if a case failed is its name. A JSON line is checked with a grammar in awk, so nothing but the
# shell is needed.
program=$1/tessera
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# ok NAME COMMAND...: the command must succeed
ok() {
    name=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "cli $name: FAILED"
        sed 's/^/    /' "$work/log" | head -n 20
    fi
}

# exits CODE TEXT COMMAND...: ends with that code and says TEXT on either output
exits() {
    want=$1 text=$2
    shift 2
    "$@" >"$work/out" 2>"$work/err"
    got=$?
    [ "$got" = "$want" ] || { echo "exit code $got, not $want"; cat "$work/out" "$work/err"; return 1; }
    grep -qF -- "$text" "$work/out" "$work/err" || { echo "does not say \"$text\""; cat "$work/out" "$work/err"; return 1; }
}

# Every line of a file is a flat JSON object or one with an array of numbers.
json() {
    [ -s "$1" ] || { echo "$1 is empty"; return 1; }
    awk '
        function bad() { print FILENAME ":" FNR ": no JSON: " $0; code = 1; exit }
        { rest = $0
          if (sub(/^\{/, "", rest) != 1) bad()
          while (1) {
              if (sub(/^"([^"\\]|\\.)*":/, "", rest) != 1) bad()
              if (sub(/^(-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?|"([^"\\]|\\.)*"|true|false|\[[-+0-9.,eE]*\])/, "", rest) != 1)
                  bad()
              if (rest == "}") break
              if (sub(/^,/, "", rest) != 1) bad()
          } }
        END { exit code }' "$1"
}

losses() { sed -n 's/^{"event":"step","epoch":\([0-9]*\),"step":\([0-9]*\),"loss":\([^,]*\),.*/\1 \2 \3/p' "$@"; }


# ---- help and use
for verb in train predict run print verify plan compile conformance devices bench env version help; do
    ok "$verb --help" exits 0 "Usage: tessera $verb" "$program" $verb --help
    ok "help $verb" exits 0 "Usage: tessera $verb" "$program" help $verb
done
ok "alone" exits 0 "Usage: tessera VERB" "$program"
ok "--version" exits 0 "tessera 0." "$program" --version
ok "unknown verb" exits 2 'did you mean "train"' "$program" trian
ok "unknown option" exits 2 "there is no option --foo" "$program" train digits --foo
ok "missing value" exits 2 "--epochs needs a value" "$program" train digits --epochs
ok "no number" exits 2 'not "3x"' "$program" train digits --epochs 3x
ok "out of bounds" exits 2 "a whole number from 1" "$program" train digits --epochs=0
ok "too many arguments" exits 2 "one argument too many" "$program" train digits digits
ok "unknown data" exits 2 "digits, fashion-mnist" "$program" train cifar
ok "no data" exits 2 "needs a data set" "$program" train
ok "settings of a resumed run" exits 2 "are in the file" "$program" train --resume x --lr 1
ok "device" exits 1 "nonsense" "$program" train digits --device nonsense --out "$work/d.safetensors"
ok "full disk" exits 1 "could not be written" sh -c "'$program' --help >/dev/full"

# ---- files
ok "no model" exits 1 "tessera train digits" "$program" predict "$work/absent.safetensors"
printf 'nonsense, no tensors' >"$work/bad.safetensors"
ok "bad model" exits 1 "no safetensors file" "$program" predict "$work/bad.safetensors"
ok "bad checkpoint" exits 1 "no safetensors file" "$program" train --resume "$work/bad.safetensors"
printf '\002\000\000\000\000\000\000\000{}' >"$work/empty.safetensors"
ok "empty model" exits 1 "no model that tessera train" "$program" predict "$work/empty.safetensors"
ok "empty checkpoint" exits 1 "nothing to resume" "$program" train --resume "$work/empty.safetensors"
ok "folder that is not there" exits 1 "cannot create" "$program" train digits -e 1 -b 512 -o "$work/no/such.safetensors"

# ---- StableHLO programs
cat >"$work/f.mlir" <<'EOF'
func.func @main(%x: tensor<2x3xf32>) -> tensor<3x2xf32> {
  %0 = stablehlo.transpose %x, dims = [1, 0] : (tensor<2x3xf32>) -> tensor<3x2xf32>
  %1 = stablehlo.add %0, %0 : tensor<3x2xf32>
  return %1 : tensor<3x2xf32>
}
EOF
cat >"$work/case.mlir" <<'EOF'
func.func @sum_is_right() {
  %0 = stablehlo.constant dense<[1, 2]> : tensor<2xi32>
  %1 = stablehlo.add %0, %0 : tensor<2xi32>
  check.expect_eq_const %1, dense<[2, 4]> : tensor<2xi32>
  func.return
}
// -----
func.func @sum_is_wrong() {
  %0 = stablehlo.constant dense<[1, 2]> : tensor<2xi32>
  check.expect_eq_const %0, dense<[1, 3]> : tensor<2xi32>
  func.return
}
EOF
printf "\223NUMPY\001\000\107\000{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }           \n" >"$work/x.npy"
printf '\000\000\200\077\000\000\000\100\000\000\100\100\000\000\200\100\000\000\240\100\000\000\300\100' >>"$work/x.npy"
ok "run" exits 0 "result 0: f32[3,2] 2 8 4 10 6 12" "$program" run "$work/f.mlir" --input "$work/x.npy"
ok "run on the reference" exits 0 "2 8 4 10 6 12" "$program" run "$work/f.mlir" -i "$work/x.npy" -t reference
ok "run writes" exits 0 "result 0" "$program" run "$work/f.mlir" -i "$work/x.npy" -o "$work/results"
ok "run reads what it wrote" exits 1 "f32[3,2]" "$program" run "$work/f.mlir" -i "$work/results/0.npy"
ok "run with random inputs" exits 0 "result 0: f32[3,2]" "$program" run "$work/f.mlir" --random 1
ok "run needs inputs" exits 1 "takes 1 inputs, 0 are given" "$program" run "$work/f.mlir"
ok "run of no entry" exits 1 "no function @f" "$program" run "$work/f.mlir" --entry f
ok "print" exits 0 "stablehlo.transpose %arg0, dims = [1, 0]" "$program" print "$work/f.mlir"
ok "print generic" exits 0 '"stablehlo.add"(' "$program" print "$work/f.mlir" --generic
ok "what is printed can be run" sh -c "'$program' print '$work/f.mlir' >'$work/g.mlir' &&
    '$program' run '$work/g.mlir' -i '$work/x.npy' | grep -q '2 8 4 10 6 12'"
ok "compile a C file" exits 0 "a C file of" "$program" compile "$work/f.mlir" -o "$work/f.c"
ok "its header" grep -q "int f_run(const void" "$work/f.h"
ok "compile a C file with its gradient" exits 1 "gradient" "$program" compile "$work/f.mlir" -o "$work/g.c" --with-backward
ok "no such size" exits 1 "no size of that name" "$program" compile "$work/f.mlir" -o "$work/f.c" --size B=4
ok "a wrong size" exits 1 "NAME=NUMBER" "$program" compile "$work/f.mlir" -o "$work/f.c" --size B
ok "a wrong name" exits 2 "no C identifier" "$program" compile "$work/f.mlir" -o "$work/f.c" --name 3x
ok "sizes of an engine" exits 1 "leave out --size" "$program" compile "$work/f.mlir" -o "$work/f.tsr" --size B=4
ok "compile needs an output" exits 2 "say what to write" "$program" compile "$work/f.mlir"
ok "compile to what" exits 2 "ends with none" "$program" compile "$work/f.mlir" -o "$work/f.exe"
ok "compile an engine" exits 0 "result 0 f32[3,2]" "$program" compile "$work/f.mlir" -o "$work/f.tsr"
ok "run an engine" exits 0 "result 0: f32[3,2] 2 8 4 10 6 12" "$program" run "$work/f.tsr" --verify -i "$work/x.npy"
ok "print an engine" exits 0 "plan main: 1 steps" "$program" print "$work/f.tsr"
ok "plan of an engine" exits 0 "arena" "$program" plan "$work/f.tsr"
ok "plan of a program" exits 0 "plan main: 1 steps" "$program" plan "$work/f.mlir"
ok "an engine has no reference" exits 1 "no graph" "$program" run "$work/f.tsr" -i "$work/x.npy" -t reference
ok "an engine has no other entry" exits 1 "one entry" "$program" run "$work/f.tsr" -i "$work/x.npy" -e main
ok "an engine is compiled" exits 1 "compiled already" "$program" compile "$work/f.tsr" -o "$work/g.tsr"
ok "verify of an engine" exits 1 "without a graph" "$program" verify "$work/f.tsr" -r 1
"$program" compile "$work/f.mlir" -o "$work/f.tsr" --json >"$work/compile.json" 2>&1
ok "compile --json" json "$work/compile.json"
head -c 90 "$work/f.tsr" >"$work/cut.tsr"
ok "an engine cut short" exits 1 "cut short" "$program" run "$work/cut.tsr" -r 0
ok "verify" exits 0 "2 operations agree" "$program" verify "$work/f.mlir" --random 3
ok "positions in errors" exits 1 "f.mlir:2:" sh -c "sed 's/dims = .1, 0./dims = [1, 1]/' '$work/f.mlir' >'$work/bad.f.mlir'
    '$program' run '$work/bad.f.mlir' --random 0"
ok "conformance" exits 1 "1 passed, 1 failed, 0 skipped" "$program" conformance stablehlo "$work/case.mlir"
ok "conformance says why" exits 1 "element 1 is 2, expected 3" "$program" conformance stablehlo "$work/case.mlir" -l
ok "conformance filter" exits 0 "1 passed, 0 failed" "$program" conformance stablehlo "$work/case.mlir" -f right
ok "conformance shard" exits 2 "0 <= I < N" "$program" conformance stablehlo "$work/case.mlir" --shard 2/2
ok "conformance tier" exits 2 "reference, vm, c" "$program" conformance stablehlo "$work/case.mlir" --tier d
if command -v cc gcc clang >/dev/null 2>&1; then
    ok "conformance C tier" exits 0 "1 passed, 0 failed" env TSR_CACHE="$work/kernels" \
        "$program" conformance stablehlo "$work/case.mlir" -t c -f right
fi
ok "conformance without a compiler" exits 2 "TSR_CC" env TSR_CC=/no/such/compiler \
    "$program" conformance stablehlo "$work/case.mlir" --tier c
ok "conformance suite" exits 2 'no suite "onnx"' "$program" conformance onnx "$work/case.mlir"

# ---- training, JSON, predict
run="train digits --epochs 2 --seed 5 --json"
ok "train" sh -c "'$program' $run --out '$work/whole.safetensors' >'$work/whole.jsonl'"
ok "train prints JSON" json "$work/whole.jsonl"
ok "every step is there" test "$(losses "$work/whole.jsonl" | wc -l)" = 90
ok "env prints JSON" sh -c "'$program' env --json >'$work/env.jsonl'"
ok "env is JSON" json "$work/env.jsonl"
ok "predict" exits 0 "held-out images" "$program" predict "$work/whole.safetensors" --count 2
ok "predict prints JSON" sh -c "'$program' predict '$work/whole.safetensors' --json -n 3 >'$work/p.jsonl'"
ok "predict is JSON" json "$work/p.jsonl"
ok "plan" exits 0 "kernels 1," "$program" plan norm
ok "plan prints JSON" sh -c "'$program' plan convnet --json >'$work/plan.jsonl'"
ok "plan is JSON" json "$work/plan.jsonl"
ok "unknown graph" exits 2 "softmax, norm, mlp, convnet, resnet" "$program" plan toaster
ok "predict prints all" test "$(wc -l <"$work/p.jsonl")" = 4
ok "no escapes in a pipe" sh -c "! '$program' predict '$work/whole.safetensors' | grep -q '$(printf '\033')'"

# ---- resume
losses "$work/whole.jsonl" >"$work/want"
# same_tail FILE...: the steps in FILEs are the last ones of the whole run, loss by loss
same_tail() {
    losses "$@" | sort -u -k1,1n -k2,2n >"$work/got"
    n=$(wc -l <"$work/got")
    tail -n "$n" "$work/want" | cmp - "$work/got"
}
# stop_with SIGNAL AFTER: a run is sent the signal once it has printed AFTER steps
stop_with() {
    : >"$work/stop.jsonl" # what an earlier run wrote must not be counted
    "$program" $run --checkpoint-every 7 --out "$work/stop.safetensors" >"$work/stop.jsonl" 2>/dev/null &
    pid=$!
    while kill -0 $pid 2>/dev/null && [ "$(losses "$work/stop.jsonl" | wc -l)" -lt "$2" ]; do sleep 0.01; done
    kill -"$1" $pid 2>/dev/null
    wait $pid
}
for after in 3 30 60; do
    rm -f "$work/stop.safetensors"
    stop_with INT $after
    code=$?
    if [ $code = 0 ]; then
        echo "cli: the run was over before it could be interrupted after $after steps"
    else
        ok "interrupt after $after: exit code" test $code = 130
    fi
    ok "interrupt after $after: resume" sh -c "'$program' train --resume '$work/stop.safetensors' --json >'$work/rest.jsonl'"
    ok "interrupt after $after: all losses" same_tail "$work/stop.jsonl" "$work/rest.jsonl"
    ok "interrupt after $after: every step" test "$(wc -l <"$work/got")" = 90
    ok "interrupt after $after: same model" cmp "$work/stop.safetensors" "$work/whole.safetensors"
done
rm -f "$work/stop.safetensors"
stop_with KILL 40
ok "kill -9: resume" sh -c "'$program' train --resume '$work/stop.safetensors' --json >'$work/rest.jsonl'"
ok "kill -9: the rest of the losses" same_tail "$work/rest.jsonl"
done_before=$(losses "$work/stop.jsonl" | wc -l) # 40 or more: the signal takes its time
ok "kill -9: at most a checkpoint's steps again" test "$(wc -l <"$work/got")" -le $((90 - done_before + 7))
ok "kill -9: same model" cmp "$work/stop.safetensors" "$work/whole.safetensors"

# ---- emitted text as files
ok "plan --dump" "$program" plan --dump "$work/dump" norm
ok "plan --dump: C" grep -q "void k0" "$work/dump/norm.c"
ok "plan --dump: CUDA C" grep -q "__global__" "$work/dump/norm.cu"
ok "plan --dump: a folder that cannot be" exits 1 "the folder cannot be made" "$program" plan --dump /proc/none/x norm

# ---- devices
ok "devices" exits 0 "cpu" "$program" devices
ok "devices: a rate" exits 0 "GB/s" "$program" devices --device cpu --measure
"$program" devices --json >"$work/devices.jsonl"
ok "devices --json" json "$work/devices.jsonl"
ok "devices: each kind has a line" grep -q '"device":"null","found":true' "$work/devices.jsonl"
ok "self-test" exits 0 "1 ops passed, 0 failed, 0 not claimed" "$program" devices --self-test --device cpu --op exp
"$program" devices --self-test --device cpu --op add --json >"$work/self.jsonl"
ok "self-test --json" json "$work/self.jsonl"
ok "self-test: bits" grep -q '"op":"add","outcome":"passed".*"same_bits":true' "$work/self.jsonl"
ok "self-test of a device that computes nothing" exits 1 "FAILED" "$program" devices --self-test --device null --op exp
ok "self-test of no op" exits 1 "no-such-op" "$program" devices --self-test --device cpu --op no-such-op
ok "devices: no such device" exits 1 "toaster" "$program" devices --device toaster
ok "devices: --op alone" exits 2 "--self-test" "$program" devices --op exp

echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
