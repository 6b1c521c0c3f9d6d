# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""(b) `pytest -m gpu`: what is computed on the GPU is what the CPU computes.

Results come in test by test. Where pytest-xdist is there, processes share the
tests: one whose GPU context a test has spoilt ends, and another goes on.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from gpu_day.setup import Setup

TESTS = Path(__file__).parents[3] / 'tests' / 'gpu'
PROCESSES = 5
# Makes the tests run on the CPU, where there is no GPU.
REHEARSE = 'REHEARSE_GPU'


class Collector:
    """A plugin of pytest that notes how each test ends.

    Args:
        setup: Of the part; results are saved by it.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.found: dict = dict(passed=0, skipped=0, failed={}, seconds={})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test's set-up, call or teardown."""
        found, name = self.found, report.nodeid.rpartition('gpu/')[2]
        if report.failed:
            found['failed'][name] = last_line(report)
        elif report.skipped:
            found['skipped'] += 1
        elif report.when == 'call':
            found['passed'] += 1
            found['seconds'][name] = round(report.duration, 2)
        self.setup.save(found)


def last_line(report: pytest.TestReport) -> str:
    """Take from a report what went wrong, in one line."""
    crash = getattr(report.longrepr, 'reprcrash', None)
    text = crash.message if crash else str(report.longrepr)
    return (text.strip().splitlines() or ['?'])[0][:300]


def measure(setup: Setup) -> dict:
    """Run the tests; returns how many passed, and which failed and why."""
    collector = Collector(setup)
    options = [str(TESTS), '-m', 'gpu', '-q', '-p', 'no:cacheprovider']
    # What the project's options need may not be there.
    options += ['-o', 'addopts=', '--tb=short', '--rootdir', str(TESTS)]
    options += ['-c', str(TESTS.parents[1] / 'pyproject.toml')]
    if setup.rehearse:
        os.environ[REHEARSE] = '1'
    elif find_spec('xdist'):
        options += ['-n', str(PROCESSES), '--max-worker-restart', '20']
        threads = len(os.sched_getaffinity(0)) // PROCESSES
        os.environ['OMP_NUM_THREADS'] = str(max(1, threads))
    code = pytest.main(options, plugins=[collector])
    return collector.found | dict(code=int(code))


def check(results: dict, rehearse: bool) -> list[str]:
    """Find tests that failed, or that did not run."""
    faults = [f'{k}: {v}' for k, v in sorted(results['failed'].items())]
    if len(faults) > 3:
        faults = [*faults[:3], f'and {len(faults) - 3} more']
    if not results['passed']:
        faults.append(f'no test ran, pytest ended with {results["code"]}')
    elif not faults and results['code']:
        faults.append(f'pytest ended with {results["code"]}')
    return faults
