# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Optimizers, their wrappers and schedules."""
