"""From files to batches, on the CPU: plain fastai, this library, and the decoder alone, interleaved in one run.

    python benchmarks/loading.py [--repeats 5] [--photos 105]

Photos are drawn, with noise, at 1080×1440 and 400×500 px, and saved as JPEG of quality 90. Noise is ±2 grey levels, as in a studio; items are also measured at ±6, as on a phone, where the decoder has more to do. Four jobs:

* item: one photo to a tensor of 320×320 px, one thread;
* loader: an epoch over each photo six times (so that starting the workers does not dominate), in batches of 16 at 320×320 px, with a random part, flip, rotation, zoom, perspective and light, with 1 and 2 workers; ours
  from the files and from the cache;
* arrays: an epoch over 10,000 pictures of 28×28 px in batches of 256, item by item and by rows;
* memory: the loader of 400×500 px with two workers in a process of its own, ten epochs: the highest memory of the process and its workers in each (shared pages counted once; Linux only).

A row per measurement goes into benchmarks/loading.csv: job, size, noise, workers, who, repeat (for memory: epoch), milliseconds per photo or megabytes, and what the machine was.
"""
import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import ColReader, ColSplitter, ToTensor
from fastai.vision.augment import RandomResizedCrop, Resize, aug_transforms
from fastai.vision.core import PILImage, PILImageBW
from fastai.vision.data import ImageBlock
from fasttransform import Pipeline
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg, read_file

from fashion_fgvc.arrays import array_dataloaders
from fashion_fgvc.blocks import dataloaders, split_rows
from fashion_fgvc.datasets import sample
from fashion_fgvc.loading import DctImage, FastImage, ImageCache

HERE, SIZES, NOISE, NET = Path(__file__).parent, ((1080, 1440), (400, 500)), (2, 6), 320


def draw(folder, n):
    "Drawn garments at both sizes, with noise, as JPEGs"
    rng, (path, df) = np.random.default_rng(0), sample('pattern', n=16, size=256)
    sources = [Image.open(path/image) for image in df['image']]
    for w, h in SIZES:
        for noise in NOISE:
            (folder/f'{w}-{noise}').mkdir(parents=True)
            for i in range(n):
                photo = np.asarray(sources[i % 16].resize((w, h), Image.Resampling.BICUBIC)).astype(np.int16) + rng.integers(-noise, noise+1, (h, w, 3), np.int16)
                Image.fromarray(photo.clip(0, 255).astype(np.uint8)).save(folder/f'{w}-{noise}'/f'{i:04}.jpg', quality=90)
    return pd.DataFrame(dict(image=[f'{i:04}.jpg' for i in range(n)], label=[df.label[i % 16] for i in range(n)],
                             split=['valid' if i % 12 == 0 else 'train' for i in range(n)]))


def clock(job):
    "Seconds that a job takes"
    t = time.perf_counter()
    job()
    return time.perf_counter()-t


def interleave(repeats, jobs, n, **about):
    "Each job once per repeat, in turn; milliseconds per photo"
    for job in jobs.values(): job()  # the first time imports, draws memory, and so on
    return [dict(repeat=r, who=who, ms=clock(job)/n*1000, load=os.getloadavg()[0], **about) for r in range(repeats) for who, job in jobs.items()]


def items(files, repeats):
    torch.set_num_threads(1)
    def through(cls):
        tfms = Pipeline([cls.create, Resize(NET, 'squish'), ToTensor()], split_idx=1)
        return lambda: [tfms(f) for f in files]
    jobs = dict(fastai=through(PILImage), ours=through(FastImage), **{'ours, dct': through(DctImage)},
                decoder=lambda: [decode_jpeg(read_file(str(f)), ImageReadMode.RGB) for f in files])
    return interleave(repeats, jobs, len(files), job='item', workers=0)


def build(who, df, path, workers, cache=None):
    "Loaders of one of the rivals"
    if who != 'fastai': return dataloaders(df, path, size=NET, bs=16, num_workers=workers, augment='full', cache=cache if who == 'ours, cache' else None)
    return DataBlock((ImageBlock, CategoryBlock), get_x=ColReader('image', pref=f'{path}/'), get_y=ColReader('label'), splitter=split_rows,
                     item_tfms=RandomResizedCrop(NET, min_scale=.6), batch_tfms=aug_transforms()).dataloaders(df, bs=16, num_workers=workers)


