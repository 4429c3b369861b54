"""PointCloudRegistration: organ contours of one patient or day carried onto those of another, each organ by itself."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Annotated, Any

import slicer
from slicer import vtkMRMLDisplayableNode, vtkMRMLTransformableNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Default, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)
from VALORPanels import comparing, organs, panel, sides
from VALORPanels.methods import MethodSection, entriesOf

from valorlib.core.errors import InputError
from valorlib.core.run import Run, part
from valorlib.scene import nodes as scene_nodes


class PointCloudRegistration(ScriptedLoadableModule):
    """What Slicer shows of the module."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("VALOR Point Cloud Registration")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Registration")]
        parent.dependencies = ["VALORRegistration"]
        parent.contributors = ["SlicerVALOR contributors"]
        parent.helpText = _(
            "Carries organ surfaces onto those of another patient or day; organs may slide along each other. "
            "For research; not for diagnostic use."
        )
        parent.acknowledgementText = _("Built on the published MO-BCPD method.")


@parameterNodeWrapper
class PointCloudRegistrationParameterNode:
    """What the panel holds, saved with the scene."""

    fixedOrgans: vtkMRMLDisplayableNode
    movingOrgans: vtkMRMLDisplayableNode
    target: vtkMRMLTransformableNode
    spacingMm: Annotated[float, WithinRange(1.0, 20.0), Default(5.0)]
    organs: str = ""
    matrix: str = ""
    method: str = "mo_bcpd"
    preset: str = "default"
    options: str = ""
    device: str = "auto"


