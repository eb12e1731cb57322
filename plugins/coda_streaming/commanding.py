"""Commands on their way to the processor, and what it says became of them. Runs on the worker."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from coda_core.commands import Command, Notice, Say
from coda_core.errors import CodaError, ProcessorLost
from coda_core.events import Event, Fault, Injection
from coda_core.interfaces import Processor
from coda_streaming.lane import StreamLane

__all__ = ["cancelled", "noticed", "pass_on"]

_logger = logging.getLogger("coda.streaming")


def pass_on(processor: Processor, lane: StreamLane, commands: Sequence[Command]) -> list[Event]:
    """Give commands to the processor; return what is to be told of those that it does not take."""
    events: list[Event] = []
    for command in commands:
        if isinstance(command, Say):
            lane.said[command.id] = command.text
        error = _refusal(processor, lane, command)
        if error is not None:
            message = f"the processor could not do what was asked: {error}"
            events.append(Fault(conversation=lane.conversation, frame=lane.frame, message=message))
            if isinstance(command, Say):
                events += cancelled(lane, [command.id])
    return events


def _refusal(processor: Any, lane: StreamLane, command: Command) -> Exception | None:
    """Give a command to the processor; return what it raises, once that is logged."""
    try:
        processor.command(lane.slot, command)
    except ProcessorLost:
        raise
    except CodaError as error:
        _logger.warning("conversation %s: the processor does not take %r: %s", lane.conversation, command, error)
        return error
    except Exception as error:
        _logger.exception("conversation %s: the processor does not take %r", lane.conversation, command)
        return error
    return None


def noticed(lanes: Mapping[int, StreamLane], notices: Sequence[Notice]) -> list[Event]:
    """Return the events that say what became of texts in the step just done. `lanes` is by slot."""
    events: list[Event] = []
    for notice in notices:
        lane = lanes.get(notice.slot)
        text = None if lane is None else lane.said.get(notice.command)
        if lane is None or text is None:
            continue
        if notice.status in ("finished", "cancelled", "expired"):
            del lane.said[notice.command]
        events.append(
            Injection(
                conversation=lane.conversation,
                frame=lane.frame - 1,
                command=notice.command,
                status=notice.status,
                text=text,
            )
        )
    return events


def cancelled(lane: StreamLane, numbers: Sequence[int]) -> list[Event]:
    """Return the events that say that texts are given up, and forget them."""
    return [
        Injection(
            conversation=lane.conversation,
            frame=lane.frame,
            command=number,
            status="cancelled",
            text=lane.said.pop(number),
        )
        for number in numbers
    ]
