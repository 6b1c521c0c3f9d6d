# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .alarm import Alarm, AlarmWatch, write_alarm
from .coverage_collapse import CoverageCollapse
from .disagreement import Disagreement
from .vanished_class import VanishedClass

__all__ = [
    'Alarm',
    'AlarmWatch',
    'CoverageCollapse',
    'Disagreement',
    'VanishedClass',
    'write_alarm',
]
