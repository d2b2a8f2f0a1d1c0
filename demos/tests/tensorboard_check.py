"""Reads the event files of a run with the real TensorBoard, and compares them with the other files of the run.

    python3 -m venv tb && tb/bin/pip install tensorboard
    gan train sngan --steps 200 --evaluate-every 100 --tensorboard --out run
    tb/bin/python demos/tests/tensorboard_check.py run

Both ways in are taken: TensorBoard's reader of event files, and its server, asked over HTTP on loopback as a browser
asks it. Ends with an error if anything differs.
"""

import csv
import json
import pathlib
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def png_size(data: bytes) -> tuple[int, int]:
    assert data[:8] == b"\x89PNG\r\n\x1a\n", data[:8]
    return struct.unpack(">II", data[16:24])


def as_f32(number: str | float) -> float:
    return struct.unpack("f", struct.pack("f", float(number)))[0]


def figures(found: dict) -> dict[str, float]:
    levels = {f"sliced_wasserstein_{level['side']}": level["distance"] for level in found["sliced_wasserstein"]}
    named = {"frechet": found["frechet"], "kernel": found["kernel"]["mean"], "classifier_score": found["classifier_score"]}
    return named | found["prdc"] | levels


def expected_scalars(run: pathlib.Path) -> dict[str, dict[int, float]]:
    with open(run / "losses.csv") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in rows[0] if name != "step"]
    tag = lambda name: name.replace("_", "/") if name.startswith("output_") else f"loss/{name}"
    scalars = {tag(name): {int(row["step"]): as_f32(row[name]) for row in rows} for name in columns}
    evaluations = run / "evaluation.json"
    for evaluation in json.loads(evaluations.read_text())["evaluations"] if evaluations.exists() else []:
        for group, of in [("evaluation", "generated"), ("evaluation of real images", "real")]:
            for name, value in figures(evaluation[of]).items():
                scalars.setdefault(f"{group}/{name}", {})[evaluation["step"]] = as_f32(value)
    return scalars


def check_reader(run: pathlib.Path, scalars: dict, samples: dict) -> None:
    reader = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    reader.Reload()
    tags = reader.Tags()
    assert sorted(tags["scalars"]) == sorted(scalars), tags["scalars"]
    for tag, values in scalars.items():
        found = {event.step: event.value for event in reader.Scalars(tag)}
        assert len(reader.Scalars(tag)) == len(found), f"{tag}: a step comes twice"
        assert found == values, f"{tag}: differs from the run's own files"
        print(f"reader  {tag}: {len(found)} steps, as in the run's own files")
    found = {event.step: event for event in reader.Images("samples")}
    assert sorted(found) == sorted(samples), sorted(found)
    for step, event in found.items():
        assert event.encoded_image_string == samples[step], f"step {step}: another picture"
        assert (event.width, event.height) == png_size(samples[step]), f"step {step}: another size"
    print(f"reader  samples: {len(found)} pictures, those of samples/")


def check_server(run: pathlib.Path, scalars: dict, samples: dict) -> None:
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(run), "--port", "0", "--host", "127.0.0.1"]
    command += ["--samples_per_plugin", "scalars=1000000,images=1000000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            line = next(line for line in server.stderr if "http://" in line)
            base = line[line.index("http://") :].split()[0].rstrip("/")

            def ask(path: str) -> bytes:
                with urllib.request.urlopen(f"{base}/data/plugin/{path}", timeout=60) as answer:
                    return answer.read()

            def entries(path: str, tag: str, count: int) -> list:
                """Asks until there are as many entries: the server answers before it has read the files."""
                query = urllib.parse.urlencode({"run": "tensorboard", "tag": tag, "sample": 0})
                for _ in range(60):
                    try:
                        found = json.loads(ask(f"{path}?{query}"))
                    except urllib.error.HTTPError:
                        found = []
                    if len(found) >= count:
                        break
                    time.sleep(1)
                return found

            for tag, values in scalars.items():
                points = entries("scalars/scalars", tag, len(values))
                found = {int(step): value for _, step, value in points}
                assert found == values and len(points) == len(found), f"{tag}: {len(points)} points differ"
                print(f"server  {tag}: {len(points)} points, as in the run's own files")
            listed = entries("images/images", "samples", len(samples))
            assert sorted(entry["step"] for entry in listed) == sorted(samples), listed
            for entry in listed:
                picture = ask(f"images/individualImage?{entry['query']}")
                assert picture == samples[entry["step"]], f"step {entry['step']}: another picture"
            print(f"server  samples: {len(listed)} pictures, those of samples/")
        finally:
            server.terminate()


def main() -> None:
    run = pathlib.Path(sys.argv[1])
    samples = {int(path.stem.removeprefix("step-")): path.read_bytes() for path in (run / "samples").glob("step-*.png")}
    scalars = expected_scalars(run)
    files = sorted(path.name for path in (run / "tensorboard").iterdir())
    print(f"{len(files)} event files: {', '.join(files)}")
    check_reader(run, scalars, samples)
    check_server(run, scalars, samples)


main()
