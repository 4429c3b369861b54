"""Cases of the point benchmark: generated organs with known motion, and the real sets as clouds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from valorlib.core.points import PointCloud, PointPair

# Center and half axes, mm: liver, spleen, two kidneys, bladder, seen from the front.
ORGANS = {
    1: ("liver", (-40, 0, 40), (48, 34, 36)),
    2: ("spleen", (55, 20, 45), (20, 15, 32)),
    3: ("kidney_right", (-32, 40, -14), (18, 16, 34)),
    4: ("kidney_left", (38, 40, -8), (18, 16, 34)),
    5: ("bladder", (0, -8, -110), (28, 22, 22)),
}


@dataclass
class KnownMotion:
    """A pair of clouds and where each moving point truly goes."""

    pair: PointPair
    truth: np.ndarray
    similarity: np.ndarray  # of the truth, (4, 4) moving to fixed


class Waves:
    """A smooth random field: a sum of random cosine waves (a Gaussian process of the given length)."""

    def __init__(self, rng, length_mm, count=60):
        self.k = rng.standard_normal((count, 3)) / length_mm
        self.phase = rng.uniform(0, 2 * np.pi, count)
        self.amplitude = rng.standard_normal((count, 3)) * np.sqrt(2 / count)

    def __call__(self, points):
        return np.cos(points @ self.k.T + self.phase) @ self.amplitude


def organ_surface(rng, center, half, count, shape_seed):
    """Points drawn evenly over a bumpy ellipsoid; the same shape for the same shape_seed."""
    bumps = Waves(np.random.default_rng(shape_seed), 1.0, 20)
    direction = rng.standard_normal((8 * count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    radius = np.maximum(1 + 0.2 * bumps(direction)[:, :1], 0.5)
    points = direction * radius * np.asarray(half)
    # Keep points in proportion to the area their direction covers on the ellipsoid.
    area = np.linalg.norm(direction / np.asarray(half), axis=1) * np.prod(half)
    keep = rng.choice(len(points), count, replace=False, p=area / area.sum())
    return points[keep] + np.asarray(center)


def known_motion(seed, *, count=800, degrees=40.0, low_mm=10.0, high_mm=20.0, scale=0.1, shift_mm=40.0):
    """Five organs; each is moved by its own smooth field (mean 10 to 20 mm), then all by one similarity.

    The organ's field is a shift, a turn of up to 8 degrees and a bend of 60 mm length (2 mm); the fixed cloud samples
    the moved surfaces anew, so no fixed point is the copy of a moving one.
    """
    rng = np.random.default_rng([seed, 1965])
    axis = rng.standard_normal(3)
    turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.deg2rad(rng.uniform(0, degrees))).as_matrix()
    factor = 1 + rng.uniform(-scale, scale)
    move = rng.uniform(-shift_mm, shift_mm, 3)
    similarity = np.eye(4)
    similarity[:3, :3], similarity[:3, 3] = factor * turn, move
    moving, fixed, truth = [], [], []
    for label, (_, center, half) in ORGANS.items():
        shift = rng.standard_normal(3)
        shift *= rng.uniform(low_mm, high_mm) * 0.8 / np.linalg.norm(shift)
        spin = Rotation.from_rotvec(np.deg2rad(rng.uniform(-8, 8, 3) / np.sqrt(3))).as_matrix()
        bend = Waves(rng, 60.0)
        want = rng.uniform(low_mm, high_mm)

        middle = np.asarray(center)

        def field(p, center=middle, shift=shift, spin=spin, bend=bend):
            return shift + (p - center) @ (spin - np.eye(3)).T + 2.0 * bend(p)

        y = organ_surface(rng, center, half, count, [seed, label])
        size = want / np.linalg.norm(field(y), axis=1).mean()
        x = organ_surface(rng, center, half, count, [seed, label])
        for points, out in ((y, truth), (x, fixed)):
            out.append((points + size * field(points)) @ similarity[:3, :3].T + similarity[:3, 3])
        moving.append(y)
    labels = np.repeat(list(ORGANS), count)
    names = {label: organ[0] for label, organ in ORGANS.items()}
    pair = PointPair(
        PointCloud(np.concatenate(fixed), labels, names=names), PointCloud(np.concatenate(moving), labels, names=names)
    )
    return KnownMotion(pair, np.concatenate(truth), similarity)
