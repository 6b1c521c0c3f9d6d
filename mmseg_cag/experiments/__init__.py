# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Chains of runs, each with a result that is reused while it is valid."""

from .step import Step

__all__ = ['Step']
