"""What each main parameter of MO-BCPD does to two patients: python benchmarks/points_pictures.py.

Writes docs/methods/mo_bcpd_parameters.png and benchmarks/results/points_parameters.json. The patients are read from the
folder that VALOR_DATA names.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from points_real import ROOT, _folder

from valorlib.convert.files import read_labels
from valorlib.convert.segment_files import color_of
from valorlib.convert.surfaces import Surface, cloud_of, organs_of_labels
from valorlib.core.points import PointCloud, PointPair
from valorlib.core.run import Run
from valorlib.methods.mo_bcpd import register
from valorlib.methods.mo_bcpd_options import OMC
from valorlib.metrics.organs import enclosed_ml, point_distances

PATIENTS = ("pt_12", "pt_160")
ROWS = {
    "between_organs": (0.0, 0.9, 1.0),
    "length_mm": (8.0, 25.0, 80.0),
    "unlike_size_mm": (1.0, 5.0, 20.0),
    "long_size_mm": (0.0, 20.0, 60.0),
    "outliers": (0.0, 0.1, 0.6),
    "use_labels": (True, False),
}


def numbers_of(sets, result, pair):
    """Surface distance, and how far volumes are from those of the fixed organs, means over the organs of both."""
    distances, changes = [], []
    for label in np.unique(pair.moving.labels).tolist():
        surface, target = sets[1].surfaces[label], sets[0].surfaces[label]
        organs = result.model.organs(np.full(len(surface.points), label), len(surface.points))
        moved = result.model.move(surface.points, organs)
        distances.append(point_distances(moved, target.points)["mean_mm"])
        changes.append(100 * abs(enclosed_ml(Surface(moved, surface.faces)) / enclosed_ml(target) - 1))
    return {"surface_mean_mm": float(np.mean(distances)), "volume_off_pct": float(np.mean(changes))}


def draw(axis, pair, result, title):
    """Fixed organs gray, moved ones in color, from the side."""
    labels = np.unique(pair.moving.labels).tolist()
    colors = np.array([color_of(labels.index(v)) for v in pair.moving.labels.tolist()])
    axis.scatter(*pair.fixed.points[:, [1, 2]].T, s=2.5, c="0.75", linewidths=0)
    axis.scatter(*result.moved.points[:, [1, 2]].T, s=2.5, c=colors, linewidths=0)
    axis.set_aspect("equal")
    axis.set_axis_off()
    axis.set_title(title, fontsize=8)


def main():
    torch.set_num_threads(1)
    folder = _folder("rt", "openkbp")
    sets = [organs_of_labels(read_labels(folder / p / "oars_label.nrrd")) for p in PATIENTS]
    common = sorted(set(sets[0].names) & set(sets[1].names))
    clouds = [cloud_of(one, 400, n) for n, one in enumerate(sets)]
    pair = PointPair(*(PointCloud(c.points[m], c.labels[m]) for c in clouds for m in [np.isin(c.labels, common)]))
    figure = Figure(figsize=(7.2, 1.9 * len(ROWS)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(ROWS), 3)
    found = {}
    for row, (name, values) in zip(axes, ROWS.items(), strict=True):
        for axis in row[len(values) :]:
            axis.set_axis_off()
        for axis, value in zip(row, values, strict=False):
            result = register(pair, replace(OMC, **{name: value}), Run())
            numbers = numbers_of(sets, result, pair)
            found[f"{name}={value:g}"] = numbers
            said = f"{numbers['surface_mean_mm']:.2f} mm, volume {numbers['volume_off_pct']:.0f} % off"
            draw(axis, pair, result, f"{name} {value if isinstance(value, bool) else format(value, 'g')}\n{said}")
            print(name, value, json.dumps(numbers), flush=True)
    figure.savefig(ROOT / "docs" / "methods" / "mo_bcpd_parameters.png", dpi=80)
    record = {"command": "python benchmarks/points_pictures.py", "patients": PATIENTS, "numbers": found}
    path = ROOT / "benchmarks" / "results" / "points_parameters.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
