"""Cohorts: every case gets a status, a failing one stops nobody, what is done is kept."""

from __future__ import annotations

import csv
import json

import pytest

from valorlib.cli import main
from valorlib.cohort import Case, read_manifest, read_status, run_cohort
from valorlib.cohort_report import correlations, write_cohort
from valorlib.core.errors import Cancelled, InputError

CALLS = []


def numbers(ncc, dice):
    scores = {"psnr_db": 20 + ncc, "ssim": ncc, "ncc": ncc, "relative_ssd": 1 - ncc, "ngf": 0.5}
    slices = [
        {"slice": k, "before": scores, "after": {**scores, "ncc": ncc - 0.01 * k, "ssim": ncc + 0.01 * k}}
        for k in range(4)
    ]
    rows = [{"slice": k, "dice": dice - 0.01 * k, "jaccard": dice / 2, "f1": dice - 0.01 * k} for k in range(4)]
    return {
        "similarity": {"before": scores, "after": scores, "per_slice": slices},
        "folds": {"strict_count": 0, "sd_log_jacobian": 0.1},
        "landmarks": {"before": {"mean_mm": 5.0}, "after": {"mean_mm": 0.3}},
        "tumors": [{"tumor": 1, "fixed_ml": 1.0, "moving_ml": 2.0, "change_pct": -50.0,
                    "agreement": {"dice": dice, "f1": dice, "jaccard": dice / 2, "hd95_mm": 1.0, "per_slice": rows}}],
    }  # fmt: skip


def fake(words):
    """Stands in for `valor register`: the moving scan named bad fails, crash raises a bug."""
    CALLS.append(words[1])
    if words[1] == "bad":
        return 2, "bad: expected a scan"
    if words[1] == "stop":
        raise Cancelled
    from pathlib import Path

    out = Path(next(w for w in words if w.startswith("--output=")).removeprefix("--output="))
    out.mkdir(exist_ok=True)
    record = {"program": "SlicerVALOR", "numbers": numbers(0.8 + 0.01 * len(CALLS), 0.9), "warnings": ["w"]}
    (out / "metrics.json").write_text(json.dumps(record))
    return 0, ""


@pytest.fixture(autouse=True)
def no_calls():
    CALLS.clear()


CASES = [Case("a", ("f", "m1")), Case("b", ("f", "bad")), Case("c", ("f", "m2"))]


def test_one_failing_case_does_not_stop_the_others(tmp_path):
    seen = []
    found = run_cohort(CASES, tmp_path / "o", fake, progress=lambda fraction, _: seen.append(fraction))
    assert [s.state for s in found] == ["done", "failed", "done"]
    assert found[1].message == "bad: expected a scan"
    assert found[1].code == 2
    assert seen == pytest.approx([1 / 3, 2 / 3, 1])


def test_resume_runs_only_what_is_not_done(tmp_path):
    run_cohort(CASES, tmp_path / "o", fake)
    CALLS.clear()
    found = run_cohort(CASES, tmp_path / "o", fake, resume=True)
    assert CALLS == ["bad"]
    assert [s.state for s in found] == ["done", "failed", "done"]
    with pytest.raises(InputError, match="--resume"):
        run_cohort(CASES, tmp_path / "o", fake)


def test_a_case_with_other_arguments_or_lost_results_runs_again(tmp_path):
    out = tmp_path / "o"
    run_cohort(CASES, out, fake)
    assert read_status(out, CASES[0]).state == "done"
    assert read_status(out, Case("a", ("f", "other"))).state == "waiting"
    (out / "c" / "metrics.json").unlink()
    assert read_status(out, CASES[2]).state == "waiting"
    (out / "status" / "a.json").write_text("{")
    assert read_status(out, CASES[0]).state == "waiting"


def test_after_a_cancel_each_case_says_how_far_it_came(tmp_path):
    cases = [CASES[0], Case("b", ("f", "stop")), CASES[2]]
    with pytest.raises(Cancelled):
        run_cohort(cases, tmp_path / "o", fake)
    states = [read_status(tmp_path / "o", case).state for case in cases]
    assert states == ["done", "cancelled", "cancelled"]


