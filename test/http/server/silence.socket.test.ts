import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import { byHand, neverCalled } from '../../../src/http/api/by-hand.js'
import { SilenceLimit } from '../../../src/http/engine/silence-limit.js'
import { upgradeOf } from '../../../src/http/engine/upgrade.js'
import { RawSocket } from '../../support/raw-socket.js'
import { type Started, startHttp, untilNothingIsHeld } from './stage.js'

const LIMIT_MS = 200
const head = (path: string, headers = ''): string => `POST ${path} HTTP/1.1\r\nhost: localhost\r\n${headers}\r\n`
const UPGRADE = 'GET /loud/up HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n'

describe('silent clients of an API with a limit for them', () => {
  const silence = new SilenceLimit()
  let started: Started
  let ended = 0
  const plugin = async (app: FastifyInstance): Promise<void> => {
    silence.limitMs = LIMIT_MS
    silence.onEnd = () => ended++
    const receive = byHand(({ request, response }) => {
      const path = request.url ?? ''
      if (path.endsWith('/wait')) return
      if (!path.endsWith('/up')) {
        request.resume().on('end', () => response.end('done'))
        return
      }
      const upgraded = upgradeOf(request)!.take({ leave: () => {}, silent: () => upgraded!.socket.end('silence') })
      upgraded!.socket.write(upgraded!.head)
      upgraded!.socket.pipe(upgraded!.socket)
    })
    app.addHook('preParsing', receive)
    app.all('/*', neverCalled)
  }
  before(async () => {
    started = await startHttp({ plugin, silence, own: true })
  })
  beforeEach(() => (ended = 0))
  after(() => started.http.close())

  const ask = async (url: string, bytes: string): Promise<RawSocket> => {
    const socket = await RawSocket.open(url)
    await socket.send(bytes)
    return socket
  }

  it('are cut without a word while they wait for an answer, and behind it', async () => {
    const { shared } = started.http.urls
    const startedAt = performance.now()
    expect(await (await ask(shared, head('/loud/wait'))).untilClosed()).to.equal('')
    expect(performance.now() - startedAt).to.be.at.least(LIMIT_MS - 5)
    expect(await (await ask(shared, head('/loud/x'))).untilClosed()).to.match(/^HTTP\/1\.1 200 OK\r\n[\s\S]*done$/)
    expect(await (await ask(shared, `${head('/loud/x', 'content-length: 5\r\n')}abc`)).untilClosed()).to.equal('')
    expect(ended).to.equal(3)
    await untilNothingIsHeld(started)
  })

  it('are cut on its own port although they have not asked anything', async () => {
    const socket = await RawSocket.open(started.http.urls.apis.get('loud')!)
    expect(await socket.untilClosed()).to.equal('')
    expect(ended).to.equal(1)
  })

  it('stay as long as they send something', async () => {
    const socket = await ask(started.http.urls.shared, head('/loud/x', 'content-length: 30\r\n'))
    for (let sent = 0; sent < 30; sent++) {
      await socket.send('x')
      await new Promise(resolve => setTimeout(resolve, LIMIT_MS / 10))
    }
    expect(await socket.until(text => text.endsWith('done'))).to.match(/^HTTP\/1\.1 200/)
    expect(ended).to.equal(0)
    socket.destroy()
  })

  it('are not cut on the shared port before they have asked this API, or once they have asked another', async () => {
    const { shared } = started.http.urls
    const fresh = await RawSocket.open(shared)
    const gone = await ask(shared, head('/loud/x'))
    await gone.until(text => text.endsWith('done'))
    await gone.send('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n')
    await new Promise(resolve => setTimeout(resolve, 3 * LIMIT_MS))
    expect([fresh.isClosed, gone.isClosed, ended]).to.deep.equal([false, false, 0])
    fresh.destroy()
    gone.destroy()
  })

  it('of an upgraded connection are left to its owner; what they are sent counts, too', async () => {
    const socket = await ask(started.http.urls.shared, UPGRADE)
    for (let sent = 0; sent < 20; sent++) {
      await socket.send('x')
      await new Promise(resolve => setTimeout(resolve, LIMIT_MS / 10))
    }
    expect(ended).to.equal(0)
    expect(await socket.untilClosed()).to.equal(`${'x'.repeat(20)}silence`)
    expect(ended).to.equal(1)
  })
})
