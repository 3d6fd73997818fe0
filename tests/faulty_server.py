"A fast HTTP server with faults: what it answers depends on the id alone, and it writes down every request."
import argparse
import asyncio
import gzip
import hashlib
import os
import re
import subprocess
import sys
import zlib
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import pandas as pd
from PIL import Image

# kind of fault -> status that a table must get for it; every kind has the same share
FAULTS = {
    'missing': 'http 404', 'forbidden': 'http 403', 'broken': 'http 503', 'hangs': 'timeout', 'drips': 'timeout', 'endless': 'too large',
    'hangs up': 'unreachable', 'html': 'not an image', 'empty': 'not an image', 'half': 'truncated', 'cut': 'truncated',
    'says too little': 'truncated', 'one pixel': 'too small', 'declares a gigabyte': 'too large', 'placeholder': 'placeholder',
    'loop': 'http 302', 'to a file': 'refused',
    'busy once': 'ok', 'moved': 'ok', 'needs its query': 'ok', 'no link': 'no link', 'bad id': 'refused'}
SHARE = .03

def kind_of(i): # number of a photo
    "The fault of photo `i`, or 'fine'; told by a hash, so the same in every process"
    u = int.from_bytes(hashlib.sha256(f'photo {i}'.encode()).digest()[:8]) / 2**64
    return (list(FAULTS)+['fine'])[min(int(u/SHARE), len(FAULTS))]

def expected(i): return FAULTS.get(kind_of(i), 'ok')

def table(n, base): # photos, such as 'http://127.0.0.1:8000'
    "A table of `n` links"
    kinds = [kind_of(i) for i in range(n)]
    return pd.DataFrame(dict(
        image=[f'../{i}.jpg' if k == 'bad id' else f'{i%50:02}/{i}.jpg' for i, k in enumerate(kinds)],
        url=['' if k == 'no link' else f'{base}/{i}.jpg' + '?size=60'*(k == 'needs its query') for i, k in enumerate(kinds)],
        expected=[expected(i) for i in range(n)]))

def jpeg(size=(60, 80)):
    buf = BytesIO()
    Image.radial_gradient('L').resize(size).convert('RGB').save(buf, 'JPEG', quality=85)
    return buf.getvalue()

PHOTO, PIXEL = jpeg(), jpeg((1, 1))

def body_of(i):
    "A photo of its own for every `i`: the same picture with another comment"
    note = f'photo {i}'.encode()
    return PHOTO[:2] + b'\xff\xfe' + (len(note)+2).to_bytes(2, 'big') + note + PHOTO[2:]

def reply(body=b'', code='200 OK', *headers, length=None):
    head = [f'HTTP/1.1 {code}', f'Content-Length: {len(body) if length is None else length}', *headers]
    return '\r\n'.join(head).encode() + b'\r\n\r\n' + body

