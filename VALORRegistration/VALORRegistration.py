"""VALORRegistration: click in the tumor, see it in both scans, see one scan lying on the other."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import slicer
from slicer import (
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLMarkupsROINode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTransformNode,
)
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)
from VALORPanels import comparing, panel, samples, seeds, tumors
from VALORPanels.methods import MethodSection, entriesOf

from valorlib.core.errors import InputError
from valorlib.core.run import Run, part
from valorlib.scene import nodes as scene_nodes


class VALORRegistration(ScriptedLoadableModule):
    """What Slicer shows of the module."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("VALOR Registration")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Registration")]
        parent.dependencies = []
        parent.contributors = ["SlicerVALOR contributors"]
        parent.helpText = _(
            "Click in a tumor: it is segmented in both scans, and the moving scan is laid on the fixed one. "
            "For research; not for diagnostic use."
        )
        parent.acknowledgementText = _("Built on the published VALOR-Net method.")
        slicer.app.connect("startupCompleted()", samples.register)


@parameterNodeWrapper
class VALORRegistrationParameterNode:
    """What the panel holds, saved with the scene."""

    fixedVolume: vtkMRMLScalarVolumeNode
    movingVolume: vtkMRMLScalarVolumeNode
    seedsOnFixed: bool = False
    livePreview: bool = True
    roi: vtkMRMLMarkupsROINode
    startTransform: vtkMRMLTransformNode
    fixedSegmentation: vtkMRMLSegmentationNode
    movingSegmentation: vtkMRMLSegmentationNode
    fixedLandmarks: vtkMRMLMarkupsFiducialNode
    movingLandmarks: vtkMRMLMarkupsFiducialNode
    method: str = "valor"
    preset: str = "default"
    options: str = ""
    device: str = "auto"


