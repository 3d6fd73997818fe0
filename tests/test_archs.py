"""Every row of the table of architectures: builds, three groups, its own statistics, a backward pass, a frozen body that keeps still."""
import random

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.training import BnFreeze
from fastai.data.transforms import Normalize
from fastai.torch_core import norm_types
from PIL import Image

from fashion_fgvc.activations import grad_cam, maximise, plot_filters, zero_share
from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.learners import fashion_learner
from fashion_fgvc.models import ARCHS
from fashion_fgvc.tables import split_table


@pytest.fixture(scope='module')
def table(tmp_path_factory):
    path, rng, rows = tmp_path_factory.mktemp('photos'), np.random.default_rng(0), []
    for i in range(8):
        Image.fromarray(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8)).save(path/f'{i}.png')
        rows.append(dict(image=f'{i}.png', label='ab'[i % 2]))
    return split_table(pd.DataFrame(rows), valid=.25), path


@pytest.mark.parametrize('name', ARCHS)
def test_a_row_is_all_an_architecture_needs(name, table):
    random.seed(0)
    arch = ARCHS[name]
    learn = fashion_learner(dataloaders(*table, size=96, bs=2, num_workers=0, augment=False), name, pretrained=False)
    learn.create_opt()

    assert len(learn.opt.param_lists) == 3 and all(len(g) for g in learn.opt.param_lists)
    norm = [f for f in learn.dls.valid.after_batch.fs if isinstance(f, Normalize)]
    assert len(norm) == 1 and torch.allclose(norm[0].mean.flatten().cpu(), torch.tensor(arch.mean)) and torch.allclose(norm[0].std.flatten().cpu(), torch.tensor(arch.std))
    assert arch.size >= 28 and len(arch.mean) == 3

    learn.unfreeze()
    x, y = (t.to(learn.dls.device) for t in learn.dls.train.one_batch())
    learn.loss_func(learn.model.train()(x), y).backward()
    assert all(p.grad is not None for p in learn.model.parameters() if p.requires_grad)
    assert all(torch.isfinite(p.grad).all() for p in learn.model.parameters() if p.grad is not None)

    learn.freeze()
    assert any(isinstance(cb, BnFreeze) for cb in learn.cbs)
    assert not any(p.requires_grad for p in learn.model[0].parameters()) and all(p.requires_grad for p in learn.model[1].parameters())

    photo = table[1]/'0.png'
    cam, silent = grad_cam(learn, photo), zero_share(learn, [photo])
    assert cam.shape == (96, 96) and 0 <= cam.min() <= cam.max() <= 1 and len(silent) and silent.zeros.between(0, 1).all()
    assert maximise(learn, 0, steps=1).shape == (96, 96, 3) and plot_filters(learn, n=4).axes
    plt.close('all')


def test_batch_norm_of_a_frozen_body_learns_if_asked(table):
    learn = fashion_learner(dataloaders(*table, size=96, bs=2, num_workers=0), 'resnet18', pretrained=False, train_bn=True)
    learn.freeze()
    moving = {name for name, m in learn.model[0].named_modules() if isinstance(m, norm_types) for p in m.parameters() if p.requires_grad}
    assert len(moving) > 10 and not any(isinstance(cb, BnFreeze) for cb in learn.cbs)
