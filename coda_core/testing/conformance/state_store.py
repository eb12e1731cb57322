"""The suite of state stores."""

from __future__ import annotations

from coda_core.testing.conformance.store_blobs import BlobChecks
from coda_core.testing.conformance.store_events import EventChecks
from coda_core.testing.conformance.store_keeping import KeepingChecks
from coda_core.testing.conformance.store_processes import ProcessChecks
from coda_core.testing.conformance.store_said import SaidChecks

__all__ = ["StateStoreConformance"]


class StateStoreConformance(EventChecks, BlobChecks, SaidChecks, KeepingChecks, ProcessChecks):
    """What every `coda_core.interfaces.StateStore` does.

    Its component is to be found at the top of a module, because other processes open the same store. Where it has a
    method `claim`, as `coda_core.interfaces.SharedStore` has, several of them use it at once.
    """
