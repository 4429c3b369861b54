"""Runs the panels without Slicer: PySide6 by PythonQt's rules, slicer-core's MRML, stand-ins for the rest."""
