"""What a recipe reaches on photos that people took at home: test accuracy over seeds, beside the published figure.

    python benchmarks/clothing.py [--seeds 0 1 2]

`clothing_small`, MobileNetV2 with local weights, no hidden layer in the head, 192 px: one epoch of the head, five of all layers (AdamW, one-cycle, label smoothing 0.1, bfloat16), the last epoch counts, mirrored at test.

Settings were fixed before the first run; nothing was chosen by a test score. Needs FASHION_FGVC_DATA with `clothing_small` and `weights`.
A run that has its row in results/clothing.csv is not repeated, and one that was stopped goes on after its last epoch.
"""
import argparse
import warnings
from pathlib import Path

from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.datasets import load, root
from fashion_fgvc.learners import mobilenetv2_tf
from fashion_fgvc.studies import Study
from fashion_fgvc.training import fit_two_stage

STUDY = Study('clothing', full=True, home=Path(__file__).parent.parent)


def run(seed):
    "Train and test once; a row of the table"
    path, df = load('clothing_small')
    def train(checkpoint):
        dls = dataloaders(df, path, size=192, bs=32, num_workers=0, augment='full', min_scale=.6, seed=seed)
        learn = mobilenetv2_tf(dls, pretrained=root()/'weights/mobilenetv2_100_imagenet.safetensors', hidden=0, smoothing=.1, seed=seed)
        fit_two_stage(learn, 1, 5, lr=1e-3, lr_full=1e-3, spread=10/3, bf16=True, seed=seed, checkpoint=checkpoint)
        return learn, path
    said, record = STUDY.predictions(str(seed), train, {part: df[df['split'] == part] for part in ('valid', 'test')}, tta=(1,), seed=seed)
    scores = {}
    for part, p in said[1].items():
        metrics = p.metrics()
        scores |= {part: metrics['accuracy'], f'{part}_f1_macro': metrics['f1_macro'], f'{part}_n': len(p)}
    return scores | record


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--seeds', nargs='*', type=int, default=[0, 1, 2])
    warnings.simplefilter('ignore')
    print(STUDY.run(run, [dict(seed=seed) for seed in p.parse_args().seeds])[['valid', 'test', 'test_f1_macro']].agg(['mean', 'std', 'size']).round(4))


if __name__ == '__main__': main()
