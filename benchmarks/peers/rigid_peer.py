"""Rigid registration by one peer from many starts: rigid_peer.py NAME FIXED MOVING STARTS OUTPUT (its own environment).

STARTS: JSON list of 4 x 4 LPS matrices that move the moving image's header. OUTPUT: JSON list of {matrix: fixed to
moved moving, 4 x 4 LPS, or null, cpu_seconds}.
"""

import json
import os
import sys
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402


def turned(matrix, origin, direction):
    """Origin and direction of a header moved by a rigid matrix."""
    return matrix[:3, :3] @ np.asarray(origin) + matrix[:3, 3], matrix[:3, :3] @ np.reshape(direction, (3, 3))


def greedy(fixed, moving, starts):
    import SimpleITK as sitk
    from picsl_greedy import Greedy3D

    f, m = (sitk.ReadImage(path, sitk.sitkFloat32) for path in (fixed, moving))
    origin, direction = m.GetOrigin(), m.GetDirection()
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    for start in starts:
        at, axes = turned(start, origin, direction)
        m.SetOrigin(at.tolist())
        m.SetDirection(axes.ravel().tolist())
        begin = time.process_time()
        run = Greedy3D()
        run.execute(
            "-i f m -a -dof 6 -m NMI -n 100x50x10 -ia-image-centers -search 400 20 20 -o mat -threads 1 -V 0",
            f=f, m=m, mat=None,
        )  # fmt: skip
        yield flip @ np.asarray(run["mat"]) @ flip, time.process_time() - begin


def elastix(fixed, moving, starts):
    import itk

    f, m = itk.imread(fixed, itk.F), itk.imread(moving, itk.F)
    origin, direction = np.asarray(m.GetOrigin()), itk.array_from_matrix(m.GetDirection())
    parameters = itk.ParameterObject.New()
    rigid = parameters.GetDefaultParameterMap("rigid", 4)
    rigid["Metric"] = ["AdvancedMattesMutualInformation"]
    rigid["MaximumNumberOfIterations"] = ["500"]
    rigid["MaximumNumberOfSamplingAttempts"] = ["10"]
    parameters.AddParameterMap(rigid)
    for start in starts:
        at, axes = turned(start, origin, direction)
        m.SetOrigin(at.tolist())
        m.SetDirection(itk.matrix_from_array(np.ascontiguousarray(axes)))
        begin = time.process_time()
        _, found = itk.elastix_registration_method(
            f, m, parameter_object=parameters, number_of_threads=1, log_to_console=False
        )
        seconds = time.process_time() - begin
        last = found.GetParameterMap(found.GetNumberOfParameterMaps() - 1)
        x, y, z, *shift = (float(v) for v in last["TransformParameters"])
        center = np.array([float(v) for v in last["CenterOfRotationPoint"]])
        c, s = np.cos([x, y, z]), np.sin([x, y, z])
        about_x = np.array([[1, 0, 0], [0, c[0], -s[0]], [0, s[0], c[0]]])
        about_y = np.array([[c[1], 0, s[1]], [0, 1, 0], [-s[1], 0, c[1]]])
        about_z = np.array([[c[2], -s[2], 0], [s[2], c[2], 0], [0, 0, 1]])
        matrix = np.eye(4)
        matrix[:3, :3] = about_z @ about_x @ about_y
        matrix[:3, 3] = center + shift - matrix[:3, :3] @ center
        yield matrix, seconds


if __name__ == "__main__":
    name, fixed, moving, starts, output = sys.argv[1:]
    places = [np.array(start) for start in json.loads(Path(starts).read_text())]
    rows = []
    runs = {"greedy": greedy, "elastix": elastix}[name](fixed, moving, places)
    while len(rows) < len(places):
        try:
            matrix, seconds = next(runs)
            rows.append({"matrix": matrix.tolist(), "cpu_seconds": seconds})
        except RuntimeError as error:  # no overlap at the start
            rows.append({"matrix": None, "cpu_seconds": None, "failed": str(error).strip().splitlines()[-1]})
            runs = {"greedy": greedy, "elastix": elastix}[name](fixed, moving, places[len(rows) :])
    Path(output).write_text(json.dumps(rows))
