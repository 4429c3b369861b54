"""Panels without MRML."""
