# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Unsupervised domain adaptation for mmsegmentation by category anchors.

Importing the package registers its classes in mmseg's registries; a config
does so by ``custom_imports = dict(imports=['mmseg_cag'])``.
"""

from mmseg_cag.stack import require_one_stack, write_utf8

require_one_stack()
write_utf8()

from mmseg_cag import (  # noqa: E402
    datasets,
    engine,
    evaluation,
    models,
    monitor,
)
from mmseg_cag.version import __version__  # noqa: E402

__all__ = [
    'datasets',
    'engine',
    'evaluation',
    'models',
    'monitor',
    '__version__',
]
