"""Training on a CPU: plain fastai and this library, interleaved in one run.

    python benchmarks/training.py [--job frozen step mnist] [--repeats 3] [--photos 96]

* frozen: the head of a network is trained for 4 and for 30 epochs, body frozen. Plain fastai: `vision_learner(train_bn=False)` with `PILImage` loaders; ours: `fit_cached`, the pass through the body included. Both without augmentation,
  from drawn photos of 256 px at 128 px, random weights, no workers; 30 epochs are measured once;
* step: a training step of all layers, 32 photos of 128 px: fp32 as fastai does it, and as the recipes do it with `bf16=True` (and without);
* mnist: an epoch of `SecondCNN` on 6,400 drawn pictures of 28×28, batches of 128, flips, and validation on 640 more. Plain fastai: a `DataBlock` of `PILImageBW`, fp32; ours: `array_dataloaders`, `fit_two_stage(bf16=True)`. No workers.

A row per measurement goes into benchmarks/training.csv; rows of jobs that are not asked for stay.
"""
import os
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
from fastai.callback import schedule as _  # noqa: F401  (gives `Learner` its `fit_one_cycle`)
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import ColReader
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.vision.augment import Flip, Resize
from fastai.vision.core import PILImageBW
from fastai.vision.data import ImageBlock
from fastai.vision.learner import vision_learner
from runs import clock, measure

from fashion_fgvc.arrays import array_dataloaders
from fashion_fgvc.blocks import dataloaders, split_rows
from fashion_fgvc.datasets import sample
from fashion_fgvc.learners import fashion_learner, second_cnn
from fashion_fgvc.models import SecondCNN
from fashion_fgvc.schedules import bf16_training, fast_on_cpu, reuse_memory
from fashion_fgvc.tables import split_table
from fashion_fgvc.training import fit_cached, fit_two_stage

FILE, SIZE = Path(__file__).parent/'training.csv', 128
THEIRS = dict(resnet18='resnet18', mobilenetv2='mobilenetv2_100', densenet121='densenet121')  # names of timm, which `vision_learner` takes


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
        learners = {who: fashion_learner(dls, arch, pretrained=False) for who in ('fastai', 'ours', 'ours, fp32')}  # one each: an optimiser's state lies in memory as the filters do
        for learn in learners.values(): learn.unfreeze(), learn.model.train()
        x, y = learn.dls.train.one_batch()
        def twice(learn, x=x, y=y):
            def once():
                learn.loss_func(learn.model(x), y).backward()
                learn.opt.step()
                learn.opt.zero_grad()
            once()
            return clock(once)
        def ours(who, bf16, learners=learners, twice=twice):
            learn = learners[who]
            fast_on_cpu(learn.model)
            with reuse_memory(), bf16_training(learn) if bf16 else nullcontext(): return twice(learn)
        for repeat in range(-1, max(5, repeats)):  # the first time draws memory, and so on
            for who, seconds in (('fastai', twice(learners['fastai'])), ('ours', ours('ours', True)), ('ours, fp32', ours('ours, fp32', False))):
                if repeat >= 0: rows.append(dict(job='step', arch=arch, who=who, repeat=repeat, seconds=seconds, load=os.getloadavg()[0]))
        print(arch, flush=True)
    return rows


def mnist(repeats, photos):
    rng, n = np.random.default_rng(0), 7040
    images = rng.integers(0, 255, (n, 28, 28), dtype=np.uint8)
    df = pd.DataFrame(dict(image=[f'{i}' for i in range(n)], label=rng.choice(list('abcdefghij'), n), split=['train']*6400 + ['valid']*640, position=range(n)))
    def plain():
        dls = DataBlock((ImageBlock(PILImageBW), CategoryBlock), get_x=lambda row: images[row['position']], get_y=ColReader('label'), splitter=split_rows,
                        batch_tfms=Flip()).dataloaders(df, bs=128, num_workers=0)
        learn = Learner(dls, SecondCNN(), loss_func=CrossEntropyLossFlat(), metrics=accuracy)
        with learn.no_bar(), learn.no_logging(): return clock(lambda: learn.fit_one_cycle(1, 4e-3))
    def ours():
        learn = second_cnn(array_dataloaders(images, df, bs=128, augment=Flip()))
        with learn.no_bar(), learn.no_logging(): return clock(lambda: fit_two_stage(learn, 0, 1, lr_full=4e-3, spread=1., bf16=True))
    rows = []
    for repeat in range(-1, repeats): # the first time imports, draws memory, and so on
        for name, job in dict(fastai=plain, ours=ours).items():
            seconds = job()
            if repeat >= 0: rows.append(dict(job='mnist', arch='second_cnn', epochs=1, who=name, repeat=repeat, seconds=seconds, load=os.getloadavg()[0]))
    return rows


JOBS = dict(frozen=frozen, step=step, mnist=mnist)


if __name__ == '__main__': measure(__doc__, FILE, JOBS, ('fastai', 'torch', 'torchvision', 'timm'), repeats=3, photos=96)
