"""Predictions in pieces that are killed at any moment, and go on to the same file."""
import pytest
from test_processes import finish, python
from test_training import killed

from fashion_fgvc.answers import Predictions

PREDICT = '''
import warnings
warnings.simplefilter('ignore')
from fashion_fgvc import predictions
from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.datasets import sample
from fashion_fgvc.ensemble import Ensemble
from fashion_fgvc.learners import tiny_cnn
from fashion_fgvc.tables import split_table
path, df = sample('pattern', n=96, size=48)
df = split_table(df, seed=0)
df.loc[40, 'image'] = 'gone.jpg'
dls = dataloaders(df[df['image'] != 'gone.jpg'], path, size=40, bs=8, num_workers=0, seed=3)
ensemble = Ensemble([tiny_cnn(dls, seed=seed) for seed in range(2)])
predict = predictions.predict
def told(*args, **kwargs):
    print('piece', flush=True)
    return predict(*args, **kwargs)
predictions.predict = told
predictions.predict_to({out!r}, ensemble, df, path=path, piece=10, progress=False)
'''


@pytest.fixture(scope='module')
def once(tmp_path_factory):
    out = tmp_path_factory.mktemp('once')/'once'
    assert finish(python(PREDICT.format(out=str(out)))).count('piece') == 10
    return out


@pytest.mark.parametrize('pieces', [3, 10])
def test_killed_predictions_go_on_and_nothing_is_lost_or_there_twice(tmp_path, once, pieces):
    again = tmp_path/'again'
    process = python(PREDICT.format(out=str(again)))
    for _ in range(pieces): process.stdout.readline()
    killed(process)
    assert not again.with_suffix('.json').exists() or pieces == 10
    more = finish(python(PREDICT.format(out=str(again)))).count('piece')
    assert more <= 10-pieces+1 or pieces == 10, more
    a, b = Predictions.load(once), Predictions.load(again)
    assert a.ids.tolist() == b.ids.tolist() and len(set(a.ids)) == 96
    assert a.status.tolist() == b.status.tolist() and (a.status == 'missing').sum() == 1
    assert abs(a.probs[a.ok]-b.probs[b.ok]).max() < 1e-6
    assert sorted(p.name for p in tmp_path.iterdir()) == ['again.json', 'again.parquet']
