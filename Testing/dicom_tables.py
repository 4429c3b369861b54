"""The tables dicom-validator asks for, made from those that highdicom and pydicom carry, so that no web is needed.

The standard's conditions ("required if ...") are not in them: what is conditional is optional here, but for the parts
named in `GRID_PARTS` and `ALWAYS`, whose conditions our objects meet.
"""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from dicom_validator.validator.dicom_file_validator import DicomFileValidator
from dicom_validator.validator.dicom_info import DicomInfo
from dicom_validator.validator.error_handler import NullValidationResultHandler
from pydicom.datadict import dictionary_has_tag, dictionary_VM, dictionary_VR, keyword_dict

OBJECTS = ("rt-dose", "deformable-spatial-registration", "segmentation", "ct-image", "mr-image")
GRID_PARTS = {"rt-dose": {"general-image", "image-plane", "image-pixel", "multi-frame"}}
"""Parts that are required because the dose is a grid."""
ALWAYS = {("rt-dose", "ReferencedRTPlanSequence"), ("rt-dose", "GridFrameOffsetVector")}
"""Attributes that are required because the dose is of a plan and has several frames."""
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


@functools.cache
def dicom_info() -> DicomInfo:
    """Dictionary, objects and modules as dicom-validator keeps them."""
    tables = {name: _table(name) for name in ("iod_module_map", "module_attribute_map", "sop_class_iod_map")}
    objects, modules = {}, {}
    for uid, key in tables["sop_class_iod_map"].items():
        if key not in OBJECTS:
            continue
        rows = {}
        for row in tables["iod_module_map"][key]:
            required = row["usage"] == "M" or row["key"] in GRID_PARTS.get(key, ())
            rows[row["key"]] = {"ref": row["key"], "use": "M" if required else "U"}
            modules[row["key"]] = _nested(row["key"], tables["module_attribute_map"][row["key"]])
        objects[uid] = {"title": key, "modules": rows, "group_macros": {}}
    return DicomInfo(_dictionary(), objects, modules)


def _table(name: str) -> Any:
    return json.loads(files("highdicom").joinpath("_standard", f"{name}.json").read_text(encoding="utf-8"))


def _tag(keyword: str) -> str:
    tag = keyword_dict[keyword]
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _nested(module: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    top: dict[str, Any] = {}
    known = [row for row in rows if all(word in keyword_dict for word in (*row["path"], row["keyword"]))]
    for row in sorted(known, key=lambda r: len(r["path"])):
        place = top
        for step in row["path"]:
            place = place[_tag(step)].setdefault("items", {})
        # A functional group may stand among the shared ones or with each frame: neither alone must have it.
        kind = "3" if row["path"] and row["path"][-1] in GROUPS else row["type"]
        kind = "1" if (module, row["keyword"]) in ALWAYS and not row["path"] else kind
        place[_tag(row["keyword"])] = {"name": row["keyword"], "type": "3" if kind in ("1C", "2C") else kind}
    return top


def _dictionary() -> dict[str, dict[str, str]]:
    return {
        _tag(word): {"name": word, "vr": dictionary_VR(tag), "vm": dictionary_VM(tag), "prop": ""}
        for word, tag in keyword_dict.items()
        if dictionary_has_tag(tag)
    }


def complaints(path: str | Path) -> list[str]:
    """What dicom-validator has against a file; one line each, none when it is as the standard wants it."""
    validator = DicomFileValidator(dicom_info(), error_handler=NullValidationResultHandler())
    (result,) = validator.validate(str(path)).values()
    lines = [f"{result.status.name}"] if result.status.name not in ("Passed", "Failed") else []
    for module, errors in result.module_errors.items():
        lines += [f"{module}: {tag}: {error.code.name} {error.context or ''}" for tag, error in errors.items()]
    return lines
