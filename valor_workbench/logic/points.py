"""PointCloudRegistration: organ surfaces of one set carried onto another, each organ moving by itself."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import numpy as np

from valor_workbench import nodes as scene_nodes
from valor_workbench import tasks_points
from valor_workbench.logic.files import offer_folder, offer_report
from valor_workbench.logic.method import MethodLogic
from valor_workbench.logic.runs import RunLogic
from valor_workbench.logic.scans import ScansLogic
from valor_workbench.logic.session import Session
from valor_workbench.states import PointsState
from valor_workbench.tasks_points import Carried
from valorlib.convert.mrml import table_from_node
from valorlib.core.errors import InputError
from valorlib.scene.nodes import ResultNodes, find_results, remove

SIDES = ("fixed", "moving")
SAVED_COLUMNS = {
    "name": "Organ",
    "before": "Distance before (mm)",
    "after": "Distance after (mm)",
    "hd95": "HD95 after (mm)",
    "sigma": "Mean sigma (mm)",
}


class PointsLogic:
    """Inputs, run and result of the point cloud panel."""

    def __init__(self, session: Session, scans: ScansLogic, method: MethodLogic, run: RunLogic) -> None:
        self._session, self._scans, self._method, self._run = session, scans, method, run
        self.state = session.typed(PointsState)
        self.nodes: ResultNodes | None = None
        self._done: Carried | None = None
        names = self.state.name
        method.changed.append(self.check)
        self.state.bind_changes(
            {
                (names.fixed, names.moving): lambda *_: self._chosen(),
                names.color_by: lambda by: self._color(),
                names.show_inputs: lambda on: self._show_inputs(),
            }
        )

    def refresh(self) -> None:
        """Read the lists from the scene; choose the first two."""
        values = [row["value"] for row in self._scans.state.data.organ_items]
        data = self.state.data
        with self._session.server.state:
            if data.fixed not in values:
                data.fixed = ""
            if data.moving not in values:
                data.moving = ""
        self.check()

    def take(self, name: str) -> None:
        """Choose a set of surfaces that was opened, on the side that is free."""
        self._scans.refresh()
        with self._session.server.state:
            if not self.state.data.fixed:
                self.state.data.fixed = name
            elif not self.state.data.moving:
                self.state.data.moving = name

    def _sides(self, which: str) -> list[Any]:
        """The segmentation node of a side, or its models; none when nothing is chosen."""
        chosen = str(getattr(self.state.data, which) or "")
        node = self._session.scene.GetNodeByID(chosen) if chosen else None
        return [node] if node is not None else scene_nodes.sets_of(self._session.scene).get(chosen, [])

    def _chosen(self) -> None:
        both, there = _organs_of(self._sides("fixed"), self._sides("moving"))
        kept = {row["name"]: row["use"] for row in self.state.data.organs}
        rows = [
            {"name": name, "use": kept.get(name, True), "matched": name in there, "number": n}
            for n, name in enumerate(both)
        ]
        with self._session.server.state:
            self.state.data.organs = rows
        self._show_inputs()
        self.check()

    def set_coupling(self, first: Any, second: Any, value: Any) -> None:
        """How far two organs move together, 0 to 1; the table stays symmetric."""
        names = self._taking_part()
        try:
            shared = float(value)
        except (TypeError, ValueError):
            shared = -1.0
        if first not in names or second not in names or first == second or not 0 <= shared <= 1:
            raise InputError(f"S: expected a number from 0 to 1 for two organs, got {str(value)[:20]!r}")
        table = self._table()
        table[names.index(first)][names.index(second)] = table[names.index(second)][names.index(first)] = shared
        if np.linalg.eigvalsh(np.asarray(table)).min() < -1e-9:
            self._show_coupling(self._table(), edited=self._fits())
            raise InputError(
                f"S: {shared:g} for {first} and {second} contradicts the other numbers; "
                "bring organs that both move with closer together first"
            )
        self._show_coupling(table, edited=True)

    def reset_coupling(self) -> None:
        """Take the table from the preset again."""
        self._show_coupling(self._preset_table())

    def _fits(self) -> bool:
        same = [row["name"] for row in self.state.data.coupling] == self._taking_part()
        return bool(self.state.data.coupling_edited) and same

    def _taking_part(self) -> list[str]:
        return [row["name"] for row in self.state.data.organs if row["use"] and row["matched"]]

    def _preset_table(self) -> list[list[float]]:
        shared = float(getattr(self._method.options, "between_organs", 0.0))
        count = len(self._taking_part())
        return [[1.0 if i == j else shared for j in range(count)] for i in range(count)]

    def _table(self) -> list[list[float]]:
        """The table on the page when it fits the organs that take part; else that of the preset."""
        if not self._fits():
            return self._preset_table()
        return [[float(v) for v in row["values"]] for row in self.state.data.coupling]

    def _show_coupling(self, table: list[list[float]], *, edited: bool = False) -> None:
        names = self._taking_part()
        with self._session.server.state:
            self.state.data.coupling = [{"name": n, "values": list(v)} for n, v in zip(names, table, strict=True)]
            self.state.data.coupling_edited = edited

    def toggle(self, name: Any) -> None:
        """Take an organ along or leave it out."""
        rows = [{**row, "use": not row["use"]} if row["name"] == name else row for row in self.state.data.organs]
        with self._session.server.state:
            self.state.data.organs = rows
        self.check()

    def check(self) -> None:
        """Say on the page why Apply cannot start, or nothing."""
        self._show_coupling(self._table(), edited=self._fits())
        with self._session.server.state:
            self.state.data.why_not = self.why_not()

    def why_not(self) -> str:
        """One sentence on what is missing, or nothing."""
        fixed, moving = self._sides("fixed"), self._sides("moving")
        if not fixed or not moving:
            return "Choose the fixed and the moving structures, or open the generated organs."
        if fixed[0] is moving[0]:
            return "Fixed and moving are the same structures; choose two."
        if not any(row["use"] and row["matched"] for row in self.state.data.organs):
            return "No organ has the same name in both; rename them so that they match."
        return ""

    def apply(self) -> None:
        """Start the run."""
        reason = self.why_not()
        if reason:
            raise InputError(reason)
        if self._method.options is None:
            self._method.load()
        self._session.start(self._go())

    async def _go(self) -> None:
        from valorlib.scene import point_cloud_registration as scene_functions

        fixed, moving = self._sides("fixed"), self._sides("moving")
        organs = self._taking_part()
        given = scene_functions.read_inputs(self._session.scene, fixed, moving, organs=organs)
        name, options = self._method.state.data.name, self._method.options
        if self._fits() and options is not None:
            table = tuple(v for line in self._table() for v in line)
            options = replace(options, coherence_matrix=table)  # type: ignore[call-arg]
        done: Carried = await self._run.run(tasks_points.carry, given, name, options, 0)
        if self.nodes is not None:
            remove(self._session.scene, self.nodes)
        self.nodes = await self._session.in_steps(
            scene_functions.write_steps(self._session.scene, done.outcome, fixed=fixed[0], moving=moving[0])
        )
        self._done = done
        self._scans.refresh()
        rows = done.outcome.rows
        with self._session.server.state:
            data = self.state.data
            # Two surfaces on top of each other flicker: the fixed ones stay as outlines in the slices.
            data.ready, data.color_by, data.show_inputs = True, "sigma_mm", False
            before = sum(r.mean_before_mm for r in rows) / len(rows)
            after = sum(r.mean_after_mm for r in rows) / len(rows)
            spent = float(done.record["seconds"])
            data.summary = f"Done in {spent:.1f} s. Mean distance {before:.1f} mm before, {after:.2f} mm after."
            data.metrics = [_row(r) for r in rows]
            data.warnings = list(done.warnings)
        self._show_inputs()
        self._color()
        self._session.workspace.fit_3d()

    def adopt_from_scene(self) -> None:
        """Take over the newest result of a scene that was loaded."""
        found = [nodes for nodes in find_results(self._session.scene) if "organs" in nodes.roles]
        if not found:
            return
        self.nodes, self._done = found[-1], None
        columns = table_from_node(self.nodes.node(self._session.scene, "organs"))
        with self._session.server.state:
            data = self.state.data
            data.ready, data.show_inputs, data.warnings = True, False, []
            data.summary = "A saved result; press Apply to measure it again."
            data.metrics = [
                {key: str(columns[name][n]) for key, name in SAVED_COLUMNS.items()}
                for n in range(len(columns["Organ"]))
            ]
        self._show_inputs()
        self._color()

    def settings(self) -> tuple[dict[str, str], list[list[Any]]]:
        """What the panel holds beside its method, as the Slicer panel keeps it; the nodes of both sides."""
        data, names = self.state.data, self._taking_part()
        rows = {r["name"]: {"include": r["use"], "alone": True, "length": "", "size": ""} for r in data.organs}
        values = {"organs": json.dumps(rows)}
        if self._fits():
            values["matrix"] = json.dumps({"kind": "matrix", "names": names, "values": self._table()})
        return values, [self._sides(side) for side in SIDES]

    def restore(self, values: dict[str, str], sides: list[list[Any]]) -> None:
        """Take over `settings`; what no longer fits stays as it is."""
        held, matrix = (_json_of(values.get(name, "")) for name in ("organs", "matrix"))
        with self._session.server.state:
            for side, nodes in zip(SIDES, sides, strict=True):
                if nodes:
                    setattr(self.state.data, side, nodes[0].GetAttribute(scene_nodes.SET) or nodes[0].GetID())
            self.state.data.organs = [
                {"name": name, "use": bool(row.get("include", True)), "matched": True, "number": n}
                for n, (name, row) in enumerate(held.items())
                if isinstance(row, dict)
            ]
        self._chosen()
        names, table = self._taking_part(), matrix.get("values") or []
        if matrix.get("names") == names and np.shape(table) == (len(names), len(names)):
            self._show_coupling([[float(v) for v in line] for line in table], edited=True)

    def cancel(self) -> None:
        """End the run."""
        self._run.cancel()

    def set_option(self, name: Any, value: Any) -> None:
        """Change one option of the method."""
        self._method.set_option(name, value)

    def _color(self) -> None:
        if self.nodes is None:
            return
        from valorlib.scene import point_cloud_registration as scene_functions

        by = str(self.state.data.color_by)
        scene_functions.color_models(self._session.scene, self.nodes, by)
        titles = {"sigma_mm": "mm", "displacement_mm": "mm"}
        models = [self.nodes.node(self._session.scene, role) for role in self.nodes.roles if role.startswith("model:")]
        for n, model in enumerate(m for m in models if m is not None):
            visible = n == 0 and by in titles
            self._session.workspace.set_legend(model, titles.get(by, ""), visible=visible, in_3d=True)

    def _show_inputs(self) -> None:
        """Surfaces of the inputs: the fixed ones pale, the moving ones only before a result."""
        for which, opacity in (("fixed", 0.25), ("moving", 0.6)):
            shown = bool(self.state.data.show_inputs) and (which == "fixed" or self.nodes is None)
            for node in (one for one in self._sides(which) if one.GetDisplayNode() is not None):
                display = node.GetDisplayNode()
                display.SetVisibility(shown or which == "fixed")
                display.SetVisibility3D(shown)
                if node.IsA("vtkMRMLModelNode"):
                    display.SetOpacity(opacity)
                    continue
                if shown:
                    node.CreateClosedSurfaceRepresentation()
                display.SetOpacity3D(opacity)
        self._session.workspace.fit_3d()

    def export(self) -> None:
        """Make the result folder ready for download."""
        if self._done is None:
            raise InputError("export: expected a result; press Apply first")
        self._session.start(offer_folder(self._session, self._done.folder, "valor-points"))

    def report(self) -> None:
        """Make the report ready for download."""
        if self._done is None:
            raise InputError("report: expected a result; press Apply first")
        offer_report(self._session, self._done.folder)

    def load_demo(self) -> None:
        """Open the generated organs."""
        self._session.start(self._demo())

    async def _demo(self) -> None:
        self._session.busy("Making the example")
        fixed, moving = await self._session.quick.run(tasks_points.make_organs_demo, 0)
        self._session.workspace.hide_shapes()
        with self._session.server.state:
            first = scene_nodes.add_labels(self._session.scene, fixed, "Organs of patient 1 (fixed)")
            second = scene_nodes.add_labels(self._session.scene, moving, "Organs of patient 2 (moving)")
            self._scans.refresh()
            self.state.data.fixed, self.state.data.moving = first.GetID(), second.GetID()
            self._method.state.data.preset = "quick"
            self._session.page.data.layout = "3D and slices"
        # The browser needs a moment to tell the new size of the views.
        await asyncio.sleep(0.5)
        self._session.workspace.set_slices_at(first)
        self._session.workspace.fit_3d()
        self._session.busy("")


def _json_of(text: str) -> dict[str, Any]:
    """A JSON object, or an empty one when the text is none."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _organs_of(fixed: list[Any], moving: list[Any]) -> tuple[list[str], set[str]]:
    """Names of the organs of the fixed side, and those that the moving side has too."""
    if not fixed:
        return [], set()
    from valorlib.scene.organ_names import matched
    from valorlib.scene.point_cloud_registration import organs_of

    mine, theirs = organs_of(fixed), organs_of(moving) if moving else []
    same = matched(mine, theirs)
    names = {own: name for name, (own, _) in same.items()}
    return [names.get(one, one) for one in mine], set(same)


def _row(one: Any) -> dict[str, Any]:
    return {
        "name": one.name,
        "before": f"{one.mean_before_mm:.1f}",
        "after": f"{one.mean_after_mm:.2f}",
        "hd95": f"{one.hd95_after_mm:.1f}",
        "sigma": f"{one.sigma_mm:.1f}",
    }
