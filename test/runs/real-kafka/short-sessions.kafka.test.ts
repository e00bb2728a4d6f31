import { createRequire } from 'node:module'
import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import type KafkajsConnection from 'kafkajs/src/network/connection.js'
import sinon from 'sinon'
import { openCastellan } from '../../../src/index.js'
import type { SaslOptions } from '../../../src/kafka/broker-client.js'
import { freshTopic } from '../../support/target-cluster.js'
import { saslUser, scramSessionMs } from './server-properties.js'
import { runningKafka } from './shared-cluster.js'
import { WireSession } from './wire-session.js'

const Connection = createRequire(import.meta.url)('kafkajs/src/network/connection.js') as typeof KafkajsConnection

const PARTITIONS = 6
const WRITING_MS = 2.5 * scramSessionMs
const BETWEEN_WRITES_MS = 20
/** Longer than a login, with which a write may have to wait; without one it waits for a lost connection, which takes longer. */
const LONGEST_WAIT_MS = 1_000

const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const tokenFor = (lifetimeMs: number): string => {
  const seconds = Date.now() / 1_000
  return `${base64({ alg: 'none' })}.${base64({ sub: 'alice', iat: seconds, exp: seconds + lifetimeMs / 1_000 })}.`
}

describe('steady writes in sessions that are short, on real Kafka', function () {
  this.timeout(120_000)
  const { username, password } = saslUser
  const logins: SaslOptions[] = [
    { mechanism: 'oauthbearer', token: async () => tokenFor(scramSessionMs) },
    // The brokers end its sessions as early.
    { mechanism: 'scram-sha-512', username, password }
  ]
  let authenticate: sinon.SinonSpy
  before(() => (authenticate = sinon.spy(Connection.prototype, 'authenticate')))
  after(() => authenticate?.restore())

  /** Writes at a steady rate, and returns how long each write took, and what became of those that failed. */
  const writeAs = async (sasl: SaslOptions, topic: string) => {
    const { saslSslBootstrap: brokers, certificate } = runningKafka()
    const castellan = await openCastellan({ brokers, connection: { sasl, tls: { ca: certificate.pem } } })
    const failed: unknown[] = []
    const write = async (at: number): Promise<number> => {
      const record = { topic, partition: at % PARTITIONS, key: null, value: String(at) }
      const startedAt = performance.now()
      const [outcome] = await castellan.produce(record, { deadlineMs: 15_000 })
      if (outcome?.type !== 'delivered') failed.push(outcome)
      return performance.now() - startedAt
    }
    // The first write of each partition opens connections.
    for (let at = 0; at < PARTITIONS; at++) await write(at)
    const connections = new Set(authenticate.thisValues).size
    const written: Promise<number>[] = []
    const startedAt = performance.now()
    for (let at = PARTITIONS; performance.now() - startedAt < WRITING_MS; at++) {
      written.push(write(at))
      await pass(BETWEEN_WRITES_MS)
    }
    const waits = await Promise.all(written)
    await castellan.close({ timeoutMs: 5_000 })
    return { connections, waits, failed }
  }
  const countIn = async (topic: string): Promise<number> => {
    let found = 0
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const session = await WireSession.open(runningKafka().bootstrap, topic, partition)
      found += (await session.fetchAll()).length
      await session.close()
    }
    return found
  }

  it('log in once per session, and no write waits for long or is lost', async () => {
    const topics = logins.map(({ mechanism }) => freshTopic(mechanism))
    for (const topic of topics) await runningKafka().createTopic(topic, PARTITIONS)
    const all = await Promise.all(logins.map((sasl, at) => writeAs(sasl, topics[at]!)))
    const found = await Promise.all(topics.map(countIn))
    const perConnection = new Map<unknown, number>()
    for (const one of authenticate.thisValues) perConnection.set(one, (perConnection.get(one) ?? 0) + 1)
    const counts = [...perConnection.values()]
    console.log(`      logins of each connection: ${counts}`)
    for (const [at, { waits, failed }] of all.entries()) {
      const longest = Math.round(Math.max(...waits))
      console.log(`      ${logins[at]!.mechanism}: ${waits.length} writes, the longest took ${longest} ms`)
      expect(failed).to.deep.equal([])
      expect(longest).to.be.at.most(LONGEST_WAIT_MS)
      expect(found[at]).to.equal(PARTITIONS + waits.length)
    }
    // None was opened in place of one that has fallen.
    expect(counts.length).to.equal(Math.max(...all.map(({ connections }) => connections)))
    // At the beginning, and at 85 % of each session.
    const most = 1 + Math.ceil((WRITING_MS + 2_000) / (0.85 * scramSessionMs))
    for (const count of counts) expect(count).to.be.within(1, most)
    expect(Math.max(...counts)).to.be.at.least(3)
  })
})
