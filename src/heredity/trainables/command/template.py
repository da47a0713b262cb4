"""The template of a command: words with placeholders, and parts for trials that restore or do not.

    train --lr {lr} --steps {steps} [--resume {restore}/last.pt | --fresh]

A placeholder is a name in braces; `{{` and `}}` are braces of the command's own. What stands from a
word that begins with `[` to one that ends with `]` is an optional part if `{restore}` is in it, or
a `|` that stands alone or at a bracket: what is left of the `|` is used when there is something to
restore, what is right of it when there is not. All other brackets belong to the command. This file
knows words and values; it runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heredity.errors import UsageError, did_you_mean

OWN = {
    "steps": "how many steps to train",
    "start": "the step to train from, counted along the weights' lineage",
    "stop": "the step to train to",
    "restore": "the folder that was saved at `start`, to read only",
    "save": "the folder to save into",
    "seed": "of the trial's randomness",
    "member": "the lane of the population",
    "trial": "the trial's number in its study",
    "work": "an empty folder, removed after the trial",
    "python": "the Python that runs heredity",
}
"""The placeholders beside those of the hparams."""

_BRACE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_ESCAPED = {"{{": "{", "}}": "}"}

Text = Callable[[Any], str]
"""How a value is written."""


def as_text(value: Any) -> str:
    """A value as a word: numbers so that they read back equal, truth as JSON has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_shell_text(value: Any) -> str:
    """A value as one word of a shell, whatever is in it; empty for None."""
    from shlex import quote

    return quote("" if value is None else as_text(value))


def fill(text: str, values: Mapping[str, Any], written: Text = as_text) -> str:
    """The text with its placeholders replaced.

    >>> fill("{{lr: {lr}}}", {"lr": 1e-05})
    '{lr: 1e-05}'
    """
    return _BRACE.sub(lambda brace: _ESCAPED.get(brace[0]) or written(values[brace[1]]), text)


def literal(text: str) -> str:
    """The text as a template of itself."""
    return text.replace("{", "{{").replace("}", "}}")


def shown(text: str) -> str:
    """A template in a message, on one line.

    >>> shown("train\\n  --lr {lr}")
    "'train --lr {lr}'"
    """
    return repr(" ".join(text.split()))


def placeholders(text: str) -> Iterator[str]:
    """The names in braces. `UsageError` for a brace that belongs to no pair."""
    for brace in _BRACE.finditer(text):
        if brace[0] in ("{", "}"):
            raise UsageError(
                f"a lone {brace[0]} in {shown(text)}: write {brace[0] * 2} for the sign"
            )
        if brace[0] not in _ESCAPED:
            yield brace[1]


def require_known(names: Iterator[str] | Sequence[str], hparams: Sequence[str], text: str) -> None:
    """`UsageError` unless all names are those of hparams or of `OWN`."""
    for name in names:
        if name not in hparams and name not in OWN:
            raise UsageError(
                f"{{{name}}} in {shown(text)} names no hparam and no placeholder."
                f"{did_you_mean(name, [*hparams, *OWN])} For braces of your own write {{{{ and }}}}"
            )


@dataclass(frozen=True)
class Part:
    """Words that are used always (`when` is None), or only in trials that do or do not restore."""

    words: tuple[str, ...]
    when: bool | None = None


@dataclass(frozen=True)
class Words:
    """A template of words, each of which becomes one argument, whatever its values hold."""

    parts: tuple[Part, ...]

    @classmethod
    def parse(cls, words: Sequence[str], restores: bool) -> Words:
        """The template that these words are, for trials all of which restore or only some.

        `UsageError` for one that could not be filled.
        """
        template = cls(tuple(_parts(list(words))))
        if "restore" in template.names(restoring=False) and not restores:
            raise UsageError(
                "the first trials have nothing to restore: put what needs {restore} in brackets, "
                "for example [--resume {restore}]; to the right of a | in them, what replaces it"
            )
        return template

    def used(self, restoring: bool) -> list[str]:
        """The words of a trial that restores, or not, their placeholders not yet replaced."""
        return [
            word for part in self.parts if part.when in (None, restoring) for word in part.words
        ]

    def names(self, restoring: bool) -> set[str]:
        """The placeholders in use."""
        return {name for word in self.used(restoring) for name in placeholders(word)}

    def filled(self, values: Mapping[str, Any]) -> list[str]:
        """The arguments."""
        return [fill(word, values) for word in self.used(values["restore"] is not None)]


@dataclass(frozen=True)
class ShellText:
    """A template for a shell. Values come quoted, and a folder to restore that is not there empty;
    optional parts are the shell's own affair."""

    text: str

    def names(self, restoring: bool) -> set[str]:
        """The placeholders in use."""
        return set(placeholders(self.text))

    def filled(self, values: Mapping[str, Any]) -> list[str]:
        """The arguments."""
        return ["/bin/sh", "-c", fill(self.text, values, as_shell_text)]


Template = Words | ShellText


def template(command: str | Sequence[str], shell: bool, restores: bool = False) -> Template:
    """The template that a user gave: a string, which is split as a shell would, or words.

    `restores` says that there always is something to restore.
    """
    if shell:
        if not isinstance(command, str):
            raise UsageError("with shell=True the command is a string, not a list of words")
        _ = list(placeholders(command))
        return ShellText(command)
    words = _split(command) if isinstance(command, str) else list(command)
    if not words or not all(isinstance(word, str) for word in words):
        raise UsageError(f"a command is a string or a list of strings, not empty; got {command!r}")
    return Words.parse(words, restores)


def _split(command: str) -> list[str]:
    from shlex import split  # a study can be made without it

    try:
        return split(command)
    except ValueError as error:
        raise UsageError(f"{shown(command)} cannot be split into words: {error}") from None


# Optional parts ----------------------------------------------------------------------------


def _parts(words: list[str]) -> Iterator[Part]:
    position = 0
    while position < len(words):
        end = _end_of_optional(words, position)
        if end is None:
            yield Part((words[position],))
            position += 1
        else:
            yield from _alternatives(words[position:end])
            position = end


def _end_of_optional(words: list[str], begin: int) -> int | None:
    """Behind the last word of the optional part that begins here; None if none does."""
    if not words[begin].startswith("["):
        return None
    for position in range(begin, len(words)):
        if words[position].endswith("]"):
            group = words[begin : position + 1]
            optional = any("{restore}" in word or word == "|" for word in group)
            at_bracket = group[0].startswith("[|") or group[-1].endswith("|]")
            return position + 1 if optional or at_bracket else None
    return None


def _alternatives(group: list[str]) -> Iterator[Part]:
    inside = list(group)
    inside[0] = inside[0][1:]
    inside[-1] = inside[-1][:-1]
    if len(inside) == 1:  # of a list: one of its words holds all of the part
        inside = _split(inside[0])
    words = [word for given in inside for word in re.split(r"(\|)", given) if word]
    if words.count("|") > 1:
        raise UsageError(f"{' '.join(group)!r} has more than one |: [restoring | from scratch]")
    bar = words.index("|") if "|" in words else len(words)
    yield Part(tuple(words[:bar]), when=True)
    yield Part(tuple(words[bar + 1 :]), when=False)
