"""VALOR-Net, the paper's own method: two U-Nets trained on one pair of slices. For study; `valor` is the one to use."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from valorlib.convert.tensors import field_from_voxels
from valorlib.core.images import LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.method import Method
from valorlib.core.options import Options, as_dict, option
from valorlib.core.results import Result
from valorlib.core.run import Run
from valorlib.core.transforms import AffineTransform, Chain
from valorlib.metrics.similarity import ncc, psnr, relative_ssd, ssim
from valorlib.networks.deep_prior import Solution, Training, train
from valorlib.ops.contrast import check_contrast
from valorlib.ops.overlap import body_mask, signal_drop_mask
from valorlib.ops.preparation import STARTS, prepare_pair
from valorlib.ops.resample import resample_labels
from valorlib.ops.slice_block import SliceBlock, cut_slices, label_slices, slice_distance
from valorlib.ops.transforms import inverse_of, invert_field, to_displacement
from valorlib.ops.valor_energy import (
    Energy,
    Weights,
    closed_form,
    fitting,
    folded_share,
    otsu_gaps,
    warp_slices,
)
from valorlib.solve.outcome import one_thread


@dataclass(frozen=True, kw_only=True)
class ValorNetOptions(Options):
    """Options of `register`."""

    slices: int = option(3, "Neighboring slices around the clicks, solved together", low=1, high=64)
    pixels: int = option(320, "Side of each slice after resizing", low=32, high=1024, unit="pixels")
    crop_mm: float = option(0.0, "Half side of a square around the clicks; 0: all", low=0.0, high=500.0, unit="mm")
    epochs: int = option(200, "Steps of each network", low=1, high=5000)
    width: int = option(32, "Channels at every level", low=4, high=256)
    levels: int = option(4, "Halvings of the resolution", low=1, high=6)
    dropout: float = option(0.0, "Share of channels dropped while training", low=0.0, high=0.9, advanced=True)
    learning_rate: float = option(0.001, "Of both Adam optimizers", low=1e-6, high=0.1, advanced=True)
    start: str = option("headers", "As the headers say, centers on each other, or a rigid search", choices=STARTS)
    bias_correction: bool = option(False, "Correct slow shading of MR first (N4)")
    match_histograms: bool = option(True, "Give the moving slices the fixed ones' histogram")
    equalize: bool = option(True, "Contrast-limited equalization (CLAHE) of both")
    body_only: bool = option(False, "Compare inside the body, away from signal drops")
    lambda_1: float = option(2.0, "Weight of the fitting in the moving image", low=0.0, high=1e4)
    lambda_2: float = option(0.1, "Weight of the fitting in the fixed image", low=0.0, high=1e4)
    mu: float = option(30.0, "Weight of the distance from the clicks", low=0.0, high=1e4)
    beta_1: float = option(50.0, "Weight of the squared difference", low=0.0, high=1e4)
    beta_2: float = option(50.0, "Weight of the squared difference of fine detail", low=0.0, high=1e4)
    smooth: float = option(3.0, "Weight of the field's diffusion; the paper has none (0)", low=0.0, high=1e4)
    sigma_pixels: float = option(4.0, "Smoothing behind fine detail", low=0.5, high=50.0, unit="pixels", advanced=True)
    as_printed: bool = option(False, "Distance term D |theta - T| as the paper prints it, instead of D theta")
    distance: str = option(
        "edges",
        "Distance: edges and intensity in mm, or the paper's eikonal over its maximum",
        choices=("edges", "eikonal"),
    )
    closed_form_start: bool = option(True, "Begin at the segmentation energy's exact minimum")
    fixed_level: str = option("same", "Tumor level in the fixed image", choices=("same", "estimated"), advanced=True)
    marker_mm: float = option(2.0, "Radius of the marker around a click", low=0.5, high=20.0, unit="mm", advanced=True)
    open_pixels: int = option(1, "Opening and closing of the masks", low=0, high=20, unit="pixels", advanced=True)
    metrics_every: int = option(50, "Epochs between recorded metrics", low=1, high=1000, advanced=True)


QUICK = ValorNetOptions(slices=1, pixels=64, epochs=20, width=8, levels=3, metrics_every=10)
AS_PRINTED = ValorNetOptions(as_printed=True, smooth=0.0, closed_form_start=False, distance="eikonal", dropout=0.1)


def register(pair: ImagePair, options: ValorNetOptions, run: Run) -> Result:
    """Register slices of two images and segment the clicked tumors in them, by two networks trained on the case.

    The displacement is in-plane; between and beyond the slices it continues as `DisplacementField` says. Without
    clicks the second network runs alone.

    Source: Khan, Variational U-Net with Local Alignment for Joint Tumor Extraction and Registration (VALOR-Net).
    Differs: D theta, D in mm-equivalents, diffusion of u, instance norm and the closed-form start, all of which the
    preset `as_printed` undoes but instance norm; T_s and R_s are Gaussian means; slices are axial to the fixed grid.
    """
    begin = time.process_time()
    check_contrast(pair)
    run.progress(0.0, "Preparing slices")
    o = options
    pair = prepare_pair(pair, run, start=o.start, bias_correction=o.bias_correction)
    block = cut_slices(
        pair,
        slices=o.slices,
        pixels=o.pixels,
        crop_mm=o.crop_mm,
        match=o.match_histograms,
        equalized=o.equalize,
        marker_mm=o.marker_mm,
    )
    look = signal_drop_mask(pair.fixed, body_mask(pair.fixed)) if o.body_only else None
    energy = make_energy(block, options, run.device, look=look)
    watch = _Watch(block, options, run, begin=begin)
    how = Training(
        epochs=o.epochs,
        width=o.width,
        levels=o.levels,
        dropout=o.dropout,
        learning_rate=o.learning_rate,
        noise_channels=32,
        start=o.closed_form_start,
        seed=run.seed,
    )
    with one_thread():
        solution = train(energy, how, each=watch, segments=bool(block.markers.any()))
        run.progress(0.93, "Back into the volume")
        result = _result(pair, block, options, energy, solution, watch)
    run.progress(1.0, "Done")
    return dataclasses.replace(result, record={**result.record, "cpu_s": time.process_time() - begin})


def make_energy(block: SliceBlock, options: ValorNetOptions, device: str, *, look: LabelMap | None = None) -> Energy:
    """The five terms for these slices; `look`: mask on any grid of where the images are compared."""
    t, r = block.moving.array, block.fixed.array
    weights = Weights(**{name: getattr(options, name) for name in Weights.__dataclass_fields__})
    levels = [float(t[block.markers].mean()) if block.markers.any() else float(t.mean())] * 2
    if options.fixed_level == "estimated" and block.markers.any():
        levels[1] = float(r[block.markers].mean())
    moving, fixed = (torch.tensor(image[:, None], device=device) for image in (t, r))
    distance = torch.tensor(
        slice_distance(block, levels[0], eikonal=options.distance == "eikonal")[:, None], device=device
    )
    seen = None if look is None else resample_labels(look, block.grid).array > 0
    return Energy(
        moving,
        fixed,
        fitting(moving, levels[0], otsu_gaps(t, levels[0])),
        fitting(fixed, levels[1], otsu_gaps(r, levels[1])),
        distance,
        weights,
        options.sigma_pixels,
        options.as_printed,
        None if seen is None else torch.tensor(seen[:, None], dtype=moving.dtype, device=device),
    )


@dataclass(eq=False)
class _Watch:
    """Progress after each epoch; metrics every so often."""

    block: SliceBlock
    options: ValorNetOptions
    run: Run
    begin: float
    rows: list[dict[str, float]] = field(default_factory=list)

    def __call__(self, epoch: int, theta: Tensor, u_pix: Tensor) -> None:
        self.run.progress(0.03 + 0.9 * epoch / self.options.epochs, f"Epoch {epoch} of {self.options.epochs}")
        if epoch == 1 or epoch % self.options.metrics_every == 0 or epoch == self.options.epochs:
            self.rows.append({"epoch": float(epoch), **self.numbers(u_pix)})

    def numbers(self, u_pix: Tensor) -> dict[str, float]:
        """The paper's intensity metrics of the warped slices, and the folds that they do not see."""
        fixed, moving = self.block.fixed.array, self.block.moving.array
        warped = warp_slices(torch.tensor(moving[:, None], device=u_pix.device), u_pix)[:, 0].cpu().numpy()
        return {
            "psnr": psnr(fixed, warped),
            "ssim": ssim(fixed, warped),
            "ncc": ncc(fixed, warped),
            "relative_ssd": relative_ssd(fixed, moving, warped),
            "folded_share": folded_share(u_pix.cpu().numpy()),
            "cpu_s": time.process_time() - self.begin,
        }