class VALORRegistrationWidget(panel.ReportingPanel):
    """The panel."""

    uiName = "VALORRegistration"

    def makeLogic(self) -> VALORRegistrationLogic:
        """Logic of this module."""
        return VALORRegistrationLogic()

    def connectPanel(self) -> None:
        """Connect widgets, keys and sections."""
        self.methods = MethodSection(self.ui, entriesOf("image"), lambda: self._parameterNode)
        self.preview = seeds.LivePreview(self, self.clickedVolume, self.onVolumes)
        self.seeds = seeds.SeedSection(self, self.ui, self.onClicks)
        self.flicker = comparing.Flicker()
        self.folds = comparing.PlaceList(self.ui.foldsLabel, _("none"))
        self.results = comparing.Results(self.ui.resultSelector, self.logic.isOurs, self.onResultShown)
        self.ui.blendSlider.connect("valueChanged(double)", self.onBlend)
        modes = ("blend", "checkerboard", "flicker", "difference")
        for key, mode in enumerate(modes, start=1):
            button = getattr(self.ui, f"{mode}Button")
            button.connect("clicked(bool)", lambda checked=False, mode=mode: self.onViewMode(mode))
            panel.shortcut(self.ui.resultsCollapsible, str(key), button.click)
        self.ui.nextFoldButton.connect("clicked(bool)", lambda: self.folds.step(1))
        self.ui.lastFoldButton.connect("clicked(bool)", lambda: self.folds.step(-1))
        self.ui.reportButton.connect("clicked(bool)", self.onReport)
        self.ui.saveButton.connect("clicked(bool)", self.onSave)
        self.ui.removeButton.connect("clicked(bool)", self.onRemove)
        for keys, button in (("T", "addTumorButton"), ("B", "backgroundButton"), ("U", "undoClickButton")):
            panel.shortcut(self.ui.seedsCollapsible, keys, getattr(self.ui, button).click)
        panel.shortcut(self.ui.parametersWidget, "Esc", self.ui.cancelButton.click)
        self.ui.folderEdit.currentPath = str(Path(slicer.app.defaultScenePath) / "VALOR")
        self.sceneChanged()

    def leavePanel(self) -> None:
        """No placing, no flicker, no preview while the panel is closed."""
        self.preview.stop()
        self.seeds.stopPlacing()
        self.flicker.stop()

    def cleanup(self) -> None:
        """Called when the panel is closed or reloaded."""
        self.seeds.close()
        panel.VALORPanel.cleanup(self)

    def sceneChanged(self) -> None:
        """Show the clicks and results of the scene as it is now."""
        self.seeds.refresh()
        self.results.refresh()

    def chooseDefaults(self) -> None:
        """The first two volumes of the scene, fixed first."""
        held = self._parameterNode
        volumes = [v for v in panel.firstNodes("vtkMRMLScalarVolumeNode", 20) if not v.GetAttribute(scene_nodes.RUN)]
        if held.fixedVolume is None and held.movingVolume is None and len(volumes) >= 2:
            held.fixedVolume, held.movingVolume = volumes[0], volumes[1]
        self.methods.read()

    def reason(self) -> str:
        """Why Apply cannot be pressed."""
        held = self._parameterNode
        if held.fixedVolume is None or held.movingVolume is None:
            return _("Select a fixed and a moving volume")
        if held.fixedVolume is held.movingVolume:
            return _("Fixed and moving volume must not be the same")
        if (held.fixedLandmarks is None) != (held.movingLandmarks is None):
            return _("Select landmarks of both volumes, or of neither")
        return self.ready()

    def applyText(self) -> str:
        """What Apply will do."""
        clicked = any(seeds.clicksIn(n) and n.GetAttribute(seeds.TUMOR) != "0" for n in seeds.seedLists())
        return _("Apply: segment and register") if clicked else _("Apply: register (no tumor clicked)")

    def applyHelp(self) -> str:
        """Tool tip of Apply."""
        return _("Finds the transform from the moving to the fixed volume; Cancel ends it at any time")

    def lockedWidgets(self) -> tuple[str, ...]:
        """What must not change during a run."""
        return ("inputsCollapsible", "seedsCollapsible", "moreCollapsible", "methodCollapsible", "resultsCollapsible")

    def clickedVolume(self) -> Any:
        """The volume that is clicked."""
        held = self._parameterNode
        return None if held is None else held.fixedVolume if held.seedsOnFixed else held.movingVolume

    def onClicks(self) -> None:
        """A click was made or taken back."""
        self.updateApply()
        if self._parameterNode is not None and self._parameterNode.livePreview:
            self.preview.ask()

    def onVolumes(self, volumes_ml: dict[int, float]) -> None:
        """The preview found tumors."""
        self.seeds.showVolumes(volumes_ml)

    def onApply(self) -> None:
        """Read the inputs here, register in the worker, write the result here."""
        held = self._parameterNode
        if self.preview.endFirst(self.onApply):
            return
        self.seeds.stopPlacing()
        fixed, moving = held.fixedVolume, held.movingVolume
        try:
            options = tumors.withTumors(self.methods.options(), seeds.clickedTumors())
            pair = self.logic.read(held)
        except InputError as error:
            self.fault(str(error))
            return
        name, device, begun = self.methods.name, held.device, time.monotonic()

        def work(progress: Any) -> Any:
            return self.logic.compute(pair, name, options, device, progress)

        def done(outcome: Any) -> Iterator[None]:
            results = yield from self.logic.write(outcome, fixed, moving)
            self.preview.clear()
            record = {"method": name, "options": options, "device": device, "seconds": time.monotonic() - begun}
            self.last = {"run": results.run, "pair": pair, "result": outcome.result, **record}
            self.results.refresh(results.run)
            self.status("; ".join(outcome.result.warnings))

        if self.runJob(work, done, [fixed, moving]) and self.last["result"].warnings:
            self.status("; ".join(self.last["result"].warnings))

    def onResultShown(self, results: Any) -> None:
        """Another run, or none, is shown."""
        self.flicker.stop()
        comparing.showTable(self.ui.metricsView, self.results.node("metrics"))
        comparing.showTable(self.ui.tumorsView, self.results.node("tumors"))
        self.ui.tumorsView.setVisible(self.results.node("tumors") is not None)
        self.folds.show(self.results.node("folds"))
        for name in ("blendSlider", "viewModesWidget", "reportButton", "saveButton", "removeButton", "foldsWidget"):
            getattr(self.ui, name).enabled = results is not None
        self.ui.blendButton.checked = True
        if results is not None:
            self.onViewMode("blend")

    def onBlend(self, value: float) -> None:
        """The blend slider moved."""
        scene_nodes.set_blend(slicer.mrmlScene, value / 100.0)

    def onViewMode(self, mode: str) -> None:
        """Blend, checkerboard, flicker or difference."""
        self.flicker.stop()
        fixed, warped = self.logic.shownPair(self.results)
        if fixed is None or warped is None:
            return
        self.ui.blendSlider.enabled = mode == "blend"
        if mode in ("checkerboard", "difference"):
            self.results.replace(self.logic.addComparison(self.results, mode, fixed))
            scene_nodes.show(slicer.mrmlScene, fixed, self.results.node(mode), opacity=1.0)
            comparing.showLegend(self.results.current, self.results.node(mode))
            return
        comparing.showLegend(self.results.current, None)
        scene_nodes.show(slicer.mrmlScene, fixed, warped, opacity=self.ui.blendSlider.value / 100.0)
        if mode == "flicker":
            self.flicker.start()

    def onSave(self) -> None:
        """Write all files of the run that is shown."""
        results = self.results.current
        folder = Path(self.ui.folderEdit.currentPath) / results.run
        if self.last.get("run") == results.run:
            self.saveRun(folder, lambda: self.status(_("Saved in {folder}").format(folder=folder)))
            return
        with slicer.util.tryWithErrorDisplay(_("Saving failed.")):
            written = comparing.saveNodes(results, folder)
            self.status(_("{count} files saved in {folder}").format(count=len(written), folder=folder))

    def onRemove(self) -> None:
        """Undo the run that is shown."""
        self.flicker.stop()
        self.results.remove()
        self.status(_("The result was removed; the views show what they showed before."))


