"""Finding and loading plugins: the entry-point group ``coda``, and modules handed over by an embedder.

Plugins are loaded one by one and called one by one. A broken one is reported and logged; it is fatal only to a stack
that uses it.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib import metadata
from types import ModuleType
from typing import Final

import attrs

from coda_core.plugins.registration import Loaded, Unusable, register
from coda_core.plugins.registry import BrokenPlugin, Registry
from coda_core.wording import did_you_mean, one_line

__all__ = ["load_plugins"]

GROUP: Final = "coda"
DISABLED_VARIABLE: Final = "CODA_DISABLED_PLUGINS"
IN_PROCESS: Final = "(in process)"

_logger = logging.getLogger("coda.plugins")


@attrs.frozen
class _Candidate:
    name: str
    distribution: str
    version: str
    source: metadata.EntryPoint | ModuleType | Unusable

    def broken(self, reason: str) -> BrokenPlugin:
        return BrokenPlugin(self.name, self.distribution, self.version, reason)


def load_plugins(
    *,
    disabled: Collection[str] = (),
    modules: Iterable[tuple[str, ModuleType]] = (),
    environ: Mapping[str, str] | None = None,
) -> Registry:
    """Load every plugin that is installed here, and `modules`, each under the name it comes with.

    Left out are plugins named in `disabled` or, separated by commas, in the variable ``CODA_DISABLED_PLUGINS`` of
    `environ` (the process's own environment where that is None). Raises nothing for a plugin that is broken.
    """
    environ = os.environ if environ is None else environ
    off = {name.strip() for name in environ.get(DISABLED_VARIABLE, "").split(",")} - {""} | set(disabled)
    handed_over = (_Candidate(name, IN_PROCESS, "", module) for name, module in modules)
    candidates = sorted((*_installed(), *handed_over), key=lambda one: (one.name, one.distribution))
    for name in sorted(off - {one.name for one in candidates}):
        near = did_you_mean(name, [one.name for one in candidates])
        _logger.warning('plugin "%s" is to be disabled, and none of that name is installed. %s', name, near)

    loaded: list[Loaded] = []
    broken: list[BrokenPlugin] = []
    for name, group in itertools.groupby((one for one in candidates if one.name not in off), lambda one: one.name):
        same = list(group)
        if len(same) > 1:
            who = " and ".join(f"{one.distribution} {one.version}".strip() for one in same)
            reason = f'its name "{name}" is used by {who}, so none of them is loaded; uninstall or disable all but one'
            broken += [one.broken(reason) for one in same]
            continue
        try:
            loaded.append(_load(same[0]))
        except Unusable as error:
            broken.append(same[0].broken(str(error)))
    for plugin in broken:
        _logger.warning("plugin %s is left out: %s", plugin, plugin.reason)
    return Registry(
        plugins=tuple(one.plugin for one in loaded),
        broken=tuple(broken),
        disabled=tuple(sorted(off & {one.name for one in candidates})),
        registered=tuple(registered for one in loaded for registered in one.registered),
        observers=tuple((one.plugin, one.observer) for one in loaded if one.observer is not None),
    )


def _load(candidate: _Candidate) -> Loaded:
    if isinstance(candidate.source, Unusable):
        raise candidate.source
    module: object = candidate.source
    if isinstance(candidate.source, metadata.EntryPoint):
        try:
            module = candidate.source.load()
        except (Exception, SystemExit) as error:
            raise Unusable(f"it cannot be imported: {one_line(error)}") from error
    return register(candidate.name, candidate.distribution, candidate.version, module)


def _installed() -> Iterator[_Candidate]:
    # Not `metadata.entry_points`: one distribution with an unreadable list of entry points makes that raise.
    seen: set[str] = set()
    for distribution in metadata.distributions():
        if f"[{GROUP}]" not in (distribution.read_text("entry_points.txt") or ""):
            continue
        name = distribution.metadata["Name"] or "a distribution without a name"
        version = distribution.metadata["Version"] or ""
        # The first on the path is the one that is imported; others of its name are hidden behind it.
        if name.casefold() in seen:
            continue
        seen.add(name.casefold())
        try:
            entries = set(distribution.entry_points.select(group=GROUP))
        except (TypeError, ValueError) as error:
            unreadable = Unusable(f"its entry_points.txt cannot be read ({one_line(error)})")
            yield _Candidate(name, name, version, unreadable)
            continue
        for entry in entries:
            yield _Candidate(entry.name, name, version, entry)
