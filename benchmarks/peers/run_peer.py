"""Run one peer on one pair: run_peer.py NAME SETTING FIXED MOVING OUTPUT. Runs in the peer's own environment.

Writes OUTPUT (displacement on the fixed grid, mm LPS, x + u(x) in moving) and OUTPUT.json (CPU seconds, peak memory);
reading the images is not counted, except for greedy, which reads them itself.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"


def greedy(setting, fixed, moving, output):
    from picsl_greedy import Greedy3D

    metric, iterations, smooth = {
        "ncc": ("NCC 2x2x2", "100x50x20", "1.732vox 0.707vox"),
        "ssd": ("SSD", "100x50x20", "1.732vox 0.707vox"),
        "phantom": ("WNCC 2x2x2", "100x60x30", "1.732vox 0.707vox"),
        "lung": ("NCC 4x4x4", "100x50x20", "1.732vox 0.707vox"),
    }[setting]
    begin = time.process_time()
    Greedy3D().execute(f"-i {fixed} {moving} -m {metric} -n {iterations} -s {smooth} -o {output} -threads 1 -V 0")
    return time.process_time() - begin


def ants(setting, fixed, moving, output):
    import ants

    f, m = ants.image_read(fixed), ants.image_read(moving)
    kind, metric = {"mi": ("SyNOnly", "mattes"), "quick": ("SyNOnly", "mattes"), "cc": ("SyNOnly", "CC")}[setting]
    more = {"reg_iterations": (100, 70, 20)} if setting == "mi" else {}
    begin = time.process_time()
    found = ants.registration(f, m, kind, initial_transform="identity", syn_metric=metric, random_seed=1, **more)
    seconds = time.process_time() - begin
    warps = [name for name in found["fwdtransforms"] if name.endswith(".nii.gz")]
    field = ants.image_read(warps[0])
    ants.image_write(field, output)
    return seconds


def elastix(setting, fixed, moving, output):
    import itk

    f, m = itk.imread(fixed, itk.F), itk.imread(moving, itk.F)
    parameters = itk.ParameterObject.New()
    spline = parameters.GetDefaultParameterMap("bspline", 4, 16.0 if setting == "16mm" else 10.0)
    spline["Metric"] = ["AdvancedNormalizedCorrelation", "TransformBendingEnergyPenalty"]
    spline["Metric0Weight"], spline["Metric1Weight"] = ["1"], ["0.01"]
    spline["MaximumNumberOfIterations"] = ["500"]
    spline["NumberOfSpatialSamples"] = ["8000"]
    spline["MaximumNumberOfSamplingAttempts"] = ["10"]
    parameters.AddParameterMap(spline)
    begin = time.process_time()
    _, transform = itk.elastix_registration_method(
        f, m, parameter_object=parameters, number_of_threads=1, log_to_console=False
    )
    seconds = time.process_time() - begin
    itk.imwrite(itk.transformix_deformation_field(m, transform), output)
    return seconds


def demons(setting, fixed, moving, output):
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    f, m = (sitk.ReadImage(name, sitk.sitkFloat32) for name in (fixed, moving))
    begin = time.process_time()
    m = sitk.Resample(m, f)
    m = sitk.HistogramMatching(m, f, 256, 15, True)
    field = None
    for shrink, steps in ((4, 60), (2, 40), (1, 20)):
        a, b = (sitk.Shrink(sitk.SmoothingRecursiveGaussian(x, 0.5 * shrink), [shrink] * 3) for x in (f, m))
        field = sitk.Resample(field, a) if field is not None else None
        filter_ = sitk.DiffeomorphicDemonsRegistrationFilter()
        filter_.SetNumberOfIterations(steps)
        filter_.SetStandardDeviations(1.5)
        field = filter_.Execute(a, b, field) if field is not None else filter_.Execute(a, b)
    seconds = time.process_time() - begin
    sitk.WriteImage(field, output)
    return seconds


PEERS = {"greedy": greedy, "ants": ants, "elastix": elastix, "demons": demons}

if __name__ == "__main__":
    name, setting, fixed, moving, output = sys.argv[1:]
    seconds = PEERS[name](setting, fixed, moving, output)
    memory_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    Path(output + ".json").write_text(json.dumps({"cpu_seconds": seconds, "peak_memory_gb": memory_gb}))
