"""What benchmarks of many trainings share: a row per run in a CSV, and no run twice."""
import argparse
import warnings

import pandas as pd


def arguments(doc, studies):
    "`--study` and `--seeds`"
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--study', nargs='*', default=list(studies), choices=list(studies))
    p.add_argument('--seeds', nargs='*', type=int, default=[0, 1, 2])
    return p.parse_args()


def run_missing(file, runs, run):
    "Call `run(**settings)` for all settings that have no row in `file`, and add its row; the table with all rows"
    warnings.simplefilter('ignore')
    read = lambda: pd.read_csv(file) if file.is_file() else pd.DataFrame()
    for settings in runs:
        done = read()
        if len(done) and (done[list(settings)] == list(settings.values())).all(axis=1).any(): continue
        row = run(**settings)
        pd.concat([read(), pd.DataFrame([row])], ignore_index=True).round(4).to_csv(file, index=False)  # read anew: another process may have added rows
    return read()
