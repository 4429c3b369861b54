"""pycpd on one pair: pycpd_peer.py IN.npz OUT.npz. Runs in the peer's own environment; CPU seconds of the fit alone."""

import os
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402
from pycpd import DeformableRegistration  # noqa: E402

with np.load(sys.argv[1]) as data:
    fixed, moving = data["fixed"], data["moving"]
centers = fixed.mean(0), moving.mean(0)
sizes = [
    np.sqrt(((points - center) ** 2).sum(1).mean()) for points, center in zip((fixed, moving), centers, strict=True)
]
x, y = ((points - center) / size for points, center, size in zip((fixed, moving), centers, sizes, strict=True))
begin = time.process_time()
moved, _ = DeformableRegistration(X=x, Y=y, alpha=0.1, beta=0.5).register()
seconds = time.process_time() - begin
np.savez(sys.argv[2], moved=moved * sizes[0] + centers[0], cpu_s=seconds)
