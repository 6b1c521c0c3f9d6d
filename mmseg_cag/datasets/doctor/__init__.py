# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The data doctor: what is wrong with data, found before a run is lost."""

from .classes import check_class_names
from .domains import check_overlap
from .examine import examine
from .finding import Finding
from .kinds import KINDS, Level
from .quick_checks import quick_checks
from .reading import Reading, readings_of
from .report import Report
from .table import show

__all__ = [
    'KINDS',
    'Finding',
    'Level',
    'Reading',
    'Report',
    'check_class_names',
    'check_overlap',
    'examine',
    'quick_checks',
    'readings_of',
    'show',
]
