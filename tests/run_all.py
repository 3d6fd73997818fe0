"""All checks, one after the other, with one line at the end: `N passed, N failed`.

    python tests/run_all.py

1. `nbdev-clean` and `nbdev-export` change nothing; 2. `ruff check`; 3. `nbdev-test`; 4. `pytest tests/`.
"""
import hashlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
WORKERS = 2
THREADS = dict(OMP_NUM_THREADS=str(max(1, (os.cpu_count() or 1)//WORKERS)))  # threads that fight over the cores cost far more than they bring


def notebooks():
    return sorted(p for p in (ROOT/'nbs').rglob('*.ipynb') if not any(part[0] in '._' for part in p.relative_to(ROOT).parts))


def digest():
    "Hash of every notebook and module"
    files = [*notebooks(), *sorted((ROOT/'fashion_fgvc').glob('*.py'))]
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def call(*args, **env):
    "Run a command, show what it prints, and return exit code and output"
    print(f"\n$ {' '.join(args)}", flush=True)
    proc = subprocess.Popen([str(BIN/args[0]), *args[1:]], cwd=ROOT, env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace')
    lines = []
    for line in proc.stdout:
        lines.append(line)
        print(line, end='', flush=True)
    return proc.wait(), ''.join(lines)


def in_step():
    "Cleaning and exporting change nothing: each as one check"
    results = []
    for tool in ('nbdev-clean', 'nbdev-export'):
        before = digest()
        code, _ = call(tool)
        changed = [str(p.relative_to(ROOT)) for p, h in digest().items() if before.get(p) != h]
        if changed: print(f"{tool} changed {', '.join(changed)}; look at the change and commit it")
        results.append(code == 0 and not changed)
    return results


def notebook_tests():
    "`nbdev-test`: each notebook as one check"
    names = [p.relative_to(ROOT).as_posix() for p in notebooks()]
    code, out = call('nbdev-test', '--n-workers', str(WORKERS), '--timing', **THREADS)
    if code == 0: return [True]*len(names)
    listed = re.findall(r'(?m)^\t(\S+\.ipynb)$', out.split('Failed On The Following Notebooks')[-1])
    failed = {name for name in names if any(name.endswith(f) for f in listed)}
    return [name not in failed for name in names] if failed else [False]  # it did not even start


def pytest_tests():
    code, out = call('pytest', '-q', '-rs', '-n', str(WORKERS), '--dist', 'loadfile', 'tests', **THREADS)
    counts = {word: int(n) for n, word in re.findall(r'(\d+) (passed|failed|error)', out.strip().splitlines()[-1] if out.strip() else '')}
    bad = counts.get('failed', 0) + counts.get('error', 0)
    return [True]*counts.get('passed', 0) + [False]*max(bad, int(code != 0))


def main():
    t, results = time.time(), []
    results += in_step()
    results.append(call('ruff', 'check')[0] == 0)
    results += notebook_tests()
    results += pytest_tests()
    print(f"\nall checks took {(time.time()-t)/60:.1f} min\n{sum(results)} passed, {len(results)-sum(results)} failed")
    sys.exit(not all(results))


if __name__ == '__main__': main()
