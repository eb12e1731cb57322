from __future__ import annotations

import numpy as np
import torch

from coda_moshi.frame_buffers import FrameBuffers

CPU = torch.device("cpu")


def test_frames_go_to_their_slots_and_the_rest_is_silence() -> None:
    buffers = FrameBuffers(4, 6, CPU)
    buffers.send(np.arange(4), np.full((4, 6), 9, np.float32))
    pcm = np.arange(12, dtype=np.float32).reshape(2, 6)
    heard, moving = buffers.send(np.array([1, 3]), pcm)
    assert heard.shape == (4, 1, 6)
    assert heard.is_contiguous()
    assert moving.tolist() == [False, True, False, True]
    assert np.array_equal(heard[[1, 3], 0].numpy(), pcm)
    assert not heard[[0, 2]].any()


def test_results_come_back_in_their_types() -> None:
    buffers = FrameBuffers(3, 5, CPU)
    pcm = torch.randn(3, 1, 5)
    token = torch.tensor([31_999, -2, 2**24 - 1])
    probability = torch.tensor([0.25, 0.0, 1.0])
    flags = torch.tensor([True, False, True])
    wish = torch.tensor([2, 0, 1])
    step = buffers.receive(pcm, token, probability, flags, ~flags, wish)
    assert np.array_equal(step.pcm, pcm[:, 0].numpy())
    assert step.token.astype(np.int64).tolist() == token.tolist()
    assert step.probability.tolist() == probability.tolist()
    assert step.valid.tolist() == flags.tolist()
    assert step.finite.tolist() == (~flags).tolist()
    assert step.wish.tolist() == wish.tolist()


def test_half_precision_audio_arrives_as_float32() -> None:
    step = FrameBuffers(1, 2, CPU).receive(
        torch.ones(1, 1, 2, dtype=torch.bfloat16), *(torch.zeros(1) for _ in range(5))
    )
    assert step.pcm.dtype == np.float32
    assert step.pcm.tolist() == [[1, 1]]
