"""What a new plugin is called: its distribution, its module, its component and its classes."""

from __future__ import annotations

import importlib.util
import keyword
import re
from typing import Final, Self

import attrs

from coda_core.errors import CodaError
from coda_core.interfaces import Kind

__all__ = ["Names"]

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PREFIX: Final = "coda-"
_LONGEST: Final = 50


@attrs.frozen
class Names:
    """The names of one plugin, all from the one that a person gave."""

    component: str
    """What ``use = "..."`` says, as in ``radio-four``; the name of the entry point, too."""

    @classmethod
    def of(cls, name: str) -> Self:
        """Take a name as in ``radio-four`` or ``coda-radio-four``; raises `CodaError` for one that cannot be."""
        component = name.removeprefix(_PREFIX)
        if _NAME.fullmatch(component) is None or len(component) > _LONGEST:
            raise CodaError(
                f'"{name}" cannot be the name of a component; give lower-case letters and digits, beginning with a '
                f"letter, words joined by hyphens, {_LONGEST} characters at most, as in radio-four"
            )
        if keyword.iskeyword(component) or component in ("test", "register"):
            raise CodaError(f'"{component}" has a meaning of its own in a package; give another name')
        return cls(component)

    @property
    def distribution(self) -> str:
        return f"{_PREFIX}{self.component}"

    @property
    def module(self) -> str:
        return self.distribution.replace("-", "_")

    @property
    def class_name(self) -> str:
        return "".join(part.capitalize() for part in self.component.split("-"))

    def require_free(self, kind: Kind) -> None:
        """Raise `CodaError` where a package or a component of that name is installed here already."""
        if importlib.util.find_spec(self.module) is not None:
            raise CodaError(f"a package {self.module} is installed here already; give another name")
        from coda_core.plugins import load_plugins
        from coda_core.plugins.registry import kind_words

        for one in load_plugins().components(kind):
            if one.component.name == self.component:
                raise CodaError(
                    f'there is {kind_words(kind, article=True)} called "{self.component}" already, from {one.plugin}; '
                    "give another name"
                )
