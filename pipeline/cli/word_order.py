"""Put the words of a command in order before Typer parses them.

Typer accepts what this program refuses: an option that is given twice, a switch with a value, an
unknown option that looks like the name of a file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import Field, dataclass, field
from typing import Any

from pipeline.cli.verbs import HELP_ALL, VERBS, help_of
from pipeline.near_words import did_you_mean
from pipeline.option_fields import flag
from pipeline.settings import options
from stages.errors import UsageError

MAX_SHOWN = 60
"""Characters of a value that a message shows."""


def in_order(verb: str, words: Sequence[str]) -> tuple[list[str], frozenset[str]]:
    """Return the words with every value tied to its option and the inputs last, after ``--``.

    Also returns the settings that are switched off, as by ``--no-lossless``. Raises UsageError for
    an unknown option, with the nearest known one; for an option without its value; and for an
    option that contradicts an earlier one.
    """
    return _Words(verb, list(words)).sorted()


@dataclass
class _Words:
    """The words of one command, while they are put in order.

    left: the words that are still to be read. given: options with their values. inputs: the other
    words. switched_off: settings that are switched off. given_as: the word or value by which each
    setting was given so far.
    """

    verb: str
    left: list[str]
    given: list[str] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    switched_off: set[str] = field(default_factory=set)
    given_as: dict[str, str] = field(default_factory=dict)

    def sorted(self) -> tuple[list[str], frozenset[str]]:
        """Read all words and return them in order, and the settings that are switched off."""
        known = {flag(item): item for item in options(self.verb)}
        while self.left:
            word = self.left.pop(0)
            name, equals, value = word.partition("=")
            item = known.get(name)
            if item is not None and item.default is False:
                self._switch(item, name, equals + value)
            elif item is not None:
                self._option(item, name, value if equals else self._next_value(item, name, known))
            elif _is_option(word):
                self._switch_off(word, known)
            else:
                self.inputs.append(word)
        return [*self.given, "--", *self.inputs], frozenset(self.switched_off)

    def _switch(self, item: Field[Any], name: str, value: str) -> None:
        if value:
            raise UsageError(f"{name} is a switch and takes no value; leave out {value}")
        self._note_switch(item.name, name)
        self.given.append(name)

    def _option(self, item: Field[Any], name: str, value: str) -> None:
        if item.name in self.given_as and not item.metadata["repeat"]:
            before = _shortened(self.given_as[item.name])
            raise UsageError(
                f"{name} is given twice, as {before} and as {_shortened(value)}; give it once"
            )
        self.given_as[item.name] = value
        self.given.append(f"{name}={value}")

    def _next_value(self, item: Field[Any], name: str, known: dict[str, Field[Any]]) -> str:
        """Return the next word, which must be the option's value."""
        if not self.left or self.left[0] in known or _is_option(self.left[0]):
            meaning = help_of(item, self.verb)
            raise UsageError(f"{name} needs {item.metadata['metavar']}: {meaning}")
        return self.left.pop(0)

    def _switch_off(self, word: str, known: dict[str, Field[Any]]) -> None:
        """Take a word such as ``--no-lossless``; any other word is an unknown option."""
        item = known.get(f"--{word[5:]}") if word.startswith("--no-") else None
        if item is None or item.default is not False:
            raise UsageError(f"{word} is not an option of {self.verb}{_instead(word, known)}")
        self._note_switch(item.name, word)
        self.switched_off.add(item.name)

    def _note_switch(self, setting: str, word: str) -> None:
        """Note the word that switches a setting; raise UsageError if another did the opposite."""
        before = self.given_as.setdefault(setting, word)
        if before != word:
            raise UsageError(f"{before} and {word} contradict each other; give one of them")


def _instead(word: str, known: dict[str, Field[Any]]) -> str:
    """Return what to say about an unknown option: who has it, or which one is similar."""
    name = word.partition("=")[0]
    owners = [verb for verb in VERBS if name in map(flag, options(verb))]
    if owners:
        return f"; it is one of {' and '.join(owners)}"
    switches = [name for name, item in known.items() if item.default is False]
    choices = [*known, HELP_ALL, *(f"--no-{name[2:]}" for name in switches)]
    return did_you_mean(name, choices) or "; see --help-all"


def _shortened(word: str) -> str:
    """Return a value as messages show it."""
    return word if len(word) <= MAX_SHOWN else f"{word[: MAX_SHOWN - 3]}..."


def _is_option(word: str) -> bool:
    """Return whether a word is meant as an option; ``-5``, ``-`` and ``-my film.mp4`` are not."""
    if len(word) < 2 or word[0] != "-" or " " in word:
        return False
    return not re.fullmatch(r"-\d+|-\d*\.\d+", word)
