import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { WebSocket } from 'ws'
import { Children } from './child.js'

/** The examples of Arion's documents, against the command that takes its place. */
describe('castellan arion', function () {
  this.timeout(120_000)
  const children = new Children()
  let queue: string
  beforeEach(() => {
    queue = mkdtempSync(join(tmpdir(), 'castellan-arion-'))
  })
  afterEach(async () => {
    await children.stopAll()
    rmSync(queue, { recursive: true, force: true })
  })

  const start = async (environment: Record<string, string> = {}, ...flags: string[]) => {
    const ports = ['--embedded-port', '0', '--management-port', '0']
    const child = children.start(['arion', '--embedded', ...ports, ...flags], {
      ARION_PORT: '0',
      ARION_QUEUE_PATH: queue,
      ...environment
    })
    const [, url] = await child.line(/arion API on its own port: (http:\/\/127\.0\.0\.1:\d+)/)
    return { child, url: url! }
  }

  it('serves the examples of its documents on its own port', async () => {
    const { child, url } = await start()
    const sync = await fetch(`${url}/sync/test/mykey`, { method: 'POST', body: 'hello' })
    expect(sync.status).to.equal(201)
    expect(await sync.json()).to.include({ status: 'sent', key: 'mykey', topic: 'test', offset: 0 })
    const async = await fetch(`${url}/async/test/mykey`, { method: 'POST', body: 'hello' })
    expect(async.status).to.equal(202)
    expect(await async.json()).to.include({ status: 'enqueued', topic: 'test', key: 'mykey' })
    const websocket = new WebSocket(`${url.replace('http', 'ws')}/websocket/test`)
    await once(websocket, 'open')
    for (const text of ['test1', 'test2', 'test1']) {
      websocket.send(text)
      const [reply] = (await once(websocket, 'message')) as [Buffer]
      expect(JSON.parse(reply.toString())).to.include({ topic: 'test', status: 'sent', key: null })
    }
    websocket.terminate()
    const stats = (await (await fetch(`${url}/stats`)).json()) as Record<string, Record<string, number>>
    expect(stats.queue).to.include({ enqueued: 5, retried: 0 })
    expect(await (await fetch(`${url}/health-check`)).text()).to.equal('{"status":"ok"}')
    expect((await fetch(`${url}/health-check`, { method: 'HEAD' })).status).to.equal(200)
    expect(await child.stop()).to.equal(0)
    expect(child.stderr).to.equal('')
  })

  it('says what it does with variables, and that it listens on loopback only', async () => {
    const { child } = await start({ HEAP_SIZE: '200m', ARION_IDLETIMEOUT: '1' })
    await child.line(/HEAP_SIZE has no effect/)
    await child.line(/ARION_IDLETIMEOUT is no variable of Arion/)
    await child.line(/apis\.arion\.host: listening on 127\.0\.0\.1 instead of 0\.0\.0\.0/)
  })

  it('arion 36: refuses to start with a value that cannot be', async () => {
    for (const [environment, problem] of [
      [{ ARION_PORT: 'abc' }, /^castellan arion: apis\.arion\.port: .*ARION_PORT/m],
      [{ ARION_FSYNC_THRESHOLD: '5' }, /^castellan arion: ARION_FSYNC_THRESHOLD: works only with/m]
    ] as const) {
      const child = children.start(['arion', '--embedded'], environment)
      expect(await child.exit()).to.equal(2)
      expect(child.stderr).to.match(problem)
    }
  })

  it('arion 40: SIGTERM finishes what is in flight, and closes websockets with 1001', async () => {
    const { child, url } = await start()
    const websocket = new WebSocket(`${url.replace('http', 'ws')}/websocket/test/k`)
    await once(websocket, 'open')
    const replies: string[] = []
    websocket.on('message', data => replies.push(String(data)))
    for (let i = 0; i < 100; i++) websocket.send(`m${i}`)
    await once(websocket, 'message')
    const closed = once(websocket, 'close') as Promise<[number]>
    const stopped = child.stop()
    expect((await closed)[0]).to.equal(1001)
    expect(await stopped).to.equal(0)
    expect(replies.length).to.be.above(0)
    await fetch(`${url}/health-check`).then(
      () => expect.fail('still listening'),
      () => undefined
    )
  })
})
