"What notebooks cannot test about loading: kills, two processes, other ways of starting workers, memory"
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_processes import finish, python

from fashion_fgvc.datasets import sample
from fashion_fgvc.loading import ImageCache

BUILD = """
from fashion_fgvc.datasets import sample
from fashion_fgvc.loading import ImageCache
path, df = sample('pattern', n=240, size=96)
print(len(ImageCache.build(df, path, size=64, folder={folder!r}, part=8, workers=1, progress=False)))
"""


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    cache = tmp_path_factory.mktemp('cache')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('FASHION_FGVC_CACHE', str(cache))
        yield cache, *sample('pattern', n=240, size=96)


def test_a_killed_cache_goes_on_and_equals_one_built_at_once(photos, tmp_path):
    cache, path, df = photos
    folder = tmp_path/'killed'
    for parts in (2, 5):
        proc = python(BUILD.format(folder=str(folder)), FASHION_FGVC_CACHE=str(cache))
        until = time.time()+120
        while time.time() < until and len(list(folder.glob('part-*.parquet'))) < parts and proc.poll() is None: time.sleep(.002)
        proc.send_signal(signal.SIGKILL)
        proc.communicate()
    assert 5*8 <= len(ImageCache.load(folder)) < 240 # killed in the middle
    assert int(finish(python(BUILD.format(folder=str(folder)), FASHION_FGVC_CACHE=str(cache))).split()[-1]) == 240
    killed, once = ImageCache.load(folder), ImageCache.build(df, path, size=64, folder=tmp_path/'once', progress=False)
    assert all((killed.open(i).tensor() == once.open(i).tensor()).all() for i in df['image'])


def test_two_processes_may_build_one_cache(photos, tmp_path):
    cache, path, df = photos
    procs = [python(BUILD.format(folder=str(tmp_path/'both')), FASHION_FGVC_CACHE=str(cache)) for _ in range(2)]
    for proc in procs: finish(proc)
    both, once = ImageCache.load(tmp_path/'both'), ImageCache.build(df, path, size=64, folder=tmp_path/'once', progress=False)
    assert len(both) == 240
    assert all((both.open(i).tensor() == once.open(i).tensor()).all() for i in df['image'][::10])


@pytest.mark.parametrize('how', ['fork', 'spawn'])
def test_workers_however_they_are_started(photos, tmp_path, how):
    if sys.platform == 'win32' and how == 'fork': pytest.skip('Windows has no fork')
    (script := tmp_path/'script.py').write_text(f"""
import torch
from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.crops import CropBorder
from fashion_fgvc.datasets import sample
from fashion_fgvc.tables import split_table
if __name__ == '__main__':
    torch.multiprocessing.set_start_method({how!r})
    path, df = sample('pattern', n=240, size=96)
    df = split_table(df)[:120]
    plain = dataloaders(df, path, size=48, crop=CropBorder(.1), bs=8, num_workers=0)
    dls = dataloaders(df, path, size=48, crop=CropBorder(.1), bs=8, num_workers=1, augment='full', cache=True)
    assert all((a[0] == b[0]).all() for a, b in zip(dls.valid, plain.valid))
    assert sum(len(xb) for xb, _ in dls.train) >= 80
    print('fine')
""")
    assert finish(subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)).split()[-1] == 'fine'


def test_memory_does_not_grow_over_ten_epochs(photos):
    out = finish(python("""
import json, os, re
from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.datasets import sample
from fashion_fgvc.tables import split_table
path, df = sample('pattern', n=240, size=96)
dls = dataloaders(split_table(df), path, size=96, bs=16, num_workers=0, augment='full')
used = []
for _ in range(10):
    for _ in dls.train: pass
    used.append(int(re.search(r'VmRSS:\\s+(\\d+)', open('/proc/self/status').read())[1])/1024)
print(json.dumps(used))
""", FASHION_FGVC_CACHE=str(photos[0]))) if Path('/proc/self/status').exists() else pytest.skip('reads /proc')
    used = np.array(json.loads(out.splitlines()[-1]))
    assert used[-1] - used[1] < 40, used  # MB
