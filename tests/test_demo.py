"The demo page, as somebody with a photo and a browser meets it"
import json
import re
import socket
from base64 import b64encode
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.bundles import load_bundle, save_bundle
from fashion_fgvc.datasets import sample
from fashion_fgvc.demo import demo_page
from fashion_fgvc.ensemble import Ensemble
from fashion_fgvc.learners import tiny_cnn
from fashion_fgvc.predictions import predict
from fashion_fgvc.tables import split_table
from fashion_fgvc.trust import with_temperature

pytest.importorskip('gradio')


def free_port():
    with closing(socket.socket()) as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def trained(task, size):
    "A network that is two epochs old, and a photo that it has not seen"
    path, df = sample(task, n=96, size=48)
    df = split_table(df, valid=.25)
    learn = tiny_cnn(dataloaders(df, path, size=size, bs=16, num_workers=0), seed=size)
    with learn.no_bar(), learn.no_logging(): learn.fit(2, 5e-3)
    return learn, path/df['image'][df['split'] == 'valid'].iloc[0]


@pytest.fixture(scope='module')
def bundles(tmp_path_factory):
    "Folders of bundles and a photo for each"
    folder = tmp_path_factory.mktemp('bundles')
    (first, photo), (second, _), (several, photo2) = trained('pattern', 48), trained('pattern', 32), trained('attributes', 40)
    middle = float(np.median(predict(several, [photo2], progress=False).probs))
    return dict(pair=(save_bundle(Ensemble([first, second], weights=[2, 1]), folder/'pair', temperature=2.), photo),
                several=(save_bundle(several, folder/'several', thresholds=[middle]*len(several.dls.vocab)), photo2))


@pytest.fixture(scope='module')
def served(bundles):
    "The address of a page for each bundle, and whoever this process looked up meanwhile"
    looked_up, ask, pages = [], socket.getaddrinfo, {name: None for name in bundles}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv('GRADIO_ANALYTICS_ENABLED', raising=False)
        for name in ('NO_PROXY', 'no_proxy'): patch.setenv(name, '127.0.0.1,localhost')
        patch.setattr(socket, 'getaddrinfo', lambda host, *args, **kwargs: looked_up.append(host) or ask(host, *args, **kwargs))
        for name, (folder, _) in bundles.items():
            pages[name] = demo_page(folder, title=name)
            pages[name].launch(server_name='127.0.0.1', server_port=free_port(), prevent_thread_lock=True, quiet=True)
        yield {name: page.local_url for name, page in pages.items()}, looked_up
        for page in pages.values(): page.close(verbose=False)


@contextmanager
def opened(browser, address, width=1200, **kwargs):
    "A tab that is quiet and talks to nobody else"
    tab, trouble, elsewhere = browser.new_page(viewport=dict(width=width, height=900), **kwargs), [], []
    tab.on('console', lambda m: trouble.append(m.text) if m.type == 'error' else None)
    tab.on('pageerror', lambda e: trouble.append(str(e)))
    tab.on('request', lambda r: elsewhere.append(r.url) if not r.url.startswith((address, 'data:', 'blob:')) else None)
    tab.on('response', lambda r: trouble.append(f'{r.status} {r.url}') if r.status >= 400 else None)
    tab.goto(address)
    tab.wait_for_selector('input[type=file]', state='attached')
    yield tab
    assert not trouble
    assert not elsewhere
    tab.close()


def shown(tab):
    "Classes and percentages"
    return {t.locator('dt').inner_text(): t.locator('dd').inner_text() for t in tab.locator('[data-testid$=-confidence-set]').all()}


@pytest.mark.parametrize('width, scheme', [(1200, 'light'), (390, 'dark')])
def test_page_says_what_predict_says(bundles, served, browser, width, scheme):
    folder, photo = bundles['pair']
    model = load_bundle(folder)
    preds = predict(model, [photo], progress=False)
    probs = with_temperature(preds.probs, 2.)[0]
    best = np.argsort(-probs)[:5]
    with opened(browser, served[0]['pair'], width, color_scheme=scheme) as tab:
        assert tab.title() == 'pair'
        tab.set_input_files('input[type=file]', photo)
        tab.wait_for_selector('table')
        assert tab.inner_text('[data-testid=label-output-value]') == preds.vocab[best[0]]
        assert shown(tab) == {preds.vocab[i]: f'{round(100*float(probs[i]))}%' for i in best}
        rows = [[cell.inner_text() for cell in row.locator('td').all()] for row in tab.locator('tbody tr').all()]
        for i, (row, member) in enumerate(zip(rows, model.members, strict=True)):
            own = predict(member, [photo], progress=False).probs[0]
            assert row == [f'{i+1} tiny_cnn', ['67%', '33%'][i], preds.vocab[own.argmax()], f'{own.max():.0%}']
        pictures = tab.locator('figure img')
        assert [p.evaluate('im => im.decode().then(() => im.naturalWidth)') for p in pictures.all()] == [320, 320]
        assert [p.get_attribute('alt') for p in pictures.all()] == [f'What speaks for {preds.vocab[best[0]]} in the eyes of {row[0]}' for row in rows]
        assert tab.evaluate('document.documentElement.scrollWidth') <= width
        light = tab.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).slice(0, 3).map(Number)")
        assert (min(light) > 200) if scheme == 'light' else (max(light) < 60)


