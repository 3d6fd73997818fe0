"""A training and a sweep that are killed at any moment, and go on to the same end."""
import signal
import time

import pandas as pd
import pytest
import torch
from test_processes import finish, python

TRAIN = '''
import warnings
warnings.simplefilter('ignore')
import torch
torch.set_num_threads(1)
from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.datasets import sample
from fashion_fgvc.tables import split_table
from fashion_fgvc.learners import tiny_cnn
from fashion_fgvc.training import fit_two_stage, resume
from pathlib import Path
out, workers = Path({out!r}), {workers}
path, df = sample('pattern', n=96, size=48)
df = split_table(df, seed=0)
learn = tiny_cnn(dataloaders(df, path, size=40, bs=16, num_workers=workers, augment='full', seed=3), seed=3)
with learn.no_bar():
    if (out/'run.pt').exists(): resume(learn, out/'run.pt')
    else: fit_two_stage(learn, 2, 4, lr=3e-3, keep='valid_loss', ema=.9, clip=1., checkpoint=out/'run.pt')
torch.save(learn.model.state_dict(), out/'last.pt')
'''

SWEEP = '''
import warnings
warnings.simplefilter('ignore')
import torch
torch.set_num_threads(1)
from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.datasets import sample
from fashion_fgvc.tables import split_table
from fashion_fgvc.learners import fashion_learner
from fashion_fgvc.training import sweep
path, df = sample('pattern', n=96, size=48)
df = split_table(df, seed=0)
def build(ps, size, seed):
    print('built', flush=True)
    learn = fashion_learner(dataloaders(df, path, size=size, bs=16, num_workers=0, seed=seed), 'squeezenet', ps=ps, pretrained=False, seed=seed)
    learn.freeze()
    return learn
sweep(build, dict(size=[32, 40], ps=[.1, .3, .5]), {csv!r}, seeds=(0, 1), epochs=2, lr=1e-2, progress=False)
'''


def killed(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize('workers', [0, 1])
def test_a_killed_training_ends_with_the_same_weights(tmp_path, workers):
    once, again = tmp_path/'once', tmp_path/'again'
    once.mkdir(), again.mkdir()
    finish(python(TRAIN.format(out=str(once), workers=workers)))
    for epochs in (1, 2): # killed after the file was seen in two states, then, going on, in three: in both stages
        process, seen = python(TRAIN.format(out=str(again), workers=workers)), set()
        deadline = time.time()+120
        while len(seen) < epochs+1 and time.time() < deadline and process.poll() is None:
            if (again/'run.pt').exists(): seen.add((again/'run.pt').stat().st_mtime_ns)
            time.sleep(.01)
        assert process.poll() is None, process.communicate()[1][-2000:]
        killed(process)
    finish(python(TRAIN.format(out=str(again), workers=workers)))
    a, b = (torch.load(folder/'last.pt', weights_only=True) for folder in (once, again))
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_a_killed_sweep_does_what_was_left(tmp_path):
    swept = lambda name: python(SWEEP.format(csv=str(tmp_path/name)))
    finish(swept('once.csv'))
    process, built = swept('again.csv'), 0
    while built < 6 and process.stdout.readline(): built += 1
    killed(process)
    done = len(pd.read_csv(tmp_path/'again.csv'))
    assert 0 < done < 12
    assert finish(swept('again.csv')).count('built') == 12-done
    once, again = (pd.read_csv(tmp_path/f'{name}.csv').drop(columns='seconds').sort_values(['size', 'ps', 'seed'], ignore_index=True) for name in ('once', 'again'))
    pd.testing.assert_frame_equal(once, again)
    assert len(pd.read_csv(tmp_path/'again-classes.csv').drop_duplicates()) == len(pd.read_csv(tmp_path/'once-classes.csv'))
