"""Errors that a person can act on.

Every failure that a user can cause or cure is an `EdgeError`. Its message is one clear sentence
that says what is wrong, where, and what to do; the command line prints it and exits non-zero.
Anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations


class EdgeError(Exception):
    """Base of all errors whose message is meant for the person at the keyboard."""


class ConfigError(EdgeError):
    """The configuration holds an unknown key, a bad value or a contradiction."""


class AudioError(EdgeError):
    """An audio device, file or stream cannot be opened or read."""


class BundleError(EdgeError):
    """A model bundle is missing, damaged, or its parts disagree."""


class UpdateError(EdgeError):
    """A model could not be fetched, proven or activated."""
