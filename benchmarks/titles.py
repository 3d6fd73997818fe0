"""Titles and photos of products, trained on even years, tested on odd ones.

    python benchmarks/titles.py [--study rest top] [--seeds 0]

* top: the 20 commonest article types; rest: all others that the even years know. Photos: predictions of the arm *none* of `benchmarks/imbalance.py`, which must have run (runs/ keeps them).

Rows: titles alone (naive Bayes, logistic regression), photos alone, both fused in three ways chosen on validation photos, and one head on titles and on features of MobileNetV2 as ImageNet left it. `gain` is the difference to the better one of titles (logistic) and photos on validation photos, with a paired bootstrap interval.
Settings were fixed before the first run. Needs FASHION_FGVC_DATA with `fashion_products` and `weights`; results are in results/titles.csv.
"""
import warnings

from imbalance import EPOCHS, table
from runs import KEPT, RESULTS, arguments, machine, put_rows

from fashion_fgvc.answers import Predictions
from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.datasets import root
from fashion_fgvc.learners import mobilenetv2_tf
from fashion_fgvc.titles import JointClassifier, TitleClassifier, fusion_table
from fashion_fgvc.trust import difference

FILE = RESULTS/'titles.csv'


def rows(study, seed):
    "Rows of a study"
    path, df, vocab, _ = table(study)
    parts = {part: df[df['split'] == part] for part in ('valid', 'test')}
    folder = KEPT/f'imbalance/{study}/none-{seed}'
    if not (folder/'test.json').is_file(): raise FileNotFoundError(f'{folder} has no predictions; run `python benchmarks/imbalance.py --study {study}` first')
    photos = {part: Predictions.load(folder/part) for part in parts}
    words = TitleClassifier(vocab=vocab).fit(df)
    titles = {part: words.predict(rows) for part, rows in parts.items()}
    out = fusion_table(photos['test'], titles['test'], (photos['valid'], titles['valid']))
    best = max((titles, photos), key=lambda p: p['valid'].metrics()['accuracy'])['test']
    learn = mobilenetv2_tf(dataloaders(df[df['split'] != 'test'], path, size=(96, 72), bs=64, num_workers=0, vocab=vocab, check=False), pretrained=root()/'weights/mobilenetv2_100_imagenet.safetensors', hidden=0, pool='avg')
    others = {'title, naive Bayes': TitleClassifier('naive_bayes', vocab=vocab).fit(df).predict(parts['test']), 'one head': JointClassifier(learn).fit(df).predict(parts['test'])}
    for name, p in others.items():
        gain, scores = difference(p, best), p.metrics()
        out.loc[name] = {k: scores[k] for k in ('n', 'accuracy', 'top5', 'f1_macro')} | dict(gain=gain['value'], low=gain['low'], high=gain['high'])
    return out.rename_axis('who').reset_index().assign(study=study, seed=seed, split=photos['test'].split or words.split, **machine('fastai', 'torch', 'timm', 'scikit-learn'))


def main():
    warnings.simplefilter('ignore')
    args = arguments(__doc__, EPOCHS)
    for study in args.study:
        for seed in [s for s in args.seeds if (KEPT/f'imbalance/{study}/none-{s}').is_dir()]:
            new = put_rows(FILE, rows(study, seed), ['study', 'seed'])
            print(new[['study', 'who', 'n', 'accuracy', 'top5', 'f1_macro', 'gain', 'low', 'high']].to_string(), flush=True)


if __name__ == '__main__': main()
