# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The report in headless Chromium, driven as a reader does."""

from __future__ import annotations

import base64

from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from mmseg_cag.analysis.report.write import SECTIONS, write_report


def test_the_page_works(browser, spiked):
    source = spiked.parent / 'source'
    out = write_report([spiked, source], spiked / 'report.html', images=2)
    set_theme(browser, 'light')
    browser.get(out.as_uri())
    check_parts(browser)
    check_slider(browser)
    check_toggles(browser)
    for column in (1, 2, 3):
        check_sorting(browser, column)
    check_themes(browser)
    for width in (400, 1600):
        check_width(browser, width)
    check_print(browser)
    run = browser.execute_script
    assert run('return window.spiked') is None
    loaded = run(
        'return performance.getEntriesByType("resource").map(e => e.name)'
    )
    assert [name for name in loaded if not name.startswith('data:')] == []
    assert browser.get_log('browser') == []


def check_parts(page: webdriver.Chrome) -> None:
    for name, title in SECTIONS.items():
        heading = page.find_element('css selector', f'#{name} > h2')
        assert heading.is_displayed() and heading.text == title
    assert 'cag' in page.find_element('id', 'title').text
    charts = page.find_elements('css selector', '.chart')
    assert len(charts) >= 8
    assert all(c.find_elements('css selector', '.main-svg') for c in charts)
    cards = page.find_elements('css selector', '#summary .card')
    assert [c.rect['y'] for c in cards] == [cards[0].rect['y']] * 2


def check_slider(page: webdriver.Chrome) -> None:
    slider = page.find_element('css selector', '.slider')
    after = page.find_element('css selector', '.stack .after')
    slider.send_keys(Keys.END)
    assert '100%' in after.value_of_css_property('clip-path')
    slider.send_keys(Keys.HOME)
    assert '100%' not in after.value_of_css_property('clip-path')
    slider.send_keys(Keys.ARROW_RIGHT)
    assert slider.get_attribute('value') == '1'
    assert '1%' in after.value_of_css_property('clip-path')


def check_toggles(page: webdriver.Chrome) -> None:
    for name in ('pseudo', 'errors'):
        layer = page.find_element('css selector', f'.layer.{name}')
        toggle = page.find_element('css selector', f'[data-layer={name}]')
        assert not layer.is_displayed()
        toggle.send_keys(' ')
        assert layer.is_displayed()
        toggle.send_keys(' ')
        assert not layer.is_displayed()


def check_sorting(page: webdriver.Chrome, column: int) -> None:
    table = '#classes .sortable'
    [button] = page.find_elements(
        'css selector', f'{table} th:nth-child({column}) button'
    )[:1]
    cells = (
        f'return [...document.querySelector("{table}").tBodies[0].rows]'
        f'.map(row => row.cells[{column - 1}].dataset.value)'
    )
    for reverse in (column > 1, column == 1):
        page.execute_script('arguments[0].click()', button)
        shown = [cell for cell in page.execute_script(cells) if cell]
        assert len(shown) > 3
        key = str.lower if column == 1 else float
        if column == 1:
            shown = [name for name in shown if name[0].isalpha()]
        assert shown == sorted(shown, key=key, reverse=reverse)


def check_themes(page: webdriver.Chrome) -> None:
    def ground() -> str:
        body = page.find_element('css selector', 'body')
        return body.value_of_css_property('background-color')

    light = ground()
    set_theme(page, 'dark')
    dark = ground()
    assert dark != light
    page.find_element('id', 'theme').click()
    assert ground() == light
    page.find_element('id', 'theme').click()
    assert ground() == dark


def set_theme(page: webdriver.Chrome, name: str, media: str = '') -> None:
    page.execute_cdp_cmd(
        'Emulation.setEmulatedMedia',
        dict(
            media=media,
            features=[dict(name='prefers-color-scheme', value=name)],
        ),
    )


def check_width(page: webdriver.Chrome, width: int) -> None:
    """Nothing is cut off: neither the page nor a chart is too wide."""
    page.execute_cdp_cmd(
        'Emulation.setDeviceMetricsOverride',
        dict(width=width, height=900, deviceScaleFactor=1, mobile=False),
    )
    run = page.execute_script
    assert run('return innerWidth') == width
    assert run('return document.documentElement.scrollWidth') <= width
    slider = page.find_element('css selector', '.slider')
    assert slider.rect['width'] > 0.2 * width
    for chart in page.find_elements('css selector', '.chart'):
        assert 0.2 * width < chart.rect['width'] <= width


def check_print(page: webdriver.Chrome) -> None:
    """In print nothing is left that needs a hand, and it is not dark."""
    set_theme(page, 'dark', 'print')
    for name in ('.bar', '.toggles', '.slider'):
        assert not page.find_element('css selector', name).is_displayed()
    body = page.find_element('css selector', 'body')
    assert '255, 255, 255' in body.value_of_css_property('background-color')
    document = page.execute_cdp_cmd('Page.printToPDF', {})['data']
    assert base64.b64decode(document).startswith(b'%PDF')
