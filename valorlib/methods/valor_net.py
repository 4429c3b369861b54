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
from valorlib.core.options import as_dict
from valorlib.core.results import Result
from valorlib.core.run import Run
from valorlib.core.transforms import AffineTransform, Chain
from valorlib.methods.valor_net_options import AS_PRINTED, QUICK, ValorNetOptions
from valorlib.metrics.similarity import ncc, psnr, relative_ssd, ssim
from valorlib.networks.deep_prior import Solution, Training, train
from valorlib.ops.contrast import check_contrast
from valorlib.ops.overlap import body_mask, signal_drop_mask
from valorlib.ops.preparation import prepare_pair
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
