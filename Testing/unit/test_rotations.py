import numpy as np
import torch
from scipy.spatial.transform import Rotation

from valorlib.ops.rotations import angle_deg, even_quaternions, quaternion_matrices, rotation_matrix, rotations_within


def test_quaternions_become_the_matrices_scipy_makes():
    q = even_quaternions(50)
    np.testing.assert_allclose(quaternion_matrices(q), Rotation.from_quat(q).as_matrix(), atol=1e-12)


def test_even_rotations_leave_no_hole():
    turns = rotations_within(180.0, spacing_deg=20.0)
    probes = Rotation.random(200, random_state=1).as_matrix()
    nearest = [angle_deg(turns @ probe.T).min() for probe in probes]
    assert max(nearest) < 20.0


def test_rotations_stay_within_the_limit_and_start_with_none():
    turns = rotations_within(45.0, spacing_deg=15.0)
    np.testing.assert_array_equal(turns[0], np.eye(3))
    assert angle_deg(turns).max() <= 45.0 + 1e-9
    assert 50 < len(turns) < 400


def test_rotation_vectors_turn_as_scipy_says():
    vectors = np.random.default_rng(1).normal(size=(20, 3))
    ours = rotation_matrix(torch.from_numpy(vectors)).numpy()
    np.testing.assert_allclose(ours, Rotation.from_rotvec(vectors).as_matrix(), atol=1e-10)
