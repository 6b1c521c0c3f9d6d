# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Faults planted into tiny runs: ``python -m tests.faults --rounds 50``.

A round is one fault. It is lost unless the run ends, after the same command
was given again where need be, with the very bits of the undisturbed run.
"""
