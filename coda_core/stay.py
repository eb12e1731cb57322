"""Where a conversation is: in a slot, standing still in it, parked, or over. One change at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from coda_core.errors import (
    CodaError,
    ConversationBroken,
    ConversationClosed,
    ConversationParked,
    ConversationTaken,
    StoreError,
)
from coda_core.events import Attached, Closed, Detached, Failed, Parked, Paused, Resumed, Saved, Unparked
from coda_core.house import House
from coda_core.interfaces import Lane, ParkedState

if TYPE_CHECKING:
    from coda_core.conversation import Conversation

__all__ = ["Status", "Stay"]

Status = Literal["opening", "live", "paused", "parked", "closed", "broken"]

_logger = logging.getLogger("coda.kernel")


class Stay:
    """The life of one conversation. On the event loop.

    A change that has begun goes on to its end even where who asked for it is cancelled; the next waits for it.
    """

    def __init__(self, conversation: Conversation, house: House, status: Status) -> None:
        self.status: Status = status
        self.detached_since_s: float | None = None
        self.attachment = 0
        """Counts who held the conversation; rises with each `attach`."""
        self._conversation = conversation
        self._house = house
        self._lane: Lane | None = None
        self._fault = ""
        self._changing = asyncio.Lock()
        self._closing: asyncio.Future[None] | None = None
        self._alarm: asyncio.Task[None] | None = None
        self._saver: asyncio.Task[None] | None = None
        """Saves what the conversation could go on from, from time to time."""
        self._saving: asyncio.Task[None] | None = None
        """The latest saving of a conversation that keeps its slot."""
        self._saved_frame = -1
        """Step that what is saved goes on with; -1 where nothing is."""
        self._left = False
        """Whether the kernel has left it parked: it can go on with another."""
        if status == "parked":
            self._alarm_in(house.keep_parked_s, self._expire)

    @property
    def lane(self) -> Lane:
        """The way to the worker. Raises where there is none: `ConversationBroken`, `-Closed` or `-Parked`."""
        id = self._conversation.id
        if self.status == "broken":
            raise ConversationBroken(self._fault)
        if self._left or self._closing is not None or self.status in ("opening", "closed"):
            raise ConversationClosed(f"conversation {id} is closed here")
        if self._lane is None:
            raise ConversationParked(f"conversation {id} is parked; resume it first")
        return self._lane

    @property
    def error(self) -> ConversationBroken | None:
        """What a reader that comes too late is told."""
        return ConversationBroken(self._fault) if self.status == "broken" else None

    @property
    def _away(self) -> bool:
        """Whether it is parked and can come back."""
        return self.status == "parked" and self._closing is None and not self._left

    async def open(self) -> None:
        """Take a slot; raises `Full`."""
        self._lane = await self._house.take(self._conversation.id, self._conversation.options)
        self.status = "live"
        self._save_from_time_to_time()

    async def pause(self) -> None:
        await self._to_its_end(self._pause())

    async def resume(self) -> None:
        await self._to_its_end(self._resume())

    async def park(self, reason: str, still: Callable[[], bool] = lambda: True) -> None:
        """Park, unless `still` is false when changes that came before are made."""
        await self._to_its_end(self._park(reason, still))

    async def detach(self, grace_s: float, attachment: int | None) -> None:
        await self._to_its_end(self._detach(grace_s, attachment))

    async def attach(self, *, start: bool) -> None:
        await self._to_its_end(self._attach(start))

    async def close(self, reason: str) -> None:
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close(reason))
        await asyncio.shield(self._closing)

    async def settled(self) -> None:
        """Wait until no change is under way."""
        async with self._changing:
            pass

    def break_off(self, message: str, reason: str) -> None:
        """End by a fault; the lane is closed already. The end becomes durable behind the reader's back."""
        if self.status in ("closed", "broken", "parked"):
            return
        conversation = self._conversation
        conversation.publish(Failed(message=message, frame=conversation.frames))
        self._publish_end(reason)
        self._fault = message
        self._end("broken")
        if self._saved_frame >= 0 or self._saving is not None:
            self._house.in_background(self._discard())

    async def give_up(self, message: str) -> None:
        """End by a fault that the lane knows nothing of."""
        async with self._changing:
            lane, self._lane = self._lane, None
            if lane is not None:
                await lane.close()
        self._saved_frame = -1  # what is saved is somebody else's now
        self.break_off(message, "taken")

    async def shut_down(self, *, park: bool) -> None:
        """The kernel ends: leave what is parked, park what stands still if that is wanted, close the rest."""
        if park and self.status == "paused" and self._house.able("park"):
            with suppress(CodaError):
                await self.park("shutdown")
        if not await self.leave():
            await self.close("shutdown")

    async def leave(self) -> bool:
        """Forget it here where it is parked, and keep what is saved; return whether it is."""
        async with self._changing:
            if self._away:
                self._left = True
                self._end("parked")
            return self._left

    async def _pause(self) -> None:
        async with self._changing:
            if self._away:
                return
            lane = self.lane
            if self.status == "live":
                self.status = "paused"
                await lane.pause()
                self._conversation.publish(Paused(frame=self._conversation.frames))

    async def _resume(self) -> None:
        async with self._changing:
            if self._away:
                await self._unpark()
            elif self.lane is not None and self.status == "paused":
                self._conversation.publish(Resumed(frame=self._conversation.frames))
            await self._go_on()

    async def _park(self, reason: str, still: Callable[[], bool]) -> None:
        async with self._changing:
            if self._away or not still():
                return
            lane, conversation = self.lane, self._conversation
            was_live = self.status == "live"
            self.status = "paused"
            size = frame = 0

            async def save(parked: ParkedState) -> None:
                nonlocal size, frame
                size, frame = parked.size_bytes, parked.frame
                await self._house.save(parked)

            try:
                await lane.park(save)
            except BaseException:
                if self.status != "paused":  # broken meanwhile: nothing will ever go on from what may be saved
                    await self._house.discard(conversation.id)
                elif was_live:
                    conversation.publish(Paused(frame=conversation.frames))
                raise
            self._lane = None
            self.status = "parked"
            self._saved_frame = frame
            conversation.publish(Parked(frame=frame, reason=reason, size_bytes=size))
            self._alarm_in(self._house.keep_parked_s, self._expire)
            with suppress(StoreError):  # the journal says so itself, and tries again; the state is safe
                await self._house.journal.durable(conversation.id)
                await self._house.sharing.release(conversation.id)

    async def _unpark(self) -> None:
        conversation = self._conversation
        try:
            parked, self._lane = await self._house.bring_back(conversation.id)
        except ConversationTaken:
            raise
        except BaseException:
            await self._house.sharing.release(conversation.id)  # another server may be able to go on with it
            raise
        self._silence_alarm()
        self.status = "paused"
        conversation.frames, conversation.options = parked.frame, parked.options
        self._saved_frame = parked.frame
        conversation.publish(Unparked(frame=parked.frame))
        self._save_from_time_to_time()

    async def _detach(self, grace_s: float, attachment: int | None) -> None:
        async with self._changing:
            here = self.status in ("live", "paused") and self._closing is None
            if not here or attachment not in (None, self.attachment):
                return
            lane = self.lane
            if self.detached_since_s is None:
                if self.status == "live":
                    self.status = "paused"
                    await lane.pause()
                self.detached_since_s = self._house.clock.now()
                self._conversation.publish(Detached(frame=self._conversation.frames, grace_s=grace_s))
                self._alarm_in(grace_s, self._depart)
                if self._house.able("park"):
                    await self._save(lane, "detached")

    async def _attach(self, start: bool) -> None:
        async with self._changing:
            if self._away:
                await self._unpark()
            _ = self.lane
            self._silence_alarm()
            self.detached_since_s = None
            self.attachment += 1
            self._conversation.publish(Attached(frame=self._conversation.frames))
            if start:
                await self._go_on()

    async def _go_on(self) -> None:
        if self.status == "paused" and self._house.save_every_s is None:
            # After a kill nobody must go on from a state that lies behind what is heard and said from now on.
            await self._discard()
        lane = self.lane
        if self.status == "paused":
            self.status = "live"
            await lane.resume()

    async def _depart(self) -> None:
        """The time of grace is over."""
        since = self.detached_since_s
        if self._house.able("park"):
            try:
                await self.park("detached", lambda: self.detached_since_s == since)
                return
            except ConversationClosed:
                # Somebody else has begun to close it.
                return
            except CodaError as error:
                _logger.error("conversation %s is closed, as it could not be parked: %s", self._conversation.id, error)
        if self.detached_since_s == since:
            await self.close("detached")

    async def _expire(self) -> None:
        async with self._changing:
            away = self._away
        if away and await self._house.sharing.gone_on(self._conversation.id):
            await self.leave()
        elif away:
            await self.close("expired")

    async def _close(self, reason: str) -> None:
        async with self._changing:
            if self.status == "parked":
                try:
                    await self._house.sharing.reclaim(self._conversation.id)
                except ConversationTaken:
                    self._end("closed")  # here; another server goes on with it
                    return
            await self._discard()
            if self._lane is not None:
                await self._lane.close()
            if self.status == "broken":
                return
            self._publish_end(reason)
            self.status = "closed"
            try:
                await self._house.journal.durable(self._conversation.id)
            finally:
                self._end("closed")

    def _save_from_time_to_time(self) -> None:
        every_s = self._house.save_every_s
        if self._saver is None and every_s is not None and self._house.able("park"):
            self._saver = asyncio.create_task(self._keep_saving(every_s))

    async def _keep_saving(self, every_s: float) -> None:
        clock = self._house.clock
        while True:
            await clock.sleep_until(clock.now() + every_s)
            async with self._changing:
                stands = self._conversation.frames == self._saved_frame or self.status != "live"
                if self._lane is not None and self._closing is None and not stands:
                    await self._save(self._lane, "interval")
            if self._saving is not None:
                await asyncio.wait((self._saving,))

    async def _save(self, lane: Lane, reason: str) -> None:
        """Take what the conversation could go on from, and store it behind its back."""
        try:
            state = await lane.checkpoint()
        except CodaError as error:
            _logger.warning("conversation %s could not be saved: %s", self._conversation.id, error)
            return
        self._saving = asyncio.create_task(self._store(state, reason))

    async def _store(self, state: ParkedState, reason: str) -> None:
        conversation = self._conversation
        try:
            await self._house.save(state)
        except CodaError as error:
            _logger.warning("conversation %s could not be saved: %s", conversation.id, error)
            return
        self._saved_frame = max(self._saved_frame, state.frame)
        if self.status in ("live", "paused"):
            _logger.info("conversation %s is saved: %d bytes", conversation.id, state.size_bytes)
            conversation.publish(Saved(frame=state.frame, reason=reason, size_bytes=state.size_bytes))

    async def _discard(self) -> None:
        """Drop what is saved of it, if anything."""
        if self._saving is not None:
            await asyncio.wait((self._saving,))
        if self._saved_frame >= 0 or self.status == "parked":
            self._saved_frame = -1
            await self._house.discard(self._conversation.id)

    def _publish_end(self, reason: str) -> None:
        conversation = self._conversation
        conversation.give_up_texts()
        conversation.publish(Closed(reason=reason, frames=conversation.frames, frame=conversation.frames))

    def _end(self, status: Status) -> None:
        self.status = status
        self.detached_since_s = None
        self._silence_alarm()
        if self._saver is not None:
            self._saver.cancel()
            self._saver = None
        self._conversation.end(self.error)

    def _alarm_in(self, seconds: float, action: Callable[[], Awaitable[None]]) -> None:
        self._silence_alarm()

        async def ring(when: float) -> None:
            await self._house.clock.sleep_until(when)
            try:
                await action()
            except CodaError as error:
                _logger.error("conversation %s: %s", self._conversation.id, error)

        self._alarm = asyncio.create_task(ring(self._house.clock.now() + seconds))

    def _silence_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    @staticmethod
    async def _to_its_end(change: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(change)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise
