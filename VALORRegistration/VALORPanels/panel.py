"""What every VALOR panel does: parameter node, Apply and Cancel with progress, the line on what is missing, reload."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from valorlib.core.errors import Cancelled, InputError
from VALORPanels import dependencies
from VALORPanels.jobs import JobRunner, TimeLeft

logger = logging.getLogger(__name__)
RELOADED = ("valorlib", "VALORPanels")


class VALORPanel(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Base of the three panels; a subclass sets `uiName`, makes the logic and fills the hooks at the end."""

    uiName = ""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: Any = None
        self.runner = JobRunner()
        self._parameterNode: Any = None
        self._guiTag: Any = None
        self._timeLeft: TimeLeft | None = None
        self._closing = False
        self._running = self._canceled = False

    def setup(self) -> None:
        """Build the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath(f"UI/{self.uiName}.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = self.makeLogic()
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(scene, scene.NodeRemovedEvent, self.onNodeRemoved)
        self.addObserver(scene, scene.NodeAddedEvent, self.onNodeAdded)
        self._choosing = qt.QTimer()
        self._choosing.singleShot = True
        self._choosing.interval = 0
        self._choosing.connect("timeout()", self.onNodesArrived)
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.ui.cancelButton.connect("clicked(bool)", self.onCancel)
        self.ui.installButton.connect("clicked(bool)", self.onInstall)
        self.ui.progressBar.setVisible(False)
        self.ui.cancelButton.setVisible(False)
        self.connectPanel()
        self.initializeParameterNode()
        self.showMissing()

    def cleanup(self) -> None:
        """Called when the panel is closed or reloaded."""
        self._closing = True
        self._choosing.stop()
        self.runner.close()
        self.leavePanel()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self) -> None:
        """Called when the user opens the module."""
        self.initializeParameterNode()
        self.showMissing()

    def exit(self) -> None:
        """Called when the user opens another module; a run goes on."""
        if self._parameterNode is not None and self._guiTag is not None and not self._running:
            self.setParameterNode(None)
        self.leavePanel()

    def onReload(self) -> None:
        """Developer's Reload: the library and the shared panel code are read anew too."""
        self.cancelRun()
        for name in [n for n in sys.modules if n.split(".")[0] in RELOADED]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    # Scene

    def onSceneStartClose(self, caller: Any = None, event: Any = None) -> None:
        """A run ends; nothing of it is written into the next scene."""
        self.cancelRun()
        self.leavePanel()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller: Any = None, event: Any = None) -> None:
        """Start anew when the panel is open."""
        if self.parent is not None and self.parent.isEntered():
            self.initializeParameterNode()
        self.sceneChanged()

    def onSceneEndImport(self, caller: Any = None, event: Any = None) -> None:
        """A scene was loaded: its parameters and results appear."""
        self.setParameterNode(None)
        self.initializeParameterNode()
        self.sceneChanged()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeRemoved(self, caller: Any, event: Any, node: Any = None) -> None:
        """A run whose input is deleted ends."""
        if self.busy and node is not None and node.GetID() in self._runInputs:
            self.cancelRun()

    def onNodeAdded(self, caller: Any = None, event: Any = None) -> None:
        """Data arrived: inputs are chosen once all of it is there."""
        if not self.busy:
            self._choosing.start()

    def onNodesArrived(self) -> None:
        """Choose inputs among the new nodes where none is chosen."""
        if self._parameterNode is not None and not self.busy and not slicer.mrmlScene.IsBatchProcessing():
            self.chooseDefaults()
            self.updateApply()

    _runInputs: tuple[str, ...] = ()

    # Parameters

    def initializeParameterNode(self) -> None:
        """Connect the parameter node of this scene; choose inputs where none is chosen."""
        if self._parameterNode is None and not self._closing:
            self.setParameterNode(self.logic.getParameterNode())
            self.chooseDefaults()
            self.updateApply()

    def setParameterNode(self, parameterNode: Any) -> None:
        """Show another parameter node, or none."""
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateApply)
        self._parameterNode = parameterNode
        if parameterNode is not None:
            self._guiTag = parameterNode.connectGui(self.ui.parametersWidget)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateApply)

    def updateApply(self, caller: Any = None, event: Any = None) -> None:
        """Apply says what is missing when it cannot be pressed."""
        if self._parameterNode is None:
            return
        reason = _("Running") if self._running else self.reason()
        self.ui.applyButton.enabled = not reason
        self.ui.applyButton.text = reason or self.applyText()
        self.ui.applyButton.toolTip = reason or self.applyHelp()

    # Running

    @property
    def busy(self) -> bool:
        """True from Apply until the result is shown, and while a click is previewed."""
        return self._running or self.runner.busy

    def runJob(self, work: Callable[[Any], Any], done: Callable[[Any], Any], inputs: list[Any]) -> bool:
        """Run `work(progress)` in the worker and `done(value)` here; True when both went through.

        `done` is a generator where it writes nodes: events are handled after each step. Nothing is left when the run
        was canceled, an input went away or the scene was closed, be it between two steps.
        """
        if self.busy:
            return False
        self._runInputs = tuple(node.GetID() for node in inputs if node is not None)
        self._timeLeft = TimeLeft()
        self.setRunning(True)
        finished = False
        try:
            value = self.runner.run(work, self.onProgress)
            self._stillWanted()
            self.onProgress(1.0, _("Showing the result"))
            self._takeSteps(done(value))
            self.status(_("Done."))
            finished = True
        except Cancelled:
            self.status(_("Canceled; the scene is as it was."))
        except InputError as error:
            self.fault(str(error))
        except Exception as error:
            logger.exception("run failed")
            self.fault(_("The run failed: {error}. The log has the details.").format(error=error))
        finally:
            self._runInputs = ()
            if not self._closing:
                self.setRunning(False)
        return finished

    def _stillWanted(self) -> None:
        """Raises Cancelled when nothing may be written any more."""
        gone = any(slicer.mrmlScene.GetNodeByID(name) is None for name in self._runInputs)
        if gone or self._closing or self._canceled:
            raise Cancelled

    def _takeSteps(self, steps: Iterator[Any] | None) -> None:
        """Handle events between the steps; close them when the run is canceled meanwhile."""
        if steps is None:
            return
        try:
            for _step in steps:
                slicer.app.processEvents()
                self._stillWanted()
        finally:
            steps.close()  # type: ignore[attr-defined]

    def setRunning(self, running: bool) -> None:
        """Inputs can be changed only between runs; Cancel can be pressed only during one."""
        self._running, self._canceled = running, False
        for name in self.lockedWidgets():
            getattr(self.ui, name).enabled = not running
        self.ui.progressBar.value = 0
        self.ui.progressBar.setVisible(running)
        self.ui.cancelButton.setVisible(running)
        self.ui.cancelButton.enabled = running
        self.ui.cancelButton.text = _("Cancel")
        self.updateApply()
        if running:
            self.status("")

    def onProgress(self, fraction: float, message: str) -> None:
        """Show stage and time left."""
        self.ui.progressBar.value = round(100 * min(1.0, max(0.0, fraction)))
        left = self._timeLeft.text(fraction) if self._timeLeft is not None else ""
        self.status(f"{message} · {left}" if left else message)

    def onCancel(self) -> None:
        """Ask the run to end."""
        self.ui.cancelButton.enabled = False
        self.ui.cancelButton.text = _("Canceling")
        self.cancelRun()

    def cancelRun(self) -> None:
        """End the run, be it in the worker or while its nodes are written."""
        self._canceled = True
        self.runner.cancel()

    def status(self, text: str) -> None:
        """A plain line below Apply."""
        self.ui.statusLabel.text = text
        self.ui.statusLabel.styleSheet = ""

    def fault(self, text: str) -> None:
        """A line on what went wrong and what to do."""
        self.ui.statusLabel.text = text
        self.ui.statusLabel.styleSheet = "color: #c0392b"

    # Packages

    def showMissing(self) -> None:
        """One line when a package is missing, with a button that installs it."""
        names = dependencies.missing()
        self.ui.missingFrame.setVisible(bool(names))
        self.ui.missingLabel.text = dependencies.sentence(names) if names else ""
        self.updateApply()

    def onInstall(self) -> None:
        """Install what is missing, after asking."""
        self.status(dependencies.install())
        self.showMissing()

    def ready(self) -> str:
        """Empty when the packages are there; else the reason for Apply."""
        names = dependencies.missing()
        return _("Install {names} first").format(names=names[0]) if names else ""

    # Hooks

    def makeLogic(self) -> Any:
        """The module's logic."""
        raise NotImplementedError

    def connectPanel(self) -> None:
        """Connect the widgets of this panel."""

    def leavePanel(self) -> None:
        """End what goes on only while the panel is open."""

    def sceneChanged(self) -> None:
        """The scene was closed or loaded."""

    def chooseDefaults(self) -> None:
        """Choose inputs where none is chosen."""

    def reason(self) -> str:
        """Why Apply cannot be pressed; empty when it can."""
        return ""

    def applyText(self) -> str:
        """Text of Apply when it can be pressed."""
        return _("Apply")

    def applyHelp(self) -> str:
        """Tool tip of Apply."""
        return ""

    def lockedWidgets(self) -> tuple[str, ...]:
        """Names of the widgets that are off during a run."""
        return ()

    def onApply(self) -> None:
        """Start a run."""


