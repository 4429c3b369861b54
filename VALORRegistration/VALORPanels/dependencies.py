"""What the library needs beside Slicer's own packages; found without importing it, installed only when asked."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

logger = logging.getLogger(__name__)


def missing() -> list[str]:
    """Packages that are not installed: torch first, then those of requirements.txt."""
    needed = ["torch", *(_importName(line) for line in requirements())]
    return [name for name in needed if importlib.util.find_spec(name) is None]


def requirements() -> list[str]:
    """Lines of requirements.txt, without comments."""
    path = Path(__file__).resolve().parents[1] / "Resources" / "requirements.txt"
    if not path.exists():
        return []
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def _importName(requirement: str) -> str:
    name = requirement
    for sign in "<>=!~[;":
        name = name.split(sign)[0]
    return {"scikit-image": "skimage"}.get(name.strip(), name.strip())


def sentence(names: list[str]) -> str:
    """One line on what is missing and what it is for."""
    return _("{names} must be installed before Apply works; nothing is installed without asking.").format(
        names=", ".join(names)
    )


def install(parent: Any = None) -> str:
    """Ask, then install; returns a sentence on what happened."""
    names = missing()
    if not names:
        return _("Everything is installed.")
    others = [line for line in requirements() if _importName(line) in names]
    try:
        if "torch" in names:
            text = _installTorch()
            if text:
                return text
        if others and not _installOthers(others):
            return _("Not installed: you chose not to.")
    except Exception as error:
        logger.exception("installation failed")
        return _("Installation failed: {error}").format(error=error)
    left = missing()
    if left:
        return sentence(left)
    return _("Installed. Restart Slicer if a module was updated.")


def _installTorch() -> str:
    """Empty when torch is there afterwards; else what to do."""
    if importlib.util.find_spec("PyTorchUtils") is None:
        return _('Install the extension "PyTorch" in the Extensions Manager, restart Slicer, and press Install again.')
    import PyTorchUtils

    torch = PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True, torchVersionRequirement=">=2.4")
    return "" if torch is not None else _("PyTorch was not installed.")


def _installOthers(lines: list[str]) -> bool:
    """True when the user agreed."""
    if importlib.util.find_spec("slicer.packaging") is not None:
        import slicer.packaging

        slicer.packaging.pip_ensure(
            lines, requester="SlicerVALOR", skip_packages=["numpy", "SimpleITK", "vtk", "torch"]
        )
        return True
    question = _("Install {names} into Slicer's Python?").format(names=", ".join(lines))
    if not slicer.util.confirmOkCancelDisplay(question):
        return False
    for line in lines:
        slicer.util.pip_install([line])
    return True
