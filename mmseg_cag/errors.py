# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Container


def escape_control_chars(text: object) -> str:
    r"""Escape control characters of untrusted text.

    Control characters, such as those that move a terminal's cursor, and lone
    surrogates, which cannot be printed, become escapes such as ``\x1b``.

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
        """Give the message alone.

        A data loader's worker hands its error over with the traceback before
        it, of which the last line is ours. What files and classes are called
        cannot break the line or steer a terminal.
        """
        name = f'{type(self).__module__}.{type(self).__qualname__}: '
        return escape_control_chars(
            super().__str__().rpartition(name)[2].strip()
        )


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder that a setting names and that does not exist."""


def require_one_of(key: str, value: object, known: Container) -> None:
    """Check that a setting is one of a few.

    Raises:
        UserError: It is not.
    """
    if value not in known:
        raise UserError(f'{key}={value!r}, expected one of {known}')
