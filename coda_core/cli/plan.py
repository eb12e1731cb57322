"""``coda plan``: what a stack's processor will take of memory, before anything of it is loaded."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import click

from coda_core.cli.options import json_option, set_option, stack_argument, verbose_option
from coda_core.cli.terminal import Terminal
from coda_core.errors import CodaError
from coda_core.memory import MemoryPart, MemoryPlan, parse_size, size_words

if TYPE_CHECKING:
    from coda_core.config import Chosen, ResolvedStack

__all__ = ["command"]

_KINDS: Final = {"weights": "weights", "fixed": "once", "conversation": "each conversation"}


class _Size(click.ParamType[int]):
    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        size = value if isinstance(value, int) else parse_size(value)
        if not size:
            self.fail(f"{value!r} is no size; give one such as 40GB (10^9 bytes), 24GiB (2^30) or 800MB", param, ctx)
        return size


@click.command("plan")
@stack_argument
@click.option("--budget", type=_Size(), metavar="SIZE", help="Memory that may be taken, as in 40GB; else the stack's.")
@click.option(
    "--conversations",
    type=click.IntRange(min=1),
    metavar="N",
    help="Conversations to find room for; else the stack's.",
)
@click.option(
    "--context",
    type=click.IntRange(min=1),
    metavar="N",
    help="Steps that the model remembers: short for --set processor.context=N.",
)
@set_option
@json_option
@verbose_option
@click.pass_obj
def command(
    terminal: Terminal,
    stack: Path,
    budget: int | None,
    conversations: int | None,
    context: int | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Reckon what the processor of STACK will take of memory, and how many conversations fit.

    Nothing is loaded, and the device need not be there. Of a checkpoint that is not on this machine its config is
    enough, which is known for Kyutai's released models. With --conversations and without --budget, it says which
    budget so many need.
    """
    from coda_core.config import read_stack, resolve

    if context is not None:
        overrides = (*overrides, f"processor.context={context}")
    resolved = resolve(*read_stack(stack, overrides=overrides))
    plan = _planned(resolved)
    if conversations is not None:
        plan = attrs.evolve(plan, conversations=conversations)
    if budget is not None:
        plan = attrs.evolve(plan, budget_bytes=budget, budget_source="--budget")
    elif conversations is not None or plan.budget_bytes is None:
        plan = attrs.evolve(plan, budget_bytes=plan.needed_bytes(plan.conversations), budget_source="needed")
    if as_json:
        terminal.json(_as_object(resolved, plan))
    else:
        _show(terminal, resolved.processor, plan)


def _planned(resolved: ResolvedStack) -> MemoryPlan:
    from coda_core.clock import SystemClock
    from coda_core.interfaces import Context
    from coda_core.paths import cache_dir
    from coda_core.plugins import require

    chosen = resolved.processor
    require(chosen.registered)
    plan = chosen.registered.component.plan
    if plan is None:
        raise CodaError(
            f'the processor "{chosen.label}" of plugin {chosen.registered.plugin} does not say what it takes of '
            "memory. Its author can teach it: see Component.plan."
        )
    context = Context(
        base_dir=resolved.base_dir,
        cache_dir=cache_dir(),
        clock=SystemClock(),
        logger=logging.getLogger(f"coda.processor.{chosen.label}"),
        progress=lambda what, done, total: None,
    )
    planned: MemoryPlan = plan(chosen.config, context)
    return planned


def _as_object(resolved: ResolvedStack, plan: MemoryPlan) -> dict[str, Any]:
    budget = plan.budget_bytes
    assert budget is not None
    needed = plan.needed_bytes(plan.conversations)
    return {
        "stack": resolved.name,
        "processor": resolved.processor.label,
        "subject": plan.subject,
        "weights_bytes": plan.weights_bytes,
        "fixed_bytes": plan.fixed_bytes,
        "bytes_per_conversation": plan.bytes_per_conversation,
        "loading_bytes": plan.loading_bytes,
        "budget_bytes": budget,
        "budget_source": plan.budget_source,
        "conversations": plan.fitting(budget),
        "asked": {"conversations": plan.conversations, "needed_bytes": needed, "fits": needed <= budget},
        "elastic": None if plan.elastic is None else attrs.asdict(plan.elastic),
        "parts": [attrs.asdict(part) for part in plan.parts],
        "notes": list(plan.notes),
    }


def _show(terminal: Terminal, chosen: Chosen, plan: MemoryPlan) -> None:
    terminal.line(f"{chosen.label}: {plan.subject}", "bold")
    terminal.line()
    sums = {"weights": plan.weights_bytes, "fixed": plan.fixed_bytes, "conversation": plan.bytes_per_conversation}
    rows: list[tuple[str, str, str]] = []
    for kind, words in _KINDS.items():
        rows += [(words, part.name, _sized(part)) for part in plan.parts if part.kind == kind]
        rows.append((words, "together", size_words(sums[kind])))
    terminal.table(("taken", "for", "size"), rows)
    terminal.line()
    for sentence in _sentences(plan):
        terminal.line(sentence)
    for note in plan.notes:
        terminal.line(note, "yellow")


def _sized(part: MemoryPart) -> str:
    return f"about {size_words(part.size_bytes)}" if part.estimated else size_words(part.size_bytes)


def _sentences(plan: MemoryPlan) -> list[str]:
    budget, asked = plan.budget_bytes, plan.conversations
    assert budget is not None
    needed = plan.needed_bytes(asked)
    sentences = [f"{_counted(asked)} {'needs' if asked == 1 else 'need'} {size_words(needed)}."]
    if plan.budget_source == "needed":
        return sentences
    sentences.insert(0, f"{size_words(budget)} ({plan.budget_source}) {_holds(plan, budget)}.")
    if needed > budget and plan.elastic is not None:
        shorter = plan.largest_elastic(asked, budget)
        if shorter is not None:
            sentences.append(f"They would fit with {plan.elastic.setting} = {shorter} instead of {plan.elastic.value}.")
    return sentences


def _holds(plan: MemoryPlan, budget: int) -> str:
    fitting = plan.fitting(budget)
    if fitting:
        return f"hold {_counted(fitting)}"
    return f"hold no conversation: one needs {size_words(plan.needed_bytes(1))}"


def _counted(conversations: int) -> str:
    return f"{conversations} conversation{'' if conversations == 1 else 's'}"
