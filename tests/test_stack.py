# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest

from mmseg_cag import stack

ROOTS = 'mmcv', 'mmengine', 'mmseg'


def provide(monkeypatch, importable, installed):
    monkeypatch.setattr(
        stack, 'find_spec', lambda name: name if name in importable else None
    )
    monkeypatch.setattr(
        stack, 'is_installed', lambda package: package in installed
    )


@pytest.mark.parametrize(
    'packages',
    [
        {'mmcv', 'mmengine', 'mmsegmentation'},
        {'onedl-mmcv', 'onedl-mmengine', 'onedl-mmsegmentation'},
        set(),  # checkouts on PYTHONPATH
    ],
)
def test_either_stack_will_do(monkeypatch, packages):
    provide(monkeypatch, ROOTS, packages)
    stack.require_one_stack()


def test_what_is_missing_is_named_with_both_remedies(monkeypatch):
    provide(monkeypatch, ('mmcv', 'mmengine'), {'mmcv', 'mmengine'})
    with pytest.raises(ImportError) as caught:
        stack.require_one_stack()
    for part in ('needs mmseg', 'requirements/openmmlab.txt', "OpenMMLab's"):
        assert part in str(caught.value)


def test_packages_that_overwrite_each_other_are_named(monkeypatch):
    provide(monkeypatch, ROOTS, {'mmcv', 'onedl-mmcv'})
    with pytest.raises(ImportError, match='uninstall mmcv onedl-mmcv'):
        stack.require_one_stack()


def test_installed_packages_are_found():
    assert stack.is_installed('torch')
    assert not stack.is_installed('mmcv-that-is-not')


def test_a_torchvision_for_another_torch_is_named(monkeypatch):
    def fail(name):
        raise RuntimeError('operator torchvision::nms does not exist')

    provide(monkeypatch, (*ROOTS, 'timm'), {'mmcv', 'timm'})
    monkeypatch.setattr(stack, 'import_module', fail)
    with pytest.raises(ImportError, match='fit torch .*uninstall timm'):
        stack.require_one_stack()
