# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from speed.measure import measure_operations, measure_scaling, measure_step
from speed.step import Form
from speed.tables import make_notes, make_tables, to_markdown

__all__ = [
    'Form',
    'make_notes',
    'make_tables',
    'measure_operations',
    'measure_scaling',
    'measure_step',
    'to_markdown',
]
