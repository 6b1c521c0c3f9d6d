# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The report in headless Chromium, driven as a reader does."""

from __future__ import annotations

import os
import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from mmseg_cag.report.page import SECTIONS
from mmseg_cag.report.write import write_report


def open_browser():
    """Start Chromium, a window of which can be as narrow as a phone."""
    options = webdriver.ChromeOptions()
    for argument in ('--headless=new', '--no-sandbox', '--disable-gpu'):
        options.add_argument(argument)
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    service = webdriver.ChromeService(shutil.which('chromedriver'))
    return webdriver.Chrome(options, service)


@pytest.fixture
def browser():
    if not shutil.which('chromedriver') and os.environ.get('CI') != 'true':
        pytest.skip('no chromedriver, expected the package chromium-driver')
    driver = open_browser()
    yield driver
    driver.quit()


def test_the_page_works(browser, finished):
    out = write_report([finished], finished / 'report.html', images=2)
    browser.get(out.as_uri())
    run = browser.execute_script
    for name in SECTIONS:
        assert run(f'return document.getElementById("{name}").offsetHeight')
    assert run('return window.spiked') is None
    assert run('return document.querySelectorAll(".main-svg").length')
    check_slider(run)
    check_toggles(browser, run)
    check_sorting(browser, run)
    before = run('return getComputedStyle(document.body).backgroundColor')
    browser.find_element('id', 'theme').click()
    after = run('return getComputedStyle(document.body).backgroundColor')
    assert before != after
    for width in (400, 1600):
        browser.execute_cdp_cmd(
            'Emulation.setDeviceMetricsOverride',
            dict(width=width, height=900, deviceScaleFactor=1, mobile=False),
        )
        assert run('return innerWidth') == width
        wide = run('return document.documentElement.scrollWidth')
        assert wide <= width
    assert browser.get_log('browser') == []


def check_slider(run) -> None:
    slider = run('return document.querySelector(".slider")')
    slider.send_keys(Keys.HOME)
    clip = (
        'return getComputedStyle(document.querySelector(".stack .after"))'
        '.clipPath'
    )
    left = run(clip)
    slider.send_keys(Keys.END)
    assert '0%' in left or left == 'inset(0px)'
    assert '100%' in run(clip)


def check_toggles(browser, run) -> None:
    for layer in ('pseudo', 'errors'):
        hidden = f'return document.querySelector(".layer.{layer}").hidden'
        assert run(hidden)
        browser.find_element(
            'css selector', f'[data-layer={layer}]'
        ).send_keys(' ')
        assert not run(hidden)


def check_sorting(browser, run) -> None:
    table = '#classes .sortable '
    button = browser.find_elements('css selector', f'{table}th button')[1]
    values = (
        f'return [...document.querySelectorAll("{table}tbody td:nth-child(2)'
        '")].map(cell => cell.dataset.value).filter(v => v).map(Number)'
    )
    for reverse in (True, False):
        run('arguments[0].click()', button)
        shown = run(values)
        assert len(shown) > 1
        assert shown == sorted(shown, reverse=reverse)
