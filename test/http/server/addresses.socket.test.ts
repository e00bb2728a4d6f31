import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import sinon from 'sinon'
import { ListenError } from '../../../src/core/listen-error.js'
import { askRaw, RawSocket } from '../../support/raw-socket.js'
import { type Started, startHttp, until } from './stage.js'

const GET = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}

describe('http: addresses to listen at', () => {
  let started: Started | undefined
  afterEach(async () => {
    sinon.restore()
    await started?.http.close()
    started = undefined
  })

  const failure = async (settings: Parameters<typeof startHttp>[0]): Promise<Error> => {
    const error = await startHttp(settings).then(
      () => undefined,
      reason => reason as Error
    )
    expect(error).to.be.instanceOf(ListenError)
    expect(error, 'the address may be free later').to.include({ code: 'invalidConfig', retriable: true })
    return error!
  }

  it('that the machine does not have are an error that names the setting', async () => {
    expect((await failure({ http: { host: '192.0.2.1' } })).message).to.equal(
      'cannot listen on 192.0.2.1 (EADDRNOTAVAIL); choose another address with --host (http.host)'
    )
    expect((await failure({ management: { host: '192.0.2.1' } })).message).to.contain('(management.host)')
  })

  it('that need more rights are told as such', async () => {
    sinon.stub(Server.prototype, 'listen').callsFake(function (this: Server) {
      process.nextTick(() => this.emit('error', Object.assign(new Error('no'), { code: 'EACCES' })))
      return this
    })
    expect((await failure({ management: { port: 'off' }, http: { port: 80 } })).message).to.equal(
      'port 80 on 127.0.0.1 needs more rights than this process has; choose another with --port (http.port)'
    )
  })

  it('that are paths where nothing can be made are an error, and ports that were open before are closed again', async () => {
    const port = await freePort()
    const unixSocket = join(tmpdir(), 'castellan-nowhere', 'a.sock')
    const { message } = await failure({ http: { port, unixSocket } })
    expect(message.replace(/ENOENT/, 'EACCES')).to.equal(
      `cannot listen on ${unixSocket} (EACCES): its directory is missing, or this process may not write to it; ` +
        'create it, change its permissions, or choose another path with --unix-socket (http.unixSocket)'
    )
    started = await startHttp({ http: { port } })
    expect(new URL(started.http.urls.shared).port).to.equal(String(port))
  })

  it('that are paths leave the mask for new files as it is', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'castellan-'))
    const former = process.umask(0o027)
    try {
      started = await startHttp({ http: { unixSocket: join(folder, 'a.sock') } })
      expect(process.umask()).to.equal(0o027)
      await failure({ http: { unixSocket: join(folder, 'none', 'a.sock') } })
      expect(process.umask()).to.equal(0o027)
    } finally {
      process.umask(former)
      await started?.http.close()
      rmSync(folder, { recursive: true })
    }
  })

  it('have no more connections than they may, and new ones for those that end', async () => {
    started = await startHttp({ http: { maxConnections: 2 } })
    const { shared } = started.http.urls
    const served = async (): Promise<RawSocket> => {
      const socket = await RawSocket.open(shared)
      await socket.send(GET)
      await socket.until(() => socket.answers === 1)
      expect(socket.answers).to.equal(1)
      return socket
    }
    for (let round = 0; round < 3; round++) {
      const open = [await served(), await served()]
      expect(await askRaw(shared, GET)).to.equal('')
      for (const socket of open) socket.destroy()
      await until(async () => (await started!.metric('castellan_http_connections')) === 0, 'none open')
    }
  })
})
