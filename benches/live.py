#!/usr/bin/env python3
"""What --live costs with a page open in Chromium.

Trains in turn without a page and with one, and prints medians: seconds of training as the run counts them, and the
processor's seconds that the program took; and what Chromium took of the processor. After cargo build --release:

    benches/live.py [--pairs N] [FLAGS OF gan train …]
"""

import argparse
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import tempfile

GAN = pathlib.Path(__file__).resolve().parent.parent / "target/release/gan"
CHROMIUM = "chromium --headless --no-sandbox --disable-gpu --remote-debugging-port=0 --window-size=1280,1600".split()


def processor(process: subprocess.Popen) -> float:
    """Waits for its end; the seconds of the processor that it and its children took."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    return usage.ru_utime + usage.ru_stime


def train(flags: list[str], run: pathlib.Path, live: bool) -> tuple[float, float, float]:
    """A run, with a page or without: seconds of training, of the processor, and of Chromium."""
    command = [GAN, "train", *flags, "--out", run, *(["--live"] if live else [])]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    browser = None
    if live:
        url = next(found for line in program.stdout if (found := re.search("http://.*/", line))).group()
        profile = f"--user-data-dir={run.parent}/chromium"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        browser = subprocess.Popen([*CHROMIUM, profile, url], start_new_session=True, **quiet)
    program.stdout.read()
    took = processor(program)
    if browser:
        browser.send_signal(signal.SIGTERM)
    seconds = json.loads((run / "time.json").read_text())["seconds"]
    return seconds, took, processor(browser) if browser else 0.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=7)
    known, flags = parser.parse_known_args()
    flags = flags or ["sngan", "--steps", "300", "--sample-every", "50"]
    without, with_page = [], []
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(known.pairs):
            without.append(train(flags, pathlib.Path(folder, f"without-{pair}"), False))
            with_page.append(train(flags, pathlib.Path(folder, f"with-{pair}"), True))
            print(f"without {without[-1][0]:.2f} s, with {with_page[-1][0]:.2f} s", flush=True)
    for i, what in enumerate(["training", "processor", "Chromium"]):
        one, other = (statistics.median(row[i] for row in rows) for rows in (without, with_page))
        print(f"{what}: without {one:.2f} s, with {other:.2f} s" + (f", {other / one - 1:+.1%}" if one else ""))


if __name__ == "__main__":
    main()
