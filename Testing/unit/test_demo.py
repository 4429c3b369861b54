import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.demo import make_pair
from valorlib.demo_fields import cubic_weights, known_field, min_jacobian
from valorlib.demo_organs import make_organs
from valorlib.demo_rt import PRESCRIPTION_GY, make_rt_case
from valorlib.metrics.landmarks import landmark_errors
from valorlib.ops.resample import resample_labels


@pytest.fixture(scope="module")
def case():
    return make_pair(3, size="small", lesions=2)


def test_the_true_field_carries_the_landmarks(case):
    errors = landmark_errors(case.truth, case.landmarks)
    assert errors.after_mm.max() < 0.01
    assert errors.before_mm.mean() > 2
    assert len(errors.after_mm) >= 60


def test_both_scans_sample_one_anatomy():
    case = make_pair(4, size="small", noise=0.0, drops=0)
    fixed, moving = case.pair.fixed, case.pair.moving
    mapped = moving.grid.to_index(fixed.grid.points() + case.truth.array)
    there = map_coordinates(moving.array, np.moveaxis(mapped[..., ::-1], -1, 0), order=1, mode="nearest")
    inside = moving.grid.contains(fixed.grid.points() + case.truth.array) & (there > 100)
    before = map_coordinates(
        moving.array, np.moveaxis(moving.grid.to_index(fixed.grid.points())[..., ::-1], -1, 0), order=1
    )
    at_truth = np.corrcoef(np.log(fixed.array[inside] + 1), np.log(there[inside] + 1))[0, 1]
    at_start = np.corrcoef(np.log(fixed.array[inside] + 1), np.log(before[inside] + 1))[0, 1]
    assert at_truth > 0.75 > at_start


def test_true_masks_agree_through_the_true_field(case):
    carried = resample_labels(case.moving_tumors, case.truth.grid, case.truth).array
    for label in case.fixed_tumors.labels:
        a, b = carried == label, case.fixed_tumors.array == label
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.75


def test_the_same_seed_gives_the_same_case_and_another_seed_another(case):
    again, other = make_pair(3, size="small", lesions=2), make_pair(8, size="small", lesions=2)
    np.testing.assert_array_equal(case.pair.fixed.array, again.pair.fixed.array)
    np.testing.assert_array_equal(case.truth.array, again.truth.array)
    assert not np.array_equal(case.truth.array, other.truth.array)


def test_each_click_lies_in_its_tumor(case):
    seeds, tumors = case.pair.seeds, case.moving_tumors
    index = np.round(tumors.grid.to_index(seeds.points)).astype(int)
    np.testing.assert_array_equal(tumors.array[index[:, 2], index[:, 1], index[:, 0]], seeds.tumors)


def test_the_field_never_comes_near_a_fold_and_both_grids_are_oblique(case):
    mapped = case.truth.grid.points() + case.truth.array
    assert min_jacobian(mapped, case.truth.grid) > 0.3
    for grid in (case.pair.fixed.grid, case.pair.moving.grid):
        assert np.abs(np.asarray(grid.direction) - np.eye(3)).max() > 0.01
        assert min(map(abs, grid.origin)) > 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40, 60))
def test_start_errors_of_full_cases_lie_between_3_and_12_mm(seed):
    case = make_pair(seed)
    assert 3 <= case.start_error_mm <= 12
    assert case.pair.fixed.grid.size == (145, 135, 65)
    assert min_jacobian(case.truth.grid.points() + case.truth.array, case.truth.grid) > 0.3


def test_each_sixth_case_is_isointense_and_the_kind_can_be_asked_for():
    assert make_pair(5, size="small").kinds[0] == "isointense"
    bright = make_pair(5, size="small", kind="bright")
    assert bright.kinds[0] == "bright"
    inside = bright.pair.moving.array[bright.moving_tumors.array == 1].mean()
    assert inside > 1.4 * bright.pair.moving.array[bright.moving_tumors.array == 0].mean()


def test_a_case_without_tumor_has_no_clicks():
    case = make_pair(1, size="small", lesions=0)
    assert case.pair.seeds is None
    assert case.fixed_tumors.labels == ()


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"size": "huge"}, {"lesions": 9}, {"kind": "green"}])
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(InputError, match="expected"):
        make_pair(**{"seed": 0, **wrong})


def test_spline_weights_sum_to_one_and_reproduce_a_line():
    weights = cubic_weights(40, 1.5, 20.0)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
    line = np.arange(weights.shape[1]) - 1.0  # control value n at knot n - 1
    np.testing.assert_allclose(weights @ line, np.arange(40) * 1.5 / 20.0, atol=1e-12)


def test_a_known_field_without_spline_is_rigid():
    grid = Grid((12, 11, 10), (2.0, 3.0, 4.0), (5.0, 6.0, 7.0))
    field = known_field(grid, np.random.default_rng(0), degrees=0.0, shift_mm=3.0, mean_mm=0.0)
    assert 2.5 < np.linalg.norm(field.displacement.array, axis=-1).mean() < 4.5


def test_organs_carry_their_own_surface_points():
    case = make_organs(2, spacing_mm=3.0)
    assert case.fixed.labels == case.moving.labels == (1, 2, 3, 4, 5)
    for cloud, labels in ((case.truth.fixed, case.fixed), (case.truth.moving, case.moving)):
        for label in labels.labels:
            points = cloud.points[cloud.labels == label]
            inner = points.mean(axis=0) + 0.8 * (points - points.mean(axis=0))
            index = np.round(labels.grid.to_index(inner)).astype(int)
            assert (labels.array[index[:, 2], index[:, 1], index[:, 0]] == label).mean() > 0.97


def test_each_organ_moves_by_itself():
    truth = make_organs(0, spacing_mm=4.0).truth
    shifts = [(truth.moving.points - truth.fixed.points)[truth.fixed.labels == n].mean(axis=0) for n in range(1, 6)]
    apart = [np.linalg.norm(a - b) for n, a in enumerate(shifts) for b in shifts[:n]]
    assert min(apart) > 1


def test_the_radiotherapy_case_is_consistent():
    case = make_rt_case(1, spacing_mm=6.0)
    assert case.dose.array.max() == pytest.approx(PRESCRIPTION_GY, rel=0.02)
    target = case.pair.fixed_labels.array == 1
    assert case.dose_at_fixed.array[target].min() > 0.8 * PRESCRIPTION_GY
    assert landmark_errors(case.truth, case.landmarks).after_mm.max() < 0.01
    carried = resample_labels(case.pair.moving_labels, case.truth.grid, case.truth).array
    bladder = case.pair.fixed_labels.array == 2
    assert 2 * (bladder & (carried == 2)).sum() / (bladder.sum() + (carried == 2).sum()) > 0.8
