#!/usr/bin/env bash
# What a GPU makes of it, in ten minutes at most after the build: the tests of the device, the training step at two
# widths and two batch sizes beside PyTorch on the same device (with and without TF32), the convolutions one by one, the
# kernels by time.
#
#   benches/gpu.sh [DEVICE] [FOLDER]     DEVICE as in `gan train --device`, opencl by default; what it prints goes to
#                                        FOLDER/gpu.txt too, ./gpu by default
#
# PyTorch is taken from PYTHON (python3 by default), if it is there. BATCHES, ITERS and LIMIT, in seconds, make a run
# shorter. Ends with 1 if something but PyTorch failed or was cut off.
set -uo pipefail
cd "$(dirname "$0")/.."
device=${1:-opencl} out=${2:-gpu} python=${PYTHON:-python3} batches=${BATCHES:-64 256} iters=${ITERS:-20}
limit=${LIMIT:-590} status=0
mkdir -p "$out"
exec > >(tee "$out/gpu.txt") 2>&1

# Runs a command with the seconds that are left, at most those given; what fails or is cut off says so.
within() {
  local seconds=$1 left=$((limit - SECONDS))
  shift
  [ "$left" -gt 5 ] || { echo "no time left for: $*" >&2; return 1; }
  [ "$seconds" -lt "$left" ] || seconds=$left
  timeout "$seconds" "$@" || { echo "failed, or cut off after $seconds s: $*" >&2; return 1; }
}
step() { printf '\n=== %s (%s s)\n' "$1" "$SECONDS"; }
gan() { target/release/gan "$@"; }
number() { grep -o "\"$1\":[^,}]*" | grep -oE '[0-9]+(\.[0-9]+)?' | head -1; }

step "build"
build() { cargo build --release --features opencl --locked "$@"; }
build --offline 2>/dev/null || build || exit 1
cargo test --release -p wengert --features opencl --locked --test opencl --test catalogue --no-run || status=1
# From here on it counts.
SECONDS=0
gan devices || status=1

step "training steps: ms in the median, wengert beside PyTorch with f32 and with TF32"
printf '%6s %6s %10s %8s %10s %6s %12s %12s\n' width batch wengert kernels fallbacks waits torch-f32 torch-tf32
for batch in $batches; do
  for width in 0.25 1; do
    sizes=(--width "$width" --batch "$batch" --iters "$iters")
    line=$(within 120 target/release/gan bench step --device "$device" --json "${sizes[@]}") &&
      echo "$line" >> "$out/steps.jsonl" || status=1
    torch=()
    for tf32 in "" --tf32; do
      # What it has to say besides its one line goes past the file.
      beside=$(within 60 "$python" benches/gpu.py "${sizes[@]}" $tf32) &&
        echo "$beside" >> "$out/steps.jsonl"
      torch+=("$(echo "$beside" | number median_ms)")
    done
    printf '%6s %6s %10s %8s %10s %6s %12.6s %12.6s\n' $width "$batch" "$(echo "$line" | number iter_ms)" \
      "$(echo "$line" | number kernels)" "$(echo "$line" | number fallbacks)" "$(echo "$line" | number waits)" \
      "${torch[0]:-none}" "${torch[1]:-none}"
  done
done

step "where the time of a step goes, by the device's clock"
within 60 target/release/gan bench step --device "$device" --width 1 --batch 64 --iters 5 --times || status=1

step "convolutions one by one"
within 90 target/release/gan bench layers --device "$device" --iters 5 || status=1

step "tests of the device"
within 300 cargo test --release -p wengert --features opencl --locked --test opencl | tail -n 40 || status=1
within 300 cargo test --release -p wengert --features opencl --locked --test catalogue device | tail -n 10 || status=1

step "done"
exit $status
