#!/usr/bin/env python3
"""What --live costs with a page open in Chromium.

Starts one run without a page and one with a page open, and lets one of them compute at a time, a few seconds in turn,
while the other and its browser are stopped: what slows the machine for a minute slows both. Compares the seconds that
each took from one line of progress to the next, from the first third of the runs on, when the browser has started; and
the processor's seconds of the program and of Chromium in that time. After cargo build --release:

    benches/live.py [--turn SECONDS] [FLAGS OF gan train …]
"""

import argparse
import contextlib
import os
import pathlib
import re
import signal
import statistics
import subprocess
import tempfile
import threading
import time

GAN = pathlib.Path(__file__).resolve().parent.parent / "target/release/gan"
CHROMIUM = "chromium --headless --no-sandbox --disable-gpu --remote-debugging-port=0 --window-size=1280,1600".split()
TICKS = os.sysconf("SC_CLK_TCK")


def of_session(session: int) -> dict[int, float]:
    """The processes of a session, and the seconds of the processor that each has taken."""
    found = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # It may have ended.
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                found[int(stat.parent.name)] = (int(fields[11]) + int(fields[12])) / TICKS
    return found


class Run:
    """A training run, with its browser if it has one, and the seconds in which it was not stopped."""

    def __init__(self, flags: list[str], out: pathlib.Path, live: bool):
        command = [GAN, "train", *flags, "--out", out, *(["--live"] if live else [])]
        self.program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.sessions = [self.program.pid]
        if live:
            url = next(found for line in self.program.stdout if (found := re.search("http://.*/", line))).group()
            chromium = [*CHROMIUM, f"--user-data-dir={out}-chromium", url]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            self.sessions.append(subprocess.Popen(chromium, start_new_session=True, **quiet).pid)
        self.slept, self.stopped = 0.0, None  # Seconds, and since when.
        self.marks: list[tuple[float, ...]] = []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self) -> None:
        """At each line of progress from a third on: seconds not slept, of the program's processor, of Chromium's."""
        for line in self.program.stdout:
            now = (self.stopped or time.monotonic()) - self.slept
            if found := re.match(r"step (\d+) of (\d+) ", line):
                step, steps = map(int, found.groups())
                if 3 * step >= steps:
                    took = [sum(of_session(session).values()) for session in self.sessions]
                    self.marks.append((now, *took))

    def signal(self, kind: signal.Signals) -> None:
        for session in self.sessions:
            for process in of_session(session):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, kind)

    def stop(self) -> None:
        self.signal(signal.SIGSTOP)
        self.stopped = time.monotonic()

    def compute(self, seconds: float) -> None:
        """Lets the run go on for some seconds, or to its end."""
        self.slept += time.monotonic() - self.stopped
        self.stopped = None
        self.signal(signal.SIGCONT)
        self.reader.join(seconds)
        self.stop()

    def end(self) -> None:
        for session in self.sessions:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(session, signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--turn", type=float, default=5.0)
    known, flags = parser.parse_known_args()
    flags = flags or ["sngan", "--steps", "3000", "--sample-every", "50"]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        runs = []
        try:
            for live in [False, True]:
                runs.append(Run(flags, pathlib.Path(folder, "with" if live else "without"), live))
                runs[-1].stop()
            while any(run.reader.is_alive() for run in runs):
                for run in runs:
                    run.compute(known.turn)
        finally:
            for run in runs:
                run.end()
    without, with_page = ([[b - a for a, b in zip(*pair)] for pair in zip(run.marks, run.marks[1:])] for run in runs)
    ratios = [other[0] / one[0] - 1 for one, other in zip(without, with_page)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"{len(ratios)} stretches: {middle:+.1%} in the median, quartiles {low:+.1%} and {high:+.1%}")
    for name, rows in [("without", without), ("with", with_page)]:
        total, *took = (sum(column) for column in zip(*rows))
        took = ", ".join(f"{one / total:.3f}" for one in took)
        print(f"{name}: {total:.1f} s; of the processor, a second: {took}")


if __name__ == "__main__":
    main()
