"""A million rows with 228 labels, from JSON to a table with vocabulary, label matrix and split: ours and plain fastai, interleaved.

    python benchmarks/tables.py [--rows 1000000] [--repeats 3]

Rows are drawn, with replacement, from the annotations of iMaterialist's validation split if that is under FASHION_FGVC_DATA, so that frequencies and
co-occurrences are the real ones; else from a made-up long tail. Every measurement is a process of its own; the peak of its memory is what the system says.
One row per measurement goes into benchmarks/tables.csv.
"""
import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent


def draw(file, rows, seed=0):
    "Write a JSON like the challenge's"
    from fashion_fgvc import datasets
    rng = np.random.default_rng(seed)
    if datasets.available().there['imaterialist2018']:
        source, seen = 'iMaterialist 2018 validation', datasets.load('imaterialist2018')[1]['labels'].tolist()
    else:
        source, names = 'made-up long tail', rng.random((10_000, 228)) < np.geomspace(.7, .0002, 228)
        seen = [[str(i) for i in np.flatnonzero(row)] or ['0'] for row in names]
    picks = rng.integers(0, len(seen), rows).tolist()
    links = [f'https://shop.example/{i:024x}-large' for i in range(rows)]
    images = [dict(url=link, imageId=str(i+1)) for i, link in enumerate(links)]
    annotations = [dict(labelId=seen[pick], imageId=str(i+1)) for i, pick in enumerate(picks)]
    Path(file).write_text(json.dumps(dict(images=images, annotations=annotations)))
    return source


def ours(file):
    "Stages of this library"
    from fashion_fgvc.tables import label_matrix, read_imaterialist, split_table
    t = [time.perf_counter()]
    df = read_imaterialist(file)
    t.append(time.perf_counter())
    labels = label_matrix(df)
    t.append(time.perf_counter())
    df = split_table(df, valid=.2, labels=labels)
    t.append(time.perf_counter())
    return dict(zip(('read', 'vocabulary and matrix', 'split'), np.diff(t), strict=True)), len(labels[1]), int((df['split'] == 'valid').sum())


def fastai(file):
    "What one writes with plain fastai: the same table, a random split, and labels looked up one by one"
    from fastai.data.block import DataBlock, MultiCategoryBlock
    from fastai.data.transforms import ColReader, RandomSplitter
    from fastai.vision.data import ImageBlock
    from PIL import Image
    Image.new('RGB', (4, 4)).save(Path(file).with_suffix('.png')) # fastai opens the first photo
    t = [time.perf_counter()]
    data = json.loads(Path(file).read_bytes())
    df = pd.DataFrame(data['images']).merge(pd.DataFrame(data['annotations']), on='imageId').assign(image=str(Path(file).with_suffix('.png')))
    t.append(time.perf_counter())
    block = DataBlock((ImageBlock, MultiCategoryBlock), get_x=ColReader('image'), get_y=ColReader('labelId'), splitter=RandomSplitter(.2, seed=0))
    dsets = block.datasets(df)
    t.append(time.perf_counter())
    return dict(zip(('read', 'vocabulary and split'), np.diff(t), strict=True)), len(dsets.vocab), len(dsets.valid)


def measure(who, file):
    "One measurement, in this process"
    stages, labels, valid = dict(ours=ours, fastai=fastai)[who](file)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1e6
    print(json.dumps(dict(seconds=sum(stages.values()), peak_gb=peak, labels=labels, valid=valid, **stages)))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--rows', type=int, default=1_000_000)
    p.add_argument('--repeats', type=int, default=3)
    p.add_argument('--one', nargs=2, metavar=('WHO', 'FILE'), help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.one: return measure(*args.one)
    with tempfile.TemporaryDirectory() as tmp:
        file = Path(tmp)/'million.json'
        source, results = draw(file, args.rows), []
        for repeat in range(args.repeats):
            for who in ('ours', 'fastai'):
                out = subprocess.run([sys.executable, __file__, '--one', who, str(file)], check=True, capture_output=True, text=True).stdout
                results.append(dict(repeat=repeat, who=who, rows=args.rows, source=source, load=os.getloadavg()[0]) | json.loads(out.splitlines()[-1]))
                print(results[-1], flush=True)
    versions = {f'{name}_version': version(name) for name in ('fashion_fgvc', 'fastai', 'pandas', 'msgspec')}
    df = pd.DataFrame(results).assign(cpus=os.cpu_count(), machine=platform.machine(), python=platform.python_version(), **versions)
    df.round(3).to_csv(HERE/'tables.csv', index=False)
    print(df.groupby('who')[['seconds', 'peak_gb']].median())


if __name__ == '__main__': main()
