"""Training on a CPU: plain fastai and this library, interleaved in one run.

    python benchmarks/training.py [--job frozen step] [--repeats 3] [--photos 96]

* frozen: the head of a network is trained for 4 and for 30 epochs, body frozen. Plain fastai: `vision_learner(train_bn=False)` with `PILImage` loaders; ours: `fit_cached`, the pass through the body included. Both without augmentation,
  from drawn photos of 256 px at 128 px, random weights, no workers; 30 epochs are measured once;
* step: a training step of all layers, 32 photos of 128 px, in fp32 and in bfloat16 with channels last (`bf16=True`).

A row per measurement goes into benchmarks/training.csv.
"""
import argparse
import os
import platform
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from fastai.callback import schedule as _  # noqa: F401  (gives `Learner` its `fit_one_cycle`)
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import ColReader
from fastai.vision.augment import Resize
from fastai.vision.data import ImageBlock
from fastai.vision.learner import vision_learner

from fashion_fgvc.blocks import dataloaders, split_rows
from fashion_fgvc.datasets import sample
from fashion_fgvc.learners import fashion_learner
from fashion_fgvc.tables import split_table
from fashion_fgvc.training import bf16_training, fit_cached

FILE, SIZE = Path(__file__).parent/'training.csv', 128
THEIRS = dict(resnet18='resnet18', mobilenetv2='mobilenetv2_100', densenet121='densenet121')  # names of timm, which `vision_learner` takes


def clock(job):
    "Seconds that a job takes"
    t = time.perf_counter()
    job()
    return time.perf_counter()-t


def plain(df, path, arch, epochs):
    "Seconds of the frozen stage in plain fastai"
    dls = DataBlock((ImageBlock, CategoryBlock), get_x=ColReader('image', pref=f'{path}/'), get_y=ColReader('label'), splitter=split_rows,
                    item_tfms=Resize(SIZE, 'squish')).dataloaders(df, bs=32, num_workers=0)
    learn = vision_learner(dls, THEIRS[arch], pretrained=False, train_bn=False)
    learn.freeze()
    with learn.no_bar(), learn.no_logging(): return clock(lambda: learn.fit_one_cycle(epochs, 3e-3))


def ours(df, path, arch, epochs):
    "The same on kept activations"
    learn = fashion_learner(dataloaders(df, path, size=SIZE, bs=32, num_workers=0, augment=False), arch, pretrained=False)
    learn.freeze()
    with learn.no_logging(): return clock(lambda: fit_cached(learn, epochs, 3e-3, progress=False))


def frozen(repeats, photos):
    path, df = sample('pattern', n=photos, size=256)
    df, rows = split_table(df, valid=.2), []
    for arch in THEIRS:
        for who in (plain, ours): who(df, path, arch, 1)  # the first time imports, draws memory, and so on
        for epochs, times in ((4, repeats), (30, 1)):
            for repeat in range(times):
                for name, job in dict(fastai=plain, ours=ours).items():
                    rows.append(dict(job='frozen', arch=arch, epochs=epochs, who=name, repeat=repeat, seconds=job(df, path, arch, epochs), load=os.getloadavg()[0]))
                    print(rows[-1], flush=True)
    return rows


def step(repeats, photos):
    path, df = sample('pattern', n=photos, size=256)
    dls, rows = dataloaders(split_table(df, valid=.2), path, size=SIZE, bs=32, num_workers=0, augment=False), []
    for arch in (*THEIRS, 'resnet50'):
        learn = fashion_learner(dls, arch, pretrained=False)
        learn.unfreeze()
        x, y = learn.dls.train.one_batch()
        learn.model.train()
        def once(learn=learn, x=x, y=y):
            learn.loss_func(learn.model(x), y).backward()
            learn.opt.step()
            learn.opt.zero_grad()
        def half(learn=learn, once=once):
            with bf16_training(learn): once()
        x32 = x.contiguous()
        def full(learn=learn, once=once, x=x32):
            learn.model.to(memory_format=torch.contiguous_format)
            once()
        for job in (full, half): job()
        for repeat in range(max(5, repeats)):
            for name, job in (('fp32', full), ('bf16', half)):
                rows.append(dict(job='step', arch=arch, who=name, repeat=repeat, seconds=clock(job), load=os.getloadavg()[0]))
        print(arch, flush=True)
    return rows


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--job', nargs='*', default=['frozen', 'step'], choices=['frozen', 'step'])
    p.add_argument('--repeats', type=int, default=3)
    p.add_argument('--photos', type=int, default=96)
    args = p.parse_args()
    warnings.simplefilter('ignore')
    rows = [row for job in args.job for row in dict(frozen=frozen, step=step)[job](args.repeats, args.photos)]
    versions = {f'{name}_version': version(name) for name in ('fastai', 'torch', 'torchvision', 'timm')}
    out = pd.DataFrame(rows).assign(cpus=os.cpu_count(), threads=torch.get_num_threads(), machine=platform.machine(), python=platform.python_version(), **versions)
    out.round(4).to_csv(FILE, index=False)
    for job, part in out.groupby('job'):
        table = part.pivot_table(index=['arch', 'epochs'] if job == 'frozen' else 'arch', columns='who', values='seconds', aggfunc='median', sort=False)
        print(table.assign(ratio=table['fastai']/table['ours'] if job == 'frozen' else table['fp32']/table['bf16']).round(3))


if __name__ == '__main__': main()
