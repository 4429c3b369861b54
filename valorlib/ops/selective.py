"""Tumors from clicks: a region around each click, a convex selective model in it, and how far to trust the outcome."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valorlib.core.errors import InputError, check_finite
from valorlib.core.images import Image, LabelMap
from valorlib.core.options import Options, option
from valorlib.core.points import Seeds
from valorlib.core.results import LabelResult
from valorlib.core.run import Run, part
from valorlib.ops.leak import Alarm, choose, judge
from valorlib.ops.lesion import Drag, Lesion, LesionSettings, find_lesion, finish, prepare_scene
from valorlib.ops.region import Region, cut_region, paste_region

LARGEST_RADIUS_VOXELS = 28.0
OWN_SPACING_MM = (0.8, 1.0)
SHORTEST_DRAG_MM = 0.5


@dataclass(frozen=True, kw_only=True)
class SelectiveOptions(Options):
    """Options of `segment`."""

    contrast: str = option(
        "auto", "How the tumor differs from its surroundings", choices=("auto", "bright", "dark", "band")
    )
    form: str = option("mass", "Mass: one piece. Non-mass: several pieces near the click", choices=("mass", "non_mass"))
    extent_mm: tuple[float, ...] = option(
        (), "How far each tumor reaches from its middle, tumor by tumor; 0: not known", low=0.0, high=200.0, unit="mm"
    )
    extent_at_mm: tuple[float, ...] = option(
        (), "Middle of each extent, x, y, z in LPS, tumor after tumor; empty: around the current mask", unit="mm"
    )
    extent_to_mm: tuple[float, ...] = option(
        (),
        "Farthest point of each tumor, x, y, z in LPS, tumor after tumor: where a drag from its middle ends",
        unit="mm",
    )
    regularity: float = option(0.1, "Price of border: higher gives a smoother shape", low=0.0, high=5.0)
    geodesic_weight: float = option(0.1, "Price of distance from the click across edges", low=0.0, high=20.0)
    snap_mm: float = option(
        2.5, "The click moves to the most lesion-like place this near", low=0.0, high=10.0, unit="mm"
    )
    radius_mm: float = option(20.0, "Region looked at around the clicks", low=5.0, high=100.0, unit="mm")
    spacing_mm: float = option(
        0.0, "Voxels the model works on; 0: the image's, 0.8 to 1 mm", low=0.0, high=5.0, unit="mm", advanced=True
    )
    passes: int = option(2, "Times the local intensities are measured again", low=0, high=5, advanced=True)
    background_mm: float = option(
        2.0, "Radius around a background click that is surely outside", low=0.5, high=20.0, unit="mm", advanced=True
    )
    remove_mm: float = option(
        0.0, "Necks and specks thinner than twice this are removed", low=0.0, high=10.0, unit="mm", advanced=True
    )
    smooth_mm: float = option(0.0, "Smoothing of the final border", low=0.0, high=5.0, unit="mm", advanced=True)
    fill_holes: bool = option(True, "Fill holes inside the tumor", advanced=True)
    check: bool = option(True, "Try variants to find out whether the result can be trusted")


@dataclass(frozen=True, eq=False)
class Preview:
    """Keeps the region around the first click, so that each further click is answered at once.

    image, second: as for `segment`.
    """

    image: Image
    second: Image | None = None
    options: SelectiveOptions = SelectiveOptions()
    _regions: dict[int, Region] = dataclasses.field(default_factory=dict, repr=False)

    def click(self, seeds: Seeds, run: Run) -> LabelResult:
        """Labels after one quick pass, without the leak alarm; the region is cut anew when a click leaves it."""
        quick = dataclasses.replace(self.options, check=False, passes=min(1, self.options.passes))
        return _segment(self.image, seeds, quick, run, self.second, self._regions)

    def forget(self) -> None:
        """Drop the kept regions, after the image changed."""
        self._regions.clear()


def segment(
    image: Image,
    seeds: Seeds,
    options: SelectiveOptions,
    run: Run,
    *,
    second: Image | None = None,
    previous: LabelResult | None = None,
) -> LabelResult:
    """Tumors around the clicks, on the image's grid: label n is tumor n.

    Args:
        image: the image that was clicked.
        seeds: clicks; tumor 0 is background. Clicks outside the image are left out with a warning.
        options: see `SelectiveOptions`.
        run: device and seed are not used.
        second: another image of the same patient in the same position (subtraction, other phase), on any grid.
        previous: an earlier result; its tumors that have no click in `seeds` are kept as they are.

    Raises:
        InputError: no click in the image, or an image with NaN.

    Source: Khan, VALOR-Net (marker-based selective segmentation); Roberts, J. Math. Imaging Vis. 61, 2019.
    Differs: the geodesic term is D theta, D in mm-equivalents; intensities are local and measured again; no network.
    """
    result = _segment(image, seeds, options, run, second, None)
    return result if previous is None else _merge(previous, result, seeds)


def _segment(
    image: Image,
    seeds: Seeds,
    options: SelectiveOptions,
    run: Run,
    second: Image | None,
    regions: dict[int, Region] | None,
) -> LabelResult:
    seeds, warnings = _inside(image, seeds)
    numbers = seeds.tumor_numbers
    _check_extents(options, len(numbers))
    best = np.full(image.grid.shape, 0.5, np.float32)
    labels = np.zeros(image.grid.shape, np.int32)
    probability = np.zeros(image.grid.shape, np.float32)
    record: dict[str, Any] = {}
    for position, number in enumerate(numbers):
        progress = part(run.progress, position / len(numbers), (position + 1) / len(numbers))
        progress(0.0, f"Tumor {number}")
        extent = _extent(options, position)
        lesion, alarm = _one(image, seeds, number, extent, options, second, regions, progress)
        grown = np.zeros(image.grid.shape, np.float32)
        paste_region(lesion.probability, lesion.region.grid, image.grid, grown)
        wins = (grown >= 0.5) & (grown > best - 1e-6)
        labels[wins], best[wins] = number, grown[wins]
        np.maximum(probability, grown, out=probability)
        record[str(number)] = {**_numbers(lesion, alarm, labels == number, image)}
        warnings += [f"Tumor {number}: {reason}" for reason in alarm.reasons]
    run.progress(1.0, "Done")
    names = {number: f"Tumor {number}" for number in numbers}
    return LabelResult(
        LabelMap(labels, image.grid, names), Image(probability, image.grid), tuple(warnings), {"tumors": record}
    )


def _inside(image: Image, seeds: Seeds) -> tuple[Seeds, list[str]]:
    """The clicks inside the image, and a sentence on those outside."""
    check_finite(image.name or "image", image.array)
    within = np.asarray(image.grid.contains(seeds.points), dtype=bool).reshape(-1)
    warnings = []
    if not np.any(within & (seeds.tumors > 0)):
        got = "clicks outside of it only; check LPS and RAS" if np.any(seeds.tumors > 0) else "no tumor click"
        raise InputError(f"seeds: expected at least one click in a tumor inside the image, got {got}")
    lost = int(np.count_nonzero(~within))
    if lost:
        warnings.append(f"{lost} of {len(within)} clicks lie outside the image and were left out.")
    return Seeds(seeds.points[within], seeds.tumors[within], seeds.on), warnings


def _check_extents(options: SelectiveOptions, count: int) -> None:
    """One extent for all tumors or one each; middles and farthest points for each."""
    radii = options.extent_mm
    if radii and len(radii) not in (1, count):
        raise InputError(f"extent_mm: expected one radius per tumor ({count}), got {len(radii)}; use 0 for none")
    for name in ("extent_at_mm", "extent_to_mm"):
        places = getattr(options, name)
        if places and len(places) != 3 * count:
            raise InputError(f"{name}: expected 3 numbers per tumor ({count}), got {len(places)}")
    if options.extent_to_mm and not options.extent_at_mm:
        raise InputError("extent_to_mm: expected extent_at_mm, where each drag begins, too; got none")


def _extent(options: SelectiveOptions, position: int) -> tuple[float, Drag]:
    """Radius (0: not known), middle and farthest point of the tumor at this position among the clicked ones.

    Without a radius it is the length of the drag; a drag no longer than 0.5 mm says nothing.
    """
    radius = options.extent_mm[min(position, len(options.extent_mm) - 1)] if options.extent_mm else 0.0
    places = (options.extent_at_mm, options.extent_to_mm)
    middle, end = (np.asarray(each[3 * position : 3 * position + 3], dtype=np.float64) for each in places)
    length = float(np.linalg.norm(end - middle)) if end.size and middle.size else 0.0
    dragged = length > SHORTEST_DRAG_MM
    radius = radius or (length if dragged else 0.0)
    if radius <= 0 or not middle.size or (end.size and not dragged):
        return radius, (None, None)
    return radius, (middle, end if dragged else None)


def _one(
    image: Image,
    seeds: Seeds,
    number: int,
    extent: tuple[float, Drag],
    options: SelectiveOptions,
    second: Image | None,
    regions: dict[int, Region] | None,
    progress: Any,
) -> tuple[Lesion, Alarm]:
    extent_mm, drag = extent
    settings = LesionSettings(
        contrast=options.contrast,
        form=options.form,
        extent_mm=extent_mm,
        regularity=options.regularity,
        geodesic_weight=options.geodesic_weight,
        snap_mm=options.snap_mm,
        passes=options.passes,
        background_mm=options.background_mm,
    )
    radius = max(options.radius_mm, 1.6 * extent_mm)
    for attempt in range(3):
        region = _region(image, seeds.of(number), radius, options, regions, number)
        others = seeds.points[(seeds.tumors != number)]
        channel = None if second is None else _onto(second, region)
        scene = prepare_scene(region, channel, seeds.of(number), others, drag)
        progress(0.2 + 0.2 * attempt, f"Tumor {number}: segmenting")
        lesion = find_lesion(scene, settings)
        hopeless = lesion.surely_leaked or float(np.ptp(region.array)) == 0.0
        if hopeless or not lesion.touches_border or extent_mm > 0 or attempt == 2 or not options.check:
            break
        radius *= 1.4
    alarm = judge(scene, lesion, settings) if options.check else Alarm()
    if options.check and extent_mm <= 0 and (not hopeless or lesion.start.direction == "dark"):
        flat = prepare_scene(region, channel, seeds.of(number), others, flat=True)
        lesion, alarm = choose(lesion, alarm, flat, settings)
    progress(0.8, f"Tumor {number}: cleaning up")
    return finish(lesion, options.remove_mm, options.smooth_mm, options.fill_holes), alarm


def _region(
    image: Image,
    clicks: NDArray[np.float64],
    radius_mm: float,
    options: SelectiveOptions,
    regions: dict[int, Region] | None,
    number: int,
) -> Region:
    """The box around the clicks; a kept one when all clicks lie well inside of it."""
    kept = None if regions is None else regions.get(number)
    if kept is not None and np.all(kept.grid.contains(clicks)):
        return kept
    wanted_mm = options.spacing_mm or float(np.clip(min(image.grid.spacing), *OWN_SPACING_MM))
    spacing_mm = max(wanted_mm, radius_mm / LARGEST_RADIUS_VOXELS)
    region = cut_region(image, clicks, radius_mm=radius_mm, spacing_mm=spacing_mm)
    if regions is not None:
        regions[number] = region
    return region


def _onto(second: Image, region: Region) -> NDArray[np.float32]:
    """The second channel on the region's grid."""
    from valorlib.ops.resample import resample_image

    return resample_image(second, region.grid).array


