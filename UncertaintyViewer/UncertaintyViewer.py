"""UncertaintyViewer: how far a registration can be trusted, and what that does to the dose."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Annotated, Any

import slicer
from slicer import (
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTransformNode,
)
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Default, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)
from VALORPanels import checks, comparing, panel
from VALORPanels.methods import MethodSection

from valorlib.catalog import Entry
from valorlib.core.errors import InputError
from valorlib.core.run import Run
from valorlib.scene import nodes as scene_nodes

METHOD = "dir_uncertainty"
MAPS = {"sigma": "sigma", "jacobian": "jacobian", "dose": "dose_mean"}


class UncertaintyViewer(ScriptedLoadableModule):
    """What Slicer shows of the module."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("VALOR Uncertainty Viewer")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Registration")]
        parent.dependencies = ["VALORRegistration"]
        parent.contributors = ["SlicerVALOR contributors"]
        parent.helpText = _(
            "Shows the expected error of a registration in mm, its volume change and folds, and dose-volume "
            "histograms with bands. For research; not for diagnostic use."
        )
        parent.acknowledgementText = _("Built on published work on probabilistic deformable registration.")


@parameterNodeWrapper
class UncertaintyViewerParameterNode:
    """What the panel holds, saved with the scene."""

    transform: vtkMRMLTransformNode
    fixedVolume: vtkMRMLScalarVolumeNode
    movingVolume: vtkMRMLScalarVolumeNode
    dose: vtkMRMLScalarVolumeNode
    structures: vtkMRMLSegmentationNode
    fixedLandmarks: vtkMRMLMarkupsFiducialNode
    movingLandmarks: vtkMRMLMarkupsFiducialNode
    landmarkToleranceMm: Annotated[float, WithinRange(0.0, 20.0), Default(2.0)]
    largestToleranceMm: Annotated[float, WithinRange(0.0, 40.0), Default(5.0)]
    foldsTolerancePct: Annotated[float, WithinRange(0.0, 10.0), Default(0.0)]
    samples: Annotated[int, WithinRange(10, 1000), Default(100)]
    goals: str = ""
    method: str = METHOD
    preset: str = "default"
    options: str = ""
    device: str = "auto"


