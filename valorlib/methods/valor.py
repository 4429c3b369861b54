"""VALOR: click in the tumor, see it in both scans, see one scan lying on the other."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from torch import Tensor

from valorlib.core.errors import InputError
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.method import Method
from valorlib.core.options import as_dict
from valorlib.core.results import Result
from valorlib.core.run import Run, part
from valorlib.core.transforms import AffineTransform
from valorlib.methods.valor_options import PRESETS, REASONS, ValorOptions
from valorlib.ops.joint import segment_clicked, segment_other
from valorlib.ops.masks import both, bounding_grid, clipped, indicator, outside
from valorlib.ops.overlap import body_mask, check_overlap, signal_drop_mask
from valorlib.ops.plausibility import alarmed
from valorlib.ops.preparation import crop_mask, find_start, prepare_images
from valorlib.ops.selective import SelectiveOptions
from valorlib.solve.compositive import Constraint
from valorlib.solve.constraints import Landmarks, TumorMotion
from valorlib.solve.deform import Deformed, Matching, deform, textureless
from valorlib.solve.frame import Frame
from valorlib.solve.outcome import Outcome, estimate_memory_gb, one_thread, outcome

SUSPICIOUS, WEAK = 0.995, 0.3
MASK_WEIGHT = 0.5
TEXTURELESS = 0.4


@alarmed
def register(pair: ImagePair, options: ValorOptions, run: Run) -> Result:
    """Segment the clicked tumors in both scans and register the scans in 3D.

    Raises:
        InputError: the bodies overlap by less than 25 %, or an image without contrast.

    Source: Pham, VALOR-Net (the joint task); Cachier, Comput. Vis. Image Underst. 89(2-3), 2003 (local correlation).
    Differs: no network; a three-dimensional field optimized for this pair; the tumors do not push the field unless
    both masks are confirmed.
    """
    with one_thread():
        return _Job(pair, options, run).result()


class _Job:
    """One run; holds what its steps share."""

    def __init__(self, pair: ImagePair, options: ValorOptions, run: Run) -> None:
        self.pair, self.options, self.run = pair, options, run
        self.warnings: list[str] = []
        self.record: dict[str, Any] = {"method": "valor", "options": as_dict(options)}
        self.seconds: dict[str, float] = {}
        self._clock = time.process_time()

    def _lap(self, stage: str) -> None:
        now = time.process_time()
        self.seconds[stage] = round(now - self._clock, 3)
        self._clock = now

    def result(self) -> Result:
        run, seeds = self.run, self.pair.seeds
        fixed, moving, start = self._prepare()
        self._lap("prepare")
        clicked = None
        if seeds is not None and seeds.tumor_numbers and self.options.segment_tumors:
            clicked = segment_clicked(self.pair, seeds, self._selective(), self._on(0.1, 0.25))
            self._lap("segment clicked")
        found = self._deform(fixed, moving, start, clicked.labels if clicked else None)
        self._lap("register")
        run.progress(0.8, "Displacement and inverse")
        ways = outcome(found.u_mm, found.frame, self.pair.fixed.grid, self.pair.moving.grid)
        self._check(ways, found)
        self._lap("fields")
        tumors = None
        if clicked and seeds is not None:
            again = self._selective(), self._on(0.85, 0.98)
            tumors = segment_other(self.pair, seeds, clicked, ways.displacement, ways.inverse, *again)
            self.warnings += tumors.warnings
            self.record["tumors"] = dict(tumors.record)
            self._lap("segment other")
        self.record["cpu_seconds"] = {**self.seconds, "whole": round(sum(self.seconds.values()), 3)}
        run.progress(1.0, "Done")
        return Result(
            ways.displacement,
            inverse=ways.inverse,
            displacement=ways.displacement,
            inverse_displacement=ways.inverse,
            start=start,
            fixed_seg=tumors.fixed if tumors else None,
            moving_seg=tumors.moving if tumors else None,
            warped_seg=tumors.warped if tumors else None,
            losses=found.losses,
            warnings=tuple(self.warnings),
            record=self.record,
        )

    def _prepare(self) -> tuple[Image, Image, AffineTransform]:
        pair, options, run = self.pair, self.options, self.run
        run.progress(0.0, "Looking at the images")
        memory_gb = estimate_memory_gb(pair.fixed.grid, pair.moving.grid, self.options.schedule(self.pair.fixed.grid))
        self.record["memory_estimate_gb"] = round(memory_gb, 2)
        start = find_start(pair, options.start, run)
        self.record["overlap_at_start"] = round(check_overlap(pair.fixed, pair.moving, start), 3)
        run.progress(0.08, "Preparing the images")
        fixed, moving = prepare_images(
            clipped(pair.fixed, options.clip),
            clipped(pair.moving, options.clip),
            bias_correction=options.bias_correction,
            match_histograms=options.match_histograms,
            equalized=options.equalize,
        )
        return fixed, moving, start

    def _selective(self) -> SelectiveOptions:
        options = self.options
        return SelectiveOptions(
            contrast=options.contrast,
            form=options.tumor_form,
            extent_mm=options.extent_mm,
            extent_at_mm=options.extent_at_mm,
            extent_to_mm=options.extent_to_mm,
        )

    def _on(self, start: float, stop: float) -> Run:
        return dataclasses.replace(self.run, progress=part(self.run.progress, start, stop))

    def _deform(self, fixed: Image, moving: Image, start: AffineTransform, clicked: LabelMap | None) -> Deformed:
        pair, options, on_fixed = self.pair, self.options, self._on_fixed()
        near, body = crop_mask(pair, start, options.crop_mm), body_mask(fixed)
        body = body if near is None else LabelMap(body.array * near.array, body.grid)
        frame = Frame(bounding_grid(body, 8.0), start)
        look = both(signal_drop_mask(fixed, body) if options.body_only else near, pair.fixed_mask)
        moving_look = pair.moving_mask
        tumors = clicked or (pair.fixed_labels if on_fixed else pair.moving_labels)
        if tumors is not None and options.ignore_tumor_mm >= 0:
            away = outside(tumors, options.ignore_tumor_mm)
            look, moving_look = (both(look, away), moving_look) if on_fixed else (look, both(moving_look, away))
        matching = Matching(squared=options.similarity == "lncc_squared", fixed_mask=look, moving_mask=moving_look)
        if options.masks_confirmed:
            if pair.fixed_labels is None or pair.moving_labels is None:
                raise InputError("masks_confirmed: expected tumor labels of both scans; give them or switch this off")
            matching = dataclasses.replace(
                matching,
                fixed_tumors=indicator(pair.fixed_labels),
                moving_tumors=indicator(pair.moving_labels),
                tumor_weight=MASK_WEIGHT,
            )
        constraints: list[Constraint] = []
        kinds = self._kinds(tumors)
        if tumors is not None and kinds:
            constraints.append(TumorMotion(frame, tumors, kinds, on_fixed=on_fixed))
        if pair.landmarks is not None and options.landmark_weight > 0:
            constraints.append(Landmarks(frame, pair.landmarks, weight=options.landmark_weight))
        return deform(
            fixed,
            moving,
            frame,
            self.options.schedule(self.pair.fixed.grid),
            matching,
            device=self.run.device,
            progress=part(self.run.progress, 0.25, 0.8),
            constraints=constraints,
            after_level=self._show,
        )

    def _on_fixed(self) -> bool:
        return self.pair.seeds.on == "fixed" if self.pair.seeds is not None else self.pair.fixed_labels is not None

    def _kinds(self, tumors: LabelMap | None) -> dict[int, str]:
        chosen = self.options.tumor_motion
        labels = () if tumors is None else tumors.labels
        if len(chosen) not in (1, len(labels)) and labels:
            raise InputError(f"tumor_motion: expected one word, or one per tumor ({len(labels)}), got {len(chosen)}")
        each = chosen * len(labels) if len(chosen) == 1 else chosen
        return {label: kind for label, kind in zip(labels, each, strict=False) if kind != "free"}

    def _show(self, u_mm: Tensor, frame: Frame) -> None:
        if self.run.preview is not None:
            self.run.preview(Result(frame.displacement(u_mm, frame.grid(2.0))))

    def _check(self, both_ways: Outcome, found: Deformed) -> None:
        self.record.update(both_ways.numbers(), local_correlation=round(-found.losses[-1], 4))
        self.record["level_cpu_seconds"] = [round(s, 3) for s in found.seconds]
        self.warnings += both_ways.warnings()
        flat = textureless(self.pair.fixed, found.frame, self.run.device)
        self.record["textureless_share"] = round(flat, 3)
        if flat > TEXTURELESS:
            self.warnings.append(f"{flat:.0%} of the body shows no texture; what moved there is a guess.")
        if -found.losses[-1] > SUSPICIOUS:
            self.warnings.append("The scans match almost perfectly; check that they are two different scans.")
        if -found.losses[-1] < WEAK and self.options.similarity == "lncc":
            self.warnings.append("The scans look little alike even after registration; check the overlay.")


METHOD = Method("valor", "VALOR", ImagePair, ValorOptions, register, "Pham, VALOR-Net", PRESETS, REASONS)
