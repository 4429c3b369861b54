"""Organs of two unlike patients with a known answer: tubes, arcs and lumps that grow, turn and bend by themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from points_cases import KnownMotion, Waves
from scipy.interpolate import make_interp_spline
from scipy.spatial.transform import Rotation
from scipy.stats import chi2

from valorlib.core.points import PointCloud, PointPair
from valorlib.core.run import Run
from valorlib.methods.mo_bcpd import register
from valorlib.methods.mo_bcpd_options import OMC
from valorlib.metrics.organs import point_distances
from valorlib.ops.thinning import thin_evenly

# Label: name, corners of the center line, radius, mm.
LINES = {
    1: ("brainstem", [(0, 5, 25), (0, 0, 55)], 12.0),
    2: ("spinal_cord", [(0, 25, -110), (0, 18, -60), (0, 12, -10), (0, 8, 10)], 6.0),
    3: ("parotid_right", [(-50, 0, -5), (-52, -4, 25)], 13.0),
    4: ("parotid_left", [(50, 0, -5), (52, -4, 25)], 13.0),
    5: ("esophagus", [(0, 0, -110), (2, -3, -85), (0, -6, -60)], 7.0),
    6: ("larynx", [(0, -25, -60), (0, -28, -35)], 15.0),
    7: (
        "mandible",
        [(-45, -10, 15), (-42, -30, -8), (-22, -62, -18), (0, -72, -20), (22, -62, -18), (42, -30, -8), (45, -10, 15)],
        7.0,
    ),
}
GROWTH = 0.42  # of each axis, standard deviation of the logarithm: volumes differ as those of the patients do
BEND_MM, BEND_LENGTH_MM = 5.0, 30.0
ROWS = {
    "omc": OMC,
    "omc_as_alike": replace(OMC, unlike_size_mm=3.0, unlike_length_mm=25.0, unlike_long_mm=200.0),
    "omc_bends_more_alone": replace(OMC, unlike_length_mm=25.0, unlike_long_mm=200.0),
    "omc_unlike_long_100": replace(OMC, unlike_long_mm=100.0),
    "omc_unlike_size_20": replace(OMC, unlike_size_mm=20.0),
    "omc_unlike_length_25": replace(OMC, unlike_length_mm=25.0),
}


def tube(rng, corners, radius, count, bumps):
    """About `count` points evenly over a bumpy tube with round ends along a line through `corners`."""
    corners = np.array(corners, dtype=float)
    at = np.r_[0, np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))]
    line = make_interp_spline(at, corners, k=min(3, len(corners) - 1))
    t = rng.uniform(-radius, at[-1] + radius, 20 * count)
    inside = np.clip(t, 0, at[-1])
    along = line(inside, 1)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    side = np.cross(along, (0.3, 1.0, 0.2))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    turn = rng.uniform(0, 2 * np.pi, len(t))[:, None]
    wide = np.sqrt(np.maximum(radius**2 - (t - inside) ** 2, 0))[:, None]
    points = line(inside) + (t - inside)[:, None] * along
    points = points + wide * (np.cos(turn) * side + np.sin(turn) * np.cross(along, side))
    points = line(inside) + (points - line(inside)) * np.clip(1 + 0.15 * bumps(points)[:, :1], 0.6, 1.4)
    return points[thin_evenly(points, np.zeros(len(points), dtype=np.int64), count)]


def unlike_organs(seed, count=800):
    """Two patients: every organ grows along each axis, turns, shifts and bends by itself, all turn together."""
    rng = np.random.default_rng([seed, 2022])
    axis = rng.standard_normal(3)
    common = Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.deg2rad(rng.uniform(0, 20))).as_matrix()
    moving, fixed, truth, owners = [], [], [], []
    for label, (_, corners, radius) in LINES.items():
        bumps = Waves(np.random.default_rng([seed, label, 99]), 20.0, 20)
        sides = [tube(rng, corners, radius, count, bumps) for _ in range(2)]
        middle = np.mean(corners, axis=0)
        own = Rotation.from_rotvec(np.deg2rad(rng.uniform(-10, 10, 3))).as_matrix()
        own = own * np.exp(np.clip(GROWTH * rng.standard_normal(3), -0.8, 0.8))
        bend, shift = Waves(rng, BEND_LENGTH_MM), rng.uniform(-5, 5, 3)
        there = [((p - middle) @ own.T + middle + shift + BEND_MM * bend(p)) @ common.T for p in sides]
        moving.append(sides[0])
        truth.append(there[0])
        fixed.append(there[1])
        owners.append([np.full(len(p), label) for p in sides])
    names = {label: line[0] for label, line in LINES.items()}
    clouds = [
        PointCloud(np.concatenate(points), np.concatenate([own[n] for own in owners]), names=names)
        for n, points in ((1, fixed), (0, moving))
    ]
    return KnownMotion(PointPair(*clouds), np.concatenate(truth), np.eye(4))


def unlike(count, only, done):
    """True error and distance of the surfaces, a mean over cases; the options for unlike organs were chosen here."""
    cases = [unlike_organs(seed) for seed in range(count)]
    for name, options in ROWS.items():
        if only not in ("", name) or name in done:
            continue
        rows = []
        for case in cases:
            result = register(case.pair, options, Run())
            error = np.linalg.norm(result.moved.points - case.truth, axis=1)
            covered = error**2 < chi2.ppf(0.95, 3) * result.sigma_mm**2
            fixed, moving = case.pair.fixed, case.pair.moving
            gaps = [
                point_distances(result.moved.points[moving.labels == k], fixed.points[fixed.labels == k])["hd95_mm"]
                for k in LINES
            ]
            rows.append((error.mean(), np.percentile(error, 95), covered.mean(), np.mean(gaps)))
        columns = ("mean_mm", "p95_mm", "covered_95", "hd95_of_points_mm")
        yield name, {"cases": count} | dict(zip(columns, np.mean(rows, axis=0).tolist(), strict=True))
