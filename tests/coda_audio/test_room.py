from __future__ import annotations

from coda_audio.room import Room


def test_sound_lasts_as_long_as_the_room_echoes() -> None:
    room = Room()
    assert not room.was_sounding(0.0, 10.0)
    room.sounds(5.0)
    assert room.was_sounding(4.9, 0.0)
    assert not room.was_sounding(5.0, 0.0)
    assert room.was_sounding(5.2, 0.3)
    room.sounds(4.0)
    assert room.was_sounding(4.9, 0.0)
