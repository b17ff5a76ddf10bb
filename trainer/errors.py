"""Errors whose message says what was expected: a command ends with that sentence, not with a traceback."""

from __future__ import annotations

from scenes.mnist import DigitsUnavailableError
from trainer.export import ParityError
from trainer.steps import CompilerMissingError

EXPLAINED = (CompilerMissingError, DigitsUnavailableError, FileNotFoundError, ParityError, ValueError)