def _result(
    pair: ImagePair, block: SliceBlock, options: ValorNetOptions, energy: Energy, solution: Solution, watch: _Watch
) -> Result:
    u_vox = torch.cat([torch.zeros_like(solution.u_pix[:, :1]), solution.u_pix], 1).movedim(1, 0)[None]
    in_plane = field_from_voxels(u_vox, block.grid)
    back, residual = invert_field(in_plane)
    start = pair.start if pair.start is not None else AffineTransform.identity()
    transform = Chain((in_plane, start))
    inverse = Chain((inverse_of(start), back))
    last = watch.rows[-1]
    warnings = ["VALOR-Net moves within slices only, and only its slices were looked at."]
    if last["folded_share"] > 0:
        warnings.append(f"The motion folds at {last['folded_share']:.1%} of the pixels; its metrics prove nothing.")
    moving_seg, fixed_seg = _segments(pair, block, options, solution)
    record: dict[str, Any] = {
        "method": "valor_net",
        "options": as_dict(options),
        "slices": [block.first_slice, block.first_slice + block.grid.size[2] - 1],
        "metrics_by_epoch": watch.rows,
        "inverse_residual_mm": float(np.percentile(residual.array, 99)),
        "segmentation_loss": [loss for loss, _ in solution.losses],
        "registration_loss": [loss for _, loss in solution.losses],
    }
    if block.markers.any():
        best = closed_form(energy.phi_moving, energy.distance, lambda_1=options.lambda_1, mu=options.mu)
        record["closed_form_agreement"] = float(((solution.theta >= 0.5) == (best >= 0.5)).float().mean())
    losses = tuple(a + b for a, b in solution.losses)
    return Result(
        transform,
        inverse=inverse,
        displacement=to_displacement(transform, pair.fixed.grid),
        inverse_displacement=to_displacement(inverse, pair.moving.grid),
        losses=losses,
        warnings=tuple(warnings),
        record=record,
        moving_seg=moving_seg,
        fixed_seg=fixed_seg,
        warped_seg=fixed_seg,
    )