class PointCloudRegistrationWidget(panel.VALORPanel):
    """The panel."""

    uiName = "PointCloudRegistration"

    def makeLogic(self) -> PointCloudRegistrationLogic:
        """Logic of this module."""
        return PointCloudRegistrationLogic()

    def connectPanel(self) -> None:
        """Connect widgets, keys and sections."""
        self.methods = MethodSection(self.ui, entriesOf("points"), lambda: self._parameterNode)
        self.organs = organs.OrganSection(self.ui, lambda: self._parameterNode)
        self.models = sides.SideModels(self.ui, lambda: self._parameterNode, self.onOrgansChosen)
        self.results = comparing.Results(self.ui.resultSelector, self.logic.isOurs, self.onResultShown)
        for by, text in self.logic.colorings().items():
            self.ui.colorSelector.addItem(text, by)
        self.ui.colorSelector.connect("currentIndexChanged(int)", self.onColor)
        self.ui.fixedSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onOrgansChosen)
        self.ui.movingSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onOrgansChosen)
        self.ui.targetSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onTarget)
        self.ui.applyToButton.connect("clicked(bool)", self.onApplyTo)
        self.ui.releaseButton.connect("clicked(bool)", self.onRelease)
        self.ui.saveButton.connect("clicked(bool)", self.onSave)
        self.ui.removeButton.connect("clicked(bool)", self.onRemove)
        panel.shortcut(self.ui.parametersWidget, "Esc", self.ui.cancelButton.click)
        self.ui.folderEdit.currentPath = str(Path(slicer.app.defaultScenePath) / "VALOR")
        self.sceneChanged()

    def sceneChanged(self) -> None:
        """Show the results of the scene as it is now."""
        self.results.refresh()

    def chooseDefaults(self) -> None:
        """The first two segmentations of the scene, fixed first."""
        held = self._parameterNode
        nodes = panel.firstNodes("vtkMRMLSegmentationNode", 2)
        if held.fixedOrgans is None and held.movingOrgans is None and len(nodes) == 2:
            held.fixedOrgans, held.movingOrgans = nodes
        self.models.show()
        self.organs.show(self.logic.organsOfBoth(held))
        self.methods.read()

    def onOrgansChosen(self, node: Any = None) -> None:
        """Other organs: the table shows those that both sides have."""
        if self._parameterNode is not None:
            self.organs.show(self.logic.organsOfBoth(self._parameterNode))
            self.updateApply()

    def reason(self) -> str:
        """Why Apply cannot be pressed."""
        fixed, moving = (sides.nodesOf(self._parameterNode, side) for side in sides.SIDES)
        if not fixed or not moving:
            return _("Select fixed and moving organs")
        if any(node in moving for node in fixed):
            return _("Fixed and moving organs must not be the same")
        if not self.organs.names:
            return _("No organ has the same name on both sides")
        if not self.organs.included():
            return _("Include at least one organ")
        return self.ready()

    def applyText(self) -> str:
        """What Apply will do."""
        return _("Apply: register {count} organs").format(count=len(self.organs.included()))

    def applyHelp(self) -> str:
        """Tool tip of Apply."""
        return _("Carries the moving organs onto the fixed ones; Cancel ends it at any time")

    def lockedWidgets(self) -> tuple[str, ...]:
        """What must not change during a run."""
        return ("inputsCollapsible", "matrixCollapsible", "methodCollapsible", "resultsCollapsible")

    def onApply(self) -> None:
        """Read the inputs here, register in the worker, write the result here."""
        held = self._parameterNode
        used = [node for side in sides.SIDES for node in sides.nodesOf(held, side)]
        fixed, moving = (sides.nodesOf(held, side)[0] for side in sides.SIDES)
        try:
            read = self.logic.read(held, self.organs.included())
            options = self.organs.options(self.methods.options(), self.organs.included())
        except InputError as error:
            self.fault(str(error))
            return
        name, device = self.methods.name, held.device

        def work(progress: Any) -> Any:
            return self.logic.compute(read, name, options, device, progress)

        def done(outcome: Any) -> Iterator[None]:
            by = self.ui.colorSelector.itemData(self.ui.colorSelector.currentIndex)
            results = yield from self.logic.write(outcome, fixed, moving, by)
            scene_nodes.look_at(slicer.mrmlScene, self.logic.boundsOf(results))
            self.results.refresh(results.run)
            self._warnings = "; ".join(outcome.result.warnings)

        self._warnings = ""
        if self.runJob(work, done, used) and self._warnings:
            self.status(self._warnings)

    def onResultShown(self, results: Any) -> None:
        """Another run, or none, is shown."""
        comparing.showTable(self.ui.organsView, self.results.node("organs"))
        for name in ("colorSelector", "saveButton", "removeButton"):
            getattr(self.ui, name).enabled = results is not None
        self.onTarget()
        self.onColor()

    def onColor(self) -> None:
        """Color the moved surfaces by something else."""
        if self.results.current is not None:
            by = self.ui.colorSelector.itemData(self.ui.colorSelector.currentIndex)
            self.logic.color(self.results.current, by)

    def onTarget(self, node: Any = None) -> None:
        """The buttons below need a node and a result."""
        target = self.ui.targetSelector.currentNode()
        transform = self.results.node("transform")
        self.ui.applyToButton.enabled = target is not None and transform is not None and target is not transform
        self.ui.releaseButton.enabled = target is not None and target.GetParentTransformNode() is not None

    def onApplyTo(self) -> None:
        """The chosen node moves with the organs."""
        node, transform = self.ui.targetSelector.currentNode(), self.results.node("transform")
        node.SetAndObserveTransformNodeID(transform.GetID())
        self.status(_("{name} moves with the organs now.").format(name=node.GetName()))
        self.onTarget()

    def onRelease(self) -> None:
        """The chosen node goes back where it was."""
        self.ui.targetSelector.currentNode().SetAndObserveTransformNodeID(None)
        self.onTarget()

    def onSave(self) -> None:
        """Write all files of the run that is shown."""
        folder = Path(self.ui.folderEdit.currentPath) / self.results.current.run
        with slicer.util.tryWithErrorDisplay(_("Saving failed.")):
            written = comparing.saveNodes(self.results.current, folder)
            self.status(_("{count} files saved in {folder}").format(count=len(written), folder=folder))

    def onRemove(self) -> None:
        """Undo the run that is shown."""
        self.results.remove()
        self.status(_("The result was removed; the views show what they showed before."))


