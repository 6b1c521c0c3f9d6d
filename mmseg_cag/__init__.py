# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Unsupervised domain adaptation for mmsegmentation by category anchors.

Importing the package registers its classes in mmseg's registries; a config
does so with ``custom_imports = dict(imports=['mmseg_cag'])``. Without torch
nothing is registered: `mmseg_cag.watch` does not need it.
"""

from mmseg_cag.stack import can_import, require_one_stack, write_utf8
from mmseg_cag.version import __version__

__all__ = ['__version__']

write_utf8()
if can_import('torch'):
    require_one_stack()

    from mmseg_cag import (
        datasets,
        engine,
        evaluation,
        models,
        monitor,
    )

    __all__ += ['datasets', 'engine', 'evaluation', 'models', 'monitor']
