"""What the recipes reach: test accuracy over seeds on real photos, beside published figures.

    python benchmarks/recipes.py [--study clothing fashion_mnist] [--seeds 0 1 2]

* clothing: `clothing_small`, MobileNetV2 with local weights, no hidden layer in the head, 192 px: one epoch of the head, five of all layers (AdamW, one-cycle, label smoothing 0.1, bfloat16), the last epoch counts, mirrored at test;
* fashion_mnist: `SecondCNN` from scratch, ten epochs (AdamW, one-cycle, bfloat16), flips, the best of the epochs by validation accuracy, mirrored at test; 6,000 of the 60,000 training pictures validate.

Settings were fixed before the first run; nothing was chosen by a test score. Needs FASHION_FGVC_DATA with `clothing_small`, `fashion_mnist` and `weights`.
A run that has its row in results/recipes.csv is not repeated, and one that was stopped goes on after its last epoch.
"""
from pathlib import Path

import torch
from fastai.torch_core import set_seed
from fastai.vision.augment import Flip
from runs import arguments, run_missing

from fashion_fgvc.arrays import array_dataloaders
from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.datasets import get, load, root
from fashion_fgvc.learners import mobilenetv2_tf, second_cnn
from fashion_fgvc.metrics import class_report
from fashion_fgvc.predictions import predict
from fashion_fgvc.sweeps import run_record
from fashion_fgvc.tables import read_idx, split_table
from fashion_fgvc.training import fit_two_stage

FILE = Path(__file__).parent.parent/'results'/'recipes.csv'


def clothing(seed, checkpoint):
    "A trained learner, and what to test it on"
    path, df = load('clothing_small')
    dls = dataloaders(df, path, size=192, bs=32, num_workers=0, augment='full', min_scale=.6, seed=seed)
    learn = mobilenetv2_tf(dls, pretrained=root()/'weights/mobilenetv2_100_imagenet.safetensors', hidden=0, smoothing=.1, seed=seed)
    fit_two_stage(learn, 1, 5, lr=1e-3, lr_full=1e-3, spread=10/3, bf16=True, seed=seed, checkpoint=checkpoint)
    return learn, {part: df[df['split'] == part] for part in ('valid', 'test')}


def fashion_mnist(seed, checkpoint):
    "The same"
    df, images = read_idx(get('fashion_mnist'))
    df = split_table(df, valid=.1)
    held_out = df.assign(split=df['split'].map(dict(train='train', test='valid')))  # a loader has no third part
    dls = array_dataloaders(images, df, bs=128, augment=Flip(), seed=seed)
    learn = second_cnn(dls, pretrained=False, seed=seed)
    fit_two_stage(learn, 0, 10, lr_full=4e-3, spread=1., keep='accuracy', bf16=True, seed=seed, checkpoint=checkpoint)
    return learn, dict(valid=dls.valid, test=array_dataloaders(images, held_out).valid)


STUDIES = dict(clothing=clothing, fashion_mnist=fashion_mnist)


def run(study, seed):
    "Train and test once; a row of the table"
    set_seed(seed, reproducible=True)
    checkpoint = FILE.with_name(f'{study}-{seed}.ckpt')
    (learn, parts), scores = STUDIES[study](seed, checkpoint), {}
    for part, items in parts.items():
        preds = predict(learn, items, tta=1, progress=False)
        scores |= {part: preds.metrics()['accuracy'], f'{part}_f1_macro': class_report(preds).loc['macro', 'f1'], f'{part}_n': len(preds.ids)}
    checkpoint.unlink()
    return dict(study=study, seed=seed, **scores, threads=torch.get_num_threads(), **run_record(learn))


def main():
    args = arguments(__doc__, STUDIES)
    table = run_missing(FILE, [dict(study=study, seed=seed) for study in args.study for seed in args.seeds], run)
    print(table.groupby('study')[['valid', 'test', 'test_f1_macro']].agg(['mean', 'std', 'size']).round(4).T)


if __name__ == '__main__': main()