def _numbers(lesion: Lesion, alarm: Alarm, mask: NDArray[np.bool_], image: Image) -> Mapping[str, Any]:
    where = np.argwhere(mask)[:, ::-1]
    size = (where.max(0) - where.min(0) + 1) * np.asarray(image.grid.spacing) if len(where) else np.zeros(3)
    return {
        "volume_ml": float(mask.sum() * image.grid.voxel_volume_mm3 / 1000.0),
        "extent_mm": [float(v) for v in size],
        "contrast": float(lesion.contrast),
        "direction": lesion.start.direction,
        "leak_alarm": alarm.raised,
        "leak_score": float(alarm.score),
        "leak_signs": {name: float(value) for name, value in alarm.signs.items()},
        "reasons": list(alarm.reasons),
        "notes": list(alarm.notes),
    }


def _merge(previous: LabelResult, new: LabelResult, seeds: Seeds) -> LabelResult:
    """`new`, with the tumors of `previous` that were not clicked again; new tumors win where they overlap."""
    if not previous.labels.grid.matches(new.labels.grid):
        raise InputError("previous: expected labels on the image's grid; resample them onto it first")
    labels = new.labels.array.copy()
    old = previous.labels.array
    keep = (labels == 0) & (old > 0) & ~np.isin(old, list(seeds.tumor_numbers))
    labels[keep] = old[keep]
    kept = {
        name: value for name, value in previous.record.get("tumors", {}).items() if name not in new.record["tumors"]
    }
    names = {**previous.labels.names, **new.labels.names}
    probability = new.probability
    if previous.probability is not None and probability is not None:
        probability = Image(np.where(keep, previous.probability.array, probability.array), new.labels.grid)
    record = {"tumors": {**kept, **new.record["tumors"]}}
    return LabelResult(LabelMap(labels, new.labels.grid, names), probability, new.warnings, record)
