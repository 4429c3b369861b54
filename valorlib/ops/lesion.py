"""One tumor in one region: from a marker to the set that fits it best."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from valorlib.core.errors import InputError
from valorlib.ops.extent import extent_cost
from valorlib.ops.fitting import Growth, ball, border_step, compactness, connected, grow, smoothed, snap
from valorlib.ops.geodesic import geodesic_distance
from valorlib.ops.region import Region
from valorlib.ops.selective_model import minimize
from valorlib.ops.shading import local_shading
from valorlib.ops.surroundings import Surroundings, box_around, look

Mask = NDArray[np.bool_]
Field = NDArray[np.float32]
Drag = tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]
LARGE_MM3 = 8000.0
MANY = 60_000
"""Voxels of a box above which two ways are compared on every second voxel along each axis."""


@dataclass(frozen=True, kw_only=True)
class LesionSettings:
    """What `find_lesion` needs to know; the fields are those of `SelectiveOptions`, for one tumor."""

    contrast: str = "auto"
    form: str = "mass"
    extent_mm: float = 0.0
    regularity: float = 0.1
    geodesic_weight: float = 0.1
    snap_mm: float = 2.5
    passes: int = 2
    background_mm: float = 2.0


@dataclass(frozen=True, eq=False)
class Scene:
    """The region, ready: channels scaled to about one unit of contrast, clicks as voxels.

    channels: one or two (K, J, I). clicks, others: (n, 3) voxels (k, j, i) in the tumor and surely outside of it.
    middle, end: (3,) voxel positions of the tumor's middle and of its farthest point, when the user dragged them.
    """

    region: Region
    channels: tuple[Field, ...]
    clicks: NDArray[np.int64]
    others: NDArray[np.int64]
    middle: NDArray[np.float64] | None = None
    end: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Start:
    """What is known before the convex model.

    feature: (K, J, I), high in the tumor. marker: the clicked voxels. growth: the first region. direction: bright,
    dark, band or combined. noise: standard deviation of the feature's. spacing: mm along (k, j, i).
    """

    feature: Field
    marker: Mask
    growth: Growth
    direction: str
    noise: float
    spacing: tuple[float, ...]

    @cached_property
    def _first(self) -> Surroundings:
        """Of the first region, which variants of the settings begin with as well."""
        return self._look(self.growth.mask)

    def around(self, mask: Mask) -> Surroundings:
        """What the mask and its surroundings say."""
        return self._first if mask is self.growth.mask else self._look(mask)

    def _look(self, mask: Mask) -> Surroundings:
        return look(self.feature, self.marker, mask, self.spacing, self.growth.outside, self.noise)


@dataclass(frozen=True, eq=False)
class Lesion:
    """A tumor in its region.

    mask: (K, J, I). probability: (K, J, I), 0 to 1. start: what it began with. grown: first region and mask together.
    """

    region: Region
    mask: Mask
    probability: Field
    start: Start
    grown: Mask

    @property
    def contrast(self) -> float:
        """Step of the feature at the border of the first region, in parts of its noise."""
        return self.start.growth.contrast / self.start.noise

    @property
    def volume_mm3(self) -> float:
        """Of the mask."""
        return float(self.mask.sum() * np.prod(self.region.spacing))

    @cached_property
    def surely_leaked(self) -> bool:
        """True for a mask that is large and branches."""
        return _flooded(self.mask, self.region.spacing)

    @property
    def touches_border(self) -> bool:
        """True where the mask reaches a face of the region that lies inside the image."""
        faces = self.region.open_faces
        for axis in range(3):
            if self.mask.shape[axis] == 1:
                continue
            planes = np.moveaxis(self.mask, axis, 0)
            if (faces[axis, 0] and planes[0].any()) or (faces[axis, 1] and planes[-1].any()):
                return True
        return False


def prepare_scene(
    region: Region,
    second: Field | None,
    clicks: NDArray[np.float64],
    others: NDArray[np.float64],
    drag: Drag = (None, None),
    *,
    flat: bool = False,
) -> Scene:
    """The region's channels scaled, and the clicks as voxels; background clicks outside the box have no say.

    drag: its middle and its farthest point, world, where known. With `flat`, slow shading is divided out first.

    Raises:
        InputError: a drag that begins outside the region.
    """
    channels = []
    for array in (region.array, second):
        if array is None:
            continue
        if flat:
            array = array / local_shading(array, region.spacing)
        low, high = np.percentile(array, [2, 99.5])
        channels.append(((array - low) / max(high - low, 1e-6)).astype(np.float32))
    near = others[region.grid.contains(others)] if len(others) else np.zeros((0, 3))
    if drag[0] is not None and not np.all(region.grid.contains(drag[0][None])):
        away = float(np.linalg.norm(clicks - drag[0], axis=1).min())
        raise InputError(
            f"extent_at_mm: expected the drag to begin near the tumor's clicks, got {away:.0f} mm from them; click the "
            "tumor that was dragged"
        )
    middle, end = (None if place is None else region.grid.to_index(place)[::-1] for place in drag)
    return Scene(region, tuple(channels), region.index_of(clicks), region.index_of(near), middle, end)


def noise_of(feature: Field) -> float:
    """Standard deviation of the noise: robust spread of the second differences along the longest axis."""
    axis = int(np.argmax(feature.shape))
    second = np.diff(feature, n=2, axis=axis)
    return float(1.4826 * np.median(np.abs(second)) / np.sqrt(6.0)) + 1e-4


def find_lesion(scene: Scene, settings: LesionSettings, start: Start | None = None) -> Lesion:
    """Grow from the marker to the sharpest level, then let the convex model settle the border.

    Background clicks that the first result swallows cut it where the ways from both kinds of clicks meet, and the
    tumor grows again within its part; the others change nothing.

    Args:
        scene: region and clicks.
        settings: of this tumor.
        start: of the same scene with the same contrast, extent and snap, to save the growth.
    """
    nothing = np.zeros(scene.region.array.shape, dtype=bool)
    lesion = _fit(scene, settings, nothing, start)
    swallowed = [place for place in scene.others if lesion.grown[tuple(place)]]
    if not swallowed:
        return lesion
    enemy = _balls(scene, np.asarray(swallowed), settings.background_mm) & ~lesion.start.marker
    lost = _lost_ground(lesion, enemy)
    again = _fit(scene, settings, lost)
    cut = connected(lesion.mask & ~lost, lesion.start.marker)
    # A part without any inner contrast shrinks to the marker when it grows again; then the cut alone stands.
    if again.mask.sum() < 0.3 * cut.sum():
        again = dataclasses.replace(
            again, mask=cut, probability=np.where(cut, lesion.probability, 0).astype(np.float32)
        )
    return again


def _flooded(mask: Mask, spacing: tuple[float, ...]) -> bool:
    """True for a mask that is large and branches."""
    return float(mask.sum() * np.prod(spacing)) > LARGE_MM3 and compactness(mask) < 0.75


def _lost_ground(lesion: Lesion, enemy: Mask) -> Mask:
    """Where the way from the background clicks is shorter than that from the tumor's clicks.

    A mm costs more at edges and in narrow places of the first result, so the two meet at necks and borders.
    """
    spacing = lesion.region.spacing
    lost = np.ones(lesion.grown.shape, dtype=bool)
    box = box_around(lesion.grown | lesion.start.marker | enemy, spacing)
    mask, feature = lesion.grown[box], lesion.start.feature[box]
    width = ndimage.distance_transform_edt(mask, sampling=spacing)
    edges = border_step(feature, spacing)
    cost = 0.1 + edges / max(float(np.percentile(edges[mask], 90)), 1e-6) + 1.0 / (width + 1.0)
    places = lesion.start.marker[box], enemy[box]
    step = 2 if cost.size > MANY else 1
    if step > 1:
        places = tuple(ndimage.maximum_filter(one, 3) for one in places)
    every = (slice(None, None, step),) * 3
    ways = [
        geodesic_distance(cost[every].astype(np.float32), one[every], [step * s for s in spacing], limit_mm=200.0)
        for one in places
    ]
    nearer = ways[1] < ways[0]
    for axis in range(3):
        nearer = np.repeat(nearer, step, axis)
    lost[box] = nearer[tuple(slice(0, n) for n in cost.shape)]
    return lost


def _fit(scene: Scene, settings: LesionSettings, sure_outside: Mask, start: Start | None = None) -> Lesion:
    start = _start(scene, settings, sure_outside) if start is None else start
    mask, middle = start.growth.mask, None
    if settings.extent_mm > 0:
        middle = _middle(scene, settings)
        mask = ball(mask.shape, middle.tolist(), settings.extent_mm, scene.region.spacing)
    theta = mask.astype(np.float32)
    flooded = middle is None and _flooded(mask, start.spacing)
    for _ in range(max(1, settings.passes)):
        seen = start.around(mask)
        box, cost = seen.box, seen.fit
        if middle is not None:
            cost = extent_cost(start.feature, middle, settings.extent_mm, start.spacing, scene.end)[box]
        elif settings.geodesic_weight > 0 and not flooded:
            cost = cost + np.float32(settings.geodesic_weight / 10.0) * seen.distance
        cost = np.where(seen.marker, np.float32(-4.0), cost)
        # The border may move by a few mm a pass: a wrong local mean must not flood the region.
        cost = np.where((sure_outside[box] | seen.far) & ~seen.marker, np.float32(4.0), cost)
        theta = np.zeros_like(theta)
        theta[box] = minimize(cost, np.float32(settings.regularity) * seen.edges, start=mask[box].astype(np.float32))
        mask = _pieces(theta >= 0.5, start.marker, scene, settings)
        if middle is not None and scene.middle is None:
            middle = np.argwhere(mask).mean(0)
        # A second look at a flood costs most of all, and ends in the alarm all the same.
        flooded = flooded and _flooded(mask, start.spacing)
        if flooded:
            break
    theta = np.where(mask, theta, np.minimum(theta, np.float32(0.499)))
    return Lesion(scene.region, mask, theta, start, start.growth.mask | mask)


def _start(scene: Scene, settings: LesionSettings, sure_outside: Mask) -> Start:
    """The feature, the snapped marker and the first region of the direction of contrast that grows best."""
    names = [settings.contrast] if settings.contrast != "auto" else ["bright", "dark"]
    if len(scene.channels) > 1:
        names = ["combined"]
    limit = 4.0 / 3.0 * np.pi * (1.15 * settings.extent_mm) ** 3 if settings.extent_mm > 0 else 20000.0
    found: list[tuple[float, Start]] = []
    for name in names:
        feature, marker = _feature(scene, name, settings)
        reach = _reach(scene, settings) & (~sure_outside | marker)
        growth = grow(np.where(reach, feature, feature.min()), marker, scene.region.spacing, largest_mm3=limit)
        size = growth.mask.sum() * np.prod(scene.region.spacing)
        quality = growth.contrast * (1.0 if size <= limit else 0.1) * (1.0 if name != "dark" else 0.6)
        found.append((quality, Start(feature, marker, growth, name, noise_of(feature), scene.region.spacing)))
    return max(found, key=lambda one: one[0])[1]


def _reach(scene: Scene, settings: LesionSettings) -> Mask:
    """Where the tumor may be at all."""
    if settings.extent_mm <= 0:
        return np.ones(scene.region.array.shape, dtype=bool)
    return _balls(scene, scene.clicks, 2.0 * settings.extent_mm)


def _feature(scene: Scene, name: str, settings: LesionSettings) -> tuple[Field, Mask]:
    """A map that is high in the tumor, and the marker around the snapped clicks."""
    spacing = scene.region.spacing
    if name == "combined":
        base = _discriminant(scene)
    elif name == "dark":
        base = -scene.channels[0]
    else:
        base = scene.channels[0]
    fine, coarse = smoothed(base, 0.6, spacing), smoothed(base, 1.3, spacing)
    if name == "band":
        marker = _balls(scene, scene.clicks, 1.5)
        fine = -np.abs(fine - fine[marker].mean())
        return fine.astype(np.float32), marker
    if scene.middle is not None and settings.extent_mm > 0:
        # Where the border is not seen, the drag knows better than the brightest place near the click.
        return fine, _balls(scene, np.round(scene.middle)[None].astype(np.int64), 1.5)
    places = np.stack([snap(coarse, click, spacing, settings.snap_mm) for click in scene.clicks])
    return fine, _balls(scene, places, 1.5)


def _discriminant(scene: Scene) -> Field:
    """The weighted sum of the channels that best tells the clicks from the ring around them (diagonal covariance)."""
    spacing = scene.region.spacing
    marker = _balls(scene, scene.clicks, 1.5)
    ring = _balls(scene, scene.clicks, 14.0) & ~_balls(scene, scene.clicks, 6.0)
    total = np.zeros(scene.region.array.shape, np.float32)
    weights = []
    for channel in scene.channels:
        calm = smoothed(channel, 0.8, spacing)
        step = float(calm[marker].mean() - np.median(calm[ring])) if ring.any() else 1.0
        spread = float(calm[ring].var()) + noise_of(channel) ** 2 if ring.any() else 1.0
        weights.append(step / max(spread, 1e-6))
    scale = float(np.sum(np.abs(weights))) or 1.0
    for channel, weight in zip(scene.channels, weights, strict=True):
        total += np.float32(weight / scale) * channel
    return total


def _balls(scene: Scene, places: NDArray[np.int64], radius_mm: float) -> Mask:
    out = np.zeros(scene.region.array.shape, dtype=bool)
    for place in places:
        out |= ball(out.shape, place.tolist(), radius_mm, scene.region.spacing)
    return out


def _middle(scene: Scene, settings: LesionSettings) -> NDArray[np.float64]:
    """Voxel position of the tumor's middle: as given, else of a first result that fits the extent, else the clicks."""
    if scene.middle is not None:
        return scene.middle
    first = find_lesion(scene, dataclasses.replace(settings, extent_mm=0.0))
    fits = first.mask.sum() * np.prod(scene.region.spacing) <= 5.0 * settings.extent_mm**3
    return np.asarray(np.argwhere(first.mask).mean(0) if fits else scene.clicks.mean(0), dtype=np.float64)


