# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What a step starts ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from mmseg_cag.minitown.child import run_tool

# Signals act as by default, however the tests were started (nohup).
WAIT = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from mmseg_cag.minitown import child
child.GRACE = 1.0
child.exit_on_signals()
child.run_tool('Wait', sys.argv[1], sys.argv[2])
"""
DRAW = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from mmseg_cag.minitown import child, town
child.exit_on_signals()
town.draw_minitown(sys.argv[1], source=5000, workers=2)
"""
# Ignores the signal, and so does what it started itself.
STUBBORN = """
import pathlib, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(['sleep', '100'])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
child.wait()
"""


def tool(folder, text):
    path = folder / 'tool.py'
    path.write_text(text)
    return path


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that nobody has asked for its exit code is no process any more.
    with open(f'/proc/{pid}/stat') as file:
        return file.read().rpartition(')')[2].split()[0] != 'Z'


def test_a_tool_shows_lines_at_once_and_has_our_environment(tmp_path, capfd):
    text = "import os; print(*map(os.getenv, ('PYTHONUNBUFFERED', 'X')))"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('X', 'kept')
        patch.delenv('PYTHONUNBUFFERED', raising=False)
        run_tool('Tell', tool(tmp_path, text))
    assert capfd.readouterr().out == '1 kept\n'


def test_a_tool_that_fails_ends_the_step(tmp_path):
    with pytest.raises(SystemExit, match='Tell: failed, see the error above'):
        run_tool('Tell', tool(tmp_path, 'raise SystemExit(3)'))


@pytest.mark.parametrize(
    'sent',
    [
        'SIGTERM',
        pytest.param('SIGINT', marks=pytest.mark.long),
        pytest.param('SIGHUP', marks=pytest.mark.long),
    ],
)
def test_what_does_not_end_is_killed_with_what_it_started(tmp_path, sent):
    note = tmp_path / 'pid'
    arguments = [tool(tmp_path, STUBBORN), note]
    parent = subprocess.Popen([sys.executable, '-c', WAIT, *arguments])
    wait_for(lambda: note.exists() and note.read_text())
    grandchild = int(note.read_text())
    assert is_alive(grandchild)
    parent.send_signal(signal.Signals[sent])
    assert parent.wait(20) == 128 + signal.Signals[sent]
    wait_for(lambda: not is_alive(grandchild))


@pytest.mark.long
def test_drawing_ends_without_the_rest(tmp_path):
    parent = subprocess.Popen([sys.executable, '-c', DRAW, tmp_path / 'town'])
    wait_for(lambda: list(tmp_path.glob('town/gta/labels/*.png')))
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(20) == 128 + signal.SIGTERM
    drawn = len(list(tmp_path.glob('town/gta/labels/*.png')))
    assert drawn < 1000
