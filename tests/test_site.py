"The built site, as a reader's browser sees it: no console error, no request that leaves the machine, nothing wider than a phone"
import functools
import html.parser
import http.server
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope='module')
def site():
    "The site, built with warnings as errors; README.md must be the one that the build writes"
    readme = ROOT/'README.md'
    before = readme.read_text(encoding='utf-8')
    for args in (['docs/stage.py'], ['-m', 'sphinx', '-q', '-W', '--keep-going', '-b', 'html', '-c', 'docs', 'docs/_src', 'docs/_build/html']):
        done = subprocess.run([sys.executable, *args], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert readme.read_text(encoding='utf-8') == before, 'README.md was not the one made from nbs/index.ipynb; commit the new one'
    return ROOT/'docs'/'_build'/'html'


@pytest.fixture(scope='module')
def address(site):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args): pass
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()


def tags(page):
    "Name and attributes of every tag of a page"
    found = []
    parser = html.parser.HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.append((tag, dict(attrs)))
    parser.feed(page.read_text(encoding='utf-8'))
    return found


def pages(site): return sorted(p.relative_to(site).as_posix() for p in site.rglob('*.html') if '_static' not in p.parts and p.name not in ('genindex.html', 'search.html'))


@pytest.mark.parametrize('width', [1280, 390])
def test_pages_are_quiet_local_and_fit(site, address, browser, width):
    page, trouble, elsewhere = browser.new_page(viewport=dict(width=width, height=900)), [], []
    page.on('console', lambda m: trouble.append(m.text) if m.type == 'error' else None)
    page.on('pageerror', lambda e: trouble.append(str(e)))
    page.on('request', lambda r: elsewhere.append(r.url) if not r.url.startswith((address, 'data:')) else None)
    page.on('response', lambda r: trouble.append(f'{r.status} {r.url}') if r.status >= 400 else None)
    names = pages(site)
    assert {'index.html', 'tables.html', 'learners.html', 'tutorials/quickstart.html', 'reference.html'} <= set(names)
    for name in names:
        page.goto(f'{address}/{name}', wait_until='load')
        assert page.evaluate('document.documentElement.scrollWidth') <= width, f'{name} is wider than {width} px'
    assert not trouble
    assert not elsewhere
    page.close()


def test_search_finds_public_names(address, browser):
    page = browser.new_page()
    for word, where in dict(CropBorder='crops', fashion_learner='learners', split_table='tables').items():
        page.goto(f'{address}/search.html?q={word}')
        page.wait_for_selector('ul.search li a')
        assert any(f'{where}.html' in (a.get_attribute('href') or '') for a in page.query_selector_all('ul.search li a')), word
    page.close()


def test_links_within_the_site_lead_somewhere(site):
    for page in (site/name for name in pages(site)):
        for _, attrs in tags(page):
            link = re.split('[#?]', attrs.get('href') or attrs.get('src') or '')[0]
            if link and not re.match(r'\w+:|//', link): assert (page.parent/link).exists(), f'{page.relative_to(site)} -> {link}'


def test_every_picture_has_an_alternative_text(site):
    assert not [(page.name, attrs) for page in (site/name for name in pages(site)) for tag, attrs in tags(page) if tag == 'img' and not attrs.get('alt')]
