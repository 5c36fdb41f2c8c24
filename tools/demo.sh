#!/bin/sh
# demo.sh: the main job in one go: trains a network on the built-in digits, shows what it sees in digits it has not
# seen, and says what to try next.
cd "$(dirname "$0")/.." || exit 1
program=build/release/tessera model=build/digits.safetensors
"$program" --version || exit 1
echo
"$program" train digits --out "$model" || exit
echo
"$program" predict "$model" --count 3 || exit 1
cat <<END

Try next:
  $program predict $model --count 20
  $program train digits --seed 1 --epochs 30 --out build/other.safetensors
        then press Ctrl-C, and: $program train --resume build/other.safetensors
  $program train fashion-mnist            (after: apt-get install dataset-fashion-mnist)
  TSR_DEBUG=3 $program train digits --epochs 1 --out build/other.safetensors
        the kernels that the training step became
  $program --help
END
