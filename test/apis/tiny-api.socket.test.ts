import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect } from 'chai'
import { z } from 'zod'
import { apis } from '../../src/apis/apis.js'
import { commonSettings, type HttpApi } from '../../src/http/api/api.js'
import { type App, startApp } from '../../src/server/app/app.js'
import { unixSocketsOf } from '../../src/server/app/mount-apis.js'
import { loadConfig } from '../../src/server/config/config.js'
import { type LogLine, recordingLogger } from '../http/server/stage.js'
import { call } from '../support/access.js'
import { walDirectoryOf } from '../support/wal-directory.js'

const settings = z
  .strictObject({
    ...commonSettings(1_000),
    greeting: z.string().default('hello').describe('What it answers'),
    farewell: z.string().optional().describe('What it says at the end')
  })
  .prefault({})
  .describe('The API of Tiny, under `/tiny`')

const unixSocket = join(mkdtempSync(join(tmpdir(), 'castellan-tiny-')), 'socket')

/** Everything a new API has to bring. What it did is written down in `events`. */
const tinyApi = (events: string[]): HttpApi<z.output<typeof settings>, 'tiny'> => ({
  name: 'tiny',
  about: 'a system that was never written',
  source: 'tiny 1.0',
  prefix: '/tiny',
  settings,
  tryIt: url => [`curl ${url}/greet`],
  check: ({ greeting, farewell }) => (greeting === farewell ? ['farewell: must differ from greeting'] : []),
  listeners: (_, { host }) => [
    { label: 'tiny admin', prefix: '/tiny/admin', address: { host, port: 0, setting: 'none' }, tls: false },
    { label: 'tiny socket', prefix: '/tiny', address: { unixSocket, mode: '600', setting: 'tiny.socket' }, tls: false }
  ],
  operations: () => [],
  plugin: async ({ settings: { greeting }, verbsByCluster, lifetime }) => {
    // As a hook that is loaded from a file: no port opens before it is there.
    await new Promise(resolve => setImmediate(resolve))
    events.push('loaded')
    lifetime.onDrain(async () => events.push('drained'))
    lifetime.onDrain(() => Promise.reject(new Error('cannot drain')))
    lifetime.onStop(async () => events.push('stopped'))
    return app => {
      app.get('/greet', () => ({ greeting, clusters: [...verbsByCluster.keys()] }))
      app.get('/admin/events', () => events)
      app.get('/broken', () => {
        throw new Error('not answered in the words of others')
      })
      app.addContentTypeParser('application/json', { parseAs: 'string' }, app.getDefaultJsonParser('error', 'error'))
      app.post('/length', ({ body }) => ({ length: JSON.stringify(body).length }))
      app.setErrorHandler((error, _, reply) => reply.code((error as { statusCode?: number }).statusCode ?? 418).send())
    }
  }
})

