"""Can this computer draw? Tried in a child process, because a missing GL library ends VTK with a segmentation fault."""

from __future__ import annotations

import subprocess
import sys

PACKAGES = "libegl1 libegl-mesa0 libgl1-mesa-dri"
_PROBE = """
import vtkmodules.vtkRenderingOpenGL2, vtkmodules.vtkRenderingUI
from vtkmodules.vtkRenderingCore import vtkRenderWindow, vtkRenderer
window = vtkRenderWindow()
window.SetOffScreenRendering(1)
window.SetSize(16, 16)
window.AddRenderer(vtkRenderer())
window.Render()
text = window.ReportCapabilities()
print(next((l.split(":", 1)[1].strip() for l in text.splitlines() if "renderer string" in l.lower()), ""))
"""


def check_drawing(wait_s: float = 60.0) -> tuple[str, str]:
    """(renderer, problem): the name of the GL renderer, or one sentence that says what to install."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=wait_s, check=False
        )
    except subprocess.TimeoutExpired:
        return "", f"OpenGL did not answer within {wait_s:.0f} s; install the packages {PACKAGES} (Debian, Ubuntu)."
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        return lines[-1], ""
    if "ModuleNotFoundError" in done.stderr:
        return "", 'VTK is not installed; install the workbench with: pip install "slicervalor[workbench]"'
    return "", f"OpenGL is missing on this computer; install the packages {PACKAGES} (Debian, Ubuntu) and try again."


def is_software(renderer: str) -> bool:
    """True when the processor draws, not a graphics card."""
    return any(name in renderer.lower() for name in ("llvmpipe", "softpipe", "swrast", "software"))