def test_a_case_ended_by_ctrl_c_ends_the_cohort(tmp_path):
    def interrupted(words):
        CALLS.append(words[1])
        return 3, "cancelled; nothing was written"

    with pytest.raises(Cancelled):
        run_cohort(CASES, tmp_path / "o", interrupted)
    assert CALLS == ["m1"]
    assert [read_status(tmp_path / "o", case).state for case in CASES] == ["cancelled"] * 3


def test_the_summary_has_a_line_a_case_and_the_report_the_charts(tmp_path):
    out = tmp_path / "o"
    record = write_cohort(out, run_cohort(CASES, out, fake))
    with (out / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["done", "failed", "done"]
    assert float(rows[0]["tumor_1_dice"]) == 0.9
    assert rows[1]["ncc_after"] == ""
    assert record["counts"] == {"done": 2, "failed": 1}
    html = (out / "report.html").read_text()
    assert "bad: expected a scan" in html
    assert html.count("<svg") == 5
    assert json.loads((out / "cohort.json").read_text())["correlation"]["slices"] == 8


def test_correlations_over_slices_by_hand():
    names, matrix, count = correlations([numbers(0.8, 0.9)])
    assert count == 4
    index = {name: n for n, name in enumerate(names)}
    assert matrix[index["NCC"]][index["SSIM"]] == pytest.approx(-1)
    assert matrix[index["NCC"]][index["Dice"]] == pytest.approx(1)
    assert matrix[index["NGF"]][index["Dice"]] is None  # constant
    assert correlations([]) == ([], [], 0)


def test_paths_in_a_manifest_are_relative_to_it(tmp_path):
    (tmp_path / "m.csv").write_text(
        "\ufefffixed, moving ,seeds,seeds_on,landmarks\nf.nrrd,sub/m.nrrd,s.csv,fixed,\n\n/abs/f.nrrd,m.nrrd\n"
    )
    one, two = read_manifest(tmp_path / "m.csv", ["--quiet"])
    assert one.name == "case_001"
    assert one.words == (
        f"{tmp_path}/f.nrrd", f"{tmp_path}/sub/m.nrrd", f"--seeds={tmp_path}/s.csv", "--seeds-on=fixed", "--quiet",
    )  # fmt: skip
    assert two.words == ("/abs/f.nrrd", f"{tmp_path}/m.nrrd", "--quiet")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    for seed in (1, 2):
        words = ["demo", "--size", "small", "--random-seed", str(seed), "--output", str(folder / f"d{seed}")]
        assert main([*words, "--quiet"]) == 0
    (folder / "m.csv").write_text(
        "name,fixed,moving,seeds,landmarks,preset\n"
        "one,d1/fixed.nrrd,d1/moving.nrrd,d1/seeds.csv,d1/landmarks.csv,quick\n"
        "two,d2/fixed.nrrd,d2/moving.nrrd,,,quick\n"
        "bad,d1/fixed.nrrd,d1/none.nrrd,,,\n"
    )
    return folder / "m.csv"


def test_a_cohort_runs_register_for_each_case(manifest, tmp_path, capsys):
    out = tmp_path / "o"
    assert main(["cohort", str(manifest), "--output", str(out), "--workers", "1", "--json"]) == 2
    record = json.loads(capsys.readouterr().out)
    assert record["counts"] == {"done": 2, "failed": 1}
    assert "none.nrrd: expected a file" in record["cases"][2]["message"]
    assert (out / "one" / "report.html").exists()
    assert main(["cohort", str(manifest), "--output", str(out), "--workers", "1", "--resume"]) == 2
    assert "one: done" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_dask_workers_give_the_same_results_as_one_process(manifest, tmp_path):
    for name, workers in (("alone", "1"), ("dask", "2")):
        words = ["cohort", str(manifest), "--output", str(tmp_path / name), "--workers", workers, "--quiet"]
        assert main(words) == 2
    for case in ("one", "two"):
        files = [(tmp_path / name / case / "displacement.nrrd").read_bytes() for name in ("alone", "dask")]
        assert files[0] == files[1]


@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_that_does_not_answer_is_one_sentence(manifest, tmp_path, capsys, monkeypatch):
    import dask.distributed

    def silent(address, timeout):
        raise OSError("timed out")

    monkeypatch.setattr(dask.distributed, "Client", silent)
    words = ["cohort", str(manifest), "--output", str(tmp_path / "o"), "--scheduler", "tcp://127.0.0.1:9"]
    assert main(words) == 2
    assert "does not answer" in capsys.readouterr().err
