"""Every error `heredity` raises on purpose: one class for each distinct reaction.

    HeredityError
    ├── UsageError (ValueError)            correct the call, then run again
    │   ├── SpaceError                     the declared space makes no sense
    │   ├── HparamsError                   hparams that do not fit the space
    │   └── DefinitionMismatch             a study of this name has another definition
    ├── MissingExtra (ImportError)         install what the message names
    ├── NotFound (LookupError)             no such study, trial or checkpoint
    ├── Conflict                           another writer was first: read on, decide again
    ├── IllegalEvent                       an event that the study's state does not allow
    ├── AlgorithmStuck                     nothing runs, nothing is proposed, not done
    ├── StoreError                         the log cannot be read or written
    ├── CheckpointError                    a checkpoint cannot be read or written
    │   └── CheckpointCorrupt              its bytes are not those that were saved
    └── TrainingError                      the user's code failed

A message says what happened, the value seen and what to do. `exit_code` is what the command line
returns, `http_status` what a service answers. This file knows nothing of the rest of the package.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HeredityError(Exception):
    """Base of every error raised on purpose."""

    exit_code = 1
    http_status = 500


class UsageError(HeredityError, ValueError):
    """The call cannot mean anything sensible; nothing has been run or changed."""

    exit_code = 2
    http_status = 400


class SpaceError(UsageError):
    """The declared space makes no sense."""


class HparamsError(UsageError):
    """Hparams that do not fit their space."""


class DefinitionMismatch(UsageError):
    """A study of this name exists with another definition.

    `differences` maps each differing field to the pair (stored, given), as text.
    """

    http_status = 409

    def __init__(self, message: str, differences: dict[str, tuple[str, str]] | None = None) -> None:
        super().__init__(message)
        self.differences = differences or {}


class MissingExtra(HeredityError, ImportError):
    """An optional dependency is not installed; the message gives the pip command."""

    exit_code = 3
    http_status = 501

    def __init__(self, extra: str, purpose: str, package: str | None = None) -> None:
        needed = f" ({package})" if package else ""
        super().__init__(
            f"{purpose} needs the extra [{extra}]{needed}, which is not installed: "
            f"pip install 'heredity[{extra}]'"
        )
        self.extra = extra


class NotFound(HeredityError, LookupError):
    """No such study, trial or checkpoint."""

    exit_code = 4
    http_status = 404


class Conflict(HeredityError):
    """Another writer appended first. The driver reads on and decides again."""

    http_status = 409


class IllegalEvent(HeredityError):
    """An event that the study's state does not allow; the state is unchanged."""

    http_status = 409


class AlgorithmStuck(HeredityError):
    """The algorithm proposes nothing although nothing runs and the study is not done."""


class StoreError(HeredityError):
    """The log cannot be read or written."""

    exit_code = 5
    http_status = 503


class CheckpointError(HeredityError):
    """A checkpoint cannot be read or written."""

    exit_code = 6
    http_status = 507


class CheckpointCorrupt(CheckpointError):
    """A checkpoint's bytes are not those that were saved."""


class TrainingError(HeredityError):
    """The user's code failed. `remote_traceback` holds the user's own frames, as text."""

    exit_code = 7

    def __init__(
        self,
        message: str,
        *,
        member: int | None = None,
        trial: int | None = None,
        remote_traceback: str = "",
    ) -> None:
        super().__init__(message)
        self.member = member
        self.trial = trial
        self.remote_traceback = remote_traceback


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A suggestion to append to a message: `` Did you mean `lr`?``, or the known names.

    >>> did_you_mean("learning_rat", ["learning_rate", "momentum"])
    ' Did you mean `learning_rate`?'
    >>> did_you_mean("zzz", ["lr"])
    ' Known: lr.'
    """
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f" Did you mean `{close[0]}`?"
    return f" Known: {', '.join(known)}." if known else ""
