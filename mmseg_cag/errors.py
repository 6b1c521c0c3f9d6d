# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager


def escape_control_chars(text: object) -> str:
    r"""Escape control characters of untrusted text.

    Control characters, such as those that move a terminal's cursor, and
    unprintable lone surrogates become escapes such as ``\x1b``.

    Args:
        text: A name, or a message with names in it.
    """
    return ''.join(
        c if c.isprintable() else c.encode('unicode_escape').decode()
        for c in str(text)
    )


class UserError(ValueError):
    """A setting or a file that the user can fix.

    The message is one line that names the key or the file and says what was
    expected; the tools print it without a traceback.
    """

    def __str__(self) -> str:
        """Return only the message.

        A dataloader worker passes its error with a traceback whose last line
        is the message. Names of files and classes cannot break the line or
        control a terminal.
        """
        name = f'{type(self).__module__}.{type(self).__qualname__}: '
        return escape_control_chars(
            super().__str__().rpartition(name)[2].strip()
        )


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder named in a setting that does not exist."""


def require_one_of(key: str, value: object, known: Container) -> None:
    """Check that a setting is one of the known values.

    Raises:
        UserError: It is not.
    """
    if value not in known:
        raise UserError(f'{key}={value!r}, expected one of {known}')


def require_share(key: str, value: float) -> None:
    """Check that a setting is a share or a probability.

    Raises:
        UserError: It is not in 0..1.
    """
    if not 0 <= value <= 1:
        raise UserError(f'{key}={value!r}, expected a number in 0..1')


@contextmanager
def exit_on_user_error(*others: type[Exception]) -> Iterator[None]:
    """Exit with the message of a `UserError`, without a traceback.

    Args:
        others: Exceptions whose message is meant for the user here, too.
    """
    try:
        yield
    except (UserError, *others) as error:
        raise SystemExit(f'error: {error}') from None