class UncertaintyViewerWidget(panel.ReportingPanel):
    """The panel."""

    uiName = "UncertaintyViewer"

    def makeLogic(self) -> UncertaintyViewerLogic:
        """Logic of this module."""
        return UncertaintyViewerLogic()

    def connectPanel(self) -> None:
        """Connect widgets, keys and sections."""
        sentence = _("Expected error of the transform, in mm, and what it does to the dose.")
        entry = Entry(METHOD, _("Registration uncertainty"), "image", sentence)
        self.methods = MethodSection(self.ui, [entry], lambda: self._parameterNode)
        self.folds = comparing.PlaceList(self.ui.foldsLabel, _("none"))
        self.landmarks = comparing.PlaceList(self.ui.landmarksLabel, _("none"))
        self.results = comparing.Results(self.ui.resultSelector, self.logic.isOurs, self.onResultShown)
        for key, name in enumerate(MAPS, start=1):
            button = getattr(self.ui, f"{name}Button")
            button.connect("clicked(bool)", lambda checked=False, name=name: self.onMap(name))
            panel.shortcut(self.ui.resultsCollapsible, str(key), button.click)
        self.ui.chartButton.connect("clicked(bool)", self.onChart)
        panel.shortcut(self.ui.resultsCollapsible, "4", self.ui.chartButton.click)
        panel.shortcut(self.ui.parametersWidget, "Esc", self.ui.cancelButton.click)
        self.ui.opacitySlider.connect("valueChanged(double)", self.onOpacity)
        for role, text in self.logic.tables().items():
            self.ui.tableSelector.addItem(text, role)
        self.ui.tableSelector.connect("currentIndexChanged(int)", self.onTable)
        for name, places in (("Fold", self.folds), ("Landmark", self.landmarks)):
            for by, word in ((1, "next"), (-1, "last")):
                button = getattr(self.ui, f"{word}{name}Button")
                button.connect("clicked(bool)", lambda checked=False, places=places, by=by: places.step(by))
        checks.prepare(self.ui.checksTable)
        self.ui.tableView.connect("clicked(QModelIndex)", self.onTableClicked)
        self.ui.reportButton.connect("clicked(bool)", self.onReport)
        self.ui.saveButton.connect("clicked(bool)", self.onSave)
        self.ui.removeButton.connect("clicked(bool)", self.onRemove)
        self.ui.folderEdit.currentPath = str(Path(slicer.app.defaultScenePath) / "VALOR")
        self.sceneChanged()

    def sceneChanged(self) -> None:
        """Show the results of the scene as it is now."""
        self.results.refresh()

    def chooseDefaults(self) -> None:
        """The newest transform that names its volumes, and these volumes."""
        held = self._parameterNode
        found = slicer.util.getNodesByClass("vtkMRMLTransformNode")
        named = [t for t in found if self.logic.volumesOf(t)[0] is not None]
        if held.transform is None and named:
            held.transform = named[-1]
        if held.transform is not None and held.fixedVolume is None and held.movingVolume is None:
            fixed, moving = self.logic.volumesOf(held.transform)
            held.fixedVolume, held.movingVolume = fixed, moving
        self.methods.read()

    def reason(self) -> str:
        """Why Apply cannot be pressed."""
        held = self._parameterNode
        if held.transform is None:
            return _("Select a transform")
        if held.fixedVolume is None:
            return _("Select the fixed volume")
        if held.fixedVolume is held.movingVolume:
            return _("Fixed and moving volume must not be the same")
        if (held.fixedLandmarks is None) != (held.movingLandmarks is None):
            return _("Select landmarks of both volumes, or of neither")
        return self.ready()

    def applyText(self) -> str:
        """What Apply will do."""
        held = self._parameterNode
        if held.movingVolume is None:
            return _("Apply: volume change only (no moving volume)")
        if held.dose is None or held.structures is None:
            return _("Apply: uncertainty (no dose and structures)")
        return _("Apply: uncertainty and dose")

    def applyHelp(self) -> str:
        """Tool tip of Apply."""
        return _("Estimates the error of the transform; Cancel ends it at any time")

    def lockedWidgets(self) -> tuple[str, ...]:
        """What must not change during a run."""
        return ("inputsCollapsible", "goalsCollapsible", "methodCollapsible", "resultsCollapsible")

    def onApply(self) -> None:
        """Read the inputs here, estimate in the worker, write the result here."""
        held = self._parameterNode
        try:
            goals = self.logic.goals(held.goals)
            options = self.methods.options()
            tolerances = self.logic.tolerances(held)
            inputs = self.logic.read(held)
        except InputError as error:
            self.fault(str(error))
            return
        samples, device, fixed = held.samples, held.device, held.fixedVolume
        used = [held.transform, fixed, held.movingVolume, held.dose, held.structures]

        def work(progress: Any) -> Any:
            return self.logic.compute(inputs, options, device, samples, goals, progress)

        begun = time.monotonic()

        def done(outcome: Any) -> Iterator[None]:
            results = yield from self.logic.write(inputs, outcome, fixed, tolerances)
            self.results.refresh(results.run)
            self._warnings = "; ".join(outcome.warnings)
            record = {"options": options, "device": device, "samples": samples, "tolerances": tolerances}
            self.last = {"run": results.run, "inputs": inputs, "outcome": outcome, **record}
            self.last["seconds"] = time.monotonic() - begun

        self._warnings = ""
        if self.runJob(work, done, used) and self._warnings:
            self.status(self._warnings)

    def onResultShown(self, results: Any) -> None:
        """Another run, or none, is shown."""
        self.folds.show(self.results.node("folds"))
        self.landmarks.show(self.results.node("landmark_points"))
        checks.show(self.ui.checksTable, self.logic.rows(self.results.node("checks")))
        for name, role in MAPS.items():
            getattr(self.ui, f"{name}Button").enabled = self.results.node(role) is not None
        self.ui.chartButton.enabled = self.results.node("dvh_chart") is not None
        for name in ("opacitySlider", "reportButton", "saveButton", "removeButton", "tableSelector"):
            getattr(self.ui, name).enabled = results is not None
        self.onTable()
        first = next((name for name, role in MAPS.items() if self.results.node(role) is not None), "")
        if first:
            getattr(self.ui, f"{first}Button").checked = True
            self.onMap(first)

    def onMap(self, name: str) -> None:
        """Show a map over the fixed volume."""
        node = self.results.node(MAPS[name])
        if node is not None:
            fixed = self._parameterNode.fixedVolume if self._parameterNode is not None else None
            scene_nodes.show(slicer.mrmlScene, fixed, node, opacity=self.ui.opacitySlider.value / 100.0)
            comparing.showLegend(self.results.current, node)

    def onOpacity(self, value: float) -> None:
        """The opacity slider moved."""
        scene_nodes.set_blend(slicer.mrmlScene, value / 100.0)

    def onChart(self) -> None:
        """Show the DVH chart in the layout."""
        chart = self.results.node("dvh_chart")
        if chart is not None:
            slicer.modules.plots.logic().ShowChartInLayout(chart)

    def onTable(self) -> None:
        """Show another table of this run."""
        role = self.ui.tableSelector.itemData(self.ui.tableSelector.currentIndex)
        comparing.showTable(self.ui.tableView, self.results.node(role) if role else None)

    def onTableClicked(self, index: Any) -> None:
        """A row of the landmark table was clicked: the views go there."""
        if self.ui.tableSelector.itemData(self.ui.tableSelector.currentIndex) == "landmarks":
            self.landmarks.goTo(index.row())

    def onSave(self) -> None:
        """Write all of the run that is shown: maps, tables (CSV), doses (DICOM too), report and nodes."""
        folder = Path(self.ui.folderEdit.currentPath) / self.results.current.run
        if self.last.get("run") == self.results.current.run:
            self.saveRun(folder, lambda: self._saveNodes(folder / "nodes"))
        else:
            self._saveNodes(folder)

    def _saveNodes(self, folder: Path) -> None:
        with slicer.util.tryWithErrorDisplay(_("Export failed.")):
            written = comparing.saveNodes(self.results.current, folder)
            self.status(_("{count} files saved in {folder}").format(count=len(written), folder=folder))

    def onRemove(self) -> None:
        """Undo the run that is shown."""
        self.results.remove()
        self.status(_("The result was removed; the views show what they showed before."))


