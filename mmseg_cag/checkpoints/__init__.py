# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Files of a run's state: written whole, found whole."""

from .atomic_backend import AtomicBackend, write_whole
from .folder import newest_whole, numbered, put_aside, remove_drafts
from .remove_later import RemoveLater
from .whole import fault_of

__all__ = [
    'AtomicBackend',
    'RemoveLater',
    'fault_of',
    'newest_whole',
    'numbered',
    'put_aside',
    'remove_drafts',
    'write_whole',
]
