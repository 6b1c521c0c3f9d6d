# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Measure the cost of loading a training sample, step by step."""
