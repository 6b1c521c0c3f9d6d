# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import socket
import subprocess
import sys

import pytest
import pytest_socket

ELSEWHERE = '192.0.2.1'  # reserved for documentation
DOWNLOAD = f'from urllib.request import urlopen; urlopen("http://{ELSEWHERE}")'


def test_no_test_reaches_another_machine():
    with pytest.raises(pytest_socket.SocketConnectBlockedError):
        socket.create_connection((ELSEWHERE, 80), timeout=1)


def test_nor_does_a_download_of_a_child_process():
    done = subprocess.run(
        [sys.executable, '-c', DOWNLOAD],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert 'Connection refused' in done.stderr


def test_processes_of_this_machine_still_meet():
    with socket.create_server(('127.0.0.1', 0)) as server:
        socket.create_connection(server.getsockname()).close()
