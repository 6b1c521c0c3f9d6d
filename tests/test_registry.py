# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import mmengine.registry
import mmseg.registry
import pytest
from mmengine.registry import Registry

import mmseg_cag


def registered() -> dict[str, type]:
    """Find what the package has registered, by name."""
    found = {}
    for module in (mmseg.registry, mmengine.registry):
        for registry in vars(module).values():
            if isinstance(registry, Registry):
                for name, item in registry.module_dict.items():
                    if item.__module__.startswith(mmseg_cag.__name__):
                        found[name] = item
    return found


CLASSES = registered()


def test_all_kinds_are_there():
    modules = {item.__module__.split('.')[1] for item in CLASSES.values()}
    assert modules >= {'datasets', 'models', 'engine'}


@pytest.mark.parametrize('name', sorted(CLASSES))
def test_a_class_has_its_own_name_and_a_docstring(name):
    # A function's own is in other letters.
    assert CLASSES[name].__name__.replace('_', '').lower() == name.lower()
    assert CLASSES[name].__doc__
