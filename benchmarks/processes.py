"""Two processes on two cores beside one process on one, interleaved in one run.

    python benchmarks/processes.py [--job train predict] [--repeats 5] [--photos 384]

* train: an epoch of all layers of MobileNetV2, drawn photos of 256 px at 128 px, 32 photos a step in all: one process, or two (`shared_training`, gloo), with a thread each;
* predict: `predict_to` of the same photos with that network at 224 px; also the largest difference of a probability, and of a metric.

Decoding is done by the processes themselves (no workers). A row per measurement goes into benchmarks/processes.csv; rows of jobs that are not asked for stay.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from fastai.torch_core import distrib_barrier
from runs import clock, measure

from fashion_fgvc.answers import Predictions
from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.datasets import sample
from fashion_fgvc.learners import mobilenetv2
from fashion_fgvc.predictions import predict_to
from fashion_fgvc.processes import join_processes, shared_training
from fashion_fgvc.tables import split_table
from fashion_fgvc.training import fit_steps

FILE = Path(__file__).parent/'processes.csv'
TORCHRUN = ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']


def child(job, photos, folder):
    "What a process does; the first one writes how long it took"
    rank, n = join_processes()
    path, df = sample('pattern', n=photos, size=256)
    df = split_table(df, valid=32/photos, seed=0)
    learn = mobilenetv2(dataloaders(df, path, size=128 if job == 'train' else 224, bs=32//n if job == 'train' else 32, num_workers=0), pretrained=False)
    distrib_barrier()
    if job == 'train':
        with shared_training(learn), learn.no_bar(), learn.no_logging():
            fit_steps(learn, [(1, 1e-3)]) # the first one starts things
            seconds = clock(lambda: fit_steps(learn, [(1, 1e-3)]))
    else: seconds = clock(lambda: predict_to(folder/'answers', learn, df, path=path, piece=32, progress=False))
    if rank == 0: (folder/'seconds.json').write_text(json.dumps(seconds))


def pairs(job, repeats, photos):
    "Both ways in turn"
    rows = []
    for repeat in range(repeats):
        said = []
        for who, launch in (('one', []), ('two', TORCHRUN)):
            with tempfile.TemporaryDirectory() as tmp:
                subprocess.run([sys.executable, *launch, __file__, '--child', job, str(photos), tmp], check=True, env=os.environ | dict(OMP_NUM_THREADS='1'), capture_output=True)
                rows.append(dict(job=job, what=f'{photos} photos', who=who, repeat=repeat, seconds=round(json.loads((Path(tmp)/'seconds.json').read_text()), 3), load=os.getloadavg()[0]))
                if job == 'predict': said.append(Predictions.load(Path(tmp)/'answers'))
        if said:
            a, b = said[0].metrics(), said[1].metrics()
            rows[-1] |= dict(apart=float(np.abs(said[0].probs-said[1].align(said[0]).probs).max()), metrics_apart=max(abs(a[k]-b[k]) for k in a))
    return rows


if __name__ == '__main__':
    if sys.argv[1:2] == ['--child']: child(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    else:
        measure(__doc__, FILE, dict(train=lambda repeats, photos: pairs('train', repeats, photos), predict=lambda repeats, photos: pairs('predict', repeats, photos)),
                ('fastai', 'torch', 'accelerate', 'timm'), repeats=5, photos=384)
