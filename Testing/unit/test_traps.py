"""Mistakes seen in published code of these methods; each has a test that fails when it is made here.

 1. A half-resolution field taken up without scaling:
    `test_a_field_taken_to_twice_the_voxels_has_twice_the_voxels_of_motion`
 2. v after v in place of v after phi: `test_the_flow_of_a_turning_velocity_is_the_rotation`
 3. -u as the inverse: `test_a_dense_field_is_inverted_to_tolerance_and_minus_u_is_not_it`
 4. Only what a level adds is smooth: `test_levels_that_are_smooth_each_can_fold_together_and_the_total_shows_it`
 5. "Diffeomorphic" without integration: `test_a_velocity_without_integration_is_refused`
 6. Gradients normalized by one number, determinant of the slope without identity, correlation without means:
    `test_normalized_gradients_are_normalized_voxel_by_voxel`, `test_the_determinant_is_that_of_identity_plus_slopes`,
    `test_global_correlation_does_not_see_brightness`
 7. Batch statistics of one image, so that training and use differ: here, and `test_slices_of_a_batch_do_not_mix`
 8. A low-rank motion read at other points with the full kernel: `test_further_points_move_like_the_cloud`
 9. A kernel with negative eigenvalues for unequal lengths: here
10. A short series for the logarithm of a Bessel function: no model here needs one (noise is Gaussian or robust)
11. Half the dimension as a whole number: here
12. Rigid search on cubes in whole voxels: `test_recovers_a_known_shift[ngf_rigid]` (oblique 44 x 40 x 30, unequal
    voxels, error below half of one)
13. Soft Dice beside F1 as if they differed: `test_soft_dice_of_a_mask_is_its_dice_up_to_the_smoothing`,
    `test_dice_and_jaccard_keep_their_relation_for_any_masks`
14. Gray values alone as evidence: `test_transform_field_and_inverse_agree` asks each deformable method for its folds
"""

import math

import pytest
import torch

from valorlib.networks.unet import UNet
from valorlib.ops.gp_kernel import MotionPrior, motion_kernel


def prior(lengths_mm):
    count = len(lengths_mm)
    return MotionPrior(torch.tensor(lengths_mm).double(), torch.ones(count).double(), torch.ones(count, count).double())


def test_a_network_answers_alike_in_training_and_in_use():
    torch.manual_seed(0)
    net, image = UNet(1, 2, width=4, levels=2), torch.rand(1, 1, 16, 16)
    for _ in range(3):
        net.train()(image)
    torch.testing.assert_close(net.train()(image), net.eval()(image))


@pytest.mark.parametrize("lengths_mm", [(30.0, 15.0, 20.0, 20.0, 40.0), (60.0, 10.0, 15.0, 15.0, 60.0)])
def test_the_kernel_of_unlike_organs_has_no_negative_eigenvalue(lengths_mm):
    torch.manual_seed(1)
    points, organs = torch.rand(150, 3).double() * 100, torch.arange(150) % 5
    kernel = motion_kernel(points, organs, points, organs, prior(lengths_mm))
    assert torch.linalg.eigvalsh(kernel).min() > -1e-9
    total = torch.tensor(lengths_mm).double()[organs].square()
    printed = (-torch.cdist(points, points).square() / (total[:, None] + total[None])).exp()
    assert torch.linalg.eigvalsh(printed).min() < -0.01


def test_the_kernel_falls_by_the_power_of_half_the_dimension():
    here = torch.zeros(1, 3).double()
    found = motion_kernel(here, torch.tensor([0]), here, torch.tensor([1]), prior((10.0, 40.0)))
    assert float(found) == pytest.approx(math.pow(2 * 10 * 40 / (10**2 + 40**2), 1.5))