def _pieces(mask: Mask, marker: Mask, scene: Scene, settings: LesionSettings) -> Mask:
    """The marker's piece; for non-mass lesions also the pieces within 4 mm of it, holes filled."""
    solid = np.stack([ndimage.binary_fill_holes(one) for one in mask]) if mask.shape[0] == 1 else mask
    main = connected(solid | marker, marker)
    if settings.form == "non_mass":
        reach = ndimage.distance_transform_edt(~main, sampling=scene.region.spacing) <= 4.0
        main = connected(solid, reach & solid) | main
    return np.asarray(main, dtype=bool)


def finish(lesion: Lesion, remove_mm: float, smooth_mm: float, fill_holes: bool) -> Lesion:
    """The lesion after the paper's clean-up: thin parts off, border smoothed, holes filled."""
    spacing, mask, theta = lesion.region.spacing, lesion.mask, lesion.probability
    if remove_mm > 0:
        depth = ndimage.distance_transform_edt(mask, sampling=spacing)
        core = connected(depth > remove_mm, lesion.start.marker) | lesion.start.marker
        mask = mask & (ndimage.distance_transform_edt(~core, sampling=spacing) <= remove_mm)
    if fill_holes:
        mask = ndimage.binary_fill_holes(mask) if mask.shape[0] > 1 else ndimage.binary_fill_holes(mask[0])[None]
    theta = np.where(mask, np.maximum(theta, 0.5), np.minimum(theta, np.float32(0.499))).astype(np.float32)
    if smooth_mm > 0:
        theta = smoothed(theta, smooth_mm, spacing)
        mask = connected(theta >= 0.5, lesion.start.marker)
    return dataclasses.replace(lesion, mask=mask, probability=theta)
