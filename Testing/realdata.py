"""Where the real test data lies, when it is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("VALOR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def need(name: str) -> Path:
    """Path of a real data file; skips the test with a message where it is absent."""
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"real data file {name} is not here (set VALOR_DATA to the data folder)")
    return path
