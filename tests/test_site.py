"The built site, as a reader's browser sees it: no console error, no request that leaves the machine, nothing wider than a phone"
import ast
import functools
import html.parser
import http.server
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parent.parent
PUBLIC = [(node.name, file.stem) for file in sorted((ROOT/'fashion_fgvc').glob('[!_]*.py')) for node in ast.parse(file.read_text(encoding='utf-8')).body
          if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != '_' and node.name != 'encodes'] # and the page of its module


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


def test_search_finds_every_public_name(address, browser):
    page = browser.new_page()
    page.goto(f'{address}/search.html?q=fashion_learner')
    page.wait_for_selector('ul.search li a')
    found = page.evaluate("names => Object.fromEntries(names.map(n => [n, Search._performSearch(...Search._parseQuery(n)).map(r => r[0])]))", [name for name, _ in PUBLIC]) # the best one last
    assert len(PUBLIC) > 250 and not [(name, where, found[name]) for name, where in PUBLIC if where not in found[name][-12:]]
    page.close()


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_pages_can_be_read_by_everybody(address, browser, scheme):
    "The rules of WCAG 2, levels A and AA, that axe-core can check: contrast, names of controls, order of headings"
    from axe_playwright_python.sync_playwright import Axe
    for name in ('index', 'sweeps', 'tutorials/titles', 'reference', 'search'):
        page = browser.new_page(color_scheme=scheme, viewport=dict(width=1280, height=900))
        page.goto(f'{address}/{name}.html', wait_until='load')
        found = Axe().run(page, options=dict(runOnly=['wcag2a', 'wcag2aa'])).response['violations']
        assert not found, (name, [(v['id'], len(v['nodes']), v['nodes'][0]['html'][:200]) for v in found])
        page.close()


def test_links_within_the_site_lead_somewhere(site):
    there = {name: {attrs['id'] for _, attrs in tags(site/name) if attrs.get('id')} for name in pages(site)}
    for name in there:
        for _, attrs in tags(site/name):
            link = attrs.get('href') or attrs.get('src') or ''
            if not link or re.match(r'\w+:|//', link): continue
            file, _, anchor = link.partition('#')
            to = (site/name).parent/unquote(file.partition('?')[0]) if file else site/name
            assert to.exists(), f'{name} -> {link}'
            known = there.get(os.path.relpath(to, site))
            if anchor and known is not None: assert unquote(anchor) in known, f'{name} -> {link}: no such place on that page'


def test_every_picture_has_an_alternative_text(site):
    "In words: a file name tells a blind reader nothing"
    texts = [(name, attrs.get('alt') or '') for name in pages(site) for tag, attrs in tags(site/name) if tag == 'img']
    assert len(texts) > 50
    assert not [(name, alt) for name, alt in texts if len(alt.split()) < 3 or re.search(r'\.(png|jpe?g|svg)$', alt)]
