# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The documentation's site, built as CI builds it and read in a browser."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from selenium import webdriver
from selenium.common.exceptions import (
    NoSuchElementException,
    StaleElementReferenceException,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from mmseg_cag.stack import is_installed

DOCS = Path(__file__).parents[1] / 'docs'
CLASS = 'mmseg_cag.models.segmentors.cag.CAGSegmentor'

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not is_installed('onedl-mmsegmentation'),
        reason='built by one of the two stacks',
    ),
]


def build(
    source: Path, out: Path, *options: str
) -> subprocess.CompletedProcess:
    """Build what is in a folder; a warning is an error."""
    options = [*options, '-W', '--keep-going', '-q', '-c', DOCS, source, out]
    return subprocess.run(
        [sys.executable, '-W', 'ignore', '-m', 'sphinx', *map(str, options)],
        text=True,
        capture_output=True,
        check=False,
    )


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # What is written beside the pages stays out of the checkout.
    source = tmp_path_factory.mktemp('site') / 'docs'
    shutil.copytree(DOCS, source, ignore=shutil.ignore_patterns('api'))
    done = build(source, source.with_name('site'))
    assert done.returncode == 0, done.stderr[-3000:]
    return source.with_name('site')


class Links(HTMLParser):
    """Where a page leads, what it loads, and the anchors that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.anchors: set[str] = {''}

    def handle_starttag(self, tag: str, attrs: list) -> None:
        found = dict(attrs)
        self.anchors |= {found.get('id', ''), found.get('name', '')}
        if tag == 'a' and 'href' in found:
            self.links.add(found['href'])
        elif tag in ('script', 'img', 'link'):
            self.loaded.add(found.get('src') or found.get('href') or '')


def read(path: Path) -> Links:
    page = Links()
    page.feed(path.read_text())
    return page


def broken(site: Path) -> list[str]:
    """List the links of a site that lead nowhere within it."""
    pages = {path: read(path) for path in site.rglob('*.html')}
    found = []
    for path, page in pages.items():
        for link in page.links | page.loaded:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve()
            target = target if parts.path else path
            there = target.is_file() and (
                target not in pages or parts.fragment in pages[target].anchors
            )
            if not there:
                found.append(f'{path.relative_to(site)}: {link}')
    return found


def test_no_link_is_broken_and_nothing_is_loaded_from_elsewhere(site):
    assert len(list(site.rglob('*.html'))) > len(list(DOCS.glob('*.md')))
    assert broken(site) == []
    for path in site.rglob('*.html'):
        assert not [x for x in read(path).loaded if urlsplit(x).netloc], path


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / 'a.html').write_text('<a href="b.html">b</a><a href="#c">c')
    assert sorted(broken(tmp_path)) == ['a.html: #c', 'a.html: b.html']


def test_a_broken_link_stops_the_build(tmp_path):
    (tmp_path / 'docs').mkdir()
    text = '# Start\n\n[gone](gone.md)\n'
    (tmp_path / 'docs/README.md').write_text(text)
    without_api = ('-D', 'exclude_patterns=api')
    done = build(tmp_path / 'docs', tmp_path / 'site', *without_api)
    assert done.returncode and 'gone.md' in done.stderr


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    """Serve the site, as any web server does."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    handler = partial(Quiet, directory=site)
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


def wait(browser: webdriver.Chrome) -> WebDriverWait:
    """Try for a minute; a page may be replaced between two looks at it."""
    replaced = (NoSuchElementException, StaleElementReferenceException)
    return WebDriverWait(browser, 60, ignored_exceptions=replaced)


def wait_for(browser: webdriver.Chrome, text: str) -> None:
    """Wait until a page shows a text."""
    body = (By.TAG_NAME, 'body')
    wait(browser).until(lambda page: text in page.find_element(*body).text)


def follow(browser: webdriver.Chrome, text: str) -> None:
    """Click a link by a part of its text, once it is there."""
    link = (By.PARTIAL_LINK_TEXT, text)
    wait(browser).until(lambda page: page.find_element(*link).click() is None)


def test_a_reader_finds_the_segmentor(browser, address):
    browser.set_window_size(1400, 2000)
    browser.get(address)
    # By the side bar ...
    follow(browser, 'CAG-UDA')
    wait_for(browser, 'Two fidelities')
    assert browser.current_url.endswith('/cag.html')
    # ... and by the search, from the page where one is.
    box = browser.find_element(By.NAME, 'q')
    box.send_keys('CAGSegmentor', Keys.ENTER)
    wait_for(browser, 'CAGSegmentor (Python class')
    follow(browser, CLASS)
    wait_for(browser, 'Category anchor-guided domain adaptation')
    assert browser.current_url.endswith(f'segmentors.html#{CLASS}')
    entry = browser.find_element(By.ID, CLASS)
    assert 'anchor_bank' in entry.find_element(By.XPATH, '..').text
    said = [line['message'] for line in browser.get_log('browser')]
    assert [line for line in said if 'favicon.ico' not in line] == []
