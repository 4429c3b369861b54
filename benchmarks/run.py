"""Run the image benchmark: python benchmarks/run.py [--cases PREFIX ...] [--methods NAME ...] [--peers].

Each method and each peer runs in a process of its own on one thread; one JSON a case is merged into results/.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results"
sys.path[:0] = [str(ROOT), str(HERE)]

# What runs on which case: method:preset[:key=value;...], and peer:setting.
METHODS = {
    "breast": ["valor:default", "valor:quick"],
    "brain": ["compositive:brain_mr", "compositive:brain_mr_draft", "compositive:brain_mr_smooth"],
    "phantom": ["compositive:breast_mr", "valor:default"],
    "lung": ["compositive:lung_ct", "compositive:lung_ct_lungs", "compositive:lung_ct_sliding"],
    "t1pd": ["compositive:multimodal", "compositive:multimodal:similarity=mind"],
    "longitudinal": ["compositive:longitudinal"],
    "copd": ["compositive:lung_ct:similarity=ssd;clip=;look=all;landmark_weight=1"],
}
PEERS = {
    "breast": ["greedy:ncc", "ants:quick", "elastix:16mm", "demons:default"],
    "brain": ["greedy:ncc", "greedy:ssd", "ants:mi", "demons:default"],
    "phantom": ["greedy:phantom", "ants:quick", "elastix:16mm", "demons:default"],
    "lung": ["greedy:lung"],
}


def kind_of(case):
    return case.split("_")[0].rstrip("0123456789")


def run_method(case_name, method_name, output):
    """In a fresh process: one method on one case."""
    from cases import image_cases

    from valorlib.catalog import load
    from valorlib.core.options import with_settings
    from valorlib.core.run import Run

    case = image_cases()[case_name]()
    name, preset, *more = method_name.split(":")
    method = load(name)
    settings = dict(part.split("=", 1) for part in ";".join(more).split(";") if part)
    before_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    begin = time.process_time()
    result = method.run(case.pair, with_settings(method.presets[preset], settings), Run())
    seconds = time.process_time() - begin
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    numbers = {"cpu_seconds": seconds, "peak_memory_gb": peak_gb, "memory_before_gb": before_gb}
    numbers |= case.score(result.displacement)
    numbers["inverse"] = {k: v for k, v in result.record.items() if k.startswith("inverse")}
    if result.inverse_displacement is not None:
        numbers["inverse"] |= there_and_back(case.pair.fixed, result)
    numbers["stages"] = result.record.get("cpu_seconds")
    numbers["warnings"], numbers["evidence"] = list(result.warnings), result.record.get("evidence")
    if "tumors" in result.record:
        numbers["agreement_dice"] = result.record["tumors"]["agreement_dice"]
    output.write_text(json.dumps(numbers))


def there_and_back(fixed, result):
    """Distance of x to where the inverse brings it back, at every voxel of the body that stays in the moving grid."""
    import numpy as np

    from valorlib.ops.overlap import body_mask
    from valorlib.ops.transforms import map_points

    points = fixed.grid.points()[body_mask(fixed).array > 0]
    ends = map_points(result.displacement, points)
    inside = result.inverse_displacement.grid.contains(ends)
    error = np.linalg.norm(map_points(result.inverse_displacement, ends[inside]) - points[inside], axis=1)
    return {
        "body_mean_mm": float(error.mean()),
        "body_p999_mm": float(np.percentile(error, 99.9)),
        "body_max_mm": float(error.max()),
        "body_share_above_half_mm": float((error > 0.5).mean()),
    }


def run_peer(case_name, peer_name, output):
    """In a fresh process: write the images, let the peer's own environment run, score what it wrote."""
    import SimpleITK as sitk
    from cases import image_cases

    from valorlib.convert.files import write_image
    from valorlib.convert.simpleitk import field_from_sitk

    case = image_cases()[case_name]()
    name, setting = peer_name.split(":")
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{part}.nii.gz" for part in ("fixed", "moving", "warp")]
        write_image(case.pair.fixed, paths[0])
        write_image(case.pair.moving, paths[1])
        python = ROOT / "build" / "peers" / name / "bin" / "python"
        subprocess.run([python, HERE / "peers" / "run_peer.py", name, setting, *paths], check=True, env=one_thread())
        numbers = json.loads(Path(f"{paths[2]}.json").read_text())
        field = field_from_sitk(sitk.ReadImage(str(paths[2])))
    output.write_text(json.dumps(numbers | case.score(field)))


def one_thread():
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
    return {**os.environ, **dict.fromkeys(names, "1")}


def about():
    """Where and with what the numbers were made."""
    ask = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(ask, check=False, capture_output=True, text=True)
    found = {}
    for name in ("torch", "numpy", "SimpleITK", "scipy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    cpu = model[0].split(":")[1].strip() if model else platform.processor()
    return {"commit": commit.stdout.strip(), "device": f"cpu, 1 thread ({cpu})", "random_seed": 0, "versions": found}


def merge(case, name, numbers):
    """Put one run's numbers into the case's file."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{case}.json"
    content = json.loads(path.read_text()) if path.exists() else {"case": case, "runs": {}}
    content["runs"][name] = {**numbers, **about()}
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def child(kind, case, name):
    """Numbers of one run in a process of its own, or why there are none."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "numbers.json"
        command = [sys.executable, str(HERE / "run.py"), f"--one-{kind}", case, name, str(output)]
        done = subprocess.run(command, check=False, env=one_thread(), capture_output=True, text=True)
        if done.returncode:
            return {"failed": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else str(done.returncode)}
        return json.loads(output.read_text())


def main():
    from cases import image_cases

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="*", default=[""], help="names or beginnings of names")
    parser.add_argument("--methods", nargs="*", help="method:preset; default: those listed for the case")
    parser.add_argument("--peers", nargs="*", help="peer:setting; without any: all listed ones")
    parser.add_argument("--one-method", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--one-peer", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    for kind, one in (("method", given.one_method), ("peer", given.one_peer)):
        if one:
            (run_method if kind == "method" else run_peer)(one[0], one[1], Path(one[2]))
            return
    for case in [c for c in image_cases() if c.startswith(tuple(given.cases))]:
        methods = METHODS[kind_of(case)] if given.methods is None else given.methods
        peers = [] if given.peers is None else (given.peers or PEERS[kind_of(case)])
        for kind, name in [("method", m) for m in methods] + [("peer", p) for p in peers]:
            numbers = child(kind, case, name)
            merge(case, name, numbers)
            shown = {k: round(v, 4) for k, v in numbers.items() if isinstance(v, float | int)} or numbers
            print(case, name, json.dumps(shown), flush=True)


if __name__ == "__main__":
    main()
