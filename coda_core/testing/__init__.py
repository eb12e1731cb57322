"""Tools for testing Coda and its plugins: a clock moved by hand, a processor without a model, conformance suites.

The fixtures of the pytest plugin are in `coda_core.testing.fixtures`.
"""

from coda_core.testing.clock import ManualClock
from coda_core.testing.processor import ScriptedProcessor

__all__ = ["ManualClock", "ScriptedProcessor"]
