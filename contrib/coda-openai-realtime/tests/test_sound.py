from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from coda_openai_realtime.sound import FORMATS, PCM, Encoder, SoundFormat, decoded

G711 = [format for format in FORMATS if format is not PCM]
SUBTYPES = {"audio/pcmu": "ULAW", "audio/pcma": "ALAW"}


def libsndfile_decodes(codes: bytes, format: SoundFormat) -> NDArray[np.int16]:
    layout = {"samplerate": 8000, "channels": 1, "format": "RAW", "subtype": SUBTYPES[format.type]}
    pcm: NDArray[np.int16] = soundfile.read(io.BytesIO(codes), dtype="int16", **layout)[0]
    return pcm


def libsndfile_encodes(pcm: NDArray[np.int16], format: SoundFormat) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, pcm, 8000, format="RAW", subtype=SUBTYPES[format.type])
    return file.getvalue()


@pytest.mark.parametrize("format", G711, ids=lambda format: format.beta_name)
def test_g711_means_what_it_means_to_others(format: SoundFormat) -> None:
    codes = bytes(range(256))
    assert np.array_equal(decoded(codes, format).pcm, libsndfile_decodes(codes, format))


@pytest.mark.parametrize("format", G711, ids=lambda format: format.beta_name)
def test_no_sample_is_coded_worse_than_by_others(format: SoundFormat) -> None:
    samples = np.arange(65_536, dtype=np.uint16).view(np.int16)
    encoder = Encoder(format)
    ours = decoded(encoder._coded((samples / 32768).astype(np.float32)), format).pcm
    theirs = libsndfile_decodes(libsndfile_encodes(samples, format), format)
    exact = samples.astype(np.int64)
    assert np.all(np.abs(np.asarray(ours, np.int64) - exact) <= np.abs(theirs - exact))


def test_pcm_goes_through_bit_for_bit() -> None:
    pcm = np.random.default_rng(1).integers(-32_768, 32_767, 1_920).astype(np.int16)
    assert np.array_equal(decoded(pcm.tobytes(), PCM).pcm, pcm)
    encoder = Encoder(PCM)
    assert encoder.encode(pcm.astype(np.float32) / np.float32(32_768)) + encoder.finish() == pcm.tobytes()


def test_what_is_too_loud_is_clipped() -> None:
    loud = np.array([2.0, -2.0], np.float32)
    assert np.array_equal(np.frombuffer(Encoder(PCM).encode(loud), "<i2"), [32_767, -32_768])


@pytest.mark.parametrize("format", G711, ids=lambda format: format.beta_name)
def test_a_voice_at_24_khz_comes_out_at_8_khz(format: SoundFormat) -> None:
    time_s = np.arange(48_000) / 24_000
    voice = (0.5 * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)
    encoder = Encoder(format)
    coded = b"".join(encoder.encode(frame) for frame in voice.reshape(-1, 1_920)) + encoder.finish()
    assert len(coded) == 16_000
    heard = np.asarray(decoded(coded, format).pcm) / 32_768
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 8_000)
    error = heard[800:-800] - wanted[800:-800]
    assert np.mean(error**2) < np.mean(wanted**2) / 1000


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="3 bytes"):
        decoded(b"abc", PCM)