class UncertaintyViewerLogic(ScriptedLoadableModuleLogic):
    """Nodes to core types and back; what is computed is computed by the library."""

    def getParameterNode(self) -> UncertaintyViewerParameterNode:
        """The parameters of this scene."""
        return UncertaintyViewerParameterNode(ScriptedLoadableModuleLogic.getParameterNode(self))

    def isOurs(self, results: Any) -> bool:
        """True for runs of this module."""
        return "checks" in results.roles

    def tables(self) -> dict[str, str]:
        """Role of each table of a run, and its name."""
        texts = _("Numbers"), _("Dose metrics"), _("DVH"), _("Landmarks")
        return dict(zip(("metrics", "dvh_metrics", "dvh", "landmarks"), texts, strict=True))

    def volumesOf(self, transform: Any) -> tuple[Any, Any]:
        """Fixed and moving volume that a transform joins, where it says so."""
        kind = slicer.vtkMRMLTransformNode
        roles = (kind.GetFixedNodeReferenceRole(), kind.GetMovingNodeReferenceRole())
        found = map(transform.GetNodeReference, roles)
        # A transform of organs refers to segmentations or models.
        fixed, moving = (n if n is not None and n.IsA("vtkMRMLScalarVolumeNode") else None for n in found)
        return fixed, moving

    def goals(self, text: str) -> list[Any]:
        """Dose goals of a text such as "target: D95% >= 57 Gy; heart: Dmean <= 10 Gy".

        Raises:
            InputError: a part that cannot be read.
        """
        from valorlib.metrics.qa import parse_goal

        parts = [part for part in text.split(";") if part.strip()]
        return [parse_goal(*(part.split(":", 1) if ":" in part else ("", part))) for part in parts]

    def tolerances(self, held: UncertaintyViewerParameterNode) -> Any:
        """Limits of the checks."""
        from valorlib.metrics.qa import Tolerances

        return Tolerances(
            landmark_mean_mm=held.landmarkToleranceMm,
            landmark_max_mm=held.largestToleranceMm,
            folds_pct=held.foldsTolerancePct,
        )

    def read(self, held: UncertaintyViewerParameterNode) -> Any:
        """Core types of the chosen nodes.

        Raises:
            InputError: one sentence on the node that cannot be used.
        """
        from valorlib.scene import uncertainty_viewer

        return uncertainty_viewer.read_inputs(
            slicer.mrmlScene,
            transform=held.transform,
            fixed=held.fixedVolume,
            moving=held.movingVolume,
            dose=held.dose,
            structures=held.structures,
            fixed_landmarks=held.fixedLandmarks,
            moving_landmarks=held.movingLandmarks,
        )

    def compute(self, inputs: Any, options: Any, device: str, samples: int, goals: list[Any], progress: Any) -> Any:
        """Estimate; runs in the worker."""
        from valorlib.convert.tensors import choose_device
        from valorlib.scene import uncertainty_viewer

        run = Run(device=choose_device(device), progress=progress)
        return uncertainty_viewer.run(inputs, options, run, samples=samples, goals=goals)

    def write(self, inputs: Any, outcome: Any, fixed: Any, tolerances: Any) -> Generator[None, None, Any]:
        """Write the nodes of a result, a few at a time."""
        from valorlib.scene import uncertainty_viewer

        return uncertainty_viewer.write_steps(
            slicer.mrmlScene, inputs, outcome, fixed=fixed, name=_("Uncertainty"), tolerances=tolerances
        )

    def save(self, folder: Path, run: dict[str, Any], progress: Any) -> None:
        """Write the result folder with its report; runs in the worker."""
        from VALORPanels import saving

        saving.saveUncertainty(folder, run, progress)

    def rows(self, node: Any) -> list[dict[str, Any]]:
        """Rows of a table node; none without a node."""
        if node is None:
            return []
        from valorlib.convert import mrml

        columns = mrml.table_from_node(node)
        count = len(next(iter(columns.values()), []))
        return [{name: values[n] for name, values in columns.items()} for n in range(count)]


class UncertaintyViewerTest(ScriptedLoadableModuleTest):
    """Self-test: the Reload and Test button of Slicer's developer mode."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def test_ShowsUncertaintyOfSample(self) -> None:
        """The generated radiotherapy case gives maps, a chart and checks."""
        from VALORPanels import selftests

        selftests.viewUncertainty(self)
