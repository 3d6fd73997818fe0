"""From files to batches, on the CPU: plain fastai, this library, and the decoder alone, interleaved in one run.

    python benchmarks/loading.py [--repeats 5] [--photos 96]

Photos are drawn, with the noise of a camera, at 1080×1440 and 400×500 px, and saved as JPEG of quality 90. Three jobs:

* item: one photo to a tensor of 320×320 px, one thread;
* loader: an epoch over each photo four times (so that starting the workers does not dominate), in batches of 16 at 320×320 px, with a random part, flip, rotation, zoom, perspective and light, with 1 and 2 workers; ours
  from the files and from the cache;
* arrays: an epoch over 10,000 pictures of 28×28 px in batches of 256, item by item and by rows.

A row per measurement goes into benchmarks/loading.csv: job, size, workers, who, repeat, milliseconds per photo, and what the machine was.
"""
import argparse
import os
import platform
import shutil
import tempfile
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
from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.datasets import sample
from fashion_fgvc.loading import DctImage, FastImage, ImageCache

HERE, SIZES, NET = Path(__file__).parent, ((1080, 1440), (400, 500)), 320


def draw(folder, n):
    "Drawn garments at both sizes, with noise, as JPEGs"
    rng, (path, df) = np.random.default_rng(0), sample('pattern', n=16, size=256)
    sources = [Image.open(path/image) for image in df['image']]
    for w, h in SIZES:
        (folder/f'{w}').mkdir(parents=True)
        for i in range(n):
            photo = np.asarray(sources[i % 16].resize((w, h), Image.Resampling.BICUBIC)).astype(np.int16) + rng.integers(-6, 7, (h, w, 3), np.int16)
            Image.fromarray(photo.clip(0, 255).astype(np.uint8)).save(folder/f'{w}'/f'{i:04}.jpg', quality=90)
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


def loaders(df, path, tmp, repeats, workers):
    block = DataBlock((ImageBlock, CategoryBlock), get_x=ColReader('image', pref=f'{path}/'), get_y=ColReader('label'),
                      splitter=lambda d: ((d['split'] == 'train').to_numpy().nonzero()[0].tolist(), (d['split'] == 'valid').to_numpy().nonzero()[0].tolist()),
                      item_tfms=RandomResizedCrop(NET, min_scale=.6), batch_tfms=aug_transforms())
    own = dict(size=NET, bs=16, num_workers=workers, augment='full')
    cache = ImageCache.build(df, path, NET, folder=tmp/f'cache-{path.name}', progress=False)
    dls = {'fastai': block.dataloaders(df, bs=16, num_workers=workers), 'ours': dataloaders(df, path, **own), 'ours, cache': dataloaders(df, path, cache=cache, **own)}
    def epoch(dl): return lambda: [None for _ in dl.train]
    n = 16*(int((df['split'] == 'train').sum())//16)
    return interleave(repeats, {who: epoch(dl) for who, dl in dls.items()}, n, job='loader', workers=workers)


def arrays(repeats):
    rng, n = np.random.default_rng(0), 10_000
    pictures = rng.integers(0, 255, (n, 28, 28), dtype=np.uint8)
    df = pd.DataFrame(dict(image=[str(i) for i in range(n)], label=rng.choice(list('abcdefghij'), n), split=['valid']*16 + ['train']*(n-16), valid=[True]*16 + [False]*(n-16)))
    block = DataBlock((ImageBlock(PILImageBW), CategoryBlock), get_x=lambda row: pictures[int(row['image'])], get_y=ColReader('label'), splitter=ColSplitter('valid'))
    plain, ours = block.dataloaders(df, bs=256, num_workers=0), array_dataloaders(pictures, df)
    return interleave(repeats, dict(fastai=lambda: list(plain.train), ours=lambda: list(ours.train)), n-16, job='arrays', workers=0, size='28×28')


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--repeats', type=int, default=5)
    p.add_argument('--photos', type=int, default=105)
    args = p.parse_args()
    warnings.simplefilter('ignore')
    tmp = Path(tempfile.mkdtemp())
    try:
        df, rows = draw(tmp, args.photos), arrays(args.repeats)
        for w, h in SIZES:
            found = items([tmp/f'{w}'/image for image in df['image'][:32]], args.repeats)
            for workers in (1, 2): found += loaders(pd.concat([df]*4, ignore_index=True), tmp/f'{w}', tmp, args.repeats, workers)
            rows += [row | dict(size=f'{w}×{h}') for row in found]
    finally: shutil.rmtree(tmp)
    versions = {f'{name}_version': version(name) for name in ('fastai', 'torch', 'torchvision', 'pillow', 'opencv-python-headless')}
    out = pd.DataFrame(rows).assign(cpus=os.cpu_count(), machine=platform.machine(), python=platform.python_version(), **versions)
    out[['job', 'size', 'workers', 'who', *[c for c in out if c not in ('job', 'size', 'workers', 'who')]]].round(3).to_csv(HERE/'loading.csv', index=False)
    table = out.pivot_table(index=['job', 'size', 'workers'], columns='who', values='ms', aggfunc='median', observed=True, sort=False)
    print(table.round(2))
    print(table.rdiv(table['fastai'], axis=0).round(2))


if __name__ == '__main__': main()