class ReportingPanel(VALORPanel):
    """A panel whose runs are saved with a report; the subclass has `results`, and a logic that can `save`."""

    results: Any = None

    def __init__(self, parent: Any = None) -> None:
        VALORPanel.__init__(self, parent)
        self.last: dict[str, Any] = {}
        self.openUrl = qt.QDesktopServices.openUrl

    def onReport(self) -> None:
        """Make the report and open it in the browser."""
        if self.results.current is None or self.last.get("run") != self.results.current.run:
            self.fault(_("A report can be made of a run of this session; press Apply again."))
            return
        folder = Path(slicer.app.temporaryPath) / f"VALOR report {self.last['run']}"
        self.saveRun(folder, lambda: self.openUrl(qt.QUrl.fromLocalFile(str(folder / "report.html"))))

    def saveRun(self, folder: Path, then: Callable[[], Any]) -> None:
        """Write the last run in the worker; `then` follows when it went through."""
        run = dict(self.last)
        if self.runJob(lambda progress: self.logic.save(folder, run, progress), lambda _value: None, []):
            then()


def firstNodes(className: str, count: int) -> list[Any]:
    """The first visible nodes of a class, in the order of the scene."""
    nodes = slicer.util.getNodesByClass(className)
    return [n for n in nodes if not n.GetHideFromEditors()][:count]


def shortcut(parent: Any, keys: str, function: Callable[[], None]) -> Any:
    """A key that works while the panel has the focus."""
    key = qt.QShortcut(qt.QKeySequence(keys), parent)
    key.connect("activated()", function)
    return key
