"""Run the quickstart notebook top to bottom in a fresh kernel, show how far it is, and say what came out.

    QUICKSTART_DATA=sample:pattern python docs/demo.py
"""
import os
import re
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))
from run_nbs import ROOT, Client  # noqa: E402

NOTEBOOK = ROOT/'nbs'/'tutorials'/'quickstart.ipynb'


class Narrator(Client):
    "Prints the heading that a cell stands under when it starts, and what cells print while they run"
    def __init__(self, nb, **kwargs):
        super().__init__(nb, **kwargs)
        self.headings = [m[1] for c in nb.cells if c.cell_type == 'markdown' and (m := re.match(r'## (.+)', c.source))]
        self.started = self.shown = 0

    async def async_execute_cell(self, cell, cell_index, **kwargs):
        heading = re.match(r'## (.+)', cell.source) if cell.cell_type == 'markdown' else None
        if heading:
            self.shown += 1
            print(f'[{self.shown}/{len(self.headings)}] {heading[1]}  ({time.time()-self.started:.0f} s)', flush=True)
        return await super().async_execute_cell(cell, cell_index, **kwargs)

    def process_message(self, msg, cell, cell_index):
        if msg['msg_type'] == 'stream' and msg['content']['name'] == 'stdout':
            print(''.join(f'      {line}\n' for line in msg['content']['text'].splitlines() if line.strip()), end='', flush=True)
        return super().process_message(msg, cell, cell_index)


def main():
    runs = ROOT/'runs'
    os.environ['QUICKSTART_OUT'] = str(runs)
    os.environ['PYTHONPATH'] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])])
    os.environ.setdefault('PYTHONWARNINGS', 'ignore')
    nb = nbformat.read(NOTEBOOK, as_version=4)
    client = Narrator(nb, timeout=None, kernel_name='python3', resources={'metadata': {'path': str(Path.cwd())}})
    client.started = time.time()
    print(f"Running {NOTEBOOK.relative_to(ROOT)} on {os.environ.get('QUICKSTART_DATA', 'sample:pattern')}", flush=True)
    try: client.execute()
    except KeyboardInterrupt: sys.exit('\ninterrupted; nothing was written that is not whole')
    except Exception as e: sys.exit(f'\nThe notebook stopped:\n{e}')
    out = max((p.parent for p in runs.glob('quickstart-*/compare.csv')), key=lambda p: (p/'compare.csv').stat().st_mtime)
    nbformat.write(nb, out/'quickstart.ipynb')
    table = pd.read_csv(out/'compare.csv', index_col='run')
    print(f'\nMembers against the ensemble, in {time.time()-client.started:.0f} s:\n')
    for split in ('valid', 'test'):
        print(table[table.split == split][['n', 'accuracy', 'top5', 'f1_macro', 'log_loss']].round(3).rename_axis(split).to_string(), end='\n\n')
    what = {'report.html': 'the report', 'submission.csv': 'the file to hand in', 'confusion.png': 'plots', 'class_scores.png': '', 'quickstart.ipynb': 'the notebook as it ran'}
    for name, text in what.items(): print(f"{os.path.relpath(out/name):50} {text}")


if __name__ == '__main__': main()
