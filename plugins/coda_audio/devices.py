"""Sound devices as PortAudio lists them, and which of them a person means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from coda_core.errors import AudioError
from coda_core.sound import Direction

__all__ = ["Device", "Listing", "choose"]

_WORDS: Final[dict[Direction, str]] = {"input": "microphone", "output": "loudspeaker"}


@attrs.frozen(kw_only=True)
class Device:
    """One sound device."""

    index: int
    name: str
    host_api: str
    inputs: int
    """Channels that can be recorded; 0 for a device that only plays."""
    outputs: int
    sample_rate_hz: int
    """The rate it works at if nobody asks for another."""

    def channels(self, direction: Direction) -> int:
        return self.inputs if direction == "input" else self.outputs


@attrs.frozen
class Listing:
    """All devices of this machine."""

    devices: Sequence[Device]
    default_input: int
    """Index of the default microphone; below 0 where there is none."""
    default_output: int


def choose(listing: Listing, wanted: str | None, direction: Direction) -> Device:
    """Return the device of an index, of a name or a part of one, or the default where `wanted` is None.

    Upper and lower case are the same; a whole name goes before a part of one. Raises `AudioError`, with what there
    is to choose from, where this is none or several.
    """
    usable = [device for device in listing.devices if device.channels(direction)]
    what = _WORDS[direction]
    if not usable:
        raise AudioError(f"this machine has no {what}; connect one, and see what is there with: coda devices")
    if wanted is None:
        default = listing.default_input if direction == "input" else listing.default_output
        found = [device for device in usable if device.index == default]
        problem = f"the sound system names no default {what}"
    elif wanted.isdecimal():
        found = [device for device in usable if device.index == int(wanted)]
        problem = f"no {what} has the index {wanted}"
    else:
        found = _named(usable, wanted.casefold())
        problem = f'no {what} has "{wanted}" in its name'
        if len(found) > 1:
            problem = f'"{wanted}" fits {len(found)} {what}s'
            usable = found
    if len(found) == 1:
        return found[0]
    choices = "; ".join(f"{device.index} {device.name} ({device.host_api})" for device in usable)
    raise AudioError(f"{problem}; set device to an index or to more of a name of these: {choices}")


def _named(devices: Sequence[Device], name: str) -> list[Device]:
    whole = [device for device in devices if device.name.casefold() == name]
    return whole or [device for device in devices if name in device.name.casefold()]