def test_a_broken_file_gives_a_message_and_the_page_goes_on(bundles, served, browser, tmp_path):
    _, photo = bundles['pair']
    (broken := tmp_path/'<b>broken.jpg').write_bytes(b'no photo')
    (cut := tmp_path/'cut.jpg').write_bytes(photo.read_bytes()[:-400])
    with opened(browser, served[0]['pair']) as tab:
        for file in (broken, cut):
            tab.set_input_files('input[type=file]', file)
            tab.wait_for_function('name => document.querySelector("[role=alert]")?.innerText.includes(name)', arg=re.sub('[<>]', '', file.name)[-8:])
            assert 'cannot be read as a photo' in tab.inner_text('[role=alert]')
            assert tab.locator('[role=alert] b, [data-testid=label-output-value], table').count() == 0
            tab.wait_for_selector('[aria-label="Remove Image"]', state='detached') # the drop zone is back
            tab.wait_for_timeout(1500)
            assert tab.is_visible('[role=alert]') # the message stays when its file goes
        tab.set_input_files('input[type=file]', photo)
        tab.wait_for_selector('table')
        assert not tab.is_visible('[role=alert]')
        tab.click('[aria-label="Remove Image"]')
        tab.wait_for_selector('table', state='hidden')
        assert not tab.is_visible('[data-testid=label-output-value]')


def test_a_photo_can_be_pasted(bundles, served, browser):
    folder, photo = bundles['pair']
    Image.open(photo).save(data := BytesIO(), 'png')
    preds = predict(load_bundle(folder), [Image.open(photo)], progress=False)
    copy = "async data => navigator.clipboard.write([new ClipboardItem({'image/png': await (await fetch('data:image/png;base64,' + data)).blob()})])"
    with opened(browser, served[0]['pair'], permissions=['clipboard-read', 'clipboard-write']) as tab:
        tab.evaluate(copy, b64encode(data.getvalue()).decode())
        tab.click('[aria-label="Paste from clipboard"]')
        tab.wait_for_selector('table')
        assert tab.inner_text('[data-testid=label-output-value]') == preds.vocab[preds.probs[0].argmax()]


def test_labels_that_reach_their_thresholds_are_said(bundles, served, browser):
    folder, photo = bundles['several']
    model = load_bundle(folder)
    preds = predict(model, [photo], progress=False)
    said = [preds.vocab[i] for i in np.argsort(-preds.probs[0], kind='stable') if preds.probs[0, i] >= model.bundle['thresholds'][i]]
    assert 0 < len(said) < len(preds.vocab)
    with opened(browser, served[0]['several']) as tab:
        tab.set_input_files('input[type=file]', photo)
        tab.wait_for_selector('figure img')
        assert tab.get_by_label('Labels', exact=True).input_value() == ', '.join(said)
        assert tab.locator('table').count() == 0 # nobody votes
        assert tab.locator('figure').count() == 1


def answers(address, path):
    "Does the server answer about a file of its own machine? As a program asks, not the page"
    ask = dict(data=[dict(path=str(path), meta={'_type': 'gradio.FileData'})], fn_index=0, session_hash='test')
    with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
        client.post('gradio_api/queue/join', json=ask).raise_for_status()
        with client.stream('GET', 'gradio_api/queue/data', params=dict(session_hash='test')) as lines:
            for line in lines.iter_lines():
                if line.startswith('data:') and (message := json.loads(line[5:]))['msg'] == 'process_completed': return message['success']


def test_only_uploaded_files_are_looked_at(bundles, served):
    address, photo = served[0]['pair'], bundles['pair'][1]
    uploaded = httpx.post(f'{address}gradio_api/upload', files=dict(files=photo.open('rb')), trust_env=False).json()[0]
    assert answers(address, uploaded)
    assert not answers(address, photo)


def test_nobody_is_told(served):
    assert served[1]
    assert set(served[1]) <= {'127.0.0.1', 'localhost', None}


def test_a_learner_needs_no_bundle():
    learn, _ = trained('pattern', 32)
    page = demo_page(learn, title='Prints')
    assert page.title == 'Prints'
    assert not page.analytics_enabled
    with pytest.raises(FileNotFoundError, match='is no bundle'): demo_page(Path('nowhere'))


def test_photos_are_deleted_when_the_page_is_closed(bundles):
    folder, photo = bundles['pair']
    page = demo_page(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('NO_PROXY', '127.0.0.1,localhost')
        page.launch(server_name='127.0.0.1', server_port=free_port(), prevent_thread_lock=True, quiet=True)
    kept = Path(httpx.post(f'{page.local_url}gradio_api/upload', files=dict(files=photo.open('rb')), trust_env=False).json()[0])
    assert kept.is_file()
    page.close(verbose=False)
    assert not kept.exists()
