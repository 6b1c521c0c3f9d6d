# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""(b) `pytest -m gpu`: GPU results equal the CPU's.

Results arrive test by test. With pytest-xdist, several processes share the
tests: if a test corrupts the GPU context, another process takes over.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from gpu_day.setup import Setup

TESTS = Path(__file__).parents[3] / 'tests' / 'gpu'
PROCESSES = 8
# Makes the tests run on the CPU without a GPU.
REHEARSE = 'REHEARSE_GPU'


class Collector:
    """A pytest plugin that records the outcome of each test.

    Args:
        setup: Setup of the part, which saves the results.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.found: dict = dict(
            passed=0, skipped=0, failed={}, not_run=0, seconds={}
        )
        self.collected: set[str] = set()
        self.done: set[str] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count the tests."""
        self._collect([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(
        self, node: object, ids: list[str]
    ) -> None:
        """Count the tests of a process: each collects all."""
        self._collect(ids)

    def _collect(self, names: list[str]) -> None:
        self.collected.update(names)
        self._save()

    def _save(self) -> None:
        self.found['not_run'] = len(self.collected - self.done)
        self.setup.save(self.found)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record a test's setup, call or teardown."""
        found, name = self.found, report.nodeid.rpartition('gpu/')[2]
        if report.failed:
            # Of a process that then ends, the first report tells why.
            found['failed'].setdefault(name, last_line(report))
        elif report.skipped:
            found['skipped'] += 1
        elif report.when == 'call':
            found['passed'] += 1
            found['seconds'][name] = round(report.duration, 2)
        if report.when == 'call' or not report.passed:
            self.done.add(report.nodeid)
        self._save()


def last_line(report: pytest.TestReport) -> str:
    """Extract the failure from a report, in one line."""
    crash = getattr(report.longrepr, 'reprcrash', None)
    text = crash.message if crash else str(report.longrepr)
    return (text.strip().splitlines() or ['?'])[0][:300]


def measure(setup: Setup) -> dict:
    """Run the tests; returns the number passed, and failures with reasons."""
    collector = Collector(setup)
    options = [str(TESTS), '-m', 'gpu', '-q', '-p', 'no:cacheprovider']
    # Plugins for the project's options may be missing.
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
    """Find tests that failed or did not run."""
    faults = [f'{k}: {v}' for k, v in sorted(results['failed'].items())]
    if len(faults) > 3:
        faults = [*faults[:3], f'and {len(faults) - 3} more']
    if results['not_run']:
        faults.append(f'{results["not_run"]} tests did not run')
    if not results['passed']:
        faults.append(f'no test ran, pytest ended with {results["code"]}')
    elif not faults and results['code']:
        faults.append(f'pytest ended with {results["code"]}')
    return faults