def loaders(df, path, tmp, repeats, workers):
    cache = ImageCache.build(df, path, NET, folder=tmp/f'cache-{path.name}', progress=False)
    dls = {who: build(who, df, path, workers, cache) for who in ('fastai', 'ours', 'ours, cache')}
    def epoch(dl): return lambda: [None for _ in dl.train]
    n = 16*(int((df['split'] == 'train').sum())//16)
    return interleave(repeats, {who: epoch(dl) for who, dl in dls.items()}, n, job='loader', workers=workers)


def megabytes():
    "Memory of this process and its children"
    pids = [os.getpid(), *map(int, Path(f'/proc/{os.getpid()}/task/{os.getpid()}/children').read_text().split())]
    total = 0
    for pid in pids:
        try: total += int(next(line for line in Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines() if line.startswith('Pss:')).split()[1])
        except OSError: pass # it has ended
    return total/1024


def peaks(who, tmp, epochs=10):
    "Highest memory in each epoch, in a process of its own"
    dls, highest = build(who, pd.read_parquet(tmp/'table.parquet'), tmp/'400-2', 2, tmp/'cache-400-2'), []
    def watch():
        while True:
            highest[-1] = max(highest[-1], megabytes())
            time.sleep(.05)
    for epoch in range(epochs):
        highest.append(0)
        if not epoch: threading.Thread(target=watch, daemon=True).start()
        for _ in dls.train: pass
    return highest


def memory(tmp):
    rows = []
    for who in ('fastai', 'ours', 'ours, cache'):
        out = subprocess.run([sys.executable, __file__, '--peaks', who, str(tmp)], capture_output=True, text=True, check=True).stdout
        rows += [dict(job='memory', size='400×500', noise=2, workers=2, who=who, repeat=i, mb=mb) for i, mb in enumerate(json.loads(out.splitlines()[-1]))]
    return rows


def arrays(repeats):
    rng, n = np.random.default_rng(0), 10_000
    pictures = rng.integers(0, 255, (n, 28, 28), dtype=np.uint8)
    df = pd.DataFrame(dict(image=[str(i) for i in range(n)], label=rng.choice(list('abcdefghij'), n), split=['valid']*16 + ['train']*(n-16), valid=[True]*16 + [False]*(n-16)))
    block = DataBlock((ImageBlock(PILImageBW), CategoryBlock), get_x=lambda row: pictures[int(row['image'])], get_y=ColReader('label'), splitter=ColSplitter('valid'))
    plain, ours = block.dataloaders(df, bs=256, num_workers=0), array_dataloaders(pictures, df)
    return interleave(repeats, dict(fastai=lambda: list(plain.train), ours=lambda: list(ours.train)), n-16, job='arrays', workers=0, size='28×28', noise=0)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--repeats', type=int, default=5)
    p.add_argument('--photos', type=int, default=105)
    p.add_argument('--peaks', nargs=2, help=argparse.SUPPRESS)
    args = p.parse_args()
    warnings.simplefilter('ignore')
    if args.peaks:
        print(json.dumps(peaks(args.peaks[0], Path(args.peaks[1]))))
        return
    tmp = Path(tempfile.mkdtemp())
    try:
        df, rows = draw(tmp, args.photos), arrays(args.repeats)
        many = pd.concat([df]*6, ignore_index=True)
        many.to_parquet(tmp/'table.parquet')
        for w, h in SIZES:
            for noise in NOISE: rows += [row | dict(size=f'{w}×{h}', noise=noise) for row in items([tmp/f'{w}-{noise}'/image for image in df['image'][:32]], args.repeats)]
            for workers in (1, 2): rows += [row | dict(size=f'{w}×{h}', noise=2) for row in loaders(many, tmp/f'{w}-2', tmp, args.repeats, workers)]
        rows += memory(tmp)
    finally: shutil.rmtree(tmp)
    versions = {f'{name}_version': version(name) for name in ('fastai', 'torch', 'torchvision', 'pillow', 'opencv-python-headless')}
    out = pd.DataFrame(rows).assign(cpus=os.cpu_count(), machine=platform.machine(), python=platform.python_version(), **versions)
    first = ['job', 'size', 'noise', 'workers', 'who', 'repeat', 'ms', 'mb']
    out[[*first, *[c for c in out if c not in first]]].round(3).to_csv(HERE/'loading.csv', index=False)
    for value in ('ms', 'mb'):
        table = out.fillna(dict(noise=0)).pivot_table(index=['job', 'size', 'noise', 'workers'], columns='who', values=value, aggfunc='median' if value == 'ms' else 'max', observed=True, sort=False).dropna(how='all')
        print(table.round(2))
        print(table.rdiv(table['fastai'], axis=0).round(2))


if __name__ == '__main__': main()
