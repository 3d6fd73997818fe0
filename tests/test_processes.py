"Fresh interpreters, killed ones, and two at once"
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


ROOT = Path(__file__).parent.parent
OFFLINE = """
import socket
def refuse(*args, **kwargs): raise AssertionError(f'the network was touched: {args[1:]}')
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
"""


def python(code, **env):
    return subprocess.Popen([sys.executable, '-c', code], cwd=ROOT, env=os.environ | {'OMP_NUM_THREADS': '1'} | env,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(proc):
    out, err = proc.communicate(timeout=240)
    assert proc.returncode == 0, err
    return out


def test_learners_import_and_build_without_network(tmp_path):
    out = finish(python(OFFLINE + """
from fashion_fgvc import learners
from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.datasets import sample
from fashion_fgvc.tables import split_table
path, df = sample('closure', n=12, size=48)
learn = learners.densenet121(dataloaders(split_table(df, valid=.5), path, size=32, bs=4, num_workers=0), pretrained=False)
print(learn.arch.name, learn.model[1][-1].out_features)
""", FASHION_FGVC_CACHE=str(tmp_path)))
    assert out.split()[-2:] == ['densenet121', '6']


def test_the_package_itself_is_light():
    out = finish(python("import sys, fashion_fgvc; print(fashion_fgvc.__version__, 'torch' in sys.modules, 'fastai' in sys.modules)"))
    assert out.split()[1:] == ['False', 'False']


def test_killed_while_drawing_leaves_no_half_set(tmp_path):
    draw = "from fashion_fgvc.datasets import sample; path, df = sample('pattern', n={n}, size=48); print(path, len(df))"
    proc = python(draw.format(n=400), FASHION_FGVC_CACHE=str(tmp_path))
    until = time.time()+120
    while time.time() < until and len(list(tmp_path.rglob('*.jpg'))) < 5: time.sleep(.05)
    proc.send_signal(signal.SIGKILL)
    proc.communicate()
    drawn = len(list(tmp_path.rglob('*.jpg')))
    assert 5 <= drawn < 400
    assert not [p for p in (tmp_path/'samples').iterdir() if p.name[0] != '.']
    path, n = finish(python(draw.format(n=400), FASHION_FGVC_CACHE=str(tmp_path))).split()[-2:]
    assert int(n) == 400 == len(list(Path(path).glob('*.jpg')))


def test_two_processes_draw_one_set(tmp_path):
    draw = "from fashion_fgvc.datasets import sample; print(sample('closure', n=60, size=48)[0])"
    procs = [python(draw, FASHION_FGVC_CACHE=str(tmp_path)) for _ in range(2)]
    first, second = (finish(p).split()[-1] for p in procs)
    assert first == second
    assert len(list(Path(first).glob('*.jpg'))) == 60
    assert [p.name for p in (tmp_path/'samples').iterdir()] == [Path(first).name]


def test_demo_on_unknown_data_says_what_is_possible():
    proc = subprocess.run([sys.executable, 'docs/demo.py'], cwd=ROOT, env=os.environ | {'QUICKSTART_DATA': 'shirts'}, capture_output=True, text=True, timeout=240)
    assert proc.returncode == 1
    assert "neither 'sample:<pattern|closure|attributes>'" in proc.stderr


def test_prediction_workers_are_processes_like_any(tmp_path):
    "The order and the rows are the same with 0 and 2 workers, also with a broken file among them"
    out = finish(python("""
import pandas as pd, numpy as np
from pathlib import Path
from fashion_fgvc import learners
from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.datasets import sample
from fashion_fgvc.predictions import predict
from fashion_fgvc.tables import split_table
path, df = sample('closure', n=30, size=48)
learn = learners.tiny_cnn(dataloaders(split_table(df, valid=.5), path, size=32, bs=4, num_workers=0))
(path/'broken.jpg').write_bytes(b'broken')
rows = pd.DataFrame(dict(image=[*df.image[:9], 'broken.jpg', 'gone.jpg', *df.image[9:]]))
a, b = (predict(learn, rows, num_workers=n, progress=False) for n in (0, 2))
assert np.allclose(a.probs, b.probs, equal_nan=True, atol=1e-6) and (a.status == b.status).all()
print(list(a.status[8:12]))
""", FASHION_FGVC_CACHE=str(tmp_path)))
    assert out.count('corrupt') == out.count('missing') == 1


def test_the_library_imports_with_what_it_requires():
    "Development brings more packages than `pip install fashion_fgvc` does; here whatever that would not bring cannot be found"
    finish(python(f"""
import importlib, importlib.machinery, re, sys
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from packaging.requirements import Requirement

ini = ConfigParser(delimiters=['='])
ini.read({str(ROOT/'settings.ini')!r}, encoding='utf-8')
name = lambda word: re.sub(r'[-_.]+', '-', word).lower()
todo, required = [Requirement(word) for word in ini['DEFAULT']['requirements'].split()], set()
while todo:
    word = todo.pop()
    if name(word.name) in required or word.marker and not word.marker.evaluate(dict(extra='')): continue
    required.add(name(word.name))
    try: todo += map(Requirement, requires(word.name) or [])
    except PackageNotFoundError: pass
brings = packages_distributions()

class Required(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, module, path=None, target=None):
        by = set(map(name, brings.get(module.partition('.')[0], [])))
        return super().find_spec(module, path, target) if not by or by & required else None

sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Required
for file in sorted(Path({str(ROOT/'fashion_fgvc')!r}).glob('*.py')): importlib.import_module(f'fashion_fgvc.{{file.stem}}'.removesuffix('.__init__'))
assert not {{'gradio', 'onnx', 'openvino', 'pytest'}} & set(sys.modules)
"""))


def test_learners_import_nothing_but_fastai_and_timm():
    finish(python("""
import sys
import fastai.vision.learner, timm
there = {name.partition('.')[0] for name in sys.modules}
from fashion_fgvc import learners
assert {name.partition('.')[0] for name in sys.modules}-there == {'fashion_fgvc'}
"""))
