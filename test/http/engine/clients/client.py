"""http.client and urllib: `python3 client.py keep|close|cut URL COUNT`."""
import http.client
import os
import sys
import urllib.parse
import urllib.request

mode, url, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
host = urllib.parse.urlsplit(url).netloc


def body_of(n):
    return None if n % 3 == 0 else b'x' * 5000


def check(n, status, text):
    if status != 200 or text != f'answer to /{n}'.encode():
        sys.exit(f'{n}: {status} {text}')


if mode == 'keep':
    connection = http.client.HTTPConnection(host)
    for n in range(count):
        body = body_of(n)
        # An iterator has no length, so it is sent in chunks.
        chunks = iter([body[:10], body[10:]]) if n % 3 == 1 else body
        connection.request('GET' if body is None else 'POST', f'/loud/{n}', chunks, encode_chunked=n % 3 == 1,
                           headers={'Transfer-Encoding': 'chunked'} if n % 3 == 1 else {})
        answer = connection.getresponse()
        check(n, answer.status, answer.read())
elif mode == 'close':
    for n in range(count):
        with urllib.request.urlopen(f'{url}/loud/{n}', body_of(n)) as answer:
            check(n, answer.status, answer.read())
else:
    connection = http.client.HTTPConnection(host)
    connection.putrequest('POST', '/loud/cut')
    connection.putheader('Content-Length', '1000000')
    connection.endheaders()
    connection.send(b'x' * 100000)
    os._exit(0)
print('done')
