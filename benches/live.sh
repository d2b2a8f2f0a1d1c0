#!/usr/bin/env bash
# What --live costs with a page open in Chromium: seconds of training, without and with, in turn, then the medians.
# Usage, after cargo build --release: benches/live.sh [PAIRS] [FLAGS OF gan train …]
set -euo pipefail
cd "$(dirname "$0")/.."
pairs=${1:-7}
shift || true
[ $# -gt 0 ] || set -- sngan --steps 300 --sample-every 50
gan=$PWD/target/release/gan
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT

seconds() { sed 's/.*"seconds":\([0-9.]*\).*/\1/' "$1/time.json"; }
median() { sort -n | awk '{ x[NR] = $1 } END { print (x[int((NR + 1) / 2)] + x[int(NR / 2) + 1]) / 2 }'; }

for pair in $(seq "$pairs"); do
  "$gan" train "$@" --out "$runs/without-$pair" >"$runs/log"
  seconds "$runs/without-$pair" >>"$runs/without"
  "$gan" train "$@" --out "$runs/with-$pair" --live >"$runs/log" &
  training=$!
  until url=$(grep -o 'http://127.0.0.1:[0-9]*/' "$runs/log"); do sleep 0.05; done
  chromium --headless --no-sandbox --disable-gpu --remote-debugging-port=0 --user-data-dir="$runs/chromium" \
    --window-size=1280,1600 "$url" >/dev/null 2>&1 &
  browser=$!
  wait "$training"
  kill "$browser"
  wait "$browser" || true
  seconds "$runs/with-$pair" >>"$runs/with"
  echo "without $(tail -n 1 "$runs/without") s, with $(tail -n 1 "$runs/with") s"
done
echo "medians: without $(median <"$runs/without") s, with $(median <"$runs/with") s"