class VALORRegistrationLogic(ScriptedLoadableModuleLogic):
    """Nodes to core types and back; what is computed is computed by the library."""

    def getParameterNode(self) -> VALORRegistrationParameterNode:
        """The parameters of this scene."""
        return VALORRegistrationParameterNode(ScriptedLoadableModuleLogic.getParameterNode(self))

    def isOurs(self, results: Any) -> bool:
        """True for runs of this module."""
        return "warped" in results.roles

    def read(self, held: VALORRegistrationParameterNode) -> Any:
        """Core types of the chosen nodes.

        Raises:
            InputError: one sentence on the node that cannot be used.
        """
        from valorlib.scene import valor_registration

        return valor_registration.read_inputs(
            slicer.mrmlScene,
            held.fixedVolume,
            held.movingVolume,
            seeds=seeds.seedLists(),
            seeds_on="fixed" if held.seedsOnFixed else "moving",
            roi=held.roi,
            fixed_segmentation=held.fixedSegmentation,
            moving_segmentation=held.movingSegmentation,
            fixed_landmarks=held.fixedLandmarks,
            moving_landmarks=held.movingLandmarks,
            start=held.startTransform,
        )

    def compute(self, pair: Any, name: str, options: Any, device: str, progress: Any) -> Any:
        """Register and measure; runs in the worker."""
        from valorlib import catalog
        from valorlib.convert.tensors import choose_device
        from valorlib.scene import valor_registration

        run = Run(device=choose_device(device), progress=part(progress, 0.0, 0.92))
        result = catalog.load(name).run(pair, options, run)
        progress(0.93, _("Measuring the result"))
        outcome = valor_registration.prepared(valor_registration.measure(pair, result))
        progress(1.0, _("Measured"))
        return outcome

    def write(self, outcome: Any, fixed: Any, moving: Any) -> Generator[None, None, Any]:
        """Write the nodes of a result, a few at a time."""
        from valorlib.scene import valor_registration

        results = yield from valor_registration.write_steps(slicer.mrmlScene, outcome, fixed, moving)
        tumors = results.node(slicer.mrmlScene, "fixed_seg")
        if tumors is not None:
            tumors.CreateClosedSurfaceRepresentation()  # shown in 3D
            yield
        return results

    def shownPair(self, results: Any) -> tuple[Any, Any]:
        """Fixed volume and warped volume of the results that are shown."""
        transform, warped = results.node("transform"), results.node("warped")
        fixed = None
        if transform is not None:
            fixed = transform.GetNodeReference(slicer.vtkMRMLTransformNode.GetFixedNodeReferenceRole())
        return fixed, warped

    def addComparison(self, results: Any, mode: str, fixed: Any) -> Any:
        """The results with a checkerboard or difference volume."""
        if results.node(mode) is not None:
            return results.current
        from valorlib.scene import comparison

        add = comparison.add_checkerboard if mode == "checkerboard" else comparison.add_difference
        return add(slicer.mrmlScene, results.current, fixed)

    def save(self, folder: Path, run: dict[str, Any], progress: Any) -> None:
        """Write the result folder and its report, as the command line does; runs in the worker."""
        from VALORPanels import saving

        saving.saveRegistration(folder, run, progress)


class VALORRegistrationTest(ScriptedLoadableModuleTest):
    """Self-test: the Reload and Test button of Slicer's developer mode."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def test_RegistersSampleAndUndoes(self) -> None:
        """A generated pair is registered; removing the result leaves the scene as it was."""
        from VALORPanels import selftests

        selftests.registerSample(self)
