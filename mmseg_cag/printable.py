# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations


def printable(text: object) -> str:
    r"""Write what strangers named so that it stays on its line.

    Control characters, such as those that move a terminal's cursor, and lone
    surrogates, which cannot be printed, become escapes such as ``\x1b``.

    Args:
        text: A name, or a message with names in it.
    """
    return ''.join(
        c if c.isprintable() else c.encode('unicode_escape').decode()
        for c in str(text)
    )
