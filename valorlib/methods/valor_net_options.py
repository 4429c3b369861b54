"""Options and presets of `valor_net`."""

from __future__ import annotations

from dataclasses import dataclass

from valorlib.core.options import Options, option
from valorlib.ops.preparation import STARTS


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
