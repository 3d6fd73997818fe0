"Several processes train one network and answer one table; one of them is killed, and nothing is lost or there twice."
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from test_processes import ROOT, finish

from fashion_fgvc.answers import Predictions

SCRIPT = '''
import sys, time, warnings
warnings.simplefilter('ignore')
import os
from pathlib import Path
import torch
from fashion_fgvc import predictions
from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.datasets import sample
from fashion_fgvc.learners import tiny_cnn
from fashion_fgvc.processes import join_processes, shared_training
from fashion_fgvc.tables import split_table
from fashion_fgvc.training import fit_two_stage
torch.set_num_threads(1)
rank, n = join_processes()
out = Path(sys.argv[1])
(out/f'pid-{rank}').write_text(str(os.getpid()))
path, df = sample('pattern', n=133, size=48)
df = split_table(df, seed=0)
asked = df.copy()
asked.loc[40, 'image'] = 'gone.jpg'
learn = tiny_cnn(dataloaders(df, path, size=40, bs=16, num_workers=0, augment='light', seed=3), seed=3)
with shared_training(learn), learn.no_bar():
    fit_two_stage(learn, 1, 12, lr_full=.01, keep='f1_macro', ema=.5, sizes=(32, 40), checkpoint=out/'run.pt')
if rank == 0: torch.save(dict(weights=learn.model.state_dict(), rates=learn.rates, record=[[float(v) for v in row] for row in learn.recorder.values]), out/'trained.pt')
predict = predictions.predict
def told(*args, **kwargs):
    if n > 1: time.sleep(.3)
    with open(out/f'pieces-{rank}', 'a') as file: file.write('.')
    return predict(*args, **kwargs)
predictions.predict = told
predictions.predict_to(out/'answers', learn, asked, path=path, piece=10, progress=False)
'''
ALONE = '''
import sys
import torch
from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.datasets import sample
from fashion_fgvc.learners import tiny_cnn
from fashion_fgvc.predictions import predict
from fashion_fgvc.tables import split_table
path, df = sample('pattern', n=133, size=48)
df = split_table(df, seed=0)
learn = tiny_cnn(dataloaders(df, path, size=40, bs=16, num_workers=0), seed=1)
learn.model.load_state_dict(torch.load(sys.argv[1]+'/trained.pt')['weights'])
df.loc[40, 'image'] = 'gone.jpg'
predict(learn, df, progress=False).save(sys.argv[1]+'/alone')
'''
LAUNCH = ['torch.distributed.run', '--standalone', '--nproc-per-node', '2'] # `accelerate launch` starts several processes on GPUs, but on CPUs only through MPI


def start(folder):
    (folder/'job.py').write_text(SCRIPT)
    return subprocess.Popen([sys.executable, '-m', *LAUNCH, folder/'job.py', folder], cwd=ROOT, env=os.environ | {'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)},
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_one(job, folder, when):
    "Kill the second process as soon as `when()`; the launcher stops the first one too"
    until = time.time()+180
    while not when() and job.poll() is None and time.time() < until: time.sleep(.02)
    assert when() and job.poll() is None
    os.kill(int((folder/'pid-1').read_text()), signal.SIGKILL)
    job.communicate(timeout=120)
    assert job.returncode != 0


def pieces(folder): return sum(len(p.read_text()) for p in folder.glob('pieces-*'))


@pytest.fixture(scope='module')
def once(tmp_path_factory):
    folder = tmp_path_factory.mktemp('once')
    finish(start(folder))
    return folder


def test_two_processes_share_the_work_and_say_what_one_says(once):
    assert [len((once/f'pieces-{rank}').read_text()) for rank in (0, 1)] == [7, 7]
    code = subprocess.run([sys.executable, '-c', ALONE, str(once)], cwd=ROOT, env=os.environ | {'OMP_NUM_THREADS': '1'}, capture_output=True, text=True)
    assert code.returncode == 0, code.stderr
    two, one = Predictions.load(once/'answers'), Predictions.load(once/'alone')
    assert two.ids.tolist() == one.ids.tolist() and len(set(two.ids)) == 133
    assert two.status.tolist() == one.status.tolist() and (two.status == 'missing').sum() == 1
    assert np.abs(two.probs[two.ok]-one.probs[one.ok]).max() < 1e-6
    a, b = two.metrics(), one.metrics()
    assert a['n'] == 132 and all(abs(a[k]-b[k]) < 1e-6 for k in a)
    best = max(row[3] for row in torch.load(once/'trained.pt')['record']) # of the last stage, as `keep` kept it
    valid = two[[i for i, name in enumerate(two.ids) if name in set(validation())]]
    assert best > .05
    assert abs(valid.metrics()['f1_macro']-best) < 1e-5, 'the metric of the training is that of one process'


def validation():
    "Ids of the validation part, the missing one aside"
    from fashion_fgvc.datasets import sample
    from fashion_fgvc.tables import split_table
    df = split_table(sample('pattern', n=133, size=48)[1], seed=0)
    assert df['split'][40] == 'train'
    return df['image'][df['split'] == 'valid']


def test_one_of_two_is_killed_in_training_and_in_predicting(tmp_path, once):
    epoch = lambda: torch.load(tmp_path/'run.pt', weights_only=True)['epoch'] if (tmp_path/'run.pt').exists() else -1
    kill_one(start(tmp_path), tmp_path, lambda: epoch() >= 1)
    assert not (tmp_path/'trained.pt').exists()
    kill_one(start(tmp_path), tmp_path, lambda: pieces(tmp_path) >= 6)
    assert not (tmp_path/'answers.json').exists()
    finish(start(tmp_path))
    a, b = torch.load(once/'trained.pt'), torch.load(tmp_path/'trained.pt')
    assert a['rates'] == b['rates'] and len(a['record']) == len(b['record'])
    for name, value in a['weights'].items(): assert torch.allclose(value.float(), b['weights'][name].float(), atol=1e-5), name
    a, b = Predictions.load(once/'answers'), Predictions.load(tmp_path/'answers')
    assert a.ids.tolist() == b.ids.tolist() and a.status.tolist() == b.status.tolist()
    assert np.abs(a.probs[a.ok]-b.probs[b.ok]).max() < 1e-5
    assert pieces(tmp_path) <= 14+2 # two were under way
    assert not list(tmp_path.glob('answers.pieces'))
