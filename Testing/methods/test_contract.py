"""What every method of the catalog promises, tested once for all."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage

from valorlib.catalog import ENTRIES, load
from valorlib.convert.tensors import choose_device
from valorlib.core.errors import Cancelled, InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image
from valorlib.core.inputs import ImagePair
from valorlib.core.options import as_dict, describe, with_settings
from valorlib.core.points import PointCloud, PointPair
from valorlib.core.run import Run
from valorlib.ops.transforms import map_points, to_displacement

NAMES = [entry.name for entry in ENTRIES]
IMAGES = [entry.name for entry in ENTRIES if entry.kind == "image"]
# VALOR-Net is two-dimensional and has no explicit regularization: its own tests say what it does.
ALIGNS = [name for name in IMAGES if name != "valor_net"]
TURN = np.array([[0.98, -0.199, 0.0], [0.199, 0.98, 0.0], [0.0, 0.0, 1.0]])
TURN, _ = np.linalg.qr(TURN)
TURN = TURN * np.sign(np.diag(TURN))
SHIFT_MM = np.array([3.0, -2.0, 1.5])


@pytest.fixture(scope="module")
def pair():
    """An oblique, anisotropic, off-origin body with texture, and the same shifted by 3.9 mm."""
    grid = Grid((44, 40, 30), (2.0, 2.2, 2.6), (-31.0, 12.0, 40.0), tuple(map(tuple, TURN)))
    rng = np.random.default_rng(5)
    fine = ndimage.gaussian_filter(rng.normal(size=grid.shape), 1.2)
    coarse = ndimage.gaussian_filter(rng.normal(size=grid.shape), 3.0)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in grid.shape), indexing="ij")
    body = ndimage.gaussian_filter((sum(a**2 for a in axes) < 0.75).astype(float), 0.7)
    array = (100 * body * (1 + 0.5 * coarse / coarse.std() * 0.3 + fine / fine.std() * 0.25)).astype(np.float32)
    # moving(x + shift) = fixed(x): the same voxels, moved in the world.
    away = dataclasses.replace(grid, origin=tuple(np.asarray(grid.origin) + SHIFT_MM))
    return ImagePair(Image(array, grid, "fixed"), Image(array.copy(), away, "moving"))


@pytest.fixture(scope="module")
def clouds():
    rng = np.random.default_rng(6)
    points, labels = [], []
    for label, center in enumerate(((0, 0, 0), (60, 10, 5), (20, 70, -20)), start=1):
        on_sphere = rng.normal(size=(120, 3))
        on_sphere /= np.linalg.norm(on_sphere, axis=1, keepdims=True)
        points.append(on_sphere * (20, 14, 17) + center)
        labels.append(np.full(120, label))
    moving, labels = np.concatenate(points), np.concatenate(labels)
    return PointPair(PointCloud(moving + np.array([4.0, -3.0, 2.0]), labels), PointCloud(moving, labels))


def inputs_of(name, pair, clouds):
    return pair if load(name).takes is ImagePair else clouds


def quick(name):
    return load(name).presets["quick"]


def numbers(result):
    if result.displacement is not None:
        return result.displacement.array
    return result.moved.points


@pytest.mark.parametrize("name", NAMES)
def test_the_file_matches_its_line_in_the_list(name):
    method, entry = load(name), next(e for e in ENTRIES if e.name == name)
    assert (method.name, method.title) == (entry.name, entry.title)
    assert method.source
    assert {"default", "quick"} <= set(method.presets)
    assert all(isinstance(preset, method.options) for preset in method.presets.values())


@pytest.mark.parametrize("name", NAMES)
def test_options_survive_the_trip_through_texts_and_carry_help(name):
    method = load(name)
    for info in describe(method.options):
        assert info.help, info.name
    for preset in method.presets.values():
        texts = {}
        for key, value in as_dict(preset).items():
            texts[key] = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        assert with_settings(method.options(), texts) == preset


@pytest.mark.parametrize("name", ALIGNS)
def test_recovers_a_known_shift(name, pair):
    result = load(name).run(pair, quick(name), Run())
    inner = (slice(7, -7), slice(9, -9), slice(9, -9))
    error_mm = np.linalg.norm(result.displacement.array[inner] - SHIFT_MM, axis=-1)
    assert error_mm.mean() < 0.7
    start_mm = np.linalg.norm(SHIFT_MM)
    assert np.percentile(error_mm, 95) < 0.5 * start_mm


@pytest.mark.parametrize("name", ALIGNS)
def test_transform_field_and_inverse_agree(name, pair):
    result = load(name).run(pair, quick(name), Run())
    grid = pair.fixed.grid
    assert result.displacement.grid.matches(grid)
    assert result.displacement.array.dtype == np.float32
    again = to_displacement(result.transform, grid).array
    assert np.abs(again - result.displacement.array).max() < 0.05
    points = grid.points()[8:-8:4, 10:-10:4, 10:-10:4].reshape(-1, 3)
    there = map_points(result.displacement, points)
    back = map_points(result.inverse_displacement, there)
    assert np.linalg.norm(back - points, axis=1).mean() < 0.1
    # Rigid motion cannot fold; every other method counts.
    assert name == "ngf_rigid" or result.record["folds"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_repeats_itself_rises_in_progress_and_leaves_inputs_alone(name, pair, clouds):
    inputs = inputs_of(name, pair, clouds)
    members = (inputs.fixed, inputs.moving)
    before = [np.array(getattr(m, "array", getattr(m, "points", None))) for m in members]
    seen = []
    first = load(name).run(inputs, quick(name), Run(seed=3, progress=lambda f, m: seen.append((f, m))))
    second = load(name).run(inputs, quick(name), Run(seed=3))
    np.testing.assert_array_equal(numbers(first), numbers(second))
    fractions = [f for f, _ in seen]
    assert len(seen) >= 4
    assert all(m for _, m in seen)
    assert 0 <= fractions[0] < 0.3
    assert fractions[-1] <= 1.0 + 1e-9
    assert all(b >= a - 1e-6 for a, b in itertools.pairwise(fractions))
    for member, array in zip(members, before, strict=True):
        np.testing.assert_array_equal(np.array(getattr(member, "array", getattr(member, "points", None))), array)


@pytest.mark.parametrize("name", NAMES)
def test_cancel_ends_the_run_wherever_it_comes(name, pair, clouds):
    inputs = inputs_of(name, pair, clouds)
    calls = []

    def count(fraction, message):
        calls.append(fraction)

    load(name).run(inputs, quick(name), Run(progress=count))
    for stop in {0, len(calls) // 2, len(calls) - 2}:
        left = [stop]

        def cancel(fraction, message, left=left):
            if left[0] == 0:
                raise Cancelled
            left[0] -= 1

        with pytest.raises(Cancelled):
            load(name).run(inputs, quick(name), Run(progress=cancel))


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_of_one_value_is_refused_in_one_sentence(name, pair):
    flat = Image(np.full(pair.fixed.grid.shape, 7.0, np.float32), pair.fixed.grid, "flat")
    with pytest.raises(InputError) as refusal:
        load(name).run(ImagePair(flat, pair.moving), quick(name), Run())
    assert "\n" not in str(refusal.value).strip()
    assert len(str(refusal.value)) < 300


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_gpu_and_cpu_agree(name, pair, clouds):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    inputs = inputs_of(name, pair, clouds)
    cpu = load(name).run(inputs, quick(name), Run())
    gpu = load(name).run(inputs, quick(name), Run(device=choose_device("cuda")))
    assert np.abs(numbers(cpu) - numbers(gpu)).max() < 0.05
