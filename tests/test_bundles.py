"""A bundle answers the same in a fresh process that can unpickle nothing: bundles of every format there was, and one of today."""
from pathlib import Path

import numpy as np
import pytest
from test_processes import OFFLINE, finish, python

from fashion_fgvc.answers import Predictions
from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.bundles import FORMAT, save_bundle
from fashion_fgvc.datasets import sample
from fashion_fgvc.learners import tiny_cnn
from fashion_fgvc.predictions import predict
from fashion_fgvc.tables import split_table

FIXTURES = Path(__file__).parent/'fixtures'
NO_PICKLE = """
import pickle, sys, torch
def refuse(*args, **kwargs): raise AssertionError('something was unpickled')
pickle.load = pickle.loads = pickle.Unpickler = pickle._Unpickler = torch.load = refuse
sys.addaudithook(lambda event, args: refuse() if event == 'pickle.find_class' else None) # every unpickler says so before it looks anything up
"""
IMPORTS = """
from pathlib import Path
from fashion_fgvc.bundles import load_bundle
from fashion_fgvc.predictions import predict
"""
ANSWER = """
predict(load_bundle({bundle!r}), sorted(Path({photos!r}).glob('*.[pj][np]g')), progress=False).save({out!r})
"""


def answers(bundle, photos, out):
    "What a fresh process says"
    finish(python(IMPORTS + OFFLINE + NO_PICKLE + ANSWER.format(bundle=str(bundle), photos=str(photos), out=str(out))))
    return Predictions.load(out)


def same(said, before, eps):
    assert said.vocab == before.vocab and (said.status == 'ok').all() and len(said) == len(before) > 1
    assert before.probs.std(0).max() > .01 # photos are told apart
    assert np.abs(said.probs-before.probs).max() <= eps


@pytest.mark.parametrize('number', range(1, FORMAT+1))
def test_a_bundle_of_every_format_answers_as_it_did(number, tmp_path):
    folder = FIXTURES/f'bundle-{number}'
    said, before = answers(folder/'bundle', folder/'photos', tmp_path/'said'), Predictions.load(folder/'said')
    assert [Path(i).name for i in said.ids] == before.ids.tolist()
    same(said, before, 1e-5)


def test_a_new_bundle_answers_as_its_learner(tmp_path):
    path, df = sample('pattern', n=64, size=48)
    learn = tiny_cnn(dataloaders(split_table(df, valid=.5), path, size=(40, 32), bs=8, num_workers=0))
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(2, 5e-3)
    photos = sorted(path.glob('*.[pj][np]g'))[:12]
    (tmp_path/'photos').mkdir()
    for photo in photos: (tmp_path/'photos'/photo.name).symlink_to(photo)
    before = predict(learn, photos, progress=False)
    save_bundle(learn, tmp_path/'bundle')
    same(answers(tmp_path/'bundle', tmp_path/'photos', tmp_path/'said'), before, 1e-6)


def test_the_process_of_these_tests_does_refuse_to_unpickle():
    process = python(NO_PICKLE + "import _pickle\n_pickle.loads(b'cbuiltins\\nlist\\n.')")
    assert 'something was unpickled' in process.communicate(timeout=240)[1] and process.returncode
