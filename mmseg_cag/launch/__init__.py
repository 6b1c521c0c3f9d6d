# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Launching runs: chains, locks, resume and checks of settings."""