def _segments(
    pair: ImagePair, block: SliceBlock, options: ValorNetOptions, solution: Solution
) -> tuple[LabelMap | None, LabelMap | None]:
    """Tumors in the moving and the fixed image; the fixed ones are the moving ones carried over, as in the paper."""
    if not block.markers.any():
        return None, None
    start = pair.start if pair.start is not None else AffineTransform.identity()
    own = label_slices(solution.theta[:, 0].cpu().numpy(), block, open_pixels=options.open_pixels)
    u_pix = solution.u_pix
    carried = warp_slices(
        torch.tensor(own.array[:, None], dtype=u_pix.dtype, device=u_pix.device), u_pix, mode="nearest"
    )
    seen = LabelMap(carried[:, 0].cpu().numpy().astype(np.int32), own.grid, own.names)
    return resample_labels(own, pair.moving.grid, inverse_of(start)), resample_labels(seen, pair.fixed.grid)


METHOD = Method(
    "valor_net",
    "VALOR-Net (paper)",
    ImagePair,
    ValorNetOptions,
    register,
    "Khan, VALOR-Net: Variational U-Net with Local Alignment for Joint Tumor Extraction and Registration",
    presets={"default": ValorNetOptions(), "quick": QUICK, "as_printed": AS_PRINTED},
    reasons={
        "default": "The paper's method with the repairs that make it align: smooth field, mask that can be one.",
        "quick": "A few seconds; to see that it runs.",
        "as_printed": "The loss exactly as printed, for study: good intensity metrics, folded field, no tumor mask.",
    },
)
