"""A microphone and a speaker for real: through PortAudio, ALSA and PulseAudio, with nothing of them replaced.

What a recording becomes on its way through a whole conversation, from the sink that the microphone hears to the one
that the speaker plays to, is compared with what the recording was.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
import pytest
import soundfile

from tests.coda_audio.sound_server import SoundServer

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE: Final = 48_000
SPOKEN_S: Final = 4.0
SILENT_S: Final = 1.0
DELAY_FRAMES: Final = 3
ATTEMPTS: Final = 4
"""A machine that is busy with something else may stand still for longer than any buffer: then both sides say so."""


@pytest.fixture
def caller(tmp_path: Path) -> NDArray[np.float32]:
    """Noise between 100 and 8,000 Hz: never quiet, nowhere like itself, and all of it below what resampling takes."""
    size = round(SPOKEN_S * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(7).standard_normal(size))
    frequencies = np.fft.rfftfreq(size, 1 / RATE)
    spectrum[(frequencies < 100) | (frequencies > 8_000)] = 0
    noise = np.fft.irfft(spectrum, size)
    noise *= 0.5 / np.abs(noise).max()
    soundfile.write(tmp_path / "caller.wav", np.concatenate((noise, np.zeros(round(SILENT_S * RATE)))), RATE)
    return noise.astype(np.float32)


def stack(folder: Path, rate: int | None) -> Path:
    of_rate = f"sample_rate = {rate}" if rate is not None else ""
    path = folder / "stack.toml"
    path.write_text(
        f"""
        [audio_source]
        use = "microphone"
        device = "default"
        latency_ms = 100.0
        {of_rate}
        [processor]
        use = "echo"
        delay_frames = {DELAY_FRAMES}
        [[transport]]
        use = "speaker"
        device = "DEFAULT"
        latency_ms = 200.0
        {of_rate}
        [[transport]]
        use = "file"
        stereo_path = "both.wav"
        """
    )
    return path


def read_until(stream: IO[str] | None, words: str, times: int = 1) -> str:
    """Read lines until some words were said so often; return all that was read."""
    assert stream is not None
    read = ""
    while read.count(words) < times:
        line = stream.readline()
        assert line, read
        read += line
    return read


def wait_for_audio(folder: Path) -> None:
    """Wait until the recording that is made beside the speaker has audio in it: the conversation goes on."""
    while not any(part.stat().st_size for part in folder.glob("both.wav.*")):
        pass


def stopped(process: subprocess.Popen[str]) -> dict[str, Any]:
    process.send_signal(2)
    out, err = process.communicate()
    assert process.returncode == 130, err
    told: dict[str, Any] = json.loads(out)
    return told


def talk(server: SoundServer, folder: Path, rate: int | None) -> dict[str, Any]:
    """Have a conversation about ``caller.wav``, recorded in ``heard.wav`` and ``both.wav``; return its summary."""
    recording = server.start_program(
        *("parec", "--device=speaker.monitor", f"--rate={RATE}", "--channels=1", "--format=float32le"),
        *("--latency-msec=200", "--file-format=wav", str(folder / "heard.wav")),
    )
    conversation = server.start_coda("run", str(stack(folder, rate)), "--json")
    read_until(conversation.stderr, "running")
    wait_for_audio(folder)
    server.run("paplay", "--device=caller", "--latency-msec=200", str(folder / "caller.wav"))
    summary = stopped(conversation)
    recording.terminate()
    recording.communicate()
    return summary


def glitches(summary: dict[str, Any]) -> dict[str, int]:
    counted = {f"{each['direction']} {name}": each[name] for each in summary["devices"] for name in ("xruns", "losses")}
    return {
        **{f"{each['direction']} underruns": each["underruns"] for each in summary["devices"]},
        **{f"{each['direction']} dropped": each["dropped_s"] for each in summary["devices"]},
        **counted,
        "frames": summary["dropped_frames"],
    }


def place(piece: NDArray[np.float32], whole: NDArray[np.float32]) -> int:
    """Return where in `whole` the `piece` lies: where their correlation is largest."""
    size = len(piece) + len(whole)
    product = np.fft.rfft(whole, size) * np.fft.rfft(piece, size).conj()
    return int(np.argmax(np.fft.irfft(product, size)[: len(whole)]))


def likeness(said: NDArray[np.float32], heard: NDArray[np.float32]) -> tuple[float, float, bool]:
    """Return the level of `heard` against `said`, how far its error is below it in dB, and whether nothing is missing.

    Half a second is compared at a time; all of them lie one behind the other where no sample was lost or invented.
    The best match within a sample is taken: resampling may move all by a part of one.
    """
    piece = RATE // 2
    first = place(said[:piece], heard)
    levels, errors, shifts = [], [], set()
    for start in range(0, len(said) - piece + 1, piece):
        part = said[start : start + piece]
        window = heard[max(0, first + start - RATE) : first + start + piece + RATE]
        at = place(part, window)
        shifts.add(at + max(0, first + start - RATE) - start)
        found = window[at : at + piece]
        if len(found) < piece:
            return 0.0, 0.0, False
        found = _aligned(part, found)
        level = float(found @ part) / float(part @ part)
        error = found - level * part
        levels.append(level)
        errors.append(10 * np.log10(float(part @ part) / float(error @ error + 1e-9)))
    return float(np.mean(levels)), min(errors), max(shifts) - min(shifts) <= 1


def _aligned(said: NDArray[np.float32], heard: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `heard` moved by the part of a sample that it lies behind `said`: the slope of the phase between them."""
    spectrum = np.fft.rfft(heard * np.hanning(len(heard)))
    cross = spectrum * np.fft.rfft(said * np.hanning(len(said))).conj()
    omega = 2 * np.pi * np.arange(len(cross)) / len(said)
    weight = np.abs(cross)
    delay = -float((weight * omega * np.angle(cross)).sum() / (weight * omega * omega).sum())
    return np.fft.irfft(np.fft.rfft(heard) * np.exp(1j * omega * delay), len(heard)).astype(np.float32)


