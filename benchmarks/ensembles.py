"""What ensembles are worth on real photos: members, means, greedy weights, mirrored looks, and an overfitted member beside a regularised one.

    python benchmarks/ensembles.py [--study clothing patterns pair]

* clothing: `clothing_small`, four members: MobileNetV2 at 160 and 128 px, SqueezeNet at 160 px, each one epoch of the head and five of all layers; a head on kept activations of MobileNetV2 at 224 px, 10 epochs;
* patterns: `dress_patterns`, the same at 128, 96 and 128 px with three epochs of all layers, and a head at 192 px;
* pair: `dress_patterns`, MobileNetV2 at 64 px, six epochs, once without dropout, smoothing and augmentation (overfitted), twice with all three (regularised): is the overfitted one a better partner than a second regularised one?

Settings were fixed before the first run. Weights and temperatures come from validation photos; every row gives the difference to the member that is best there, on test photos, with a paired bootstrap interval and McNemar's p.
Needs FASHION_FGVC_DATA with the data sets and `weights`. Predictions are kept under runs/, so a stopped run goes on; results are in results/ensembles.csv.
"""
import warnings

import pandas as pd
from runs import RESULTS, arguments, kept_predictions, put_rows

from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.datasets import load, root
from fashion_fgvc.ensemble import average, diversity, greedy_weights
from fashion_fgvc.learners import fashion_learner
from fashion_fgvc.metrics import class_report
from fashion_fgvc.tables import split_table
from fashion_fgvc.training import fit_cached, fit_two_stage
from fashion_fgvc.trust import difference, mcnemar

FILE = RESULTS/'ensembles.csv'
WEIGHTS = dict(mobilenetv2_tf='mobilenetv2_100_imagenet', squeezenet='squeezenet1_1_imagenet')


def member(study, name, path, df, arch='mobilenetv2_tf', size=160, epochs=5, augment='full', ps=.2, smoothing=.1, seed=0):
    "Predictions of one member, as it is and mirrored, for validation and test photos"
    def train(checkpoint):
        dls = dataloaders(df, path, size=size, bs=32, num_workers=0, augment=augment if epochs else 'light', min_scale=.6, seed=seed)
        learn = fashion_learner(dls, arch, pretrained=root()/f'weights/{WEIGHTS[arch]}.safetensors', hidden=0, ps=ps, smoothing=smoothing, seed=seed)
        with learn.no_bar(), learn.no_logging():
            if epochs: fit_two_stage(learn, 1, epochs, lr=1e-3, lr_full=1e-3, spread=10/3, bf16=True, seed=seed, checkpoint=checkpoint)
            else: fit_cached(learn, 10, lr=3e-3, views=2, seed=seed, progress=False)
        return learn, path
    return kept_predictions(f'ensembles/{study}/{name}', train, {part: df[df['split'] == part] for part in ('valid', 'test')}, seed, looks=(0, 1))


def four(big, small, head, epochs):
    "Members of a study, by their sizes"
    return dict(mobilenet=dict(size=big, epochs=epochs), mobilenet_small=dict(size=small, epochs=epochs, seed=1), squeezenet=dict(arch='squeezenet', size=big, epochs=epochs, seed=2), head=dict(size=head, epochs=0, seed=3))


over, regular = dict(size=64, epochs=6, augment='none', ps=0., smoothing=0.), dict(size=64, epochs=6, ps=.4)
STUDIES = dict(clothing=('clothing_small', four(160, 128, 224, 5)), patterns=('dress_patterns', four(128, 96, 192, 3)),
               pair=('dress_patterns', dict(over=over, regular_0=regular, regular_1=regular | dict(seed=1))))


def combined(members, part, how):
    "What the members say together about a part; weights come from validation photos"
    plain, both = ([looks[look][part] for looks in members.values()] for look in (0, 1)) # the second is the mean of a photo and its mirror image
    valid = [looks[0]['valid'] for looks in members.values()]
    ways = dict(mean=lambda: average(plain), geometric=lambda: average(plain, mode='geometric'), greedy=lambda: average(plain, greedy_weights(valid)),
                greedy_log_loss=lambda: average(plain, greedy_weights(valid, 'neg_log_loss')), mean_mirrored=lambda: average(both))
    return ways[how]()


def scores(preds, best):
    "What a row says of one answer"
    out = {}
    for part, p in preds.items():
        out |= {part: p.metrics()['accuracy'], f'{part}_f1_macro': class_report(p).loc['macro', 'f1'], f'{part}_log_loss': p.metrics()['log_loss']}
    gain = difference(preds['test'], best['test'])
    return out | dict(gain=gain['value'], low=gain['low'], high=gain['high'], p=mcnemar(preds['test'], best['test'])['p'], n=len(preds['test']))


def study(name):
    "Rows of a study: members, members mirrored, ensembles"
    data, settings = STUDIES[name]
    path, df = load(data)
    if 'split' not in df: df = split_table(df, valid=.15, test=.2)
    members, record = {}, {}
    for m, kwargs in settings.items():
        members[m], record = member(name, m, path, df, **kwargs)
        print(name, m, members[m][0]['test'].metrics(), flush=True)
    best = max(members, key=lambda m: members[m][0]['valid'].metrics()['accuracy'])
    answers = {m: looks[0] for m, looks in members.items()} | {f'{m}, mirrored': looks[1] for m, looks in members.items()}
    if name == 'pair':
        pairs = [(a, b) for i, a in enumerate(members) for b in list(members)[i+1:]]
        answers |= {f'{a} + {b}': {part: average([members[a][0][part], members[b][0][part]]) for part in ('valid', 'test')} for a, b in pairs}
    answers |= {how: {part: combined(members, part, how) for part in ('valid', 'test')} for how in ('mean', 'geometric', 'greedy', 'greedy_log_loss', 'mean_mirrored')}
    print(diversity({m: looks[0]['test'] for m, looks in members.items()}).round(3))
    return pd.DataFrame([dict(study=name, answer=a, best_member=best) | scores(p, members[best][0]) | record for a, p in answers.items()])


def main():
    warnings.simplefilter('ignore')
    for name in arguments(__doc__, STUDIES).study:
        rows = study(name).round(4)
        put_rows(FILE, rows, ['study'])
        print(rows[['answer', 'valid', 'test', 'test_f1_macro', 'gain', 'low', 'high', 'p']].to_string())


if __name__ == '__main__': main()