class Server(asyncio.Protocol):
    "One connection; requests are short, so one call of `data_received` holds one"
    def __init__(self, log): self.log, self.buffer = log, b''
    def connection_made(self, transport):
        self.transport = transport
        OPEN.add(self)
        PEAK[0] = max(PEAK[0], len(OPEN))
    def connection_lost(self, exc):
        self.transport = None
        OPEN.discard(self)

    def data_received(self, data):
        self.buffer += data
        while b'\r\n\r\n' in self.buffer:
            head, self.buffer = self.buffer.split(b'\r\n\r\n', 1)
            path = head.split(b' ', 2)[1].decode()
            os.write(self.log, f'{path}\n'.encode())
            self.answer(path)

    def send(self, data, close=False):
        if self.transport is None: return
        self.transport.write(data)
        if close: self.transport.close()

    def trickle(self, data, every):
        "Send the same again and again until the client has had enough"
        if self.transport is None or self.transport.is_closing(): return
        if self.transport.get_write_buffer_size() < 1 << 20: self.send(data)
        asyncio.get_running_loop().call_later(every, self.trickle, data, every)

    def answer(self, path):
        if path in SPECIAL: return self.send(SPECIAL[path]())
        if not (found := re.fullmatch(r'/(moved/)?(\d+)\.jpg(\?size=60)?', path)): return self.send(reply(b'', '404 Not Found'))
        moved, i, query = found[1], int(found[2]), found[3]
        body, kind = body_of(i), 'fine' if moved else kind_of(i)
        if kind == 'busy once' and i not in BUSY:
            BUSY.add(i)
            return self.send(reply(b'', '503 Busy', 'Retry-After: 0'))
        if kind in ('fine', 'busy once') or kind == 'needs its query' and query: return self.send(reply(body))
        match kind:
            case 'missing' | 'needs its query': self.send(reply(b'gone', '404 Not Found'))
            case 'forbidden': self.send(reply(b'', '403 Forbidden'))
            case 'broken': self.send(reply(b'', '503 Unavailable'))
            case 'hangs': pass
            case 'drips': self.send(reply(body[:4], length=len(body))), self.trickle(b'\0', .1)
            case 'endless': self.send(b'HTTP/1.1 200 OK\r\n\r\n' + body), self.trickle(bytes(1 << 16), .001)
            case 'hangs up': self.transport.abort()
            case 'html': self.send(reply(b'<!doctype html><title>404</title>', '200 OK', 'Content-Type: image/jpeg'))
            case 'empty': self.send(reply())
            case 'half': self.send(reply(body[:len(body)//2], length=len(body)), close=True)
            case 'cut': self.send(reply(body[:len(body)*2//3]))
            case 'says too little': self.send(reply(body, length=len(body)//2), close=True)
            case 'one pixel': self.send(reply(PIXEL))
            case 'declares a gigabyte': self.send(reply(body, length=1 << 30))
            case 'placeholder': self.send(reply(PHOTO))
            case 'loop': self.send(reply(b'', '302 Found', f'Location: {path}'))
            case 'to a file': self.send(reply(b'', '302 Found', 'Location: file:///etc/passwd'))
            case 'moved': self.send(reply(b'', '302 Found', f'Location: /moved/{i}.jpg'))

BUSY, OPEN, PEAK = set(), set(), [0] # photos that have been refused once; connections; the most of them at a time

@lru_cache
def bomb():
    "A true PNG of 30,000 × 30,000 black pixels: 110 kB that want 900 MB"
    chunk = lambda name, data: len(data).to_bytes(4, 'big') + name + data + zlib.crc32(name+data).to_bytes(4, 'big')
    head = (30_000).to_bytes(4, 'big')*2 + bytes([1, 0, 0, 0, 0])
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + chunk(b'IDAT', zlib.compress(bytes((1+30_000//8)*30_000))) + chunk(b'IEND', b'')

SPECIAL = { # path -> reply
    '/bomb': lambda: reply(bomb()),
    '/gzip': lambda: reply(gzip.compress(bytes(2**26)), '200 OK', 'Content-Encoding: gzip'),
    '/peak': lambda: reply(str(PEAK[0]).encode()),
    '/hangs': lambda: b'',
    '/away': lambda: reply(b'', '302 Found', 'Location: file:///etc/passwd'),
    '/circle': lambda: reply(b'', '302 Found', 'Location: /circle'),
    '/nowhere': lambda: reply(b'', '302 Found', 'Location: http://'),
    '/nonsense': lambda: b'\0\1\2 not http at all\r\n\r\n',
}

async def serve(log, port=0):
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    server = await asyncio.get_running_loop().create_server(lambda: Server(fd), '127.0.0.1', port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

class Faulty:
    "The server in a process of its own: `with Faulty(folder) as s: s.base, s.requests()`"
    def __init__(self, folder): self.log = Path(folder)/'requests.txt'
    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, __file__, str(self.log)], stdout=subprocess.PIPE, text=True)
        self.base = f'http://127.0.0.1:{int(self.process.stdout.readline())}'
        return self
    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
    def requests(self): return self.log.read_text().split('\n')[:-1]

if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('log')
    asyncio.run(serve(**vars(parser.parse_args())))
