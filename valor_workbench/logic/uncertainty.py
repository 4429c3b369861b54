"""UncertaintyViewer: how far a registration can be trusted, and what that does to the dose."""

from __future__ import annotations

from typing import Any

import numpy as np

from valor_workbench import nodes as scene_nodes
from valor_workbench import tasks_uncertainty
from valor_workbench.forms import changed, form_fields
from valor_workbench.logic.files import offer_dicom, offer_folder, offer_report
from valor_workbench.logic.measures import row, saved_rows
from valor_workbench.logic.method import options_from, options_text
from valor_workbench.logic.runs import RunLogic
from valor_workbench.logic.scans import ScansLogic
from valor_workbench.logic.session import Session
from valor_workbench.states import UncertaintyState
from valor_workbench.tasks_export import DicomExport
from valor_workbench.tasks_uncertainty import Assessed, Question, RtDemo
from valorlib.convert.mrml import image_from_node, table_from_node
from valorlib.core.errors import InputError
from valorlib.core.inputs import ImagePair
from valorlib.core.options import Options, as_dict
from valorlib.core.points import PointPair
from valorlib.scene.nodes import ResultNodes, find_results, remove

DOSE = "DicomRtImport.DoseVolume"
"""Attribute by which Slicer knows a dose."""
SAVED_NODES = ("transform", "dose", "structures")
SAVED_LIMITS = {
    "landmarkToleranceMm": "landmark_mean_mm",
    "largestToleranceMm": "landmark_max_mm",
    "foldsTolerancePct": "folds_pct",
}
"""Names of the limits in the Slicer panel, and here."""
DOSES = ("nominal", "mean", "p05", "p95")
TITLES = {"sigma": "mm", "jacobian": "det J", "dose_mean": "Gy", "dose_p05": "Gy", "dose_p95": "Gy"}


