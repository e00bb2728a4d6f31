import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { Status, Trouble } from '../../../src/http/status/status.js'
import { type App, startApp } from '../../../src/server/app/app.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'
import { call, configOf, TestAuthority, TestFolder } from '../../support/access.js'
import { logWorker } from '../../support/built.js'

const DAY_MS = 86_400_000

describe('trouble that no request meets, in a gateway', () => {
  const authority = new TestAuthority()
  const folder = new TestFolder()
  const lines: LogLine[] = []
  let app: App
  const ofSection: Record<string, Date> = {}
  /** Makes a certificate that ends on that day. */
  const write = (section: string, days: number): { cert: string; key: string } => {
    const notAfter = new Date(Math.floor(Date.now() / 1_000) * 1_000 + days * DAY_MS)
    ofSection[section] = notAfter
    return authority.issue({ commonName: section, alternativeNames: ['IP:127.0.0.1'], notAfter })
  }
  const writeOwn = (days: number): object => {
    const { cert, key } = write('http.tls', days)
    return { certFile: folder.write('cert.pem', cert), keyFile: folder.write('key.pem', key) }
  }
  before(async () => {
    const tls = writeOwn(2.5)
    const ofPeers = write('peers.tlsDirectory', 20.5)
    folder.write('tls.crt', ofPeers.cert)
    folder.write('tls.key', ofPeers.key)
    const tlsDirectory = folder.write('ca.crt', authority.cert).replace(/\/ca\.crt$/, '')
    const config = configOf(folder, {
      http: { port: 0, tls, allowAnonymous: true },
      management: { port: 0 },
      embedded: { port: 0 },
      delivery: { createTopics: false },
      peers: { addresses: ['127.0.0.1:1'], listen: '127.0.0.1:0', token: 'x'.repeat(32), tlsDirectory }
    })
    app = await startApp(config, { log: recordingLogger(lines), version: '0.0.0-test', logWorker })
  })
  after(async () => {
    await app?.stop()
    folder.remove()
  })

  const troubleOf = async (kind: string): Promise<Trouble[]> => {
    const status = (await (await fetch(`${app.urls.management}/status.json`)).json()) as Status
    return status.trouble.filter(row => row.kind === kind)
  }
  const series = async (name: string): Promise<Record<string, number>> => {
    const text = await (await fetch(`${app.urls.management}/metrics`)).text()
    const found = text.split('\n').filter(line => line.startsWith(`${name}{`))
    const split = (line: string): number => line.lastIndexOf(' ')
    return Object.fromEntries(
      found.map(line => [line.slice(name.length, split(line)), Number(line.slice(split(line)))])
    )
  }
  const ends = (): Promise<Record<string, number>> => series('castellan_certificate_end_timestamp_seconds')
  const warned = (kind: string): (string | undefined)[] =>
    lines
      .map(({ level, fields }) => ({ level, ...(fields as { kind?: string; subject?: string }) }))
      .filter(line => line.level === 'warn' && line.kind === kind)
      .map(({ subject }) => subject)

  it('is a certificate that ends soon: of a listener and for other gateways, in log, status and metrics, until it is renewed', async () => {
    expect(warned('certificateEnds')).to.deep.equal(['certificate of http.tls', 'certificate of peers.tlsDirectory'])
    const rows = await troubleOf('certificateEnds')
    expect(rows.map(({ severity, subject, see }) => [severity, subject, see])).to.deep.equal([
      ['bad', 'certificate of http.tls', 'http.tls.certFile'],
      ['warning', 'certificate of peers.tlsDirectory', 'peers.tlsDirectory']
    ])
    const secondsOf = (section: string): number => ofSection[section]!.getTime() / 1_000
    expect(await ends()).to.deep.equal({
      '{of="http.tls"}': secondsOf('http.tls'),
      '{of="peers.tlsDirectory"}': secondsOf('peers.tlsDirectory')
    })
    writeOwn(90)
    lines.length = 0
    await app.reload()
    expect(warned('certificateEnds')).to.deep.equal([])
    expect((await ends())['{of="http.tls"}']).to.equal(secondsOf('http.tls'))
    await sleep(600)
    expect((await troubleOf('certificateEnds')).map(({ subject }) => subject)).to.deep.equal([
      'certificate of peers.tlsDirectory'
    ])
  })

  it('is a topic that does not exist, of a route that answers 202: in log, status and metrics, by its name', async () => {
    lines.length = 0
    const url = `${app.urls.shared}/arion/async/mistyped`
    const answer = await call(url, { method: 'POST', body: 'hello', ca: authority.cert })
    expect(answer.status).to.equal(202)
    while ((await troubleOf('topicMissing')).length === 0) await sleep(100)
    const [row] = await troubleOf('topicMissing')
    expect(row).to.include({ severity: 'bad', subject: 'topic mistyped' })
    expect(await series('castellan_cluster_unknown_topics')).to.deep.equal({
      '{cluster="default",topic="mistyped"}': 1
    })
    const line = lines.find(({ fields }) => (fields as { topic?: string }).topic === 'mistyped')
    expect(line).to.deep.equal({
      level: 'warn',
      fields: { cluster: 'default', topic: 'mistyped' },
      message: 'topic mistyped does not exist: its records wait in the durable log until it does'
    })
  })
})
