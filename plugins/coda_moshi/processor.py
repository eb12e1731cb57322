"""The processor `moshi`: many conversations on one model, each as if it were alone.

The batch has a number of slots that only `resize` changes, one conversation each (see `slot_batch`). Invariants:

- What comes out of a slot depends on what went into it since `open`, and on nothing else.
- A slot that is free holds a fresh state: it is wiped when its conversation closes or fails, not when the next opens.
- A step that raises leaves slots that took part torn and all others as they were; `close` mends a torn slot.
- A step of which no slot is told anything (see `scripts`) does nothing for prompts, injected text and silence.

As in moshi's reference server, the first frame of a conversation only lets time begin: it is encoded and stepped, then
the encoder starts again, so that the frame after it is the first that the model hears. A prompt comes before that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

from coda_core.commands import Command, Say
from coda_core.errors import ModelError
from coda_core.interfaces import ProcessorInfo, SlotOptions, StepInput, StepOutput
from coda_core.memory import MemoryUse
from coda_moshi.loading import LoadedModel
from coda_moshi.memory_watch import MemoryWatch
from coda_moshi.parked_slot import ParkedSlot
from coda_moshi.prompts import Beginning, Prompts
from coda_moshi.scripts import Scripts, given
from coda_moshi.slot_batch import SlotBatch
from coda_moshi.slot_script import Directive, SlotScript
from coda_moshi.step_output import step_output

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MoshiProcessor"]

_WARM_UP_STEPS: Final = 4
"""Enough for every CUDA graph to be captured and then replayed once."""


class MoshiProcessor:
    """Serves `slots` conversations on `model`; see `coda_core.interfaces.Processor` for the contract.

    All calls on one thread. Nothing may be opened before `warm_up`.
    """

    watch: MemoryWatch
    """Set when the model has been warmed up."""

    def __init__(self, model: LoadedModel, slots: int, beginning: Beginning) -> None:
        self._model = model
        self._prompts = Prompts(
            beginning,
            model.wording,
            padding=model.vocabulary.padding,
            sample_rate_hz=model.mimi.sample_rate,
            frame_samples=model.mimi.frame_size,
        )
        self._fade = np.linspace(1.0, 0.0, model.mimi.frame_size, dtype=np.float32)
        self._make_batch(slots)
        self.info = ProcessorInfo(
            slots=slots,
            delay_frames=self.batch.generator.max_delay,
            vocabulary=model.vocabulary,
            fingerprint=model.fingerprint,
            sample_rate_hz=model.mimi.sample_rate,
            frame_samples=model.mimi.frame_size,
            defaults=beginning.added_to(model.sampling.as_options()),
            capabilities=frozenset({"say", "interrupt", "prompt", "park"}),
        )

    def _make_batch(self, slots: int) -> None:
        self.batch = SlotBatch(self._model, slots)
        self._taken = np.zeros(slots, np.bool_)
        self._steps = np.zeros(slots, np.int64)
        self._scripts = Scripts(slots)

    def open(self, slot: int, options: SlotOptions) -> int:
        """Start a conversation in a free slot; return the steps of its prompt, none where that was taken in before.

        Raises `ConversationError` for settings that it cannot have.
        """
        self._refuse_taken(slot)
        sampling = self._model.sampling.asked(options)
        prompt = self._prompts.asked(options)
        known = None if prompt is None else self._prompts.kept.find(prompt.key)
        script = SlotScript(
            self.batch.manner,
            prompt=prompt if known is None else None,
            prompted=known is not None,
            greeting=self._prompts.greets(options),
        )
        with self.batch.at_work("opening a conversation"):
            if known is not None:
                self.batch.put(slot, known)
            self.batch.generator.configure(slot, sampling)
        self._scripts.open(slot, script)
        self._taken[slot] = True
        return script.prompt_steps

    def step(self, batch: StepInput) -> StepOutput:
        """Advance the slots in `batch` by one frame, and wipe those that fail."""
        slots = batch.slots
        if not self._taken[slots].all():
            raise ValueError(f"slots {slots[~self._taken[slots]].tolist()} hold no conversation")
        with self.batch.at_work("stepping the model"):
            told = self._scripts.before(batch)
            prompting = frozenset(slot for slot, directive in told.items() if directive.prompting)
            hearing = slots[~np.isin(slots, list(prompting))] if prompting else slots
            beginning = hearing[self._steps[hearing] == 0]
            result, stage_s = self.batch.run(slots, given(batch, told) if prompting else batch.pcm, told, beginning)
            self._steps[hearing] += 1
            injected, notices = self._scripts.after(told, result.wish)
            padding = self.info.vocabulary.padding
            output = attrs.evolve(
                step_output(slots, result, told, padding=padding, fade=self._fade),
                stage_s=stage_s,
                injected=np.isin(slots, list(injected)) if injected else None,
                notices=notices,
            )
            if output.failed.any():
                self._free(slots[output.failed])
            self._end_prompts(prompting)
        return output

    def command(self, slot: int, command: Command) -> None:
        """Take a command; raises `ConversationError`, without taking it, for a text that cannot be spoken."""
        self._refuse_free(slot)
        words = self._model.wording.spoken(command.text) if isinstance(command, Say) else ()
        self._scripts.command(slot, command, words)

    def export(self, slot: int) -> Mapping[str, NDArray[Any]]:
        """Return a copy of everything that the slot's future depends on. The slot is left as it is."""
        self._refuse_free(slot)
        script, caller_speaking = self._scripts.of(slot)
        told, voice = script.export()
        with self.batch.at_work("parking a conversation"):
            rows = self.batch.taken(slot)
        return ParkedSlot(
            rows=rows, steps=int(self._steps[slot]), script=told, voice=voice, caller_speaking=caller_speaking
        ).packed()

    def restore(self, slot: int, options: SlotOptions, state: Mapping[str, NDArray[Any]]) -> None:
        """Start in a free slot where `export` left off, whatever the size of the batch that it ran in.

        Raises `ModelError` for a state that does not fit, and leaves the slot free.
        """
        self._refuse_taken(slot)
        sampling = self._model.sampling.asked(options)
        parked = ParkedSlot.unpacked(state)
        script = SlotScript.restored(self.batch.manner, parked.script, parked.voice)
        if len(parked.voice) and parked.voice.shape[1] != self.info.frame_samples:
            raise ModelError("the parked state of a slot does not fit this model: its frames have another length")
        with self.batch.at_work("resuming a conversation"):
            self.batch.put_foreign(slot, parked.rows)
            self.batch.generator.configure(slot, sampling)
        self._scripts.open(slot, script, caller_speaking=parked.caller_speaking)
        self._steps[slot] = parked.steps
        self._taken[slot] = True

    def close(self, slot: int) -> None:
        """Free the slot and wipe everything it held; also mends a slot that an exception tore."""
        if self._taken[slot]:
            with self.batch.at_work("closing a conversation"):
                self._free(np.array([slot]))

    def warm_up(self) -> None:
        """Run full batches of silence, then wipe them: the first step of a conversation is no slower than others.

        Raises `ModelError` where the model gives numbers that are not finite even then.
        """
        everyone = np.arange(self.info.slots)
        silence = np.zeros((self.info.slots, self.info.frame_samples), np.float32)
        # What slots are told is rare, and must not be slower the first time it is.
        told = {0: Directive((self.info.vocabulary.padding,) * 3, prompting=True, voice=silence[0], hidden=True)}
        with self.batch.at_work("warming up"):
            self.batch.learn_silence()
            sound = True
            for step in range(_WARM_UP_STEPS):
                result, _ = self.batch.run(everyone, silence, told if step % 2 else {}, everyone)
                sound = sound and bool(result.finite.all() and np.isfinite(result.pcm).all())
            self._free(everyone)
        if not sound:
            raise ModelError(
                "the model answers silence with numbers that are not finite, so its weights are damaged or too large "
                "for the chosen dtype. Try dtype = 'float32', or fetch the checkpoint again."
            )

    def take_in_prompt(self) -> None:
        """Take in the stack's own prompt, so that conversations open at once; raises `ConversationError`."""
        prompt = self._prompts.asked(SlotOptions())
        if prompt is None:
            return
        silence = np.zeros((1, self.info.frame_samples), np.float32)
        unheard = StepInput(slots=np.array([0]), pcm=silence, caller_speaking=np.array([False]))
        for _ in range(self.open(0, SlotOptions())):
            if self.step(unheard).failed.any():
                raise ModelError("the model answers the prompt with numbers that are not finite: shorten or change it")
        self._prompts.kept.keep_for_good(prompt.key)
        self.close(0)

    def resize(self, slots: int) -> None:
        """Serve so many conversations from now on, each as if the processor had been made with so many.

        All slots have to be free. Everything but the weights is made anew, and prompts are taken in again. What was
        there before is given back first: where this raises, as `OutOfMemory`, nothing can be served any more.
        """
        if self._taken.any():
            raise ValueError(f"slots {np.flatnonzero(self._taken).tolist()} hold conversations; close them first")
        self.batch.release()
        self._prompts.kept.clear()
        self._make_batch(slots)
        self.info = attrs.evolve(self.info, slots=slots)
        self.warm_up()
        self.take_in_prompt()
        self.watch.begin()

    def memory(self) -> MemoryUse:
        """See `coda_core.interfaces.Watched`."""
        return self.watch.look()

    def release(self) -> None:
        """Give the memory back, even where somebody still holds this object; nothing else may be called afterwards."""
        del self._model
        self.batch.release()

    def _end_prompts(self, prompting: frozenset[int]) -> None:
        """Keep what prompts left that are now taken in, and let their slots hear."""
        for slot in prompting:
            if not self._taken[slot]:
                continue
            script, _ = self._scripts.of(slot)
            if not script.prompt_steps:
                self.batch.restart_encoder(np.array([slot]))
                if script.prompt_key:
                    self._prompts.kept.keep(script.prompt_key, self.batch.taken(slot))

    def _free(self, slots: NDArray[np.int64]) -> None:
        self.batch.wipe(slots)
        for slot in slots.tolist():
            self._scripts.close(slot)
        self._steps[slots] = 0
        self._taken[slots] = False

    def _refuse_taken(self, slot: int) -> None:
        if self._taken[slot]:
            raise ValueError(f"slot {slot} is taken; close it before opening it again")

    def _refuse_free(self, slot: int) -> None:
        if not self._taken[slot]:
            raise ValueError(f"slot {slot} holds no conversation")
