"""The only door to PortAudio. For threads: everything here may wait for the sound system.

PortAudio knows the devices that were there when it was initialised, for the whole process. So it is initialised anew
where a device is not found or cannot be opened, but only while nothing of this process is open through it: that would
be torn off.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from coda_audio.alsa_messages import log_alsa_messages
from coda_audio.device_stream import Pulse
from coda_audio.devices import Device, Listing, choose
from coda_core.errors import AudioError
from coda_core.sound import Direction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PortAudioStream", "find", "open_stream"]

T = TypeVar("T")

_lock: Final = threading.RLock()
"""PortAudio's calls are not safe beside each other."""
_START_S: Final = 3.0
_open: Final[set[PortAudioStream]] = set()


class PortAudioStream:
    """A `coda_audio.device_stream.DeviceStream`."""

    def __init__(self, device: Device, stream: Any, pulse: Pulse) -> None:
        self.device = device.name
        self.sample_rate_hz = round(stream.samplerate)
        self.latency_s = float(stream.latency)
        self.pulse = pulse
        self._stream = stream

    def close(self) -> None:
        with _lock:
            _open.discard(self)
            # What was not played is not wanted: `stop` would wait for it. A device that is gone fails to close.
            self._stream.abort(ignore_errors=True)
            self._stream.close(ignore_errors=True)


def find(wanted: str | None, direction: Direction) -> Device:
    """Return the device that is meant; see `choose`. Raises `AudioError` where there is no PortAudio either."""
    with _lock:
        return _or_rescan(lambda: choose(_listing(), wanted, direction))


def open_stream(
    wanted: str | None,
    direction: Direction,
    *,
    sample_rate_hz: int | None,
    channels: int | None,
    block_s: float,
    latency_s: float | None,
    exchange: Callable[[NDArray[np.float32]], None],
) -> PortAudioStream:
    """Open a device and start it. `exchange` is called on its thread with every block, ``[samples, channels]``.

    It reads a microphone's block, or fills a loudspeaker's. Rate and channels are the device's own where None; so is
    the latency, as one that does not break up. Raises `AudioError` where the device is not there or refuses.
    """
    with _lock:

        def attempt() -> PortAudioStream:
            device = choose(_listing(), wanted, direction)
            rate_hz = sample_rate_hz or device.sample_rate_hz
            width = channels or min(2, device.channels(direction))
            return _opened(device, direction, rate_hz, width, round(block_s * rate_hz), latency_s, exchange)

        opened = _or_rescan(attempt)
    if direction == "output":
        _wait_until_it_plays(opened)
    return opened


def _wait_until_it_plays(opened: PortAudioStream) -> None:
    """Wait until a loudspeaker takes what it plays: some take a second to begin, and then what they missed at once.

    What the system counts as xruns until then nobody has heard.
    """
    pulse, stored = opened.pulse, opened.latency_s * opened.sample_rate_hz
    until_s = time.monotonic() + _START_S
    while pulse.samples <= 3 * stored and not pulse.finished and time.monotonic() < until_s:
        time.sleep(0.005)
    pulse.xruns = 0


def _opened(
    device: Device,
    direction: Direction,
    rate_hz: int,
    channels: int,
    block_samples: int,
    latency_s: float | None,
    exchange: Callable[[NDArray[np.float32]], None],
) -> PortAudioStream:
    sounddevice = _sounddevice()
    pulse = Pulse()

    def callback(pcm: NDArray[np.float32], samples: int, time: object, status: Any) -> None:
        del time
        pulse.blocks += 1
        pulse.samples += samples
        if status.input_overflow or status.output_underflow:
            pulse.xruns += 1
        exchange(pcm)

    def finished() -> None:
        pulse.finished = True

    kind = sounddevice.InputStream if direction == "input" else sounddevice.OutputStream
    stream = None
    try:
        stream = kind(
            device=device.index,
            samplerate=rate_hz,
            channels=channels,
            dtype="float32",
            blocksize=block_samples,
            latency="high" if latency_s is None else latency_s,
            callback=callback,
            finished_callback=finished,
        )
        stream.start()
    except (sounddevice.PortAudioError, ValueError) as error:
        if stream is not None:
            stream.close(ignore_errors=True)
        raise AudioError(
            f"{device.name} cannot be opened with {channels} channels at {rate_hz} Hz: {_reason(error)}; it offers "
            f"{device.channels(direction)} channels and {device.sample_rate_hz} Hz. Does another program hold it?"
        ) from None
    opened = PortAudioStream(device, stream, pulse)
    _open.add(opened)
    return opened


def _or_rescan(attempt: Callable[[], T]) -> T:
    try:
        return attempt()
    except AudioError:
        if _open:
            raise
    sounddevice = _sounddevice()
    sounddevice._terminate()
    sounddevice._initialize()
    return attempt()


def _listing() -> Listing:
    sounddevice = _sounddevice()
    host_apis = [each["name"] for each in sounddevice.query_hostapis()]
    devices = [
        Device(
            index=each["index"],
            name=each["name"],
            host_api=host_apis[each["hostapi"]],
            inputs=each["max_input_channels"],
            outputs=each["max_output_channels"],
            sample_rate_hz=round(each["default_samplerate"]),
        )
        for each in sounddevice.query_devices()
    ]
    default_input, default_output = sounddevice.default.device
    return Listing(devices, default_input, default_output)


def _sounddevice() -> Any:
    # Before PortAudio looks for devices: ALSA has something to say of each that is not there.
    log_alsa_messages()
    try:
        import sounddevice  # type: ignore[import-untyped]
    except OSError as error:
        raise AudioError(
            f"PortAudio cannot be used ({_reason(error)}); "
            "install it: on Debian and Ubuntu, apt-get install libportaudio2"
        ) from None
    return sounddevice


def _reason(error: Exception) -> str:
    return " ".join(str(error.args[0] if error.args else error).split())