class PointCloudRegistrationLogic(ScriptedLoadableModuleLogic):
    """Nodes to core types and back; what is computed is computed by the library."""

    def getParameterNode(self) -> PointCloudRegistrationParameterNode:
        """The parameters of this scene."""
        return PointCloudRegistrationParameterNode(ScriptedLoadableModuleLogic.getParameterNode(self))

    def isOurs(self, results: Any) -> bool:
        """True for runs of this module."""
        return "organs" in results.roles

    def colorings(self) -> dict[str, str]:
        """What surfaces can be colored by, and its name."""
        return {
            "sigma_mm": _("Uncertainty (1 sigma, mm)"),
            "displacement_mm": _("Displacement (mm)"),
            "organ": _("Organ"),
        }

    def organsOfBoth(self, held: PointCloudRegistrationParameterNode) -> list[str]:
        """Names that the fixed and the moving side share; two models are one organ, whatever their names."""
        from valorlib.scene import organ_names

        return list(organ_names.matched(*(self.organsOf(sides.nodesOf(held, side)) for side in sides.SIDES)))

    def organsOf(self, nodes: list[Any]) -> list[str]:
        """Names of the organs in segmentations and models."""
        names: list[str] = []
        for node in nodes:
            if node.IsA("vtkMRMLSegmentationNode"):
                found = node.GetSegmentation()
                names += [found.GetNthSegment(n).GetName() for n in range(found.GetNumberOfSegments())]
            else:
                names.append(node.GetName())
        return names

    def read(self, held: PointCloudRegistrationParameterNode, names: list[str]) -> Any:
        """Reads the chosen nodes; called in the worker, it gives their surfaces and points.

        Raises:
            InputError: one sentence on the node that cannot be used.
        """
        from valorlib.scene import point_cloud_registration

        both = (sides.nodesOf(held, side) for side in sides.SIDES)
        return point_cloud_registration.read_later(*both, organs=names, spacing_mm=held.spacingMm)

    def compute(self, read: Any, name: str, options: Any, device: str, progress: Any) -> Any:
        """Register and measure; runs in the worker."""
        from valorlib import catalog
        from valorlib.convert.tensors import choose_device
        from valorlib.scene import point_cloud_registration

        progress(0.0, _("Drawing points on the surfaces"))
        found = read()
        run = Run(device=choose_device(device), progress=part(progress, 0.05, 0.9))
        result = catalog.load(name).run(found.pair, options, run)
        progress(0.92, _("Measuring the result"))
        outcome = point_cloud_registration.measure(found, result)
        progress(1.0, _("Measured"))
        return outcome

    def write(self, outcome: Any, fixed: Any, moving: Any, by: str) -> Generator[None, None, Any]:
        """Write the nodes of a result, a few at a time."""
        from valorlib.scene import point_cloud_registration

        return point_cloud_registration.write_steps(
            slicer.mrmlScene, outcome, fixed=fixed, moving=moving, color_by=by, name=_("Organs")
        )

    def boundsOf(self, results: Any) -> list[float]:
        """Box of the moved surfaces, RAS mm: left, right, back, front, bottom, top."""
        boxes = []
        for role in (name for name in results.roles if name.startswith("model:")):
            bounds = [0.0] * 6
            results.node(slicer.mrmlScene, role).GetRASBounds(bounds)
            boxes.append(bounds)
        return [(max if n % 2 else min)(box[n] for box in boxes) for n in range(6)]

    def color(self, results: Any, by: str) -> None:
        """Color the moved surfaces."""
        from valorlib.scene import point_cloud_registration

        point_cloud_registration.color_models(slicer.mrmlScene, results, by)


class PointCloudRegistrationTest(ScriptedLoadableModuleTest):
    """Self-test: the Reload and Test button of Slicer's developer mode."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def test_RegistersSampleOrgans(self) -> None:
        """Generated organs are registered and counted."""
        from VALORPanels import selftests

        selftests.registerOrgans(self)
