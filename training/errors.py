"""Errors of training that a person can act on."""

from __future__ import annotations

from edge.errors import EdgeError


class CorpusError(EdgeError):
    """A corpus is missing, unreadable, or would let a source stand on two sides of a split."""


class TrainingError(EdgeError):
    """A run cannot start, go on or be read."""
