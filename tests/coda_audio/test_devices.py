from __future__ import annotations

import pytest

from coda_audio.devices import Device, Listing, choose
from coda_core.errors import AudioError


def device(index: int, name: str, inputs: int = 0, outputs: int = 0) -> Device:
    return Device(index=index, name=name, host_api="ALSA", inputs=inputs, outputs=outputs, sample_rate_hz=48_000)


LISTING = Listing(
    [
        device(0, "HDA Intel: ALC (hw:0,0)", 2, 2),
        device(1, "USB Headset", 1, 2),
        device(2, "USB Headset Pro", 1, 2),
        device(4, "HDMI", 0, 8),
        device(5, "default", 32, 32),
    ],
    default_input=5,
    default_output=4,
)


@pytest.mark.parametrize(
    ("wanted", "index"),
    [(None, 5), ("0", 0), ("intel", 0), ("HEADSET PRO", 2), ("usb headset", 1), ("Default", 5)],
)
def test_microphone_by_default_index_and_name(wanted: str | None, index: int) -> None:
    assert choose(LISTING, wanted, "input").index == index


def test_speaker_has_a_default_of_its_own() -> None:
    assert choose(LISTING, None, "output").index == 4


def test_a_name_that_fits_several_lists_them() -> None:
    with pytest.raises(AudioError, match=r'^"usb" fits 2 microphones; .*: 1 USB Headset \(ALSA\); 2 USB Headset Pro'):
        choose(LISTING, "usb", "input")


@pytest.mark.parametrize(("wanted", "told"), [("4", "no microphone has the index 4"), ("hdmi", '"hdmi" in its name')])
def test_a_device_that_cannot_record_is_no_microphone(wanted: str, told: str) -> None:
    with pytest.raises(AudioError, match=told) as caught:
        choose(LISTING, wanted, "input")
    assert "0 HDA Intel: ALC (hw:0,0) (ALSA)" in str(caught.value)
    assert "HDMI (" not in str(caught.value)


def test_no_device_at_all() -> None:
    with pytest.raises(AudioError, match=r"no loudspeaker; connect one.*coda devices"):
        choose(Listing([device(0, "Mic", 1)], 0, -1), None, "output")


def test_no_default() -> None:
    with pytest.raises(AudioError, match="names no default microphone; set device"):
        choose(Listing([device(0, "Mic", 1)], -1, -1), None, "input")
