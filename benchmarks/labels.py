"""Several labels per photo: what the weight of a yes does, and what thresholds are worth.

    python benchmarks/labels.py [--study apparel drawn] [--seeds 0 1 2]

* apparel: `apparel_multilabel`, a colour and a type of each garment, 96 px; drawn: 2,000 drawn garments with four labels each, 64 px.

Weights 1, 4 and 6 of a yes, as in a study of a million photos; MobileNetV2 with local weights, one epoch of the head, then all layers (3 epochs), one cycle each. Thresholds: 0.5, one for all, one per label, chosen on validation photos, scored on test photos.
Settings were fixed before the first run. Needs FASHION_FGVC_DATA with `apparel_multilabel` and `weights`; results are in results/labels.csv, a row per run and threshold; runs/ keeps predictions.
"""
import pandas as pd
from runs import RESULTS, arguments, kept_predictions, put_rows

from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.datasets import load, root
from fashion_fgvc.learners import mobilenetv2_tf
from fashion_fgvc.losses import WeightedBCE
from fashion_fgvc.metrics import best_thresholds, threshold_gain
from fashion_fgvc.tables import split_table
from fashion_fgvc.training import fit_two_stage

FILE = RESULTS/'labels.csv'
STUDIES = dict(apparel=dict(source='apparel_multilabel', size=96), drawn=dict(source='sample:attributes', size=64, n=2000))


def rows(study, weight, seed):
    "Train and test once; three rows of the table"
    about = dict(STUDIES[study])
    source, size = about.pop('source'), about.pop('size')
    path, df = load(source, **about)
    df = split_table(df, valid=.15, test=.25)
    def train(checkpoint):
        dls = dataloaders(df[df['split'] != 'test'], path, size=size, bs=32, num_workers=0, vocab=sorted(set(df['labels'].explode())), seed=seed)
        learn = mobilenetv2_tf(dls, pretrained=root()/'weights/mobilenetv2_100_imagenet.safetensors', hidden=0, seed=seed, loss_func=WeightedBCE(weight))
        with learn.no_bar(), learn.no_logging(): fit_two_stage(learn, 1, 3, lr=3e-3, lr_full=1e-3, bf16=True, seed=seed, checkpoint=checkpoint)
        return learn, path
    preds, record = kept_predictions(f'labels/{study}/{weight}-{seed}', train, {part: df[df['split'] == part] for part in ('valid', 'test')}, seed)
    valid, test = preds[0]['valid'], preds[0]['test']
    chosen = {'0.5': .5, 'one for all': best_thresholds(valid.probs, valid.targs, per_class=False), 'per label': best_thresholds(valid.probs, valid.targs)}
    honest = threshold_gain(valid.probs, valid.targs)
    return pd.DataFrame([dict(study=study, weight=weight, seed=seed, thresholds=name) | test.metrics(t)
                         | dict(valid_same_photos=honest.at[name, 'same photos'], valid_cross_fitted=honest.at[name, 'cross-fitted'], labels=len(test.vocab)) | record for name, t in chosen.items()])


def main():
    args = arguments(__doc__, STUDIES)
    for study in args.study:
        for seed in args.seeds:
            for weight in (1, 4, 6): put_rows(FILE, rows(study, weight, seed).round(4), ['study', 'weight', 'seed'])
    results = pd.read_csv(FILE)
    print(results.groupby(['study', 'weight', 'thresholds'])[['precision_micro', 'recall_micro', 'f1_micro', 'f1_macro', 'valid_same_photos', 'valid_cross_fitted']].mean().round(3).to_string())


if __name__ == '__main__': main()
