"""What benchmarks share: measuring, a row per run in a CSV, and no training twice."""
import argparse
import os
import platform
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch

from fashion_fgvc.sweeps import has_row, put_rows

KEPT = Path(__file__).parent.parent/'runs' # git ignores it


def arguments(doc, studies):
    "`--study` and `--seeds`"
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--study', nargs='*', default=list(studies), choices=list(studies))
    p.add_argument('--seeds', nargs='*', type=int, default=[0, 1, 2])
    return p.parse_args()


def clock(job):
    "Seconds that a job takes"
    t = time.perf_counter()
    job()
    return time.perf_counter()-t


def machine(*packages):
    "What a row says about where it was measured"
    return dict(cpus=os.cpu_count(), threads=torch.get_num_threads(), machine=platform.machine(), python=platform.python_version(), **{f'{name}_version': version(name) for name in packages})


def measure(doc, file, jobs, packages, **options):
    "The command line of a benchmark: measure the jobs that are asked for, and put their rows into `file` in the place of older ones. `jobs` give rows with `job`, `who` and `seconds` (or `mb`); `options` are whole numbers that all of them take"
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--job', nargs='*', default=list(jobs), choices=list(jobs))
    for name, default in options.items(): p.add_argument(f'--{name}', type=int, default=default)
    args = vars(p.parse_args())
    warnings.simplefilter('ignore')
    for job in args.pop('job'):
        new = pd.DataFrame(jobs[job](**args)).assign(**machine(*packages)).round(4)
        put_rows(file, new, ['job'])
        for value in [v for v in ('seconds', 'mb') if v in new]:
            table = new.pivot_table(index=[c for c in ('job', 'what', 'arch', 'epochs') if c in new], columns='who', values=value, aggfunc='median', sort=False)
            print(table.assign(**{f'ratio of {c}': table['fastai']/table[c] for c in table if c != 'fastai' and 'fastai' in table}).round(3).to_string(), value, flush=True)


def run_missing(file, runs, run):
    "Call `run(**settings)` for all settings that have no row in `file`, and add its row; the table with all rows"
    warnings.simplefilter('ignore')
    for settings in runs:
        if not has_row(file, settings): put_rows(file, pd.DataFrame([run(**settings)]).round(4), list(settings))
    return pd.read_csv(file)
