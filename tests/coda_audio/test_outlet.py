from __future__ import annotations

import numpy as np

from coda_audio.outlet import Outlet
from coda_audio.playout import Playout, PlayoutCounts
from coda_audio.reserve import Reserve
from coda_audio.room import Room
from coda_core.testing import ManualClock

RATE = 24_000


def test_silence_until_it_is_connected_then_all_channels_alike() -> None:
    clock, room = ManualClock(), Room()
    outlet = Outlet(room, clock)
    block = np.full((240, 3), np.nan, np.float32)
    outlet(block)
    assert not block.any()
    playout = Playout(frame_rate_hz=RATE, device_rate_hz=RATE, reserve=Reserve(0.3), most_s=0.3, counts=PlayoutCounts())
    outlet.connect(playout, 0.05)
    playout.write(np.full(1_920, 0.5, np.float32))
    quiet = 0
    while not block.any():
        assert not room.was_sounding(0.0, 0.0)
        outlet(block)
        quiet += 1
    outlet(block)
    assert (block == 0.5).all()
    # Ten milliseconds of sound, that are heard when they have gone through the device.
    assert room.was_sounding(clock.now() + 0.059, 0.0)
    assert not room.was_sounding(clock.now() + 0.061, 0.0)
