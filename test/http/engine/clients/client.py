"""http.client, requests or urllib: `python3 client.py http|requests|urllib URL STEP...`."""
import gzip
import http.client
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

library, url, *steps = sys.argv[1:]
connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)
if library == 'requests':
    import requests
    session = requests.Session()


def pieces(size, pause_ms=0):
    for start in range(0, size, 100_000):
        yield b'x' * min(100_000, size - start)
    time.sleep(pause_ms / 1_000)


def body_of(kind, size):
    if kind == 'gzip':
        with open(size, 'rb') as file:
            return gzip.compress(file.read()), {'Content-Encoding': 'gzip', 'Content-Type': 'application/json'}
    # A generator has no length, so it is sent in chunks.
    chunked = {} if library == 'requests' else {'Transfer-Encoding': 'chunked'}
    return {
        '': lambda: (None, {}),
        'length': lambda: (b'x' * int(size), {}),
        'chunks': lambda: (pieces(int(size)), chunked),
        'stall': lambda: (pieces(10, int(size)), {'Content-Length': '1000'}),
        'stall-chunks': lambda: (pieces(10, int(size)), chunked)
    }[kind]()


def ask(method, path, kind='', size='0'):
    if kind == 'expect':
        return 'cannot'
    body, headers = body_of(kind, size)
    if library == 'requests':
        answer = session.request(method, url + path, data=body, headers=headers)
        status, text = answer.status_code, answer.content
    elif library == 'http':
        connection.request(method, path, body, headers, encode_chunked='Transfer-Encoding' in headers)
        answer = connection.getresponse()
        status, text = answer.status, answer.read()
    else:
        try:
            answer = urllib.request.urlopen(urllib.request.Request(url + path, body, headers, method=method))
        except urllib.error.HTTPError as refusal:
            answer = refusal
        with answer:
            status, text = answer.status, answer.read()
    return f'{status} {len(text)} {text.decode() if len(text) < 40 else ""}'


for step in steps:
    words = step.split()
    if words[0] == 'wait':
        time.sleep(int(words[1]) / 1_000)
        continue
    try:
        print(ask(*words), flush=True)
    except Exception as error:
        connection.close()
        print('error', error, flush=True)
