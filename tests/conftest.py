# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.utils import register_all_modules
from rows.work import plain_text

import mmseg_cag  # noqa: F401

if TYPE_CHECKING:
    from selenium import webdriver

FORMATTED = Config.pretty_text


@pytest.fixture(autouse=True, scope='session')
def registered() -> None:
    """Make mmseg's registries the default, as a config does."""
    register_all_modules(init_default_scope=True)


@pytest.fixture(autouse=True, scope='session')
def offline() -> None:
    """Lead what child processes would download to a port without a server.

    In this process pytest-socket refuses connections to other machines.
    """
    for scheme in ('http', 'https', 'all'):
        os.environ[f'{scheme}_proxy'] = 'http://127.0.0.1:9'
    os.environ['no_proxy'] = 'localhost,127.0.0.1'


@pytest.fixture(autouse=True, scope='session')
def foreground() -> None:
    """Receive Ctrl-C, which a script's background processes ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope='session')
def plain() -> Iterator[None]:
    """Spare each runner the formatting of its config, most of its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, 'pretty_text', property(plain_text))
        yield


@pytest.fixture
def formatted(plain: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write configs as mmengine does."""
    monkeypatch.setattr(Config, 'pretty_text', FORMATTED)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Let every test draw the same random numbers, whichever ran before."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def process_state() -> list:
    """Tell how this process computes, and if it ignores signals.

    Its child processes would ignore them, too.
    """
    backends = torch.backends
    owners = [backends.cuda.matmul]
    if hasattr(backends.cudnn, 'conv'):  # torch 2.9 and later
        owners += [backends.cudnn.conv, backends.cudnn.rnn]
        owners += [backends.mkldnn.matmul, backends.mkldnn.conv]
    return [
        *(getattr(owner, 'fp32_precision', None) for owner in owners),
        backends.mkldnn.enabled,
        torch.are_deterministic_algorithms_enabled(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        signal.getsignal(signal.SIGTERM) == signal.SIG_IGN,
        signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
    ]


@pytest.fixture(autouse=True)
def settled() -> Iterator[None]:
    """Let a test that changes the process for all later ones fail itself."""
    before = process_state()
    yield
    assert process_state() == before


@pytest.fixture
def browser() -> Iterator[webdriver.Chrome]:
    """Chromium, whose window can be as narrow as a phone, without network."""
    driver = shutil.which('chromedriver')
    if not driver and os.environ.get('CI') != 'true':
        pytest.skip('no chromedriver, expected the package chromium-driver')
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for argument in (
        '--headless=new',
        '--no-sandbox',
        '--disable-gpu',
        '--disable-dev-shm-usage',
        '--proxy-server=localhost:1',
    ):
        options.add_argument(argument)
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    session = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield session
    session.quit()
