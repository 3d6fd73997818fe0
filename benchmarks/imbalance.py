"""What helps against imbalance: product photos of 60 x 80 px, trained on even years, tested on odd ones.

    python benchmarks/imbalance.py [--study rest top] [--seeds 0]

* top: the 20 commonest article types; rest: all others that the even years know.

Arms: none; loss weights (inverse); oversampling (balanced); both, each half the way (square roots), so that together they do what one does; logit adjustment while training, or after it (for free, from the predictions of *none*).
One learner for all: MobileNetV2 with local weights at 96 x 72 px, one epoch of the head, then all layers (1 epoch for *top*, 6 for *rest*), one cycle each; a tenth of the even years is for validation.
Settings were fixed before the first run. Needs FASHION_FGVC_DATA with `fashion_products` and `weights`; results are in results/imbalance.csv, a row per run; runs/ keeps predictions.
"""
import numpy as np
from runs import RESULTS, arguments, kept_predictions, run_missing

from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.datasets import load, root
from fashion_fgvc.learners import mobilenetv2_tf
from fashion_fgvc.losses import LogitAdjustedLoss, adjust
from fashion_fgvc.metrics import class_report
from fashion_fgvc.predictions import Predictions
from fashion_fgvc.tables import split_years, top_classes
from fashion_fgvc.training import fit_two_stage

FILE = RESULTS/'imbalance.csv'
EPOCHS = dict(rest=6, top=1)
ARMS = dict(none={}, weights=dict(weights='inverse'), oversampling=dict(sampler='balanced'), both=dict(weights='sqrt', sampler='sqrt'), adjusted=dict(adjusted=True), adjusted_after={})


def table(study):
    "Image root, rows of the study with their part, classes, training photos per class"
    path, df = load('fashion_products')
    df = split_years(df[df['status'] == 'ok'], valid=.1)
    df = df[df['split'] != 'unused']
    head, rest = top_classes(df, 20)
    df = head if study == 'top' else rest
    train = df.loc[df['split'] == 'train', 'label']
    df = df[df['label'].isin(set(train))] # a class that is not there in training cannot be learned
    vocab = sorted(set(train))
    return path, df, vocab, train.value_counts().reindex(vocab).to_numpy()


def run(study, arm, seed):
    "Train and test once; a row of the table"
    path, df, vocab, counts = table(study)
    settings = dict(ARMS[arm])
    sampler, adjusted = settings.pop('sampler', None), settings.pop('adjusted', False)
    def train(checkpoint):
        dls = dataloaders(df[df['split'] != 'test'], path, size=(96, 72), bs=64, num_workers=0, vocab=vocab, sampler=sampler, check=False, seed=seed)
        learn = mobilenetv2_tf(dls, pretrained=root()/'weights/mobilenetv2_100_imagenet.safetensors', hidden=0, seed=seed, loss_func=LogitAdjustedLoss(counts) if adjusted else None, **settings)
        with learn.no_bar(), learn.no_logging(): fit_two_stage(learn, 1, EPOCHS[study], lr=3e-3, lr_full=2e-3, spread=10/3, bf16=True, seed=seed, checkpoint=checkpoint)
        return learn, path
    parts = {part: df[df['split'] == part] for part in ('valid', 'test')}
    preds, record = kept_predictions(f"imbalance/{study}/{'none' if arm == 'adjusted_after' else arm}-{seed}", train, parts, seed)
    out = {}
    for part, p in preds[0].items():
        if arm == 'adjusted_after': p = Predictions(p.ids, adjust(p.probs, counts), vocab, p.targs, p.status)
        report = class_report(p, train=counts)
        few = report.loc['few', 'recall'] if 'few' in report.index else np.nan
        out |= {f'{part}_{k}': v for k, v in dict(micro_top1=report.loc['micro', 'recall'], micro_top5=report.loc['micro', 'top5'], macro_top1=report.loc['macro', 'recall'],
                                                 macro_top5=report.loc['macro', 'top5'], macro_f1=report.loc['macro', 'f1'], few_top1=few, n=len(p)).items()}
    print(study, arm, seed, out, flush=True)
    return dict(study=study, arm=arm, seed=seed) | out | dict(classes=len(vocab), train=int(counts.sum()), epochs=EPOCHS[study]) | record


def main():
    args = arguments(__doc__, EPOCHS)
    results = run_missing(FILE, [dict(study=study, seed=seed, arm=arm) for study in args.study for seed in args.seeds for arm in ARMS], run)
    print(results.groupby(['study', 'arm'], sort=False)[[c for c in results if c.startswith('test_')]].agg('mean').round(3).to_string())


if __name__ == '__main__': main()
