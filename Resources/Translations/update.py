"""Bring SlicerVALOR_fr.ts up to date: each string of the panels and .ui files, with the French that is already there.

Usage: python Resources/Translations/update.py
"""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ET
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FILE = HERE / "SlicerVALOR_fr.ts"


def drawn(path: Path) -> tuple[str, list[str]]:
    """Context (class) and strings of a .ui file; those that Designer marks as not to be translated are left out."""
    root = ET.parse(path).getroot()
    found: list[str] = []
    for owner in root.iter():
        strings = owner.findall("string") if owner.get("notr") != "true" else []
        found += [s.text for s in strings if s.text and s.get("notr") != "true"]
    return root.findtext("class") or path.stem, list(dict.fromkeys(found))


def marked() -> dict[str, list[str]]:
    """Context (file stem, class of a .ui file) to the strings in `_()` and in the .ui files."""
    found: dict[str, list[str]] = {}
    for module in ("VALORRegistration", "PointCloudRegistration", "UncertaintyViewer"):
        for path in sorted((ROOT / module).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_" and node.args:
                    text = ast.literal_eval(node.args[0])
                    if text not in found.setdefault(path.stem, []):
                        found[path.stem].append(text)
        for path in sorted((ROOT / module).rglob("*.ui")):
            context, strings = drawn(path)
            held = found.setdefault(context, [])
            held += [text for text in strings if text not in held]
    return found


def main() -> None:
    """Write the file."""
    old = {}
    if FILE.exists():
        for message in ET.parse(FILE).getroot().iter("message"):
            old[message.findtext("source")] = message.findtext("translation") or ""
    root = ET.Element("TS", version="2.1", language="fr_FR", sourcelanguage="en_US")
    for context, strings in sorted(marked().items()):
        group = ET.SubElement(root, "context")
        ET.SubElement(group, "name").text = context
        for text in strings:
            message = ET.SubElement(group, "message")
            ET.SubElement(message, "source").text = text
            translation = ET.SubElement(message, "translation")
            translation.text = old.get(text, "")
            if not translation.text:
                translation.set("type", "unfinished")
    ET.indent(root)
    FILE.write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n' + ET.tostring(root, "unicode") + "\n", "utf-8"
    )


if __name__ == "__main__":
    main()
