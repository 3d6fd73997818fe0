"""Answers of many networks, and what is computed from answers: plain fastai and this library, interleaved in one run.

    python benchmarks/answers.py [--job members study memory confusion thresholds] [--repeats 5]

* members: four small networks over photos of 400×500 px at 64 px, so that decoding is most of the work, as it is on a GPU. Plain: `get_preds` of each, then the mean; ours: `Ensemble.predict`, with the same plain decoding (`PILImage`), and with `FastImage`. No workers;
* study: the same with the four architectures of the T-shirt study at 192 px on a CPU, where the networks are most of the work;
* memory: the largest growth of a process while four members answer for 200,000 pictures with 228 classes, in MB (one array of answers is 182 MB);
* confusion: 228 classes and 9,897 photos; seconds, and the largest growth of the process in MB;
* thresholds: `best_thresholds` and `threshold_gain` on the labels of iMaterialist's 9,897 validation photos (228 labels) with simulated scores. Needs FASHION_FGVC_DATA with `imaterialist2018`.

A row per measurement goes into benchmarks/answers.csv; rows of jobs that are not asked for stay.
"""
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import ColReader
from fastai.interpret import ClassificationInterpretation
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.vision.augment import Resize
from fastai.vision.core import PILImage
from fastai.vision.data import ImageBlock
from PIL import Image
from runs import clock, measure
from torch import nn

from fashion_fgvc.arrays import array_dataloaders
from fashion_fgvc.blocks import dataloaders, split_rows
from fashion_fgvc.datasets import get
from fashion_fgvc.ensemble import Ensemble
from fashion_fgvc.learners import fashion_learner
from fashion_fgvc.metrics import best_thresholds, confusion, threshold_gain
from fashion_fgvc.tables import label_matrix, read_imaterialist

FILE = Path(__file__).parent/'answers.csv'


def photos(folder, n=96):
    "A table of photos of 400×500 px, all but two for validation"
    rng, rows = np.random.default_rng(0), []
    for i in range(n):
        small = Image.fromarray(rng.integers(0, 255, (25, 20, 3), dtype=np.uint8)).resize((400, 500), Image.Resampling.BICUBIC)
        Image.fromarray((np.asarray(small)+rng.normal(0, 6, (500, 400, 3))).clip(0, 255).astype(np.uint8)).save(folder/f'{i}.jpg', quality=90)
        rows.append(dict(image=f'{i}.jpg', label='ab'[i % 2], split='train' if i < 2 else 'valid'))
    return pd.DataFrame(rows)


def mean_of_all(learners):
    "What people write"
    return torch.stack([learn.get_preds()[0] for learn in learners]).mean(0)


def ensembles(job, archs, size, n, bs, repeats):
    "Seconds of one mean over all photos"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        df = photos(path, n)
        plain = DataBlock((ImageBlock, CategoryBlock), get_x=ColReader('image', pref=f'{path}/'), get_y=ColReader('label'), splitter=split_rows,
                          item_tfms=Resize(size, 'squish')).dataloaders(df, bs=bs, num_workers=0)
        theirs = [fashion_learner(plain, arch, pretrained=False) for arch in archs]
        ours = {}
        for name, cls in (('ours, plain decoding', dict(img_cls=PILImage)), ('ours', {})):
            dls = dataloaders(df, path, size=size, bs=bs, num_workers=0, augment=False, **cls)
            ours[name] = Ensemble([fashion_learner(dls, arch, pretrained=False) for arch in archs])
            for a, b in zip(theirs, ours[name].members, strict=True): b.model.load_state_dict(a.model.state_dict())
        jobs = {'fastai': partial(mean_of_all, theirs)} | {name: partial(ensemble.predict, df[df['split'] == 'valid'], progress=False) for name, ensemble in ours.items()}
        def quietly(work):
            with theirs[0].no_bar(), theirs[1].no_bar(), theirs[2].no_bar(), theirs[3].no_bar(): return work()
        answers = {name: quietly(work) for name, work in jobs.items()} # the first time imports, draws memory, and so on
        apart = np.abs(answers['fastai'].numpy()-answers['ours, plain decoding'].probs).max()
        assert apart < 1e-5, apart
        return [dict(job=job, what=f'{n-2} photos, {size} px', who=name, repeat=i, seconds=quietly(partial(clock, work)), apart=apart, load=os.getloadavg()[0]) for i in range(repeats) for name, work in jobs.items()]


