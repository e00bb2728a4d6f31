import { request } from 'node:http'
import { expect } from 'chai'
import { type App, startApp } from '../../../src/server/app/app.js'
import type { Config } from '../../../src/server/config/config.js'
import { recordingLogger } from '../../http/server/stage.js'
import { basic, cheapHash, configOf, makeToken, push, TestFolder } from '../../support/access.js'

const PUSH = JSON.stringify({ records: [{ topic: 'orders', data: 'revoked' }], wait_for_send: true })
/** A way to write of each API. */
const WAYS: readonly [path: string, type: string, body: string][] = [
  ['/kprf/push', 'application/json', PUSH],
  ['/arion/sync/orders', 'application/octet-stream', 'revoked'],
  ['/kafboy/sync/orders', 'application/json', '{"message":"revoked"}'],
  ['/pixy/topics/orders/messages?sync', 'text/plain', 'revoked']
]

const pause = (): Promise<void> => new Promise(resolve => setTimeout(resolve, 5))

describe('a body that is under way when its client loses its rights', function () {
  this.timeout(60_000)
  const folder = new TestFolder()
  const [owner, leaver] = [makeToken(), makeToken()]
  let passwordHash: string
  let app: App
  before(async () => {
    passwordHash = await cheapHash('secret')
    app = await startApp(everything(), { log: recordingLogger([]), version: '0.0.0-test' })
    const pushed = await push(app.urls.shared, 'orders', { headers: { authorization: `Bearer ${owner.token}` } })
    expect(pushed.status).to.equal(200)
  })
  after(async () => {
    await app.stop()
    folder.remove()
  })

  const config = (principals: readonly string[], topics: readonly string[]): Config =>
    configOf(folder, {
      http: { port: 0 },
      management: { port: 0 },
      embedded: { port: 0 },
      auth: {
        tokens: [
          { principal: 'keeper', sha256: owner.sha256 },
          ...(principals.includes('leaver') ? [{ principal: 'leaver', sha256: leaver.sha256 }] : [])
        ],
        users: principals.includes('anna') ? [{ username: 'anna', passwordHash }] : []
      },
      access: {
        rules: [
          { principals: ['keeper'], operations: ['produce', 'offsets'], topics: ['*'], groups: ['*'] },
          { principals: ['leaver', 'anna'], operations: ['produce'], topics, groups: ['*'] }
        ]
      },
      apis: { arion: { durability: 'memory' }, kprf: { messageTimeoutMs: 30_000 } }
    })
  const everything = (): Config => config(['leaver', 'anna'], ['*'])

  /** Half of the body is sent, then `meanwhile` happens, then the rest. */
  async function sendInHalves(
    [path, type, body]: (typeof WAYS)[number],
    authorization: string,
    meanwhile: () => Promise<void>
  ): Promise<number> {
    const headers = { authorization, 'content-type': type, 'content-length': body.length }
    const asked = request(`${app.urls.shared}${path}`, { method: 'POST', headers })
    const answered = new Promise<number>((resolve, reject) => {
      asked.on('response', answer => resolve(answer.resume().statusCode!)).on('error', reject)
    })
    while ((await inFlight()) > 0) await pause()
    asked.write(body.slice(0, 5))
    while ((await inFlight()) === 0) await pause()
    await meanwhile()
    asked.end(body.slice(5))
    return answered
  }
  const inFlight = async (): Promise<number> => {
    const text = await app.metrics.registry.metrics()
    return Number(/^castellan_http_requests_in_flight (\d+)/m.exec(text)![1])
  }
  /** Records in the topic. */
  const written = async (): Promise<number> => {
    const headers = { authorization: `Bearer ${owner.token}` }
    const answer = await fetch(`${app.urls.shared}/pixy/topics/orders/offsets?group=g`, { headers })
    return ((await answer.json()) as { end: number }[]).reduce((sum, { end }) => sum + end, 0)
  }

  for (const way of WAYS) {
    it(`is written while it has them, and refused when its token was taken away: ${way[0]}`, async () => {
      const token = `Bearer ${leaver.token}`
      const stays = await sendInHalves(way, token, () => app.reload(everything()))
      expect(stays).to.be.within(200, 201)
      const before = await written()
      expect(await sendInHalves(way, token, () => app.reload(config([], ['*'])))).to.equal(401)
      expect(await written()).to.equal(before)
      await app.reload(everything())
    })

    it(`is refused when no rule allows it any more: ${way[0]}`, async () => {
      const before = await written()
      const reload = () => app.reload(config(['leaver', 'anna'], ['other']))
      expect(await sendInHalves(way, `Bearer ${leaver.token}`, reload)).to.equal(403)
      expect(await written()).to.equal(before)
      await app.reload(everything())
    })
  }

  it('is refused when the user of its password is gone, and written when others are', async () => {
    const [way] = WAYS
    const login = basic('anna', 'secret')
    expect(await sendInHalves(way!, login, () => app.reload(config(['anna'], ['*'])))).to.equal(200)
    expect(await sendInHalves(way!, login, () => app.reload(config(['leaver'], ['*'])))).to.equal(401)
  })
})
