"""From frames, as they come, to the samples that a loudspeaker's callback takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
import soxr

from coda_audio.reserve import Reserve
from coda_audio.ring import Ring

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Playout", "PlayoutCounts"]

_QUIET_PEAK: Final = 10 ** (-50 / 20)
"""Below -50 dBFS a few milliseconds more or less are not heard."""
_FADE_S: Final = 0.005
_NOTHING: Final[NDArray[np.float32]] = np.zeros(0, np.float32)


@attrs.define
class PlayoutCounts:
    """What went wrong on the way to a loudspeaker; outlives the device."""

    underruns: int = 0
    """Times that a frame came after everything before it had been played."""
    dropped_s: float = 0.0
    """Audio given up to catch up."""


class Playout:
    """Resamples frames, keeps a small reserve of them, and gives them out. Made anew for each opening of a device.

    `write`, `rest`, `clear` and the figures belong to the event loop, `pull` to the callback, which never waits.
    """

    def __init__(
        self, *, frame_rate_hz: int, device_rate_hz: int, reserve: Reserve, most_s: float, counts: PlayoutCounts
    ) -> None:
        self.device_rate_hz = device_rate_hz
        self._frame_rate_hz = frame_rate_hz
        self._reserve = reserve
        self._most_samples = round(most_s * device_rate_hz)
        self._counts = counts
        self._ring = Ring(self._most_samples + device_rate_hz)
        self._resampler: Any = None
        if frame_rate_hz != device_rate_hz:
            self._resampler = soxr.ResampleStream(frame_rate_hz, device_rate_hz, 1, dtype="float32")
        self._ramp: NDArray[np.float32] = np.linspace(1, 0, max(2, round(_FADE_S * device_rate_hz)), dtype=np.float32)
        self._held_samples = 0.0
        """Samples of the device's rate that the resampler has taken and not given yet."""
        self._fresh = True
        """True where the next frame begins anew, with a reserve of silence before it."""
        self._starving = True
        """Written by the callback: True where it had nothing to give."""
        self._last = np.float32(0)

    # On the event loop

    @property
    def delay_s(self) -> float:
        """How long the first sample of a frame waits here, the device's own latency not counted."""
        return self._reserve.margin_s + self._held_samples / self.device_rate_hz

    @property
    def waiting_s(self) -> float:
        """Seconds of audio that wait to be pulled."""
        return self._ring.filled / self.device_rate_hz

    def write(self, pcm: NDArray[np.float32]) -> None:
        """Take one frame, mono, full scale 1.0."""
        samples = self._resampled(pcm)
        # While nothing was pulled since the last frame, the flag tells of the time before that frame.
        if self._starving and not self._ring.filled and not self._fresh:
            self._counts.underruns += 1
            self._reserve.hole()
            self._fresh = True
        if self._ring.filled > self._most_samples:
            self._catch_up()
        if self._fresh:
            self._begin()
        else:
            quiet = max(samples.max(initial=0.0), -samples.min(initial=0.0)) < _QUIET_PEAK
            correction_s = self._reserve.arrived(self.waiting_s, quiet=bool(quiet))
            if correction_s:
                samples = _stretched(samples, round(correction_s * self.device_rate_hz), self._ramp)
        self._counts.dropped_s += (len(samples) - self._ring.write(samples)) / self.device_rate_hz

    def rest(self) -> None:
        """No frame is due for now: what waits is played, and that it ends is no fault."""
        if self._resampler is not None and not self._fresh:
            self._ring.write(self._resampler.resample_chunk(_NOTHING, last=True))
        self._begin_anew()

    def clear(self) -> None:
        """Throw away what waits, at once."""
        self._ring.keep_newest(0)
        self._begin_anew()

    def _begin_anew(self) -> None:
        if self._resampler is not None:
            self._resampler.clear()
        self._held_samples = 0.0
        self._fresh = True

    def _begin(self) -> None:
        self._reserve.restart()
        missing = round(self._reserve.prefill_s * self.device_rate_hz) - self._ring.filled
        if missing > 0:
            self._ring.write(np.zeros(missing, np.float32))
        self._fresh = False

    def _catch_up(self) -> None:
        self._counts.dropped_s += (
            self._ring.keep_newest(round(self._reserve.prefill_s * self.device_rate_hz)) / self.device_rate_hz
        )
        self._reserve.restart()

    def _resampled(self, pcm: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._resampler is None:
            return pcm
        samples: NDArray[np.float32] = self._resampler.resample_chunk(pcm)
        self._held_samples += len(pcm) * self.device_rate_hz / self._frame_rate_hz - len(samples)
        return samples

    # In the callback

    def pull(self, into: NDArray[np.float32]) -> None:
        """Fill all of `into`, mono: with what waits, and silence behind it."""
        count, skipped = self._ring.read(into)
        if count and (skipped or self._starving):
            self._join(into[:count])
        if count == len(into):
            self._starving = False
        else:
            self._run_dry(into, count)
        self._last = into[-1]

    def _run_dry(self, into: NDArray[np.float32], count: int) -> None:
        if count:
            self._last = into[count - 1]
        into[count:] = 0
        self._join(into[count:])
        self._starving = True

    def _join(self, samples: NDArray[np.float32]) -> None:
        """Let the step from the sample before die away: a jump is heard as a click."""
        count = min(len(samples), len(self._ramp))
        samples[:count] += (self._last - samples[0]) * self._ramp[:count]


def _stretched(samples: NDArray[np.float32], more: int, ramp: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `samples` with `more` of them, or fewer where it is negative, joined by a cross-fade at the beginning."""
    fade = len(ramp)
    shift = abs(more)
    if not shift or len(samples) < shift + fade:
        return samples
    early, late = samples[:fade], samples[shift : shift + fade]
    if more < 0:
        return np.concatenate((early * ramp + late * (1 - ramp), samples[shift + fade :]))
    return np.concatenate((samples[:shift], late * ramp + early * (1 - ramp), samples[fade:]))
