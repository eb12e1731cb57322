"""The codec's training keeps no step's graph."""

from __future__ import annotations

from coda_demo_model.codec import Batches, Heads, _forget_history, _losses, new_codec
from coda_demo_model.corpus import load_corpus
from coda_demo_model.stages import Run


def test_codebooks_hold_no_graph_after_rare_codes_were_replaced(finished_run: Run) -> None:
    batches = Batches(load_corpus(finished_run.folder / "corpus"), seed=1)
    codec, heads = new_codec().train(), Heads(batches.phonemes)
    held = 0
    # Rare codes are replaced at every fifth step.
    for step in range(6):
        losses = _losses(codec, heads, batches.draw(step), quantised=True)
        sum(losses.values()).backward()  # type: ignore[union-attr]
        held += sum(buffer.requires_grad for buffer in codec.buffers())
        _forget_history(codec)
        assert not any(buffer.requires_grad for buffer in codec.buffers())
    assert held, "the codec of moshi detaches by itself now: _forget_history can go"
