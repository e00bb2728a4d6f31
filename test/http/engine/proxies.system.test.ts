import { expect } from 'chai'
import { askRaw, RawSocket } from '../../support/raw-socket.js'
import { parsingCases } from './parsing-cases.js'
import { FrontProxy, isInstalled, proxyKinds } from './proxies.js'
import { WatchedApp } from './watched-app.js'

/** Longest a probe waits for its answer: a proxy may wait for the rest of a body. */
const PROBE_MS = 300
const VICTIMS = 3
const NEXT = 'GET /loud/next HTTP/1.1\r\nHost: localhost\r\n\r\n'

describe('behind a proxy that sends the requests of all clients over one connection', () => {
  for (const kind of proxyKinds) {
    describe(`${kind.name} before the gateway`, () => {
      let app: WatchedApp
      let proxy: FrontProxy
      before(async function () {
        if (!isInstalled(kind)) this.skip()
        app = await WatchedApp.start()
        proxy = await FrontProxy.start(kind, new URL(app.url))
      })
      after(async () => {
        await proxy?.stop()
        await app?.close()
      })

      it('one connection serves many clients', async () => {
        app.ports.clear()
        for (let client = 0; client < 20; client++) expect(await victim(`client-${client}`)).to.equal('')
        expect(app.ports.size).to.be.below(20)
      })

      it('a request that the proxy does not know of would be noticed', async () => {
        app.unmarked.length = 0
        await askRaw(app.url, 'GET /loud/smuggled HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
        expect(app.unmarked).to.deep.equal(['/smuggled'])
      })

      for (const [group, cases] of Object.entries(parsingCases)) {
        it(`${group}: whatever a client sends, the next ones get answers of their own`, async () => {
          for (const { name, send } of cases) {
            app.unmarked.length = 0
            await probe(send + NEXT)
            for (let i = 0; i < VICTIMS; i++) expect(await victim(`victim-${i}`), name).to.equal('')
            expect(app.unmarked, `${name}: requests that the proxy does not know of`).to.deep.equal([])
          }
        })
      }

      async function probe(bytes: string): Promise<void> {
        const socket = await RawSocket.open(proxy.url)
        const timer = setTimeout(() => socket.destroy(), PROBE_MS)
        await socket.send(Buffer.from(bytes, 'latin1'))
        await socket.until(() => socket.answers >= 2)
        clearTimeout(timer)
        socket.destroy()
      }

      /** @returns what is wrong with the answer; empty: nothing */
      async function victim(name: string): Promise<string> {
        const socket = await RawSocket.open(proxy.url)
        await socket.send(`GET /loud/${name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
        const received = await socket.untilClosed()
        socket.destroy()
        return /^HTTP\/1\.1 200 /.test(received) && received.endsWith(`\r\n\r\nanswer to /${name}`) ? '' : received
      }
    })
  }
})