class UncertaintyLogic:
    """Inputs, run and result of the uncertainty panel."""

    def __init__(self, session: Session, scans: ScansLogic, run: RunLogic) -> None:
        self._session, self._scans, self._run = session, scans, run
        self.state = session.typed(UncertaintyState)
        self.nodes: ResultNodes | None = None
        self.landmarks: PointPair | None = None
        self._landmarks_of = ("", "")
        self._done: Assessed | None = None
        self._options: Options | None = None
        self._tolerances: Options | None = None
        names = self.state.name
        self.state.bind_changes(
            {
                (names.transform, names.dose, names.structures): lambda *_: self.check(),
                (names.map, names.threshold): lambda *_: self.show_map(),
            }
        )
        scans.changed.append(self.check)

    def load(self) -> None:
        """Import the options; called once the page is up."""
        from valorlib.methods.dir_uncertainty import QUICK
        from valorlib.metrics.qa import Tolerances

        self._options, self._tolerances = QUICK, Tolerances()
        self._show_forms({})

    def _show_forms(self, errors: dict[str, str]) -> None:
        if self._options is not None and self._tolerances is not None:
            with self._session.server.state:
                self.state.data.fields = form_fields(self._options, errors)
                self.state.data.tolerance_fields = form_fields(self._tolerances, errors)

    def set_option(self, name: Any, value: Any) -> None:
        """Change one option of the method."""
        self._change("_options", name, value)

    def set_tolerance(self, name: Any, value: Any) -> None:
        """Change one limit."""
        self._change("_tolerances", name, value)

    def _change(self, which: str, name: Any, value: Any) -> None:
        if getattr(self, which) is None:
            self.load()
        try:
            setattr(self, which, changed(getattr(self, which), name, value))
            self._show_forms({})
        except InputError as error:
            self._show_forms({str(name): str(error)})

    def refresh(self) -> None:
        """Read the lists from the scene; choose what there is only one of."""
        scene, data = self._session.scene, self.state.data
        doses = scene_nodes.rows(scene, "vtkMRMLScalarVolumeNode", attribute=DOSE)
        none = {"title": "None", "value": ""}
        with self._session.server.state:
            data.doses = [none, *doses]
            data.structure_rows = [none, *self._scans.state.data.label_items]
            transforms = self._scans.state.data.transform_items
            data.transform = _kept(data.transform, transforms, last=True)
            data.dose = _kept(data.dose, doses)
        self.check()

    def check(self) -> None:
        """Say on the page why Apply cannot start, or nothing."""
        with self._session.server.state:
            self.state.data.why_not = self.why_not()

    def why_not(self) -> str:
        """One sentence on what is missing, or nothing."""
        fixed, moving = self._scans.node("fixed"), self._scans.node("moving")
        if fixed is None or moving is None:
            return "Choose the fixed and the moving scan."
        if self._node("transform") is None:
            return "Choose the registration to be judged, or run one first."
        if self._node("dose") is not None and self._node("structures") is None:
            return "Choose the structures that the dose is looked at in."
        return ""

    def _node(self, which: str) -> Any | None:
        chosen = str(getattr(self.state.data, which) or "")
        return self._session.scene.GetNodeByID(chosen) if chosen else None

    def apply(self) -> None:
        """Start the run."""
        reason = self.why_not()
        if reason:
            raise InputError(reason)
        self._session.start(self._go(self._question()))

    def _question(self) -> tuple[Any, Question]:
        from valorlib.scene import uncertainty_viewer as scene_functions

        if self._options is None or self._tolerances is None:
            self.load()
        inputs = scene_functions.read_inputs(
            self._session.scene,
            transform=self._node("transform"),
            fixed=self._scans.node("fixed"),
            moving=self._scans.node("moving"),
            dose=self._node("dose"),
            structures=self._node("structures"),
        )
        if inputs.fixed is None or inputs.moving is None or self._options is None or self._tolerances is None:
            raise InputError("scans: expected two scans; choose them above")
        question = Question(
            ImagePair(inputs.fixed, inputs.moving),
            inputs.transform,
            self._options,
            self._tolerances,
            inputs.dose,
            inputs.structures,
            self._known_landmarks(),
            goals_of(str(self.state.data.goals)),
        )
        return inputs, question

    def _known_landmarks(self) -> PointPair | None:
        """The chosen ones, or those of the generated case while its scans are chosen."""
        values = self._scans.state.data
        given = self._scans.landmarks()
        if given is not None:
            return given
        return self.landmarks if (values.fixed, values.moving) == self._landmarks_of else None

    async def _go(self, given: tuple[Any, Question]) -> None:
        from valorlib.scene import uncertainty_viewer as scene_functions

        inputs, question = given
        done: Assessed = await self._run.run(tasks_uncertainty.assess, question, 0)
        fixed = self._scans.node("fixed")
        if self.nodes is not None:
            remove(self._session.scene, self.nodes)
        self.nodes = await self._session.in_steps(
            scene_functions.write_steps(self._session.scene, inputs, done.outcome, fixed=fixed)
        )
        self._done = done
        self._scans.refresh()
        self._show(done)

    def adopt_from_scene(self) -> None:
        """Take over the newest result of a scene that was loaded."""
        found = [nodes for nodes in find_results(self._session.scene) if "checks" in nodes.roles]
        if found:
            self._session.start(self._adopt(found[-1]))

    async def _adopt(self, nodes: ResultNodes) -> None:
        scene = self._session.scene
        tables = {name: nodes.node(scene, name) for name in ("checks", "dvh", "dvh_metrics", "landmarks")}
        columns = {name: table_from_node(node) for name, node in tables.items() if node is not None}
        chart = ""
        if "dvh" in columns:
            chart = await self._session.quick.run(tasks_uncertainty.chart_of_table, columns["dvh"])
        self.nodes, self._done = nodes, None
        rows = saved_rows(columns, nodes.node(scene, "landmark_points"))
        with self._session.server.state:
            data = self.state.data
            data.ready, data.chart, data.warnings, data.map = True, chart, [], "sigma"
            data.summary = "A saved result; press Apply to measure it again."
            data.metrics, data.goal_rows, data.dose_rows, data.landmarks = rows
            if nodes.node(scene, "sigma") is None:
                data.map = "jacobian"
        if self._session.page.data.module == "uncertainty":
            self.show_map()

    def settings(self) -> tuple[dict[str, str], list[Any]]:
        """What the panel holds, as the Slicer panel keeps it; transform, dose and structures."""
        values = {"goals": "; ".join(line.strip() for line in str(self.state.data.goals).splitlines() if line.strip())}
        values["options"] = options_text(self._options)
        if self._tolerances is not None:
            known = as_dict(self._tolerances)
            values |= {name: str(known[own]) for name, own in SAVED_LIMITS.items() if known.get(own) is not None}
        return values, [self._node(which) for which in SAVED_NODES]

    def restore(self, values: dict[str, str], nodes: list[Any]) -> None:
        """Take over `settings`; what no longer fits stays as it is."""
        if self._options is None or self._tolerances is None:
            self.load()
        if self._options is not None:
            self._options = options_from(self._options, values.get("options", ""))
        for name, own in SAVED_LIMITS.items():
            if values.get(name):
                self.set_tolerance(own, values[name])
        self._show_forms({})
        with self._session.server.state:
            self.state.data.goals = "\n".join(part.strip() for part in values.get("goals", "").split(";"))
            for which, node in zip(SAVED_NODES, nodes, strict=True):
                if node is not None:
                    setattr(self.state.data, which, node.GetID())
        self.check()

    def cancel(self) -> None:
        """End the run."""
        self._run.cancel()

    def _show(self, done: Assessed) -> None:
        found = done.found
        body = found.rank.array > 0
        sigma = found.sigma.array[body] if body.any() else found.sigma.array
        with self._session.server.state:
            data = self.state.data
            data.ready, data.chart = True, done.chart
            data.threshold, data.threshold_max = (
                0.0,
                round(float(np.percentile(sigma, 99.5)), 1) or 1.0,
            )
            unit = "mm expected error (mean)" if found.uncertainty.in_mm else "relative uncertainty (mean)"
            data.summary = f"Done in {done.seconds:.1f} s. {float(sigma.mean()):.1f} {unit}. {found.folds.sentence}"
            data.warnings = list(found.warnings)
            data.metrics = [_check_row(one) for one in found.qa]
            data.goal_rows = [] if found.dose is None else [_goal_row(one) for one in found.dose.goals]
            data.dose_rows = [] if found.dose is None else [_dose_row(one) for one in found.dose.metrics]
            data.landmarks = self._landmark_rows(found)
            data.map = "sigma"
            if done.chart:
                self._session.page.data.layout = "Chart"
        self.show_map()
        structures = self._node("structures")
        if structures is not None and structures.IsA("vtkMRMLSegmentationNode"):
            structures.CreateClosedSurfaceRepresentation()
            structures.GetDisplayNode().SetVisibility3D(True)
            structures.GetDisplayNode().SetOpacity3D(0.8)
        self._session.workspace.fit_3d()

    def _landmark_rows(self, found: Any) -> list[dict[str, Any]]:
        landmarks = self._known_landmarks()
        if found.landmarks is None or landmarks is None:
            return []
        order = np.argsort(-found.landmarks.after_mm)[:50]
        return [
            row(
                f"L{n + 1}",
                f"{found.landmarks.before_mm[n]:.1f} to {found.landmarks.after_mm[n]:.1f} mm",
                "Show the landmark",
                landmarks.fixed.points[n].tolist(),
            )
            for n in order.tolist()
        ]

    def show_map(self) -> None:
        """Lay the chosen map over the fixed scan."""
        if self.nodes is None:
            return
        chosen = str(self.state.data.map)
        node = self.nodes.node(self._session.scene, chosen)
        workspace = self._session.workspace
        workspace.show_layers(self._scans.node("fixed"), node, 0.55)
        if node is not None:
            # Nothing is shown outside the body and where there is no dose.
            lowest = max(float(self.state.data.threshold or 0.0), 0.01) if chosen == "sigma" else 0.5
            node.GetDisplayNode().SetApplyThreshold(chosen != "jacobian")
            node.GetDisplayNode().SetThreshold(lowest, 1e9)
        for role, title in TITLES.items():
            other = self.nodes.node(self._session.scene, role)
            if other is not None:
                workspace.set_legend(other, title, visible=role == chosen)

    def jump(self, at: Any) -> None:
        """Center the slices on a place."""
        self._session.workspace.jump([float(v) for v in at][:3])

    def export(self) -> None:
        """Make the result folder ready for download."""
        if self._done is None:
            raise InputError("export: expected a result; press Apply first")
        self._session.start(offer_folder(self._session, self._done.folder, "valor-uncertainty"))

    def report(self) -> None:
        """Make the report ready for download."""
        if self._done is None:
            raise InputError("report: expected a result; press Apply first")
        offer_report(self._session, self._done.folder)

    def export_dicom(self) -> None:
        """Make the doses and the registration ready for download as DICOM."""
        if self._done is None:
            raise InputError("export: expected a result; press Apply first")
        found, fixed = self._done.found, self._scans.node("fixed")
        doses = {} if found.dose is None else {f"dose_{n}": getattr(found.dose, n) for n in DOSES}
        wanted = DicomExport(
            "valor-uncertainty",
            None if fixed is None else image_from_node(fixed),
            found.displacement,
            doses={name: dose for name, dose in doses.items() if dose is not None},
            fixed_folder="" if fixed is None else fixed.GetAttribute(scene_nodes.DICOM) or "",
        )
        self._session.start(offer_dicom(self._session, wanted))

    def load_demo(self) -> None:
        """Open the generated radiotherapy case."""
        self._session.start(self._demo())

    async def _demo(self) -> None:
        self._session.busy("Making the example")
        data: RtDemo = await self._session.quick.run(tasks_uncertainty.make_rt_demo, 0)
        scene = self._session.scene
        self._session.workspace.hide_shapes()
        with self._session.server.state:
            self._scans.state.data.fixed = self._scans.state.data.moving = ""
            self._scans.state.data.show = "fixed"
            fixed = self._scans.add(data.fixed, "CT today (fixed)")
            self._scans.add(data.moving, "CT of the plan (moving)")
            segmentation = scene_nodes.add_labels(scene, data.structures, "Structures", fixed)
            dose = scene_nodes.add_image(scene, scene_nodes.as_image(data.dose), "Dose of the plan")
            dose.SetAttribute(DOSE, "1")
            transform = scene_nodes.add_transform(scene, data.transform, "Registration that misses a quarter")
            self.landmarks = data.landmarks
            self._landmarks_of = (self._scans.state.data.fixed, self._scans.state.data.moving)
            self._scans.refresh()
            values = self.state.data
            values.structures, values.dose = segmentation.GetID(), dose.GetID()
            values.transform = transform.GetID()
            self.set_option("spacing_mm", 8.0)
            values.goals = "target: D95% >= 57 Gy\nrectum: V50Gy <= 50 %\nbladder: Dmean <= 40 Gy"
        self._session.busy("")


