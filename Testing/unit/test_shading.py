"""Slow shading of a region, found from slopes."""

import numpy as np

from valorlib.ops.shading import local_shading


def _scene(rng):
    """Fat, a block of gland and a bright ball, with noise."""
    k, j, i = np.indices((31, 35, 33), dtype=np.float64)
    tissue = np.where((j > 18) & (i > 8), 500.0, 250.0)
    tissue[(k - 15) ** 2 + (j - 15) ** 2 + (i - 16) ** 2 < 36] = 900.0
    x, y, z = (2 * a / (n - 1) - 1 for a, n in zip((k, j, i), tissue.shape, strict=True))
    shading = np.exp(0.5 * x - 0.3 * y + 0.25 * z**2)
    return tissue, shading / np.exp(np.log(shading).mean()), rng.normal(0, 8, tissue.shape)


def test_known_shading_is_found_within_ten_percent():
    tissue, shading, noise = _scene(np.random.default_rng(0))
    found = local_shading((tissue * shading + noise).astype(np.float32), (1.0, 1.0, 1.0))
    assert np.abs(found / shading - 1).mean() < 0.05
    assert np.percentile(np.abs(found / shading - 1), 99) < 0.12


def test_an_even_image_keeps_its_intensities():
    tissue, _, noise = _scene(np.random.default_rng(1))
    found = local_shading((tissue + noise).astype(np.float32), (1.0, 1.0, 1.0))
    assert np.abs(found - 1).max() < 0.1


def test_no_shading_is_looked_for_where_there_is_none_to_find():
    ct = np.full((9, 9, 9), -50.0, dtype=np.float32)
    assert np.array_equal(local_shading(ct, (1, 1, 1)), np.ones_like(ct))
    empty = np.zeros((9, 9, 9), dtype=np.float32)
    assert np.array_equal(local_shading(empty, (1, 1, 1)), np.ones_like(empty))


def test_one_slice_has_shading_within_the_slice():
    tissue, shading, noise = _scene(np.random.default_rng(2))
    slice_ = np.repeat(np.repeat((tissue * shading + noise)[15:16], 3, 1), 3, 2).astype(np.float32)
    found = local_shading(slice_, (1.0, 1.0, 1.0))
    wanted = np.repeat(np.repeat(shading[15:16], 3, 1), 3, 2)
    wanted = wanted / np.exp(np.log(wanted).mean())
    assert np.abs(found / wanted - 1).mean() < 0.06
