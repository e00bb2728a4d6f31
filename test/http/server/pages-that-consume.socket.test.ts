import { expect } from 'chai'
import { configOf, type Guarded, startGuarded, TestFolder } from '../../support/access.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { askRaw, RawSocket } from '../../support/raw-socket.js'

/** Keeps what was asked of its groups. */
class Groups extends FakeVerbs {
  readonly asked: string[] = []

  override consume(...asked: Parameters<FakeVerbs['consume']>): () => void {
    this.asked.push('consume')
    return super.consume(...asked)
  }

  override ack(): ReturnType<FakeVerbs['ack']> {
    this.asked.push('ack')
    return super.ack()
  }

  override follow(): ReturnType<FakeVerbs['follow']> {
    this.asked.push('follow')
    return super.follow()
  }
}

const IMAGE = ['Accept: image/avif,image/webp,*/*;q=0.8']
const PAGE = ['Accept: text/html,application/xhtml+xml,*/*;q=0.8']

describe('a web page that has its visitor send a GET over plain HTTP', () => {
  const folder = new TestFolder()
  let gateway: Groups
  let guarded: Guarded
  before(async () => {
    gateway = new Groups()
    // Off loopback nothing about a host is certain.
    const http = { host: '0.0.0.0', allowAnonymous: true }
    guarded = await startGuarded(configOf(folder, { http }), gateway)
  })
  beforeEach(() => gateway.asked.splice(0))
  after(async () => {
    await guarded?.stop()
    folder.remove()
  })

  const url = (): string => guarded.http.urls.shared.replace('0.0.0.0', '127.0.0.1')
  const get = (path: string, headers: readonly string[]): string =>
    `GET ${path} HTTP/1.1\r\nHost: 10.0.0.7:8080\r\n${headers.map(line => `${line}\r\n`).join('')}Connection: close\r\n\r\n`

  const CONSUMING = [
    '/pixy/topics/orders/messages?group=g',
    '/pixy/topics/orders/messages?group=g&noAck',
    '/pixy/topics/orders/messages?group=g&ackPartition=0&ackOffset=7',
    '/pixy/topics/orders/messages?group=g&count=100',
    '/pixy/clusters/default/topics/orders/messages?group=g',
    '/pixy/topics/orders/tail'
  ]
  for (const path of CONSUMING) {
    it(`takes, follows and acknowledges nothing: ${path}`, async () => {
      for (const headers of [
        IMAGE,
        PAGE,
        ['Accept: */*', 'Sec-Fetch-Site: cross-site'],
        ['Accept: */*', 'Sec-Fetch-Dest: image'],
        ['Accept: */*', 'Referer: http://evil.example/']
      ]) {
        const answer = await askRaw(url(), get(path, headers))
        expect(answer, headers.join()).to.match(/^HTTP\/1\.1 403 /)
        expect(answer).to.contain('{\n  "error": "')
      }
      expect(gateway.asked).to.deep.equal([])
    })
  }

  it('hurts no client that is no browser', async () => {
    for (const headers of [[], ['Accept: */*'], ['Accept: application/json, text/plain, */*']]) {
      expect(await askRaw(url(), get(CONSUMING[0]!, headers))).to.match(/^HTTP\/1\.1 408 /)
    }
    expect(gateway.asked).to.deep.equal(['consume', 'consume', 'consume'])
    const socket = await RawSocket.open(url())
    await socket.send(get('/pixy/topics/orders/tail', ['Accept: text/event-stream']))
    while (!gateway.asked.includes('follow')) await new Promise(resolve => setImmediate(resolve))
    socket.destroy()
  })

  it('writes nothing to Arion, where a GET may write', async () => {
    const arion = { apis: { arion: { producesByGet: true, durability: 'memory' } } }
    const own = new Groups()
    const open = await startGuarded(configOf(folder, arion), own)
    try {
      for (const headers of [IMAGE, PAGE]) {
        const request = get('/arion/sync/orders', headers).replace('10.0.0.7:8080', 'localhost')
        expect(await askRaw(open.http.urls.shared, request)).to.match(/^HTTP\/1\.1 403 /)
      }
      expect(own.records).to.have.length(0)
      const request = get('/arion/sync/orders', ['Accept: */*']).replace('10.0.0.7:8080', 'localhost')
      expect(await askRaw(open.http.urls.shared, request)).to.match(/^HTTP\/1\.1 201 /)
    } finally {
      await open.stop()
    }
  })
})
