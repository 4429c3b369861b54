"""VALOR-Net on one small generated pair of slices: what its networks reach, and what its printed loss does."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

from valorlib.convert.tensors import field_to_voxels
from valorlib.core.errors import Cancelled, InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.points import Seeds
from valorlib.core.run import Run
from valorlib.methods.valor_net import METHOD, make_energy, register
from valorlib.methods.valor_net_options import AS_PRINTED, QUICK
from valorlib.networks.deep_prior import Training, train
from valorlib.ops.slice_block import cut_slices
from valorlib.ops.valor_energy import closed_form

TURN = ((0.96, -0.28, 0.0), (0.28, 0.96, 0.0), (0.0, 0.0, 1.0))


@pytest.fixture(scope="module")
def pair():
    """Five oblique slices with a bright disk of 6 mm radius; the moving one 2 mm further along i and brighter."""
    grid = Grid((48, 44, 5), (1.0, 1.1, 3.0), (-20.0, 31.0, 7.0), TURN)
    rng = np.random.default_rng(3)
    texture = ndimage.gaussian_filter(rng.normal(size=grid.shape), (0, 2, 2))
    _, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    body = 100 + 60 * texture / texture.std() * 0.3
    body[np.hypot((i - 24) * 1.0, (j - 22) * 1.1) < 6] = 260.0
    moving = np.roll(body, 2, axis=2)
    seeds = Seeds(grid.to_world([[26.0, 22.0, 2.0]]), np.array([1]), "moving")
    return ImagePair(Image(body, grid, "fixed"), Image(1.4 * moving, grid, "moving"), seeds)


OPTIONS = dataclasses.replace(QUICK, slices=3, pixels=48, epochs=60, equalize=False, learning_rate=0.004)

OPTIONS_SHORT = dataclasses.replace(OPTIONS, epochs=2, width=4, levels=2)


@pytest.fixture(scope="module")
def result(pair):
    return register(pair, OPTIONS, Run())


def in_disk(pair):
    k, j, i = np.meshgrid(*(np.arange(n) for n in pair.fixed.grid.shape), indexing="ij")
    return (np.hypot((i - 24) * 1.0, (j - 22) * 1.1) < 6) & (k >= 1) & (k <= 3)


def test_finds_the_shift_at_the_tumor_and_stays_in_plane(pair, result):
    u_vox = field_to_voxels(result.displacement)[0].numpy()
    assert np.abs(u_vox[0]).max() < 1e-4
    edge = in_disk(pair)
    assert u_vox[2][edge].mean() == pytest.approx(2.0, abs=0.8)
    assert abs(u_vox[1][edge].mean()) < 0.6


def test_masks_lie_on_both_disks_and_on_the_slices_alone(pair, result):
    truth = in_disk(pair)
    own = result.moving_seg.array == 1
    there = np.roll(truth, 2, axis=2)
    assert 2 * (own & there).sum() / (own.sum() + there.sum()) > 0.85
    carried = result.fixed_seg.array == 1
    assert 2 * (carried & truth).sum() / (carried.sum() + truth.sum()) > 0.8
    assert not own[[0, 4]].any()
    assert result.record["slices"] == [1, 3]


def test_the_networks_mask_agrees_with_the_closed_form_oracle(pair):
    o = dataclasses.replace(OPTIONS, closed_form_start=False)
    block = cut_slices(pair, slices=1, pixels=48, crop_mm=0.0, match=True, equalized=False, marker_mm=2.0)
    energy = make_energy(block, o, "cpu")
    how = Training(
        epochs=100, width=8, levels=3, dropout=0.0, learning_rate=0.01, noise_channels=32, start=False, seed=0
    )
    best = closed_form(energy.phi_moving, energy.distance, lambda_1=o.lambda_1, mu=o.mu)
    solution = train(energy, how, each=lambda epoch, theta, u: None, segments=True)
    found = solution.theta >= 0.5
    overlap = 2 * (found & (best > 0)).sum() / (found.sum() + (best > 0).sum())
    assert overlap > 0.85
    still = torch.zeros_like(solution.u_pix)
    floor, start = energy.segmentation(best, still), energy.segmentation(torch.full_like(best, 0.5), still)
    reached = energy.segmentation(solution.theta, still)
    assert (reached - floor) / (start - floor) < 0.05


def test_the_printed_loss_pins_theta_to_the_scan(pair):
    o = dataclasses.replace(AS_PRINTED, slices=1, pixels=48, epochs=80, width=8, levels=3, learning_rate=0.01)
    block = cut_slices(pair, slices=1, pixels=48, crop_mm=0.0, match=True, equalized=True, marker_mm=2.0)
    energy = make_energy(block, o, "cpu")
    how = Training(
        epochs=80, width=8, levels=3, dropout=0.0, learning_rate=0.01, noise_channels=32, start=False, seed=0
    )
    theta = train(energy, how, each=lambda epoch, theta, u: None, segments=True).theta
    pinned = energy.weights.mu * energy.distance > energy.weights.lambda_1 * energy.phi_moving.abs()
    assert pinned.float().mean() > 0.5
    assert (theta - energy.moving)[pinned].abs().mean() < 0.12


def test_metrics_are_recorded_at_the_first_each_fiftieth_and_the_last_epoch(pair):
    o = dataclasses.replace(QUICK, epochs=12, metrics_every=5, pixels=32, width=4, levels=2)
    rows = register(pair, o, Run()).record["metrics_by_epoch"]
    assert [row["epoch"] for row in rows] == [1, 5, 10, 12]
    assert {"psnr", "ssim", "ncc", "relative_ssd", "folded_share"} <= set(rows[0])
    assert METHOD.presets["default"].metrics_every == 50


def test_the_presets_carry_the_papers_weights():
    for preset in METHOD.presets.values():
        assert (preset.lambda_1, preset.lambda_2, preset.mu, preset.beta_1, preset.beta_2) == (
            2.0,
            0.1,
            30.0,
            50.0,
            50.0,
        )
    assert AS_PRINTED.smooth == 0
    assert METHOD.presets["default"].smooth > 0


def test_same_seed_same_answer_other_seed_another(pair):
    o = dataclasses.replace(QUICK, epochs=4, pixels=32, width=4, levels=2)
    first, second, third = (register(pair, o, Run(seed=seed)).displacement.array for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - third).max() > 0


def test_only_the_body_counts_when_asked(pair):
    plain = register(pair, OPTIONS_SHORT, Run())
    masked = register(pair, dataclasses.replace(OPTIONS_SHORT, body_only=True), Run())
    assert masked.record["options"]["body_only"] is True
    block = cut_slices(pair, slices=3, pixels=48, crop_mm=0.0, match=False, equalized=False, marker_mm=2.0)
    half = np.zeros(pair.fixed.grid.shape, np.int32)
    half[..., :24] = 1
    energy = make_energy(block, OPTIONS, "cpu", look=LabelMap(half, pair.fixed.grid))
    still, theta = torch.zeros(3, 2, 48, 48), torch.zeros(3, 1, 48, 48)
    whole = make_energy(block, OPTIONS, "cpu")
    assert 0 < float(energy.registration(theta, still)) < float(whole.registration(theta, still))
    assert masked.losses[0] <= plain.losses[0]


def test_works_without_clicks_and_on_one_slice(pair):
    grid = pair.fixed.grid.cropped((0, 0, 2), (48, 44, 3))
    flat = ImagePair(Image(pair.fixed.array[2:3], grid), Image(pair.moving.array[2:3], grid))
    result = register(flat, dataclasses.replace(QUICK, epochs=3, pixels=32, width=4, levels=2), Run())
    assert result.moving_seg is None
    assert result.displacement.grid.matches(grid)


def test_clicks_outside_are_refused_and_cancel_ends_the_run(pair):
    far = dataclasses.replace(pair, seeds=Seeds(np.array([[900.0, 0, 0]]), np.array([1]), "moving"))
    with pytest.raises(InputError, match="seeds"):
        register(far, QUICK, Run())

    def cancel(fraction, message):
        if fraction > 0.1:
            raise Cancelled

    with pytest.raises(Cancelled):
        register(pair, QUICK, Run(progress=cancel))
