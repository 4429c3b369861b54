"""Shared settings of all tests: offscreen Qt, one thread, the repository on the path."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT, ROOT / "Testing"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
