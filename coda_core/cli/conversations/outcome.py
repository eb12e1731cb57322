"""What a replay says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from coda_core.cli.conversations.comparing import Likeness, side_by_side
from coda_core.cli.conversations.describing import word_object
from coda_core.cli.conversations.reading import Story
from coda_core.cli.conversations.replaying import Again
from coda_core.cli.conversations.script import Script
from coda_core.cli.terminal import Terminal, printable
from coda_core.events import Opened
from coda_core.text import ExtractedText

__all__ = ["Outcome"]


@attrs.frozen(kw_only=True)
class Outcome:
    """A conversation, its second run, and how alike they are."""

    story: Story
    opened: Opened
    script: Script
    again: Again
    likeness: Likeness

    @property
    def changed(self) -> dict[str, tuple[Any, Any]]:
        """What was not as it was then: its name, then and now."""
        then: dict[str, Any] = {"fingerprint": self.opened.fingerprint, "batch size": self.opened.slots}
        now: dict[str, Any] = {"fingerprint": self.again.info.fingerprint, "batch size": self.again.info.slots}
        settings = attrs.asdict(self.again.options)
        # What an earlier Coda did not note is not known to be another.
        then |= {name: value for name, value in self.opened.options.items() if name in settings and name != "record"}
        now |= settings
        return {name: (value, now[name]) for name, value in then.items() if value != now[name]}

    def as_object(self) -> dict[str, Any]:
        """Return it for a program."""
        first = self.likeness.first
        return {
            "conversation": self.story.row.conversation,
            "frames": self.script.frames,
            "compared_frames": self.likeness.frames,
            "first_missing_frame": self.script.missing,
            "changed": {name: {"recorded": then, "replayed": now} for name, (then, now) in self.changed.items()},
            "tokens_same": self.likeness.same,
            "differing_frames": self.likeness.differing,
            "first_difference": None if first is None else first.as_object(),
            "voice_same": self.likeness.voice_frame is None,
            "first_other_voice_frame": self.likeness.voice_frame,
            "recorded_words": [word_object(text) for text in self._recorded],
            "replayed_words": [word_object(text) for text in self.again.texts],
        }

    def show(self, terminal: Terminal) -> None:
        """Print it for a person."""
        for line in self._lines():
            terminal.line(line)
        for name, (then, now) in self.changed.items():
            terminal.line(printable(f"{name}: {then} then, {now} now"))
        if self.changed or not self.likeness.same:
            rows = list(side_by_side(self._recorded, self.again.texts))
            terminal.line()
            terminal.table(
                ("from", "recorded", "replayed"),
                [
                    (time, printable(left), printable(right))
                    for time, left, right in rows or [("", "no words", "no words")]
                ],
            )

    @property
    def _recorded(self) -> Sequence[ExtractedText]:
        return self.story.texts

    def _lines(self) -> list[str]:
        likeness, script = self.likeness, self.script
        frame_s = self.again.recording.frame_s
        seed = self.again.options.seed
        lines = [
            f"replayed {likeness.frames} of {script.frames} frames ({likeness.frames * frame_s:.2f} s), "
            f"seed {seed}, batch size {self.again.info.slots}"
        ]
        if script.missing is not None:
            at_s = script.missing * frame_s
            lines.append(f"the recording lacks frame {script.missing} ({at_s:.2f} s): what follows was not run")
        first = likeness.first
        if first is None:
            lines.append("tokens: the same")
        else:
            then, now = (_spelt(token) for token in (first.recorded, first.replayed))
            lines.append(
                f"tokens: {likeness.differing} of {likeness.frames} differ, the first in frame {first.frame} "
                f"({first.at_s:.2f} s): {then} then, {now} now"
            )
        if likeness.voice_frame is None:
            lines.append("voice: the same")
        else:
            lines.append(
                f"voice: another from frame {likeness.voice_frame} ({likeness.voice_frame * frame_s:.2f} s) on"
            )
        return lines


def _spelt(token: tuple[int, str, float]) -> str:
    number, text, probability = token
    spelt = f' "{text}"' if text else ""
    return printable(f"token {number}{spelt} (probability {probability:.2f})")
