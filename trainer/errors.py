"""Errors whose message says what was expected: a command prints that sentence, not a traceback."""

from __future__ import annotations

from scenes.mnist import DigitsUnavailableError


class CompilerMissingError(RuntimeError):
    """A preset asks for compiled steps, but there is nothing to compile them with."""


class ParityError(RuntimeError):
    """An exported file does not compute what the trained model does."""


EXPLAINED = (CompilerMissingError, DigitsUnavailableError, FileNotFoundError, ParityError, ValueError)
