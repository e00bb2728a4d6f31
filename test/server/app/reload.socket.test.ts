import { once } from 'node:events'
import { createServer as createPlainServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { expect } from 'chai'
import { reloadAtHangUp } from '../../../src/cli/hang-up.js'
import { ConfigError } from '../../../src/core/errors.js'
import { type App, startApp } from '../../../src/server/app/app.js'
import type { AppLogger } from '../../../src/server/app/logger.js'
import type { Config } from '../../../src/server/config/config.js'
import { newSecret } from '../../../src/webhooks/endpoint/signature.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'
import { configOf, makeToken, push, TestAuthority, TestFolder } from '../../support/access.js'

interface Hook {
  readonly name: string
  readonly gateways: readonly unknown[]
}

async function portOf(server: Server): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return (server.address() as AddressInfo).port
}

describe('settings that are read again', () => {
  const authority = new TestAuthority()
  const folder = new TestFolder()
  const [owner, leaver] = [makeToken(), makeToken()]
  let app: App
  after(async () => {
    await app?.stop()
    folder.remove()
  })

  const write = (commonName: string): object => {
    const { cert, key } = authority.issue({ commonName, alternativeNames: ['IP:127.0.0.1'] })
    return { certFile: folder.write('cert.pem', cert), keyFile: folder.write('key.pem', key) }
  }
  const tls = write('one')
  const config = (tokens: readonly { principal: string; sha256: string }[]): Config =>
    configOf(folder, {
      http: { port: 0, tls },
      management: { port: 0 },
      embedded: { port: 0 },
      auth: {
        tokens,
        issuers: [
          {
            issuer: 'https://issuer.example',
            audience: 'castellan',
            jwksFile: folder.write('jwks.json', '{"keys":[]}')
          }
        ]
      },
      access: { rules: [{ principals: ['*'], operations: ['produce'], topics: ['*'], groups: ['*'] }] },
      apis: { kprf: { messageTimeoutMs: 30_000 } }
    })
  const both = [
    { principal: 'keeper', sha256: owner.sha256 },
    { principal: 'leaver', sha256: leaver.sha256 }
  ]
  const statusOf = async (token: string): Promise<number> =>
    (await push(app.urls.shared, 'orders', { ca: authority.cert, headers: { authorization: `Bearer ${token}` } }))
      .status
  const problemOf = async (next: Config): Promise<string> => {
    const error: unknown = await app.reload(next).catch((thrown: unknown) => thrown)
    expect(error).to.be.instanceOf(ConfigError)
    return (error as ConfigError).message
  }

  it('count all together, or not at all where a file of any part cannot be used', async () => {
    app = await startApp(config(both), { log: recordingLogger([]), version: '0.0.0-test' })
    expect(await statusOf(leaver.token)).to.equal(200)
    const without = config(both.slice(0, 1))

    folder.write('cert.pem', 'half written')
    expect(await problemOf(without)).to.match(/^http\.tls: the files cannot be used/)
    expect(await statusOf(leaver.token)).to.equal(200)

    folder.write('jwks.json', '{"keys":')
    const problems = await problemOf(without)
    expect(problems).to.contain('http.tls').and.to.contain('auth.issuers.jwksFile')
    expect(await statusOf(leaver.token)).to.equal(200)

    write('two')
    expect(await problemOf(without)).to.match(/^auth\.issuers\.jwksFile: .* is no JSON$/)
    expect(await statusOf(leaver.token)).to.equal(200)

    folder.write('jwks.json', '{"keys":[]}')
    await app.reload(without)
    expect([await statusOf(leaver.token), await statusOf(owner.token)]).to.deep.equal([401, 200])
  })

  it('are refused where a webhook is on a cluster that comes with a restart only', async () => {
    const secretFile = folder.write('hook.secret', newSecret())
    const hooks = (clusters: readonly string[]): Config =>
      configOf(folder, {
        http: { port: 0 },
        management: { port: 0 },
        embedded: { port: 0 },
        clusters: Object.fromEntries(clusters.map(name => [name, { brokers: ['127.0.0.1:1'] }])),
        webhooks: {
          definitions: Object.fromEntries(
            ['default', ...clusters].map(cluster => [
              `of-${cluster}`,
              { cluster, topic: cluster, url: 'https://a.example/', secretFile }
            ])
          )
        }
      })
    const first = hooks([])
    const none = { ...first, webhooks: { ...first.webhooks, definitions: {} } }
    const other = await startApp(none, { log: recordingLogger([]), version: '0.0.0-test' })
    const running = async () => {
      const { webhooks } = (await (await fetch(`${other.urls.shared}/webhooks`)).json()) as { webhooks: Hook[] }
      return webhooks.filter(({ gateways }) => gateways.length > 0).map(({ name }) => name)
    }
    try {
      const error: unknown = await other.reload(hooks(['eu'])).catch((thrown: unknown) => thrown)
      expect(String(error)).to.equal(
        'ConfigError: webhooks.definitions.of-eu.cluster: the cluster eu is there after a restart only'
      )
      expect(await running()).to.deep.equal([])
      await other.reload(first)
      expect(await running()).to.deep.equal(['of-default'])
    } finally {
      await other.stop()
    }
  })

  it('send no record of a former topic to the endpoint of the next one', async () => {
    const { cert, key } = authority.issue({ commonName: 'former', alternativeNames: ['IP:127.0.0.1'] })
    const got: string[] = []
    let arrived = (): void => undefined
    const one = new Promise<void>(resolve => (arrived = resolve))
    const endpoint = (name: string) => (request: IncomingMessage, response: ServerResponse) => {
      got.push(`${name} ${request.headers['x-castellan-topic']}`)
      request.resume()
      response.writeHead(204).end(arrived)
    }
    const secured = createTlsServer({ cert, key }, endpoint('former'))
    const next = createPlainServer(endpoint('next'))
    let connected = (_: Socket): void => undefined
    const connection = new Promise<Socket>(resolve => (connected = resolve))
    const gate = createServer({ pauseOnConnect: true }, socket => connected(socket))
    const [gatePort, nextPort] = await Promise.all([portOf(gate), portOf(next)])
    const hook = (topic: string, url: string): Config =>
      configOf(folder, {
        http: { port: 0 },
        management: { port: 0 },
        embedded: { port: 0 },
        webhooks: {
          tls: { ca: folder.write('ca.pem', authority.cert) },
          definitions: {
            w: { topic, url, start: 'earliest', secretFile: folder.write('hook.secret', newSecret()) }
          }
        }
      })
    const other = await startApp(hook('payroll', `https://127.0.0.1:${gatePort}/`), {
      log: recordingLogger([]),
      version: '0.0.0-test'
    })
    try {
      await push(other.urls.shared, 'payroll')
      const held = await connection
      await other.reload(hook('news', `http://127.0.0.1:${nextPort}/`))
      secured.emit('connection', held)
      held.resume()
      await one
      expect(got).to.deep.equal(['former payroll'])
    } finally {
      await other.stop()
      gate.close()
      next.close()
    }
  })

  it('that could not be used are not those that run, at the next SIGHUP', async () => {
    const lines: LogLine[] = []
    const log = Object.assign(recordingLogger(lines), { reopen: () => undefined }) as unknown as AppLogger
    const first = config(both)
    const cluster = first.clusters['default']!
    const renamed = { ...cluster, tls: { ...cluster.tls, serverName: 'other' } }
    const second = { ...config([]), clusters: { default: renamed }, drain: 'changed' } as unknown as Config
    const third = { ...first, clusters: {} } as Config
    const [reads, reloads] = [[second, third], [] as Config[]]
    const started = {
      reload: async (next: Config) => {
        reloads.push(next)
        if (reloads.length === 1) throw new ConfigError('http.tls: bad\nmanagement.tls: bad')
      },
      reopenLogs: () => undefined
    }
    let hangUp = (): void => undefined
    const source = { config: first, read: () => reads.shift()! }
    reloadAtHangUp(listener => (hangUp = listener), Promise.resolve(started), log, source)
    hangUp()
    hangUp()
    while (reloads.length < 2) await new Promise(setImmediate)
    expect(reloads[1]!.auth).to.deep.equal(first.auth)
    expect(reloads[1]!.clusters['default']!.tls).to.deep.equal(cluster.tls)
    const told = lines.map(({ message }) => message).filter(message => !message.includes('reading'))
    expect(told[0]).to.equal(
      'SIGHUP: nothing was reloaded, and the former settings and files stay in effect: http.tls: bad; management.tls: bad'
    )
    expect(told.join()).not.to.contain('drain')
  })

  it('are those of webhooks and their secrets, too, and a mistake in them keeps the former ones', async () => {
    const lines: LogLine[] = []
    const log = Object.assign(recordingLogger(lines), { reopen: () => undefined }) as unknown as AppLogger
    const first = config(both)
    const ofWebhooks = (secret: string) => ({
      webhooks: { ...first.webhooks, maxBodyBytes: secret.length },
      webhookFiles: { secrets: { orders: [secret] }, ca: undefined }
    })
    const [second, third] = ['new', 'newest'].map(secret => ({ ...first, ...ofWebhooks(secret) }) as Config)
    const reads: (() => Config)[] = [
      () => second!,
      () => {
        throw new ConfigError('webhooks.definitions.orders.url: write it as https://HOST/PATH')
      },
      () => third!
    ]
    const reloads: Config[] = []
    const started = { reload: async (next: Config) => void reloads.push(next), reopenLogs: () => undefined }
    let hangUp = (): void => undefined
    const source = { config: first, read: () => reads.shift()!() }
    reloadAtHangUp(listener => (hangUp = listener), Promise.resolve(started), log, source)
    for (let times = 0; times < 3; times++) hangUp()
    while (reloads.length < 2) await new Promise(setImmediate)
    const taken = reloads.map(({ webhooks, webhookFiles }) => ({ webhooks, webhookFiles }))
    expect(taken).to.deep.equal([ofWebhooks('new'), ofWebhooks('newest')])
    const told = lines.map(({ message }) => message).filter(message => !message.includes('reading'))
    expect(told).to.deep.equal([
      'SIGHUP: the new settings cannot be used, and the former ones stay in effect: webhooks.definitions.orders.url: write it as https://HOST/PATH'
    ])
  })
})
