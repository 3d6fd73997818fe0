"""Seconds that a network takes on a CPU, as torch and as its exports, interleaved in one run.

    python benchmarks/exports.py [--job mobilenetv2_tf densenet121 resnext50 wrn50] [--repeats 5] [--threads 2]

Four networks at 224 px answer for one photo and for sixteen, from a batch of bytes to probabilities, every one with the same number of threads in the same process.

* fastai: torch as `get_preds` calls it; ours: the same with filters channels last, as `predict` does; ours, bf16: that in `autocast`;
* onnx, onnx int8: ONNX Runtime; openvino, openvino bf16: OpenVINO.

MobileNetV2 has local weights and a head trained on `clothing_small` (kept in runs/), and `agreement` and `max_difference` are those on its 372 test photos. The others have random weights, with which classes are too close for an agreement to mean anything, so they
have `max_difference` alone, on 16 of these photos. The export in int8 is calibrated on 128 training photos. (That all layers are quantised was chosen by the agreement on every second of the test photos.) Needs FASHION_FGVC_DATA with `clothing_small` and `weights`.

A job is an architecture; a row per measurement goes into benchmarks/exports.csv, and rows of jobs that are not asked for stay.
"""
import os
import tempfile
import time
from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
from runs import KEPT, clock, measure

from fashion_fgvc.blocks import dataloaders
from fashion_fgvc.bundles import load_bundle, save_bundle
from fashion_fgvc.datasets import load, root
from fashion_fgvc.exports import BytesToProbs, export_onnx, export_openvino, load_onnx, load_openvino
from fashion_fgvc.learners import fashion_learner, mobilenetv2_tf
from fashion_fgvc.predictions import photo_batch, predict
from fashion_fgvc.preprocessing import describe_photos
from fashion_fgvc.schedules import fast_on_cpu
from fashion_fgvc.training import fit_cached

FILE = Path(__file__).parent/'exports.csv'
ARCHS = ('mobilenetv2_tf', 'densenet121', 'resnext50', 'wrn50')
EXPORTS = {'onnx': (export_onnx, load_onnx, 'fp32'), 'onnx int8': (export_onnx, load_onnx, 'int8'), **{f'openvino {p}'.removesuffix(' fp32'): (export_openvino, load_openvino, p) for p in ('fp32', 'bf16')}}


def trained():
    "MobileNetV2 with a head for clothing; its image root and the table"
    path, df = load('clothing_small')
    if not (KEPT/'exports').is_dir():
        dls = dataloaders(df, path, size=224, bs=32, num_workers=0, augment=False)
        learn = mobilenetv2_tf(dls, pretrained=root()/'weights'/'mobilenetv2_100_imagenet.safetensors', hidden=0, pool='avg')
        fit_cached(learn, 10, lr=3e-3)
        save_bundle(learn, KEPT/'exports', scores=predict(learn, df[df['split'] == 'test'], path=path).metrics())
    return load_bundle(KEPT/'exports'), path, df


def as_torch(learn, photos):
    "The three ways of torch"
    about = describe_photos(learn)
    plain = BytesToProbs(deepcopy(learn.model), about['stats'], about['activation']).eval()
    fast = fast_on_cpu(deepcopy(plain))
    def run(model, bf16=False):
        with torch.inference_mode(), torch.autocast('cpu', torch.bfloat16, enabled=bf16): return model(photos)
    return {'fastai': partial(run, plain), 'ours': partial(run, fast), 'ours, bf16': partial(run, fast, True)}


def forward(arch, repeats, threads):
    "All ways of one network"
    torch.set_num_threads(threads)
    good, path, df = trained()
    test, calibrate = df[df['split'] == 'test'], df[df['split'] == 'train'].sample(128, random_state=0)
    sixteen, rows, exports = test.sample(16, random_state=0), [], {}
    learn, check = (good, test) if arch == 'mobilenetv2_tf' else (fashion_learner(dataloaders(df, path, size=224, bs=32, num_workers=0, augment=False, check=False), arch, pretrained=False), sixteen)
    with tempfile.TemporaryDirectory() as folder:
        for who, (export, read, precision) in EXPORTS.items():
            exports[who] = read(export(learn, Path(folder)/who.replace(' ', '-'), precision, check=check, path=path, **(dict(calibrate=calibrate) if precision == 'int8' else {})))
            print(arch, who, exports[who].exported['check'], flush=True)
        photos = photo_batch(exports['onnx'], sixteen, path).contiguous()
        for n in (1, 16):
            work = as_torch(learn, photos[:n]) | {who: partial(m.model.run, photos[:n].numpy()) for who, m in exports.items()}
            for job in work.values(): job() # the first time draws memory, and so on
            for i in range(repeats):
                for who, job in work.items():
                    time.sleep(.05) # until the threads of the one before have gone to sleep
                    found = exports[who].exported['check'] if who in exports else {}
                    rows.append(dict(job=arch, what=f'{n} photo{"s"*(n > 1)}', who=who, repeat=i, seconds=clock(job), max_difference=found.get('max_difference'),
                                     agreement=found.get('agreement') if learn is good else None, load=os.getloadavg()[0]))
    return rows


if __name__ == '__main__': measure(__doc__, FILE, {arch: partial(forward, arch) for arch in ARCHS}, ('torch', 'onnxruntime', 'openvino', 'timm'), repeats=5, threads=2)
