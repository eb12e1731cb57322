"""The suite of streaming managers."""

from __future__ import annotations

from coda_core.testing.conformance.manager_commands import CommandChecks
from coda_core.testing.conformance.manager_faults import FaultChecks
from coda_core.testing.conformance.manager_followers import FollowerChecks
from coda_core.testing.conformance.manager_frames import FrameChecks
from coda_core.testing.conformance.manager_life import LifeChecks
from coda_core.testing.conformance.manager_parking import ParkingChecks

__all__ = ["StreamingManagerConformance"]


class StreamingManagerConformance(LifeChecks, FrameChecks, FollowerChecks, CommandChecks, ParkingChecks, FaultChecks):
    """What every `coda_core.interfaces.StreamingManager` does, around a processor without a model.

    A manager that takes a capability out of its `info`, because it does not carry it, is not asked for that.

    Whatever it does to be in time, such as dropping or waiting, is its own: the suite asks that it is counted.
    """