def members(repeats): return ensembles('members', ['tiny_cnn']*4, 64, 98, 32, repeats)
def study(repeats): return ensembles('study', ['densenet121', 'wrn50', 'inception_v4', 'resnext50'], 192, 18, 8, min(repeats, 3))


def growth(job):
    "Largest growth of this process while a job runs, in MB"
    status = lambda name: int(next(line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith(name)).split()[1])/1024
    Path('/proc/self/clear_refs').write_text('5') # forget the peak of before
    before = status('VmRSS')
    job()
    return status('VmHWM')-before


def many_answers(who):
    "Four members, 200,000 pictures, 228 classes, after a first time with 2,000"
    def job(n, c=228):
        rng = np.random.default_rng(0)
        df = pd.DataFrame(dict(image=[str(i) for i in range(n)], label=[f'{i%c:03}' for i in range(n)], split=['train']*c + ['valid']*(n-c)))
        dls = array_dataloaders(rng.integers(0, 255, (n, 4, 4), dtype=np.uint8), df, bs=512)
        learners = [Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(16, c)), loss_func=CrossEntropyLossFlat()) for _ in range(4)]
        def plain():
            with learners[0].no_bar(), learners[1].no_bar(), learners[2].no_bar(), learners[3].no_bar(): mean_of_all(learners)
        return dict(fastai=plain, ours=lambda: Ensemble(learners).predict(dls.valid, progress=False))[who]
    job(2000)()
    return growth(job(200_000))


def matrices(who):
    "Counts of 228 classes and 9,897 photos; seconds and MB"
    rng, n, c = np.random.default_rng(0), 9897, 228
    probs, targs = torch.from_numpy(rng.dirichlet(np.ones(c), n).astype(np.float32)), torch.from_numpy(rng.integers(c, size=n))
    given, loader = type('Given', (), dict(get_preds=lambda self, **kwargs: (probs, targs, probs.argmax(1))))(), type('Loader', (), dict(vocab=[list(range(c))]))()
    table = ClassificationInterpretation(given, loader, None) # with its answers given, so that only the counting is measured
    work = dict(fastai=table.confusion_matrix, ours=lambda: confusion(probs, targs))
    assert (work['fastai']() == work['ours']().numpy()).all() if who == 'same' else True
    if who == 'same': return 0., 0.
    mb = growth(work[who])
    return min(clock(work[who]) for _ in range(3)), mb


def in_process(*args): return json.loads(subprocess.run([sys.executable, __file__, '--inside', *map(str, args)], capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def memory(repeats): return [dict(job='memory', what='4 × 200,000 × 228', who=who, repeat=0, mb=in_process('memory', who)) for who in ('fastai', 'ours')]


def counting(repeats):
    in_process('confusion', 'same')
    rows = []
    for i in range(min(repeats, 3)):
        for who in ('fastai', 'ours'):
            seconds, mb = in_process('confusion', who)
            rows.append(dict(job='confusion', what='228 × 9,897', who=who, repeat=i, seconds=seconds, mb=mb))
    return rows


def thresholds(repeats):
    df = read_imaterialist(get('imaterialist2018')/'validation.json.zip')
    targs, _ = label_matrix(df, vocab=[str(i) for i in range(1, 229)])
    rng, share = np.random.default_rng(0), np.asarray(targs.mean(0)).ravel().clip(1e-4)
    y = targs.toarray()
    probs = 1/(1+np.exp(-(np.log(share/(1-share))+3*y+rng.normal(0, 1.5, y.shape)))).astype(np.float32)
    jobs = {f'{average}, {"per label" if per_class else "one for all"}': partial(best_thresholds, probs, y, average, per_class=per_class) for average in ('micro', 'macro') for per_class in (True, False)}
    jobs['threshold_gain, micro'] = partial(threshold_gain, probs, y)
    return [dict(job='thresholds', what=name, who='ours', repeat=i, seconds=clock(work), load=os.getloadavg()[0]) for i in range(repeats) for name, work in jobs.items()]


JOBS = dict(members=members, study=study, memory=memory, confusion=counting, thresholds=thresholds)

if __name__ == '__main__':
    if sys.argv[1:2] == ['--inside']: print(json.dumps(dict(memory=many_answers, confusion=matrices)[sys.argv[2]](sys.argv[3])))
    else: measure(__doc__, FILE, JOBS, ('fastai', 'torch', 'torchvision', 'timm'), repeats=5)
