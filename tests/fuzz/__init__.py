# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Damaged and hostile files for every reader of files from outside.

``python -m tests.fuzz --inputs 10000`` mutates files that are valid. Each must
be read, or be refused by a `UserError` of one line: no other exception, no
crash of the process, no hang, and nothing of a pickle executed.
"""
