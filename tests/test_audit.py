"The audit, killed and continued, before hostile files, and its page in a browser"
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from fashion_fgvc.audit import audit

ROOT = Path(__file__).parent.parent
CHROMIUM = next((p for name in ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable') if (p := shutil.which(name))), None)
FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
READ = """
import sys, time
import pandas as pd
from pathlib import Path
from fashion_fgvc import photos
real, opened = photos.inspect_photo, []
def slow(file):
    opened.append(file)
    time.sleep(float(sys.argv[2]))
    return real(file)
photos.inspect_photo = slow
root = Path(sys.argv[1])
table = pd.DataFrame(dict(image=sorted(p.name for p in root.glob('*.png'))))
out = photos.read_photos(table, root, progress=False)
print(len(opened), (out.status == 'ok').sum(), out.image.tolist() == table.image.tolist(), pd.util.hash_pandas_object(out.drop(columns='thumb')).sum())
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('FASHION_FGVC_CACHE', str(tmp_path/'cache'))
    return tmp_path/'cache'/'audit'


def photos(folder, n):
    folder.mkdir()
    for i in range(n): Image.new('RGB', (40, 40), (i % 256, i // 256, 90)).save(folder/f'{i:04}.png')
    return folder


def reader(folder, seconds):
    return subprocess.Popen([sys.executable, '-c', READ, str(folder), str(seconds)], cwd=ROOT, env=os.environ | {'OMP_NUM_THREADS': '1'},
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(proc):
    out, err = proc.communicate(timeout=120)
    assert proc.returncode == 0, err
    return out.split()


def test_killed_midway_goes_on_where_it_was(tmp_path, cache):
    n, folder = 1000, photos(tmp_path/'shoes', 1000)
    proc, until = reader(folder, .01), time.time()+60
    while time.time() < until and not list(cache.rglob('*.parquet')): time.sleep(.02)
    proc.send_signal(signal.SIGKILL)
    proc.communicate()
    kept = sum(len(pd.read_parquet(f)) for f in cache.rglob('*.parquet'))
    assert 0 < kept < n
    opened, ok, ordered, said = finish(reader(folder, 0))
    assert (int(opened), int(ok), ordered) == (n-kept, n, 'True')
    assert finish(reader(folder, 0)) == ['0', str(n), 'True', said]
    for broken in list(cache.rglob('*.parquet'))[:1]: broken.write_bytes(b'half a file')
    assert finish(reader(folder, 0))[1:] == [str(n), 'True', said]


def test_two_at_once_agree(tmp_path, cache):
    folder = photos(tmp_path/'shoes', 600)
    first, second = [finish(p) for p in [reader(folder, .001) for _ in range(2)]]
    assert first[1:] == second[1:] == ['600', 'True', first[3]]


def png(width, height):
    "A PNG that says how large it is, and has next to nothing in it"
    chunk = lambda kind, data: struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind+data))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)) + chunk(b'IDAT', zlib.compress(bytes(99))) + chunk(b'IEND', b'')


def test_bombs_and_rubbish_are_rows(tmp_path, cache):
    folder = photos(tmp_path/'shoes', 3)
    side = int((Image.MAX_IMAGE_PIXELS*1.2)**.5)   # Pillow only warns of this one
    for name, data in {'huge.png': png(60_000, 60_000), 'large.png': png(side, side), 'short.png': png(40, 40), 'noise.jpg': bytes(range(256))*9,
                       'jpeg.jpg': b'\xff\xd8\xff\xe0' + bytes(500), 'gif.gif': b'GIF89a' + bytes(40)}.items(): (folder/name).write_bytes(data)
    (folder/'folder.jpg').mkdir()
    names = sorted(p.name for p in folder.iterdir()) + ['../nowhere.jpg', 'nul\0.jpg', 'x'*300 + '.jpg']
    found = audit(pd.DataFrame(dict(image=names, label='shoe'), index=[7]*len(names)), folder, progress=False)
    status = found.clean().set_index('image').status
    assert status[['huge.png', 'large.png']].tolist() == ['too large']*2
    assert (status[names[:3]] == 'ok').all() and (status[names[3:]] != 'ok').all()
    assert status['folder.jpg'] == status['../nowhere.jpg'] == status['nul\0.jpg'] == 'missing'
    assert '<img' not in found.to_html() and f'Audit of {len(names)} photos' in repr(found)


@pytest.mark.parametrize('width', [1280, 390])
def test_page_in_a_browser_is_quiet_local_and_fits(tmp_path, cache, width):
    if CHROMIUM is None: pytest.skip('no Chromium or Chrome on this machine')
    from playwright.sync_api import sync_playwright
    folder = photos(tmp_path/'shoes', 4)
    evil = """<img src=x onerror="document.title='owned'">.png"""
    for name in (evil, 'a'*180 + '.png'): shutil.copy(folder/'0000.png', folder/name)
    table = pd.DataFrame(dict(image=sorted(p.name for p in folder.iterdir()), label='shoe', split='train', group='one'))
    table.loc[table.image == evil, ['label', 'split', 'group']] = "</td><script>document.title='owned'</script>", 'test', '<svg/onload=alert(1)>'
    table.loc[0, 'group'] = '<svg/onload=alert(1)>'
    found = audit(table, folder, progress=False, min_side=50)
    assert len(found.conflicts) == 3 and len(found.groups) == 1
    found.to_html(tmp_path/'page.html', title="<script>document.title='owned'</script>")
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page, trouble, elsewhere = browser.new_page(viewport=dict(width=width, height=900), color_scheme='dark'), [], []
        page.on('console', lambda m: trouble.append(m.text))
        page.on('pageerror', lambda e: trouble.append(str(e)))
        page.on('dialog', lambda d: trouble.append(d.message))
        page.on('request', lambda r: elsewhere.append(r.url) if not r.url.startswith(('data:', 'file:')) else None)
        page.goto((tmp_path/'page.html').as_uri(), wait_until='load')
        assert page.evaluate('document.documentElement.scrollWidth') <= width
        assert page.title() == "<script>document.title='owned'</script>"
        assert page.locator('script, svg, [onerror]').count() == 0
        assert page.locator('img').count() > 10
        assert page.evaluate("[...document.images].every(im => im.naturalWidth > 0 && im.alt)")
        assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches && getComputedStyle(document.documentElement).colorScheme") == 'light dark'
        assert not trouble and not elsewhere
        page.screenshot(path=os.environ.get('AUDIT_SHOT', str(tmp_path/'shot.png')))
        browser.close()