@pytest.mark.parametrize("rate", [RATE, None], ids=["the rate of the sinks", "the rate of the device"])
def test_what_leaves_the_speaker_is_what_came_into_the_microphone(
    sound_server: SoundServer, tmp_path: Path, caller: NDArray[np.float32], rate: int | None
) -> None:
    least_db = 50 if rate == RATE else 25
    for _ in range(ATTEMPTS):
        summary = talk(sound_server, tmp_path, rate)
        heard, _ = soundfile.read(tmp_path / "heard.wav", dtype="float32")
        level, error_db, whole = likeness(caller, heard)
        if not any(glitches(summary).values()) and whole and error_db > least_db:
            break
    assert glitches(summary) == dict.fromkeys(glitches(summary), 0)
    assert whole, "samples were lost or invented on the way"
    assert level == pytest.approx(1.0, abs=0.01)
    assert error_db > least_db
    assert [each["direction"] for each in summary["devices"]] == ["input", "output"]
    assert 200 <= summary["devices"][1]["latency_ms"] < 500

    # What went past the devices: the frames that the model heard and spoke.
    both, _ = soundfile.read(tmp_path / "both.wav", dtype="float32")
    model_heard, model_spoke = both[:, 0], both[:, 1]
    assert np.array_equal(model_spoke[DELAY_FRAMES * 1_920 :], model_heard[: -DELAY_FRAMES * 1_920])


def test_the_sound_server_goes_away_and_comes_back(sound_server: SoundServer, tmp_path: Path) -> None:
    conversation = sound_server.start_coda("run", str(stack(tmp_path, None)), "--json")
    read_until(conversation.stderr, "running")
    wait_for_audio(tmp_path)
    sound_server.stop()
    gone = read_until(conversation.stderr, "silence takes its place", times=2)
    assert "the microphone default" in gone
    assert "the speaker default" in gone
    before = stored_bytes(tmp_path)
    while stored_bytes(tmp_path) < before + 2 * 2 * 24_000:
        assert conversation.poll() is None
    sound_server.start()
    read_until(conversation.stderr, "is back", times=2)
    summary = stopped(conversation)
    assert [(each["direction"], each["losses"]) for each in summary["devices"]] == [("input", 1), ("output", 1)]
    both, _ = soundfile.read(tmp_path / "both.wav")
    assert not both.any()
    assert len(both) == summary["frames"] * 1_920


def stored_bytes(folder: Path) -> int:
    return sum(part.stat().st_size for part in folder.glob("both.wav*"))


def test_lists_the_devices(sound_server: SoundServer) -> None:
    listed = sound_server.start_coda("devices", "--json")
    devices = {each["name"]: each for each in json.loads(listed.communicate()[0])["devices"]}
    assert {"default", "studio"} <= set(devices)
    assert (devices["default"]["default_input"], devices["default"]["default_output"]) == (True, True)
    assert (devices["studio"]["default_input"], devices["studio"]["default_output"]) == (False, False)
    assert devices["studio"]["inputs"] > 0
    shown = sound_server.start_coda("devices").communicate()[0]
    (line,) = (line for line in shown.splitlines() if " default " in line)
    assert line.split()[-2:] == ["in,", "out"]


def test_what_a_device_refuses_is_said(sound_server: SoundServer, tmp_path: Path) -> None:
    ran = sound_server.start_coda("run", str(stack(tmp_path, None)), "--set", "audio_source.channels=64")
    _, err = ran.communicate()
    assert ran.returncode == 2
    assert "coda: error: default cannot be opened with 64 channels at 44100 Hz: " in err
    assert "it offers 32 channels and 44100 Hz" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("audio_source.device=nowhere", 'no microphone has "nowhere" in its name; set device to an index'),
        ("transport.0.device=nowhere", 'no loudspeaker has "nowhere" in its name; set device to an index'),
    ],
)
def test_an_unknown_device_is_said_before_the_model_is_loaded(
    sound_server: SoundServer, tmp_path: Path, change: str, told: str
) -> None:
    ran = sound_server.start_coda("run", str(stack(tmp_path, None)), "--set", change)
    _, err = ran.communicate()
    assert ran.returncode == 2
    assert told in err
    assert "default (ALSA)" in err
    assert "Traceback" not in err
