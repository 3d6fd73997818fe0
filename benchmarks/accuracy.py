"""Does what is faster train as well? Test accuracy over seeds on real photos, everything equal but one thing.

    python benchmarks/accuracy.py [--study loaders dct cached bf16] [--seeds 0 1 2]

* loaders: `clothing_small` at 96 px; plain fastai (`PILImage`, `RandomResizedCrop`, `aug_transforms`), and ours with `augment='full'`;
* dct: `dress_patterns` at 56 px, from photos of which the decoder may leave out half of every line; exact decoding and `DctImage`;
* cached: `clothing_small` at 96 px, the head alone, without augmentation; every epoch through plain fastai's loader and the frozen body, and on kept activations;
* bf16: `clothing_small` at 64 px, in fp32 and in bfloat16.

One learner for all: MobileNetV2 with local weights, one epoch of the head, then (but for *cached*) all layers, one cycle each, the last epoch counts. Needs FASHION_FGVC_DATA with `clothing_small`, `dress_patterns` and `weights`.
A run that has its row in benchmarks/accuracy.csv is not repeated, so a stopped benchmark goes on where it was.
"""
from functools import partial
from pathlib import Path

from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import ColReader
from fastai.torch_core import set_seed
from fastai.vision.augment import RandomResizedCrop, Resize, aug_transforms
from fastai.vision.data import ImageBlock
from runs import arguments, machine, run_missing

from fashion_fgvc.blocks import dataloaders, split_rows
from fashion_fgvc.datasets import load, root
from fashion_fgvc.learners import mobilenetv2_tf
from fashion_fgvc.loading import DctImage
from fashion_fgvc.metrics import class_report
from fashion_fgvc.predictions import predict
from fashion_fgvc.tables import split_hash, split_table
from fashion_fgvc.training import fit_cached, fit_two_stage

FILE = Path(__file__).parent/'accuracy.csv'


def plain(df, path, size, augment=True):
    "Loaders as fastai's own documentation builds them"
    return DataBlock((ImageBlock, CategoryBlock), get_x=ColReader('image', pref=f'{path}/'), get_y=ColReader('label'), splitter=split_rows,
                     item_tfms=RandomResizedCrop(size, min_scale=.6) if augment else Resize(size, 'squish'), batch_tfms=aug_transforms() if augment else None).dataloaders(df, bs=32, num_workers=0)


def ours(df, path, size, **kwargs): return dataloaders(df, path, size=size, bs=32, num_workers=0, **(dict(augment='full') | kwargs))


def two_stage(learn, epochs, seed, bf16=True): fit_two_stage(learn, 1, epochs, lr=3e-3, lr_full=1e-3, bf16=bf16, seed=seed)
def head(learn, epochs, seed): fit_two_stage(learn, epochs, 0, lr=3e-3, seed=seed)
def cached(learn, epochs, seed): fit_cached(learn, epochs, lr=3e-3, seed=seed)


light = partial(ours, augment='light', min_scale=.8)
STUDIES = dict(
    loaders=dict(data='clothing_small', size=96, epochs=3, arms=dict(fastai=(plain, two_stage), ours=(ours, two_stage))),
    dct=dict(data='dress_patterns', size=56, epochs=2, arms=dict(exact=(light, two_stage), dct=(partial(light, img_cls=DctImage), two_stage))),
    cached=dict(data='clothing_small', size=96, epochs=4, arms=dict(fastai=(partial(plain, augment=False), head), ours=(partial(ours, augment=False), cached))),
    bf16=dict(data='clothing_small', size=64, epochs=2, arms=dict(fp32=(ours, partial(two_stage, bf16=False)), bf16=(ours, two_stage))))


def run(study, arm, seed):
    "Train and test once; a row of the table"
    about = STUDIES[study]
    path, df = load(about['data'])
    if 'test' not in set(df.get('split', [])): df = split_table(df, valid=.1, test=.2)
    set_seed(seed, reproducible=True)
    build, fit = about['arms'][arm]
    learn = mobilenetv2_tf(build(df, path, about['size']), pretrained=root()/'weights/mobilenetv2_100_imagenet.safetensors', seed=seed)
    with learn.no_bar(), learn.no_logging(): fit(learn, about['epochs'], seed)
    scores = {}
    for part in ('valid', 'test'):
        preds = predict(learn, df[df['split'] == part], path=path, progress=False)
        report = class_report(preds)
        scores |= {part: preds.metrics()['accuracy'], f'{part}_f1_macro': report.loc['macro', 'f1']}
        if part == 'test': scores |= {f'test_f1_{c}': report.loc[c, 'f1'] for c in ('stripes', 'squares', 'chevron', 'houndstooth') if c in report.index}
    return dict(study=study, arm=arm, seed=seed, **scores, data=about['data'], size=about['size'], epochs=about['epochs'], split=split_hash(df), **machine('fastai', 'torch', 'timm'))


def main():
    args = arguments(__doc__, STUDIES)
    table = run_missing(FILE, [dict(study=study, seed=seed, arm=arm) for study in args.study for seed in args.seeds for arm in STUDIES[study]['arms']], run)
    print(table.groupby(['study', 'arm'])[[c for c in table if c.startswith(('valid', 'test'))]].agg(['mean', 'std']).round(3).T)


if __name__ == '__main__': main()