describe('an API registers itself', () => {
  const events: string[] = []
  const listed = [...apis, tinyApi(events)]
  const set = (...texts: string[]) => {
    const flags = texts.map(text => text.split('=') as [string, string])
    return loadConfig({
      apis: listed,
      flags: flags.map(([name, value]) => ({ flag: `--set ${name}`, path: name.split('.'), value }))
    })
  }
  after(() => rmSync(dirname(unixSocket), { recursive: true }))
  const free = [
    ...['http.port=0', 'management.port=0', 'embedded.port=0', 'advanced.http.maxEventLoopDelayMs=0'],
    `wal.directory=${walDirectoryOf('apps')}`
  ]

  describe('its settings', () => {
    it('are part of the configuration, with their defaults', () => {
      expect((set().apis as Record<string, unknown>).tiny).to.deep.equal({
        enabled: true,
        tls: 'inherit',
        maxBodyBytes: 1_000,
        greeting: 'hello'
      })
    })

    const wrong: [string, string][] = [
      ['apis.tiny.greting=hi', 'there is no setting apis.tiny.greting; did you mean greeting?'],
      ['apis.tiny.port=many', 'apis.tiny.port: expected integer, got "many"'],
      ['apis.tiny.farewell=hello', 'apis.tiny.farewell: must differ from greeting'],
      ['apis.tinny.greeting=hi', 'there is no setting apis.tinny.greeting']
    ]
    for (const [text, problem] of wrong) {
      it(`are checked: ${text}`, () => {
        expect(() => set(text)).to.throw(problem)
      })
    }

    it('are held to the rules for addresses that others can reach', () => {
      expect(() => set('apis.tiny.host=0.0.0.0', 'apis.tiny.port=0')).to.throw(
        'apis.tiny.host: 0.0.0.0 can be reached from other machines'
      )
    })

    it('come from the environment as well', () => {
      const { apis: found } = loadConfig({
        apis: listed,
        environment: { CASTELLAN_APIS_TINY_GREETING: 'hi' }
      })
      expect((found as Record<string, { greeting?: string }>).tiny!.greeting).to.equal('hi')
    })

    it('are unknown where it is not listed', () => {
      expect(() => loadConfig({ environment: { CASTELLAN_APIS_TINY_GREETING: 'hi' } })).to.throw('no such setting')
    })
  })

  describe('in a running process', () => {
    const lines: LogLine[] = []
    let app: App
    before(async () => {
      const config = set(...free, 'apis.tiny.port=0', 'shutdown.graceMs=5000')
      app = await startApp(config, { log: recordingLogger(lines), version: '0.0.0-test', apis: listed })
    })
    after(() => app?.stop())
    const logged = (): string => lines.map(({ message }) => message).join('\n')
    const answerOf = async (url: string): Promise<unknown> => (await fetch(url)).json()

    it('it is loaded before any port opens', () => {
      expect(events[0]).to.equal('loaded')
    })

    it('it is mounted under its prefix on the shared port', async () => {
      expect(await answerOf(`${app.urls.shared}/tiny/greet`)).to.deep.equal({
        greeting: 'hello',
        clusters: ['default']
      })
    })

    it('it is mounted without its prefix on a port of its own', async () => {
      expect(await answerOf(`${app.urls.apis.get('tiny')}/greet`)).to.deep.include({ greeting: 'hello' })
    })

    it('it has the further listeners it asks for', async () => {
      expect(await answerOf(`${app.urls.apis.get('tiny admin')}/events`)).to.deep.equal(['loaded'])
    })

    it('it has the unix socket that it asks for, which is announced and prepared', async () => {
      const answer = await call('http://localhost/greet', { socketPath: unixSocket })
      expect([answer.status, answer.body]).to.deep.equal([200, '{"greeting":"hello","clusters":["default"]}'])
      expect(logged()).to.include(`tiny socket: unix:${unixSocket}`)
      expect(unixSocketsOf(listed, set())).to.deep.equal([{ path: unixSocket, mode: '600', setting: 'tiny.socket' }])
    })

    it('it is listed on the front page', async () => {
      const shown = await (await fetch(app.urls.shared)).text()
      for (const { name } of listed) expect(shown).to.match(new RegExp(`^# ${name}: `, 'm'))
      expect(shown).to.include(`\ncurl ${app.urls.shared}/tiny/greet\n`)
    })

    it('the log tells the address of its own port', () => {
      expect(logged()).to.include(`tiny API on its own port: ${app.urls.apis.get('tiny')}`)
    })

    it('its error handler answers, although it was loaded late', async () => {
      expect((await fetch(`${app.urls.shared}/tiny/broken`)).status).to.equal(418)
    })

    it('its limit for bodies applies to every route', async () => {
      const send = (length: number) =>
        fetch(`${app.urls.shared}/tiny/length`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify('x'.repeat(length))
        })
      expect((await send(900)).status).to.equal(200)
      expect((await send(1_000)).status).to.equal(413)
    })

    it('its requests are counted under its name', async () => {
      const text = await (await fetch(`${app.urls.management}/metrics`)).text()
      expect(text).to.include('castellan_http_requests_total{api="tiny"')
    })

    it('it is told when the process stops: to end what goes on, then to leave', async () => {
      await app.stop()
      expect(events).to.deep.equal(['loaded', 'drained', 'stopped'])
      expect(logged()).to.include('draining tiny failed; going on')
    })
  })

  it('does nothing when it is disabled', async () => {
    events.length = 0
    const lines: LogLine[] = []
    const app = await startApp(set(...free, 'apis.tiny.enabled=false'), {
      log: recordingLogger(lines),
      version: '0.0.0-test',
      apis: listed
    })
    try {
      expect((await fetch(`${app.urls.shared}/tiny/greet`)).status).to.equal(404)
      expect(lines.map(({ message }) => message).join('\n')).to.not.include('tiny')
      expect(events).to.deep.equal([])
    } finally {
      await app.stop()
    }
  })
})
