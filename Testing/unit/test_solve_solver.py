from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from valorlib.core.errors import Cancelled, InputError
from valorlib.core.run import silent
from valorlib.ops.boxes import Windows
from valorlib.ops.warp import warp
from valorlib.solve import terms as T
from valorlib.solve.parameterizations import Affine, DisplacementPyramid, StationaryVelocity, TimeVaryingVelocity, dense
from valorlib.solve.regularizers import bending, diffusion
from valorlib.solve.solver import Problem, solve, solve_pyramid, state_of

SHAPE = (16, 18, 20)
SPACING = (1.5, 1.0, 1.0)


def texture(seed=0, shape=SHAPE):
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.5)
    return torch.tensor(noise / noise.std(), dtype=torch.float32)[None, None]


def known(seed=2, size=1.5):
    coarse = torch.randn(1, 3, 3, 3, 3, generator=torch.Generator().manual_seed(seed))
    field = dense(coarse, SHAPE)
    return field * (size / field.abs().max())


ONES = torch.ones(1, 1, *SHAPE)
WINDOWS = Windows(SHAPE, (2, 2, 2))
IMAGE_TERMS = {
    "ssd": lambda f: T.SquaredDifferences(f, ONES),
    "ncc": lambda f: T.GlobalCorrelation(f, ONES),
    "lncc": lambda f: T.LocalCorrelations(f, ONES, WINDOWS),
    "lncc_squared": lambda f: T.LocalCorrelations(f, ONES, WINDOWS, squared=True),
    "mi": lambda f: T.MutualInformation(f, ONES),
    "ngf": lambda f: T.NormalizedGradients(f, ONES),
    "mind": lambda f: T.SelfSimilarity(f, ONES),
}


def state(moving, u=None):
    u = torch.zeros(1, 3, *SHAPE) if u is None else u
    return state_of(u, Problem(moving=moving, spacing_mm=SPACING, terms=(), rate=0.1, iterations=1))


@pytest.mark.parametrize("name", IMAGE_TERMS)
def test_a_term_is_lowest_where_images_meet(name):
    term = IMAGE_TERMS[name](texture())
    here = float(term(state(texture())))
    shift = torch.zeros(1, 3, *SHAPE)
    shift[:, 2] = 2
    assert here < float(term(state(texture(), shift)))
    assert here < float(term(state(texture(9))))


@pytest.mark.parametrize("name", ["lncc_squared", "mi", "ngf", "mind"])
def test_multimodal_terms_take_inverted_contrast_for_a_match(name):
    term = IMAGE_TERMS[name](texture())
    same, other = float(term(state(-texture()))), float(term(state(texture(9))))
    assert same == pytest.approx(float(term(state(texture()))), abs=0.05)
    assert same < other


def test_global_correlation_does_not_see_brightness():
    term = T.GlobalCorrelation(texture(), ONES)
    assert float(term(state(3 * texture() + 100))) == pytest.approx(0, abs=1e-4)


def test_normalized_gradients_are_normalized_voxel_by_voxel():
    weak = texture().clone()
    weak[..., :10] *= 0.05  # a dark half still has edges
    term = T.NormalizedGradients(weak, ONES, noise=0.01)
    assert float(term(state(texture()))) < 0.25
    assert 0 < float(term(state(texture(9)))) < 1


@pytest.mark.parametrize("name", ["ssd", "lncc", "mi", "ngf", "mind"])
def test_masked_voxels_change_nothing(name):
    mask = ONES.clone()
    mask[..., :8] = 0
    other = texture().clone()
    other[..., :4] = 5  # far enough from the mask for descriptors not to reach over
    make = {
        "ssd": lambda: T.SquaredDifferences(texture(), mask),
        "lncc": lambda: T.LocalCorrelations(texture(), mask, WINDOWS),
        "mi": lambda: T.MutualInformation(texture(), mask),
        "ngf": lambda: T.NormalizedGradients(texture(), mask),
        "mind": lambda: T.SelfSimilarity(texture(), mask, step=1),
    }[name]
    tolerance = 0.02 if name == "mind" else 1e-6
    assert float(make()(state(other))) == pytest.approx(float(make()(state(texture()))), abs=tolerance)


def test_labels_count_by_their_weight():
    fixed = torch.zeros(1, 1, *SHAPE)
    fixed[..., 2:8], fixed[..., 10:16] = 1, 2
    moving = torch.where(fixed == 2, 0, fixed)
    zero = torch.zeros(1, 3, *SHAPE)
    assert float(T.LabelOverlap(fixed, moving, (1, 2))(state(fixed, zero))) == pytest.approx(0.5)
    assert float(T.LabelOverlap(fixed, moving, (1, 2), {1: 3.0})(state(fixed, zero))) == pytest.approx(0.25)


