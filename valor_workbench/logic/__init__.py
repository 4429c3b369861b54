"""Panels without widgets."""
