"""Stand-ins for the base classes of a scripted module."""

from __future__ import annotations

import logging
import unittest
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtWidgets


class ScriptedLoadableModule:
    """What the module's first class derives from; `parent` is the module as Slicer lists it."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = self.__class__.__name__
        parent.title, parent.categories, parent.dependencies = "", [], []
        parent.contributors = parent.helpText = parent.acknowledgementText = ""

    def resourcePath(self, filename: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        return f'<p>For more information see the <a href="{docPage or self.moduleName}">online documentation</a>.</p>'

    def runTest(self, msec: int = 100, **kwargs: Any) -> None:
        module = __import__("sys").modules[self.moduleName]
        getattr(module, f"{self.moduleName}Test")().runTest()


class ScriptedLoadableModuleWidget:
    """Builds the panel into `parent`."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = self.__class__.__name__.removesuffix("Widget")
        self.developerMode = False
        self.parent = parent
        self.layout = parent.layout()

    def resourcePath(self, filename: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def setup(self) -> None:
        self.reloadButton = QtWidgets.QPushButton("Reload")
        self.reloadButton.connect("clicked()", self.onReload)

    def cleanup(self) -> None:
        """Called when the panel goes away."""

    def setupDeveloperSection(self) -> None:
        """Reload and Test buttons; the host shows none."""

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)

    def onTest(self, **kwargs: Any) -> None:
        slicer.modules.__dict__[f"{self.moduleName}Instance"].runTest(**kwargs)

    def onReloadAndTest(self, **kwargs: Any) -> None:
        self.onReload()
        self.onTest(**kwargs)


class ScriptedLoadableModuleLogic:
    """Finds or makes the module's singleton parameter node."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = self.__class__.__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        nodes = self.getAllParameterNodes()
        return nodes[0] if nodes else self.createParameterNode()

    def getAllParameterNodes(self) -> list[Any]:
        scene = slicer.mrmlScene
        count = scene.GetNumberOfNodesByClass("vtkMRMLScriptedModuleNode")
        nodes = [scene.GetNthNodeByClass(n, "vtkMRMLScriptedModuleNode") for n in range(count)]
        return [n for n in nodes if n.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self) -> Any:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetModuleName(self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return slicer.mrmlScene.AddNode(node)


class ScriptedLoadableModuleTest(unittest.TestCase):
    """Self-test of a module, with Slicer's way of naming them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.messageDelay = 0

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        logging.info(message)
        slicer.app.processEvents()

    def takeScreenshot(self, name: str, description: str, type: int = -1) -> None:
        """The host's tests take their own pictures."""

    def runTest(self) -> None:
        self.setUp()
        for name in dir(self):
            if name.startswith("test"):
                getattr(self, name)()
        self.tearDown()


def translate(context: str, text: str) -> str:
    """The text itself: the host has no language file loaded."""
    return text


def tr(text: str) -> str:
    """As `translate`, with the context of the calling file."""
    return text


def getContext(sourceFile: str) -> str:
    """Context of a source file."""
    return Path(sourceFile).stem
