#!/usr/bin/env python3
"""What --live costs with a page open in Chromium.

Trains in turn without a page and with one, and prints medians over the pairs, all from the first third of a run on,
when the browser has started: seconds of training; and, per second of it, the processor's seconds of the program and of
Chromium. After cargo build --release:

    benches/live.py [--pairs N] [FLAGS OF gan train …]
"""

import argparse
import os
import pathlib
import re
import signal
import statistics
import subprocess
import tempfile
import time

GAN = pathlib.Path(__file__).resolve().parent.parent / "target/release/gan"
CHROMIUM = "chromium --headless --no-sandbox --disable-gpu --remote-debugging-port=0 --window-size=1280,1600".split()
TICKS = os.sysconf("SC_CLK_TCK")


def processor(session: int) -> float:
    """The seconds of the processor that the processes of a session have taken."""
    total = 0
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # It has ended.
        if int(fields[3]) == session:
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def train(flags: list[str], run: pathlib.Path, live: bool) -> tuple[float, float, float]:
    """Two thirds of a run, with a page or without: seconds, and per second the processor's of the program and of
    Chromium."""
    command = [GAN, "train", *flags, "--out", run, *(["--live"] if live else [])]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    browser = None
    if live:
        url = next(found for line in program.stdout if (found := re.search("http://.*/", line))).group()
        profile = f"--user-data-dir={run.parent}/chromium"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        browser = subprocess.Popen([*CHROMIUM, profile, url], start_new_session=True, **quiet)
    marks = []
    for line in program.stdout:
        if found := re.match(r"step (\d+) of (\d+) ", line):
            step, steps = map(int, found.groups())
            if 3 * step >= steps:
                took = processor(browser.pid) if browser else 0.0
                marks.append((time.monotonic(), processor(program.pid), took))
    program.wait()
    if browser:
        os.killpg(browser.pid, signal.SIGTERM)
        browser.wait()
    seconds, ours, theirs = (last - first for first, last in zip(marks[0], marks[-1]))
    return seconds, ours / seconds, theirs / seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=7)
    known, flags = parser.parse_known_args()
    flags = flags or ["sngan", "--steps", "300", "--sample-every", "50"]
    without, with_page = [], []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for i in range(known.pairs):
            without.append(train(flags, pathlib.Path(folder, f"without-{i}"), False))
            with_page.append(train(flags, pathlib.Path(folder, f"with-{i}"), True))
            pair = (f"{row[0]:.2f} s, {row[1]:.3f}, {row[2]:.3f}" for row in (without[-1], with_page[-1]))
            print(*pair, sep="; ", flush=True)
    for i, what in enumerate(["seconds", "processor of the program", "processor of Chromium"]):
        one, other = (statistics.median(row[i] for row in rows) for rows in (without, with_page))
        print(f"{what}: without {one:.3f}, with {other:.3f}" + (f", {other / one - 1:+.1%}" if one else ""))


if __name__ == "__main__":
    main()
