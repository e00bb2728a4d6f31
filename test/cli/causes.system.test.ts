import * as http from 'node:http'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { expect } from 'chai'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { askRouter, openCastellan } from '../../src/index.js'
import type { App } from '../../src/server/app/app.js'
import { checkRows } from '../support/rows.js'
import { startTestApp } from '../support/test-app.js'
import { testCertificate, testKey } from '../support/test-certificate.js'
import { runCommand } from './run-command.js'

/** Far more than a test may take: whoever waits for it instead of telling the cause is found out. */
const PATIENCE_SECONDS = '60'

const addressOf = (server: Server | http.Server): string => `127.0.0.1:${(server.address() as AddressInfo).port}`

/** `clusters.default.tls.caFile`  =>  `CASTELLAN_CLUSTERS_DEFAULT_TLS_CA_FILE` */
const environmentNameOf = (setting: string): string =>
  `CASTELLAN_${setting.replace(/[A-Z]/g, '_$&').replaceAll('.', '_').toUpperCase()}`

describe('causes reach people', () => {
  let plain: EmbeddedCluster
  let tls: EmbeddedCluster
  let sasl: EmbeddedCluster
  let hangingUp: Server
  let web: http.Server
  /** Answers the first bytes as OpenSSL answers what is no TLS: with an alert, after which it hangs up a moment later. */
  let alerting: Server
  before(async () => {
    plain = await startEmbeddedCluster()
    tls = await startEmbeddedCluster({ tls: { key: testKey, cert: testCertificate } })
    sasl = await startEmbeddedCluster({ sasl: { users: new Map([['anna', 'right']]), tokens: new Set(['right']) } })
    hangingUp = createServer(socket => socket.destroy())
    web = http.createServer((_, response) => response.end('hello'))
    alerting = createServer(socket => {
      socket.on('error', () => {})
      socket.once('data', () => socket.write(Buffer.from([0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46])))
    })
    for (const server of [hangingUp, web, alerting]) {
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    }
  })
  after(async () => {
    await Promise.all([plain.close(), tls.close(), sasl.close()])
    for (const server of [hangingUp, web, alerting]) await new Promise(resolve => server.close(resolve))
  })

  const login = (mechanism: string): Record<string, string> => ({
    'clusters.default.sasl.mechanism': mechanism,
    ...(mechanism === 'oauthbearer'
      ? { 'clusters.default.sasl.token': 'wrong' }
      : { 'clusters.default.sasl.username': 'anna', 'clusters.default.sasl.password': 'wrong' })
  })
  const withTls = { 'clusters.default.tls.enabled': 'true' }

  interface Case {
    readonly cause: string
    readonly brokers: () => string
    readonly settings?: Record<string, string>
    /** What the command says, and what `/ready/kafka` says, which may name no address. */
    readonly says: RegExp
    readonly ready: string
  }
  const cases: Case[] = [
    {
      cause: 'a port nobody listens on',
      brokers: () => '127.0.0.1:1',
      says: /no connection to 127\.0\.0\.1:1: connection refused; is a broker running there\? \(ECONNREFUSED\)/,
      ready: 'connection refused'
    },
    {
      cause: 'a host name that does not exist',
      brokers: () => 'no-such-host.invalid:9092',
      says: /no connection to no-such-host\.invalid:9092: the host name cannot be resolved/,
      ready: 'the host name cannot be resolved'
    },
    {
      cause: 'TLS to a broker without it',
      brokers: () => plain.bootstrap,
      settings: withTls,
      says: /no connection to \S+: the broker closed the connection during the TLS handshake; is it a TLS port\?/,
      ready: 'the broker closed the connection during the TLS handshake'
    },
    {
      cause: 'no TLS to a broker with it',
      brokers: () => tls.bootstrap,
      says: /closed the connection before it answered; does it expect TLS\? \(tls\.enabled\)/,
      ready: 'the broker closed the connection before it answered; does it expect TLS? (tls.enabled)'
    },
    {
      cause: 'a self-signed certificate',
      brokers: () => tls.bootstrap,
      settings: withTls,
      says: /the certificate of the broker is self-signed; name the authority with tls\.caFile/,
      ready: 'the certificate of the broker is self-signed'
    },
    ...['plain', 'scram-sha-256', 'scram-sha-512', 'oauthbearer'].map(mechanism => ({
      cause: `a wrong ${mechanism} login`,
      brokers: () => sasl.bootstrap,
      settings: login(mechanism),
      says: new RegExp(`refuses the ${mechanism} login: .*invalid`),
      ready: `the broker refuses the ${mechanism} login`
    })),
    {
      cause: 'no login',
      brokers: () => sasl.bootstrap,
      says: /closed the connection at the first request; does it expect a login\? \(sasl\)/,
      ready: 'the broker closed the connection at the first request; does it expect a login? (sasl)'
    },
    {
      cause: 'a server that hangs up',
      brokers: () => addressOf(hangingUp),
      says: /closed the connection/,
      ready: 'the broker closed the connection before it answered; does it expect TLS? (tls.enabled)'
    },
    {
      cause: 'the port of an HTTP server',
      brokers: () => addressOf(web),
      says: /no connection to 127\.0\.0\.1:\d+: it answers in HTTP, not in Kafka's protocol; use the port of a broker/,
      ready: "it answers in HTTP, not in Kafka's protocol"
    },
    {
      cause: 'a TLS alert in answer to plain bytes',
      brokers: () => addressOf(alerting),
      says: /no connection to 127\.0\.0\.1:\d+: it answers in TLS, not in Kafka's protocol; set tls\.enabled to true, or use its/,
      ready: "it answers in TLS, not in Kafka's protocol"
    }
  ]

  for (const command of [['topics'], ['read', 'orders']]) {
    it(`each is told by castellan ${command[0]} at once, in one line`, () =>
      checkRows(cases, async ({ brokers, settings = {}, says }) => {
        // Secrets among the flags are warned of, in a line of their own.
        const environment = Object.fromEntries(
          Object.entries(settings).map(([name, value]) => [environmentNameOf(name), value])
        )
        const target = ['--brokers', brokers(), '--timeout', PATIENCE_SECONDS]
        const { code, stdout, stderr } = await runCommand([...command, ...target], { environment })
        expect([code, stdout]).to.deep.equal([1, ''])
        expect(stderr).to.match(says)
        expect(stderr.trimEnd().split('\n')).to.have.length(1)
      }))
  }

  it('each is told by /ready/kafka, without an address', () =>
    checkRows(cases, async ({ brokers, settings = {}, ready }) => {
      const app = await startTestApp(brokers(), settings)
      try {
        const expected = `no broker of cluster default answers: ${ready}`
        while ((await reasonsOf(app)).join() !== expected) await new Promise(resolve => setTimeout(resolve, 20))
      } finally {
        await app.stop()
      }
    }))

  const reasonsOf = async (app: App): Promise<string[]> =>
    ((await (await fetch(`${app.urls.management}/ready/kafka`)).json()) as { reasons: string[] }).reasons

  it('each is told by results of the library that ran out of time', async () => {
    const castellan = await openCastellan({ brokers: '127.0.0.1:1' })
    try {
      while (castellan.router.awayBecause === undefined) await new Promise(resolve => setTimeout(resolve, 5))
      const topicPartition = { topic: 'orders', partition: 0 }
      const results = await Promise.all([
        askRouter(castellan.router.ref, { type: 'fetchData', topicPartition, offset: 0, timeoutMs: 50 }),
        askRouter(castellan.router.ref, { type: 'fetchOffset', topicPartition, offsetType: 'latest', timeoutMs: 50 }),
        askRouter(castellan.router.ref, { type: 'fetchTopicMetadata', requestId: 1, timeoutMs: 50 })
      ])
      for (const result of results) {
        expect(result.type).to.equal('timedOut')
        expect((result as { reason?: string }).reason).to.match(/^no connection to 127\.0\.0\.1:1: connection refused/)
      }
    } finally {
      await castellan.close({ timeoutMs: 0 })
    }
  })

  it('are told by records that could not be delivered: no broker can be reached', async () => {
    const castellan = await openCastellan({ brokers: '127.0.0.1:1' })
    try {
      while (castellan.router.awayBecause === undefined) await new Promise(resolve => setTimeout(resolve, 5))
      const records = [{ topic: 'orders', key: null, value: 'x' }]
      const { outcomes } = await askRouter(castellan.router.ref, { type: 'produce', records, timeoutMs: 50 })
      expect(outcomes[0]).to.include({ type: 'failed', code: 'timedOut', persisted: 'no' })
      expect((outcomes[0] as { message: string }).message).to.match(
        /^the record was not delivered in time: the partitions of its topic are not known yet; last error: no connection to 127\.0\.0\.1:1: connection refused/
      )
    } finally {
      await castellan.close({ timeoutMs: 0 })
    }
  })

  it('are told by records whose leader cannot be reached, while another broker of the cluster answers', async () => {
    const cluster = await startEmbeddedCluster({ nodes: 2 })
    // Without replicas, so that nobody else can lead it.
    cluster.createTopic('orders', { partitions: 2, replicationFactor: 1 })
    const partition = [0, 1].find(at => cluster.leaderOf('orders', at) === 2)!
    const castellan = await openCastellan({ brokers: cluster.bootstrap.split(',')[0]! })
    const write = async (timeoutMs: number) => {
      const records = [{ topic: 'orders', partition, key: null, value: 'x' }]
      const { outcomes } = await askRouter(castellan.router.ref, { type: 'produce', records, timeoutMs })
      return outcomes[0]!
    }
    try {
      expect((await write(20_000)).type).to.equal('delivered')
      await cluster.stopNode(2)
      const outcome = await write(1_000)
      expect(outcome).to.include({ type: 'failed', code: 'timedOut' })
      expect((outcome as { message: string }).message).to.match(/closed the connection|connection refused/)
    } finally {
      await castellan.close({ timeoutMs: 0 })
      await cluster.close()
    }
  })
})
