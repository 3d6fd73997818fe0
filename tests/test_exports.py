"""Every kind of network leaves torch as it is, and no runtime touches the network."""
import pytest
import torch
from test_archs import table  # noqa: F401  a fixture
from test_processes import OFFLINE, finish, python

from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.exports import export_onnx, load_onnx
from fashion_fgvc.learners import fashion_learner
from fashion_fgvc.predictions import photo_batch, predict

NETWORKS = dict(densenet121='concat', resnext50='avg', inception_v3='max', efficientnet_b0='gem', convnext_tiny='concat', mobilenetv2_tf='concat', vgg16='avg', simple_cnn='', second_cnn='', tiny_cnn='')


@pytest.mark.parametrize('name', NETWORKS)
def test_a_network_is_the_same_in_onnx(name, table, tmp_path):  # noqa: F811
    df, path = table
    learn = fashion_learner(dataloaders(df, path, size=96, bs=2, num_workers=0, augment=False), name, pretrained=False, **(dict(pool=NETWORKS[name]) if NETWORKS[name] else {}))
    for m in learn.model.modules():
        if isinstance(m, torch.nn.modules.batchnorm._BatchNorm): m.momentum = 1.
    with torch.no_grad(): learn.model.train()(photo_batch(learn, df, path)) # with the statistics of photos, so that random weights tell them apart
    exported = load_onnx(export_onnx(learn, tmp_path/'network.onnx', check=df, tol=1e-3)) # statistics of eight photos are tiny for some filters, which makes much of rounding
    probs, check = predict(exported, df, path, progress=False).probs, exported.exported['check']
    assert check['photos'] == len(df) and abs(probs.sum(1)-1).max() < 1e-5
    assert probs.std(0).max() > max(1e-3, 100*check['max_difference'])


def test_exports_are_written_and_asked_without_network(tmp_path):
    out = finish(python(OFFLINE + f"""
import os, sys
for name in ('CI', 'GITHUB_ACTIONS', 'ORT_DISABLE_TELEMETRY', 'XDG_CACHE_HOME'): os.environ.pop(name, None) # with which ONNX Runtime is silent by itself, or writes elsewhere
from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.bundles import export_onnx, export_openvino, load_onnx, load_openvino
from fashion_fgvc.datasets import sample
from fashion_fgvc.learners import tiny_cnn
from fashion_fgvc.predictions import predict
from fashion_fgvc.tables import split_table
assert not {{'onnx', 'onnxscript', 'onnxruntime', 'openvino'}} & set(sys.modules) # optional
path, df = sample('pattern', n=16, size=48)
learn = tiny_cnn(dataloaders(split_table(df, valid=.5), path, size=32, bs=8, num_workers=0))
for m in (load_onnx(export_onnx(learn, {str(tmp_path)!r}+'/a.onnx')), load_openvino(export_openvino(learn, {str(tmp_path)!r}+'/b'))): print(predict(m, df, path, progress=False).status.tolist().count('ok'))
assert not [m for m in sys.modules if m.startswith('openvino_telemetry.')]
""", HOME=str(tmp_path)))
    assert out.split()[-2:] == ['16', '16']
    kept = [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob('*') if p.is_file()] # where both would keep a number of the user or of the machine
    assert not [p for p in kept if p.startswith('intel/') or 'Microsoft' in p], kept
