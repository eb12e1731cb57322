"""Coding in other processes."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import soundfile
import sphn
from hypothesis import given
from hypothesis import strategies as st

from coda_core import CodaError
from coda_websocket import opus_process
from coda_websocket.busy import Busy
from coda_websocket.libopus import LibopusWriter, libopus_version
from coda_websocket.ogg import OggOpus
from coda_websocket.opus import BadOpus, OpusPool
from coda_websocket.opus_process import DECODE, ENCODE, Coder, Effort

FRAME = 1_920


def tone(frames: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return (0.3 * np.sin(np.arange(frames * FRAME) / 20)).astype(np.float32)


async def test_streams_are_coded_side_by_side_and_keep_their_length() -> None:
    async with OpusPool(2) as pool:
        streams = [await pool.stream() for _ in range(4)]

        async def there_and_back(number: int) -> int:
            samples = 0
            for start in range(0, 10 * FRAME, FRAME):
                data = await streams[number].encode(tone(10)[start : start + FRAME])
                for cut in range(0, len(data), 50):
                    samples += len(await streams[number].decode(data[cut : cut + 50]))
            return samples

        assert await asyncio.gather(*(there_and_back(number) for number in range(4))) == [10 * FRAME] * 4


async def test_what_is_no_opus_is_said_and_harms_no_other_stream() -> None:
    async with OpusPool(1) as pool:
        good, bad = await pool.stream(), await pool.stream()
        with pytest.raises(BadOpus):
            await bad.decode(b"nonsense" * 20)
        bad.close()
        bad.close()
        assert len(await good.decode(await good.encode(tone(1)))) == FRAME


async def test_a_process_that_dies_fails_its_streams_and_is_replaced(
    until: Callable[[Callable[[], bool]], Any],
) -> None:
    async with OpusPool(1) as pool:
        stream = await pool.stream()
        await stream.encode(tone(1))
        worker = stream._worker
        worker._process.kill()
        await until(lambda: worker.dead)
        with pytest.raises(CodaError, match="has ended"):
            await stream.encode(tone(1))
        again = await pool.stream()
        assert await again.encode(tone(1))


async def test_how_long_it_took_is_told() -> None:
    told: list[str] = []
    async with OpusPool(1, timed=lambda what, seconds: told.append(what) if seconds > 0 else None) as pool:
        stream = await pool.stream()
        await stream.decode(await stream.encode(tone(1)))
    assert told == ["encode", "decode"]


def test_this_machine_has_libopus() -> None:
    assert "libopus" in (libopus_version() or "")


@pytest.mark.parametrize("has_libopus", [True, False])
def test_what_is_heard_is_what_was_said(has_libopus: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the system's encoder and without: what is decoded again is the tone, a little later."""
    if not has_libopus:
        monkeypatch.setattr(opus_process, "libopus", lambda: None)
    coder = Coder()
    said = tone(12)
    data = [coder.answer(1, ENCODE, said[at : at + FRAME].tobytes()) for at in range(0, len(said), FRAME)]
    assert all(well for well, _ in data)
    heard = np.frombuffer(b"".join(coder.answer(1, DECODE, page)[1] for _, page in data), "<f4")
    assert len(heard) == len(said)
    later = max(range(400), key=lambda by: float(np.dot(said[: len(said) - by], heard[by:])))
    begun = slice(FRAME, 11 * FRAME)
    difference = heard[later:][begun] - said[: len(said) - later][begun]
    assert np.abs(difference).max() < 0.05
    assert later <= (60 if has_libopus else 200)


def test_other_readers_read_it_too() -> None:
    """libsndfile, which heeds what the header says is to be skipped, finds the samples at their places."""
    writer = LibopusWriter(5)
    said = tone(10)
    data = b"".join(writer.append_pcm(said[at : at + FRAME]) for at in range(0, len(said), FRAME))
    heard, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    assert rate == 24_000
    assert 9 * FRAME < len(heard) <= 10 * FRAME
    assert np.abs(heard[FRAME : 9 * FRAME] - said[FRAME : 9 * FRAME]).max() < 0.05


def test_no_number_is_too_odd_for_a_voice() -> None:
    writer = LibopusWriter(0)
    odd = np.array([np.nan, np.inf, -np.inf, 1e30, 1e-40, 0.0] * 160, np.float32)
    reader = sphn.OpusStreamReader(24_000)
    assert np.isfinite(reader.append_bytes(writer.append_pcm(odd))).all()
    assert np.isfinite(reader.append_bytes(writer.append_pcm(tone(1)))).all()


def test_what_is_no_whole_packet_is_refused_and_the_stream_goes_on() -> None:
    coder = Coder()
    well, why = coder.answer(1, ENCODE, tone(1)[:100].tobytes())
    assert not well
    assert b"libopus" in why
    assert coder.answer(1, ENCODE, tone(1).tobytes())[0]


@given(st.lists(st.binary(min_size=1, max_size=1_300), min_size=1, max_size=8))
def test_packets_come_out_of_a_page_as_they_went_in(packets: list[bytes]) -> None:
    ogg = OggOpus(24_000, 0)
    ogg.head()
    page = ogg.page(packets, 960 * len(packets))
    assert int.from_bytes(page[6:14], "little") == 1_920 * len(packets)
    segments, body = page[27 : 27 + page[26]], page[27 + page[26] :]
    sizes, size = [], 0
    for segment in segments:
        size += segment
        if segment < 255:
            sizes.append(size)
            size = 0
    assert sizes == [len(each) for each in packets]
    assert body == b"".join(packets)


def test_a_packet_that_fits_no_page_is_said() -> None:
    with pytest.raises(ValueError, match="too much for a page"):
        OggOpus(24_000, 0).page([bytes(70_000)], 960)


def test_where_coding_takes_most_of_the_time_less_care_is_taken() -> None:
    now = 0.0
    effort = Effort(lambda: now)
    chosen = []
    for share in (0.1, 0.9, 0.5, 0.1):
        now += 2.0
        effort.worked(2.0 * share)
        chosen.append(effort.complexity)
    assert chosen == [Effort.BEST, Effort.LEAST, Effort.LEAST, Effort.BEST]


def test_a_share_is_of_the_last_window() -> None:
    now = 0.0
    busy = Busy(lambda: now)
    shares = []
    for work_s in (0.0, 2.0, 0.5):
        busy.begins()
        busy.begins()
        now += work_s
        busy.ends()
        now += 2.0 - work_s
        shares.append(busy.share())
    assert shares == [0.0, 1.0, 0.25]
    busy.begins()
    now += 4.0
    assert busy.share() == 1.0


async def test_a_process_that_cannot_start_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(CodaError, match="ended with exit status 1 at its start"):
        async with OpusPool(1):
            pass
