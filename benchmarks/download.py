"""`download_table` beside fastai's `download_images` and the server's own limit, on this machine alone.

    python benchmarks/download.py --n 10000 --repeats 3

A server in a process of its own (`tests/faulty_server.py`) answers links on 127.0.0.1, 3 % of them with each kind of fault. In
turn, `repeats` times:

* `ours`: `download_table`, 64 connections, `timeout` 3 s per photo and one further try;
* `fastai`: `download_images` at its defaults (8 threads), with the same `timeout`;
* `raw`: 64 sockets that read the bodies of the links without a fault and do nothing with them.

Links that drip or never end are left out of these, for all: the timeout of fastai is that of one read, so it would wait for them
for minutes, or for ever. Then once each: `all faults` (every kind, with the number of rows whose status is right) and `killed` (the
same with five SIGKILLs on the way: are the files the same, and was anything that was finished asked for again?).
"""
import argparse
import asyncio
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import fastai
import httpx
import pandas as pd
import PIL
from fastai.vision.utils import download_images

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT/'tests'))

from faulty_server import Faulty, kind_of, table  # noqa: E402
from test_download import PASSING, journal, number, photos, process  # noqa: E402

from fashion_fgvc.download import download_table  # noqa: E402
from fashion_fgvc.manifest import Fault, check_photo  # noqa: E402

TIMEOUT = 3
VERSIONS = dict(httpx=httpx.__version__, pillow=PIL.__version__, fastai=fastai.__version__, pandas=pd.__version__)
LIMITS = dict(workers=64, per_host=64, timeout=TIMEOUT, retries=1, max_bytes=2**20, progress=False)


def decodes(path):
    with open(path, 'rb') as f:
        try: return bool(check_photo(f))
        except Fault: return False


def ours(df, folder):
    manifest = download_table(df, folder/'photos', **LIMITS)
    for i, row in manifest[manifest.status != df.expected].iterrows(): print(f'wrong: {kind_of(i)!r} is {row.status!r} ({row.error})')
    return dict(right=int((manifest.status == df.expected).sum()), files=len(photos(folder/'photos')))


def with_fastai(df, folder):
    download_images(folder/'photos', urls=df.url[df.url != ''].tolist(), timeout=TIMEOUT)
    return dict(files=len(list((folder/'photos').iterdir())))


async def read_all(urls):
    urls = iter(urls)
    async def connection():
        reader = writer = None
        for url in urls:
            host, path = url.removeprefix('http://').split('/', 1)
            if reader is None: reader, writer = await asyncio.open_connection(*host.split(':'))
            writer.write(f'GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n'.encode())
            head = await reader.readuntil(b'\r\n\r\n')
            await reader.readexactly(int(head.split(b'Content-Length: ')[1].split(b'\r\n')[0]))
        if writer: writer.close()
    await asyncio.gather(*(connection() for _ in range(LIMITS['workers'])))


def raw(df, folder):
    asyncio.run(read_all(df.url[[kind_of(i) == 'fine' for i in df.index]]))
    return {}


def killed(df, folder, server, times=5):
    "As `ours`, with SIGKILLs on the way; the photos, and how many finished links were asked for again"
    dest, twice, seen = folder/'photos', set(), []
    for k in range(times):
        proc = process(df, dest, **LIMITS)
        path = dest/'.download'/'journal.jsonl'
        while proc.poll() is None and (not path.exists() or path.read_bytes().count(b'\n') < len(df)*(k+1)/(times+2)): time.sleep(.05)
        if proc.poll() is not None: raise RuntimeError('the run ended before it could be killed; use a larger --n')
        proc.kill()
        proc.communicate()
        time.sleep(1)
        finished = {i for i, r in journal(dest).items() if r['status'] not in PASSING} | set(photos(dest))
        seen.append((len(server.requests()), {number(i) for i in finished}))
    manifest = download_table(df, dest, **LIMITS)
    for position, finished in seen: twice |= finished & {number(r) for r in server.requests()[position:]}
    right = int((manifest.status.replace('cached', 'ok') == df.expected).sum())
    return dict(right=right, files=len(photos(dest)), asked_again=len(twice), photos=photos(dest))


def timed(work, n, slow, **info):
    "One row of the results"
    with tempfile.TemporaryDirectory() as folder, Faulty(folder) as server:
        df = table(n, server.base)
        if not slow: df = df[[kind_of(i) not in ('drips', 'endless') for i in df.index]]
        start = time.perf_counter()
        got = work(df, Path(folder), server) if work is killed else work(df, Path(folder))
        seconds = time.perf_counter()-start
        if work is with_fastai: got['good_files'] = sum(map(decodes, (Path(folder)/'photos').iterdir()))
        if work is ours and slow: got['photos'] = photos(Path(folder)/'photos')
        links = sum(kind_of(i) == 'fine' for i in df.index) if work is raw else len(df)
        return info | dict(links=links, seconds=round(seconds, 2), per_second=round(links/seconds, 1)) | got


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--n', type=int, default=10_000)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--out', default=ROOT/'benchmarks'/'download.csv')
    args = parser.parse_args()
    rows = []
    def note(row):
        row |= dict(n=args.n, timeout=TIMEOUT, load=round(os.getloadavg()[0], 1), cores=os.cpu_count(),
                    python=platform.python_version(), **VERSIONS)
        rows.append(row)
        pd.DataFrame([{k: v for k, v in r.items() if k != 'photos'} for r in rows]).to_csv(args.out, index=False)
        print({k: v for k, v in row.items() if k not in ('photos', 'n', 'cores', 'python', *VERSIONS)}, flush=True)
    for repeat in range(args.repeats):
        for name, work in dict(ours=ours, fastai=with_fastai, raw=raw).items():
            note(timed(work, args.n, False, method=name, repeat=repeat))
    whole = timed(ours, args.n, True, method='all faults', repeat=0)
    note(whole)
    after = timed(killed, args.n, True, method='killed', repeat=0)
    note(after | dict(same_files=after['photos'] == whole['photos']))
    print(pd.DataFrame(rows).groupby('method', sort=False)[['seconds', 'per_second']].median().to_string())


if __name__ == '__main__': main()
