"""Tools for testing Coda and its plugins: a clock moved by hand and a processor without a model."""

from coda_core.testing.clock import ManualClock
from coda_core.testing.processor import ScriptedProcessor

__all__ = ["ManualClock", "ScriptedProcessor"]