def test_points_and_boxes_measure_in_mm():
    zero = state(texture())
    fixed = torch.tensor([[5.0, 5, 5]])
    assert float(T.Points(fixed, fixed + torch.tensor([2.0, 0, 0]))(zero)) == pytest.approx(9.0)  # 2 voxels of 1.5 mm
    box = torch.tensor([[[4.0, 4, 4], [8, 8, 8]]])
    assert float(T.Boxes(box, box)(zero)) == 0
    grown = torch.tensor([[[4.0, 4, 4], [8, 8, 10]]])
    assert float(T.Boxes(box, grown)(zero)) == pytest.approx(2.0)  # 2 mm at four of eight corners


@pytest.mark.parametrize("kind", ["pyramid", "stationary", "varying"])
def test_each_deformation_finds_a_known_field(kind):
    torch.manual_seed(0)
    truth, moving = known(), texture()
    like = torch.zeros(1)
    field = {
        "pyramid": lambda: DisplacementPyramid([(4, 4, 4), (6, 6, 6)], like=like),
        "stationary": lambda: StationaryVelocity((5, 5, 5), like=like),
        "varying": lambda: TimeVaryingVelocity((5, 5, 5), 2, like=like),
    }[kind]()
    fixed = warp(moving, truth)
    parts = [(1.0, T.LocalCorrelations(fixed, ONES, WINDOWS)), (0.02, T.Smoothness(diffusion))]
    problem = Problem(moving=moving, spacing_mm=SPACING, terms=parts, rate=0.05, iterations=80)
    found = solve(field, problem, silent)
    inside = (slice(None), slice(None), *(slice(3, -3),) * 3)
    error = (found.u_vox - truth)[inside].norm(dim=1)
    assert error.mean() < 0.35 * truth[inside].norm(dim=1).mean()
    assert found.losses[0] > found.best


def test_a_rigid_motion_is_found_by_mutual_information():
    like = torch.zeros(1)
    true = Affine([n * s for n, s in zip(SHAPE, SPACING, strict=True)], kind="rigid", like=like)
    true.parameters()[0].data.copy_(torch.tensor([0.06, -0.04, 0.05]))
    true.parameters()[1].data.copy_(torch.tensor([0.05, -0.04, 0.03]))
    truth = true.displacement(SHAPE).detach()
    field = Affine([n * s for n, s in zip(SHAPE, SPACING, strict=True)], kind="rigid", like=like)
    moving = -texture()
    fixed = warp(texture(), truth)
    problem = Problem(
        moving=moving, spacing_mm=SPACING, terms=[(1.0, T.MutualInformation(fixed, ONES))], rate=0.01, iterations=80
    )
    found = solve(field, problem, silent)
    assert (found.u_vox - truth).norm(dim=1).mean() < 0.2 * truth.norm(dim=1).mean()


def test_the_pyramid_carries_parameters_over_and_reports_each_level():
    truth, moving = known(), texture()
    fixed = warp(moving, truth)
    field = StationaryVelocity((5, 5, 5), like=torch.zeros(1))
    terms = [(1.0, T.SquaredDifferences(fixed, ONES)), (0.01, T.Smoothness(bending))]
    level = Problem(moving=moving, spacing_mm=SPACING, terms=terms, rate=0.05, iterations=12)
    seen, fractions = [], []
    found = solve_pyramid(field, [level, level], lambda f, m: fractions.append(f), seen.append)
    assert len(seen) == 2
    assert found[1].losses[0] == pytest.approx(found[0].best, abs=1e-5)
    assert fractions == sorted(fractions)


def test_it_stops_early_keeps_the_best_and_cancels():
    moving = texture()
    field = StationaryVelocity((4, 4, 4), like=torch.zeros(1))
    terms = [(1.0, T.SquaredDifferences(moving, ONES))]
    problem = Problem(moving=moving, spacing_mm=SPACING, terms=terms, rate=0.5, iterations=500)
    found = solve(field, problem, silent)
    assert len(found.losses) < 100
    assert found.best == min(found.losses)

    def progress(fraction, message):
        raise Cancelled

    with pytest.raises(Cancelled):
        solve(field, problem, progress)


def test_images_with_nan_are_refused_in_a_sentence():
    moving = texture() * float("nan")
    terms = [(1.0, T.SquaredDifferences(texture(), ONES))]
    problem = Problem(moving=moving, spacing_mm=SPACING, terms=terms, rate=0.1, iterations=3)
    with pytest.raises(InputError, match="NaN"):
        solve(StationaryVelocity((4, 4, 4), like=torch.zeros(1)), problem, silent)