def goals_of(text: str) -> tuple[tuple[str, str], ...]:
    """Goals of lines such as "target: D95% >= 57 Gy".

    Raises:
        InputError: a line without a colon.
    """
    found = []
    for line in text.splitlines():
        if line.strip():
            structure, colon, goal = line.partition(":")
            if not colon:
                raise InputError(f"goals: expected lines like 'target: D95% >= 57 Gy', got {line.strip()[:60]!r}")
            found.append((structure.strip(), goal.strip()))
    return tuple(found)


def _kept(chosen: str, rows: list[dict[str, Any]], *, last: bool = False) -> str:
    values = [r["value"] for r in rows]
    if chosen in values or not values:
        return chosen if chosen in values else ""
    return str(values[-1 if last else 0])


def _check_row(one: Any) -> dict[str, Any]:
    limit = "" if one.limit is None else f" (limit {one.limit:g})"
    return {**row(one.name, f"{one.value:.2f} {one.unit}{limit}", one.note), "light": one.light}


def _goal_row(one: Any) -> dict[str, Any]:
    chance = "" if np.isnan(one.probability) else f"{100 * one.probability:.0f} % likely"
    text = f"{one.nominal:.1f}, {'met' if one.met else 'missed'}"
    return {"name": f"{one.goal.structure}: {one.goal.text}", "value": text, "chance": chance, "light": one.light}


def _dose_row(one: Any) -> dict[str, Any]:
    band = "" if np.isnan(one.low) else f" ({one.low:.1f} to {one.high:.1f})"
    value = "-" if np.isnan(one.value) else f"{one.value:.1f}{band} {one.unit}"
    return {"name": f"{one.structure} {one.metric}", "value": value, "note": one.note, "light": "none", "at": None}
