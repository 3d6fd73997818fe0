"The command line as a process: stopped by Ctrl-C, on two processes, and light to start."
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
from test_processes import ROOT, finish, python

from fashion_fgvc.bundles import load_bundle

SETTINGS = '''
table = "sample:closure"
out = "runs/one"
[split]
valid = 0.25
[loaders]
size = 32
bs = 16
num_workers = 0
[learner]
arch = "tiny_cnn"
[training]
steps = [[{epochs}, 5e-3]]
'''


def fgvc(*words, cwd, launch=()):
    return subprocess.Popen([sys.executable, *launch, '-m', 'fashion_fgvc.cli', *words], cwd=cwd, env=os.environ | {'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)},
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), # tests in the background of a shell ignore Ctrl-C, and so would their children
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_command_is_installed_and_answers_without_torch():
    out = subprocess.run([Path(sys.executable).parent/'fgvc', '--version'], capture_output=True, text=True)
    assert out.returncode == 0 and out.stdout.startswith('fashion_fgvc '), out.stderr
    finish(python("import sys; from fashion_fgvc import cli; assert cli.main(['--help']) == 0; assert cli.main(['fly']) == 2; assert not {'torch', 'fastai', 'pandas'} & set(sys.modules)"))


def test_ctrl_c_in_training_and_the_same_command_again(tmp_path):
    (tmp_path/'fgvc.toml').write_text(SETTINGS.format(epochs=12))
    job, checkpoint = fgvc('train', 'fgvc.toml', cwd=tmp_path), tmp_path/'runs'/'one'/'training.ckpt'
    until = time.time()+180
    while not checkpoint.exists() and job.poll() is None and time.time() < until: time.sleep(.02)
    job.send_signal(signal.SIGINT)
    _, err = job.communicate(timeout=120)
    assert job.returncode == 130 and 'fgvc train: stopped; the same command goes on' in err, (job.returncode, err)
    assert checkpoint.exists() and not (tmp_path/'results.csv').exists()
    out = finish(fgvc('train', 'fgvc.toml', cwd=tmp_path))
    assert 'valid_accuracy' in out and not checkpoint.exists()
    assert pd.read_csv(tmp_path/'results.csv')['run'].tolist() == ['one']
    assert len(load_bundle(tmp_path/'runs'/'one'/'bundle').dls.vocab) == 6


def test_two_processes_train_and_write_once(tmp_path):
    (tmp_path/'fgvc.toml').write_text(SETTINGS.format(epochs=2))
    finish(fgvc('train', 'fgvc.toml', '--quiet', cwd=tmp_path, launch=['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']))
    rows = pd.read_csv(tmp_path/'results.csv')
    assert rows['processes'].tolist() == [2] and rows['valid_n'].tolist() == [100]
    assert sorted(p.name for p in (tmp_path/'runs'/'one').iterdir()) == ['bundle', 'run.json', 'table.csv', 'valid.json', 'valid.parquet']
