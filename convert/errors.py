"""Errors of conversion that a person can act on."""

from __future__ import annotations

from edge.errors import EdgeError


class ConversionError(EdgeError):
    """A run cannot be converted, or the converted network differs too much from it."""
