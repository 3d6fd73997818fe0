"Downloads that are killed, interrupted and attacked; the server is `faulty_server.py`, a process of its own"
import errno
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import pandas as pd
import pytest
from faulty_server import Faulty, body_of, bomb, kind_of, table
from PIL import ImageFile

from fashion_fgvc.download import download_table, read_manifest
from fashion_fgvc.manifest import Fault, check_photo

ROOT = Path(__file__).parent.parent
N = 1500
LIMITS = dict(workers=64, per_host=64, timeout=10, retries=1, max_bytes=2**20, progress=False)
PASSING = {'timeout', 'unreachable', 'http 503'} # what the next run asks about again


def photos(dest):
    "Every file below `dest` that is no bookkeeping, with its SHA-256"
    files = [p for p in Path(dest).rglob('*') if p.is_file() and '.download' not in p.parts and p.name != 'manifest.csv']
    return {p.relative_to(dest).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def process(df, dest, **changes):
    "The same download in a process of its own"
    table = Path(dest).with_suffix('.table.csv')
    df.to_csv(table, index=False)
    # a shell that starts the tests in the background has them ignore SIGINT, and a child inherits that
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" \
           f"import pandas as pd\nfrom fashion_fgvc.download import download_table\n" \
           f"download_table(pd.read_csv({str(table)!r}, keep_default_na=False), {str(dest)!r}, **{LIMITS | changes!r})"
    return subprocess.Popen([sys.executable, '-c', code], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def journal(dest):
    "The last complete line about each photo"
    path = Path(dest)/'.download'/'journal.jsonl'
    lines = path.read_bytes().split(b'\n')[:-1] if path.exists() else []
    return {r['image']: r for r in (json.loads(line) for line in lines if line.endswith(b'}'))}


def wait_for(what, proc=None, seconds=120):
    until = time.time()+seconds
    while not what():
        assert time.time() < until and (proc is None or proc.poll() is None), 'it did not come to this'
        time.sleep(.02)


def wait_for_quiet(server, seconds=.5):
    "Until no request has come for a while"
    n, since = len(server.requests()), time.time()
    while time.time() < since+seconds:
        if (m := len(server.requests())) != n: n, since = m, time.time()
        time.sleep(.05)


def number(path):
    "The photo that a request was about"
    found = re.search(r'(\d+)\.jpg', path)
    return int(found[1])


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    "One download without disturbance: its table, its manifest, its photos, and what the server was asked"
    folder = tmp_path_factory.mktemp('undisturbed')
    with Faulty(folder) as server:
        df = table(N, server.base)
        manifest = download_table(df, folder/'photos', **LIMITS)
        return df, manifest, photos(folder/'photos'), server.requests(), folder/'photos'


def test_every_row_gets_its_status(undisturbed):
    df, manifest, files, requests, dest = undisturbed
    assert manifest.image.tolist() == df.image.tolist()
    wrong = manifest[manifest.status != df.expected]
    assert not len(wrong), wrong.assign(kind=[kind_of(i) for i in wrong.index])[['kind', 'status', 'error']].to_string()
    assert read_manifest(dest).equals(manifest)
    assert files == {row.file: row.sha256 for row in manifest.itertuples() if row.status == 'ok'}
    i = next(i for i in range(N) if kind_of(i) == 'fine')
    assert files[manifest.file[i]] == hashlib.sha256(body_of(i)).hexdigest()


def test_settled_faults_get_one_request_and_passing_ones_two(undisturbed):
    asked = Counter(number(r) for r in undisturbed[3])
    expected = {'missing': 1, 'forbidden': 1, 'fine': 1, 'html': 1, 'broken': 2, 'busy once': 2, 'loop': 6, 'moved': 2,
                'no link': 0, 'bad id': 0}
    for kind, n in expected.items():
        assert {asked[i] for i in range(N) if kind_of(i) == kind} == {n}, kind


def test_killed_five_times(undisturbed, tmp_path):
    "The files are those of an undisturbed run, and nothing that was finished is asked for again"
    with Faulty(tmp_path) as server:
        n = N//2
        df, dest, seen = table(n, server.base), tmp_path/'photos', []
        for k in range(5):
            proc = process(df, dest)
            wait_for(lambda k=k: len(journal(dest)) > n*(k+1)//8, proc)
            proc.kill()
            proc.communicate()
            wait_for_quiet(server) # it reads what was under way
            finished = {image for image, r in journal(dest).items() if r['status'] not in PASSING} | set(photos(dest))
            seen.append((len(server.requests()), {number(image) for image in finished}))
        assert len(seen[-1][1]) < n*.9 # there was something left to do
        manifest = download_table(df, dest, **LIMITS)
        requests = server.requests()
    assert photos(dest) == {f: sha for f, sha in undisturbed[2].items() if number(f) < n}
    assert manifest.status.replace('cached', 'ok').tolist() == df.expected.tolist()
    for position, finished in seen: assert not finished & {number(r) for r in requests[position:]}
    fine = [i for i in range(n) if kind_of(i) == 'fine']
    asked = Counter(number(r) for r in requests)
    assert len(fine) <= sum(asked[i] for i in fine) <= len(fine) + 5*LIMITS['workers']
    assert not list((dest/'.download'/'parts').iterdir())


def test_interrupted(undisturbed, tmp_path):
    "Ctrl-C ends it at once, though links hang for a minute, and the next call goes on"
    with Faulty(tmp_path) as server:
        df, dest = table(300, server.base), tmp_path/'photos'
        proc = process(df, dest, timeout=120)
        wait_for(lambda: len(journal(dest)) > 100, proc)
        proc.send_signal(signal.SIGINT)
        _, err = proc.communicate(timeout=30)
        assert proc.returncode != 0 and 'KeyboardInterrupt' in err
        done = photos(dest)
        position = len(server.requests())
        manifest = download_table(df, dest, **LIMITS)
        assert not {number(f) for f in done} & {number(r) for r in server.requests()[position:]}
    assert manifest.status.replace('cached', 'ok').tolist() == df.expected.tolist()
    grey = {f for f in done if kind_of(number(f)) == 'placeholder'} # one needs the whole table to know
    assert len(done) > 20 and {f: done[f] for f in done if f not in grey}.items() <= photos(dest).items()


def test_one_process_at_a_time(tmp_path):
    with Faulty(tmp_path) as server:
        df, dest = pd.DataFrame(dict(image=['a'], url=[f'{server.base}/hangs'])), tmp_path/'photos'
        proc = process(df, dest, timeout=300)
        wait_for(lambda: server.requests(), proc)
        with pytest.raises(RuntimeError, match='another download into .* is running'): download_table(df, dest, **LIMITS)
        proc.kill()
        proc.communicate()
        assert download_table(df.assign(url=f'{server.base}/moved/1.jpg'), dest, **LIMITS).status.tolist() == ['ok']


def test_hostile_ids_and_answers(tmp_path):
    bad = ['../../x', '/etc/x', str(tmp_path/'x'), 'a\\b', 'C:\\x', 'a\0b', 'x'*300, 'a/../../b', 'link/1', 'Same', 'same',
           '.download/journal.jsonl']
    ids = dict.fromkeys(bad, 'refused') | {'fine': 'ok', 'in/folders': 'ok'}
    paths = {'/bomb': 'too large', '/gzip': 'too large', '/away': 'refused', '/circle': 'http 302', '/nowhere': 'unreachable',
             '/nonsense': 'unreachable', '/hangs': 'timeout'}
    dest = tmp_path/'inner'/'photos'
    (tmp_path/'outside').mkdir()
    dest.mkdir(parents=True)
    (dest/'link').symlink_to(tmp_path/'outside')
    (dest/'folder.jpg').mkdir()
    with Faulty(tmp_path) as server:
        df = pd.DataFrame(dict(image=[*ids, 'folder.jpg', *(p[1:] for p in paths)],
                               url=[f'{server.base}/moved/{i}.jpg' for i in range(len(ids)+1)] + [server.base+p for p in paths]))
        manifest = download_table(df, dest, **LIMITS)
    assert dict(zip(df.image, manifest.status, strict=True)) == ids | {'folder.jpg': 'refused'} | {p[1:]: s for p, s in paths.items()}
    assert set(photos(dest)) == {'fine.jpg', 'in/folders.jpg'}
    assert not list((tmp_path/'outside').iterdir()) and {p.name for p in tmp_path.iterdir()} == {'inner', 'outside', 'requests.txt'}


def test_a_bomb_is_not_decoded(tmp_path):
    (tmp_path/'bomb.png').write_bytes(bomb())
    with patch.object(ImageFile.ImageFile, 'load', side_effect=AssertionError('decoded')), open(tmp_path/'bomb.png', 'rb') as f:
        with pytest.raises(Fault) as caught: check_photo(f)
    assert caught.value.status == 'too large'


def test_a_lenient_decoder_stays_outside(tmp_path):
    "A notebook that lets PIL accept half pictures must not let the download accept them"
    i = next(i for i in range(N) if kind_of(i) == 'cut')
    with Faulty(tmp_path) as server, patch.object(ImageFile, 'LOAD_TRUNCATED_IMAGES', True):
        manifest = download_table(pd.DataFrame(dict(image=['a'], url=[f'{server.base}/{i}.jpg'])), tmp_path/'photos', **LIMITS)
        assert ImageFile.LOAD_TRUNCATED_IMAGES
    assert manifest.status.tolist() == ['truncated']


def test_no_more_connections_to_a_host_than_allowed(tmp_path):
    with Faulty(tmp_path) as server:
        df = pd.DataFrame(dict(image=map(str, range(60)), url=[f'{server.base}/moved/{i}.jpg' for i in range(60)]))
        assert (download_table(df, tmp_path/'photos', **LIMITS | dict(per_host=3)).status == 'ok').all()
        assert int(urllib.request.urlopen(f'{server.base}/peak').read()) <= 4 # one is ours, to ask


def test_a_full_disk_stops_the_run_and_the_next_goes_on(tmp_path):
    real, calls = os.replace, []
    def full(*args):
        calls.append(args)
        if len(calls) > 10: raise OSError(errno.ENOSPC, 'No space left on device')
        return real(*args)
    with Faulty(tmp_path) as server:
        df = pd.DataFrame(dict(image=map(str, range(60)), url=[f'{server.base}/moved/{i}.jpg' for i in range(60)]))
        with patch('os.replace', full), pytest.raises(OSError, match='No space left'): download_table(df, tmp_path/'photos', **LIMITS)
        manifest = download_table(df, tmp_path/'photos', **LIMITS | dict(progress=True))
    assert manifest.status.value_counts().to_dict() == {'cached': 10, 'ok': 50}
