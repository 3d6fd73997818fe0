"""Every kind of network leaves torch as it is, and no runtime touches the network."""
import pytest
from test_archs import table  # noqa: F401  a fixture
from test_processes import OFFLINE, finish, python

from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.exports import export_onnx, load_onnx
from fashion_fgvc.learners import fashion_learner
from fashion_fgvc.predictions import predict

NETWORKS = dict(densenet121='concat', resnext50='avg', inception_v3='max', efficientnet_b0='gem', convnext_tiny='concat', mobilenetv2_tf='concat', vgg16='avg', simple_cnn='', second_cnn='', tiny_cnn='')


@pytest.mark.parametrize('name', NETWORKS)
def test_a_network_is_the_same_in_onnx(name, table, tmp_path):  # noqa: F811
    df, path = table
    learn = fashion_learner(dataloaders(df, path, size=96, bs=2, num_workers=0, augment=False), name, pretrained=False, **(dict(pool=NETWORKS[name]) if NETWORKS[name] else {}))
    exported = load_onnx(export_onnx(learn, tmp_path/'network.onnx', check=df))
    assert exported.exported['check']['photos'] == len(df) and exported.exported['check']['max_difference'] < 2e-5
    probs = predict(exported, df, path, progress=False).probs
    assert probs.std(0).max() > 1e-4 and abs(probs.sum(1)-1).max() < 1e-5


def test_exports_are_written_and_asked_without_network(tmp_path):
    out = finish(python(OFFLINE + f"""
import sys
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
    assert not (tmp_path/'intel').exists() # where the analytics package keeps its number of the user
