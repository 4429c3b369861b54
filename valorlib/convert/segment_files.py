"""Label maps in files, and Slicer's .seg.nrrd: names of segments, and the layers they lie in, in the header."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from valorlib.convert.image_files import (
    check_numbers,
    checked_grid,
    read_sitk,
    scalar_array,
    suffix_of,
    volume_of,
    write_sitk,
)
from valorlib.convert.simpleitk import labels_to_sitk
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import LabelMap


@dataclass(frozen=True)
class Segment:
    """One segment of a file: its name, and where it lies."""

    name: str
    label: int
    layer: int


def segments_of(image: sitk.Image) -> tuple[Segment, ...]:
    """Segments that the header lists, in their order; none for a plain label map."""
    numbers = sorted({int(m.group(1)) for k in image.GetMetaDataKeys() if (m := re.match(r"Segment(\d+)_", k))})
    found = []
    for n in numbers:
        key = f"Segment{n}_"
        label = _whole(image, key + "LabelValue", n + 1)
        name = image.GetMetaData(key + "Name") if image.HasMetaDataKey(key + "Name") else str(label)
        found.append(Segment(name, label, _whole(image, key + "Layer", 0)))
    return tuple(found)


def _whole(image: sitk.Image, key: str, default: int) -> int:
    text = image.GetMetaData(key) if image.HasMetaDataKey(key) else ""
    return int(text) if re.fullmatch(r"-?\d+", text.strip()) else default


def layers_of(image: sitk.Image, grid: Grid) -> NDArray[np.int32]:
    """(K, J, I, layers) int32 of a segmentation file's image."""
    return np.asarray(sitk.GetArrayFromImage(image).reshape(*grid.shape, -1).astype(np.int32))


def flatten_layers(image: sitk.Image, segments: Sequence[Segment], grid: Grid) -> LabelMap:
    """One label map of several layers; where segments overlap, the smaller one stays on top.

    Labels are kept where they are unique over all layers, and counted from 1 in the order of the segments otherwise.
    """
    layers = layers_of(image, grid)
    unique = len({s.label for s in segments}) == len(segments)
    masks = [layers[..., s.layer] == s.label for s in segments]
    labels = [s.label if unique else n + 1 for n, s in enumerate(segments)]
    out = np.zeros(grid.shape, dtype=np.int32)
    for n in sorted(range(len(segments)), key=lambda n: -int(masks[n].sum())):
        out[masks[n]] = labels[n]
    return LabelMap(out, grid, {label: s.name for label, s in zip(labels, segments, strict=True)})


def read_label_file(path: str | Path) -> LabelMap:
    """Label map of an image file; segment names of a .seg.nrrd are kept.

    Overlapping segments (several layers) become one map: the smaller segment stays on top.

    Raises:
        InputError: as `read_image_file`, or fractions instead of whole numbers.
    """
    path = Path(path)
    image = volume_of(read_sitk(path))
    grid = checked_grid(image, path)
    segments = segments_of(image)
    if segments and image.GetNumberOfComponentsPerPixel() > 1:
        return flatten_layers(image, segments, grid)
    array = scalar_array(image, path).reshape(grid.shape)
    check_numbers(path, array)
    if not np.array_equal(array, np.round(array)):
        raise InputError(f"{path}: expected whole-number labels, got fractions; this looks like an image")
    if array.size and float(np.abs(array.astype(np.float64)).max()) > np.iinfo(np.int32).max:
        raise InputError(f"{path}: expected labels below 2147483648, got larger numbers; renumber them")
    return LabelMap(array.astype(np.int32), grid, {s.label: s.name for s in segments})


def read_segments(path: str | Path) -> dict[str, LabelMap]:
    """Each segment of a label map or segmentation file by itself: name to a label map of 0 and 1.

    Overlapping segments keep all their voxels. Segments without a name are called by their number; a name that comes
    twice gets a number behind it.

    Raises:
        InputError: the file cannot be read or holds no labels.
    """
    image = read_sitk(path)
    segments = segments_of(image)
    out: dict[str, LabelMap] = {}
    if segments and image.GetDimension() == 3:
        grid = checked_grid(image, Path(path))
        layers = layers_of(image, grid)
        for segment in segments:
            mask = (layers[..., min(segment.layer, layers.shape[-1] - 1)] == segment.label).astype(np.int32)
            out[_free_name(segment.name, out)] = LabelMap(mask, grid, {1: segment.name})
        return out
    labels = read_label_file(path)
    for label in labels.labels:
        name = _free_name(labels.name_of(label), out)
        out[name] = LabelMap((labels.array == label).astype(np.int32), labels.grid, {1: name})
    return out


def _free_name(name: str, taken: dict[str, LabelMap]) -> str:
    number, free = 2, name
    while free in taken:
        free, number = f"{name} {number}", number + 1
    return free


def write_labels(labels: LabelMap, path: str | Path) -> None:
    """Write a label map, compressed; NRRD keeps the names as segments that Slicer shows."""
    image = labels_to_sitk(labels)
    if suffix_of(Path(path)).endswith(".nrrd"):
        add_segments(image, labels)
    write_sitk(image, path, compress=suffix_of(Path(path)) != ".nii")


def add_segments(image: sitk.Image, labels: LabelMap) -> None:
    """Put each label's name and a color into the header, as Slicer writes them."""
    size = labels.grid.size
    extent = f"0 {size[0] - 1} 0 {size[1] - 1} 0 {size[2] - 1}"
    image.SetMetaData("Segmentation_MasterRepresentation", "Binary labelmap")
    image.SetMetaData("Segmentation_ContainedRepresentationNames", "Binary labelmap|")
    image.SetMetaData("Segmentation_ReferenceImageExtentOffset", "0 0 0")
    for n, label in enumerate(sorted({*labels.labels, *(v for v in labels.names if v != 0)})):
        values = {
            "ID": f"Segment_{label}",
            "Name": labels.name_of(label).replace("\n", " "),
            "LabelValue": str(label),
            "Layer": "0",
            "Extent": extent,
            "Color": " ".join(f"{v:.4f}" for v in color_of(n)),
            "NameAutoGenerated": "0",
            "ColorAutoGenerated": "0",
            "Tags": "|",
        }
        for key, value in values.items():
            image.SetMetaData(f"Segment{n}_{key}", value)


def color_of(n: int) -> tuple[float, float, float]:
    """A color of its own for the n-th segment: hues a golden section apart."""
    return colorsys.hsv_to_rgb((0.02 + 0.618034 * n) % 1.0, 0.75, 0.95)
