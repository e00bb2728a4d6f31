import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { Children, Gateway } from '../cli/child.js'
import { PeerAddress } from '../support/peer-address.js'
import { freshTopic } from '../support/target-cluster.js'

/** With so many keys, each gateway owns some of them. */
const KEYS = 10
const PATIENCE_MS = 120_000

describe('keys of requests at gateways that are killed', function () {
  this.timeout(400_000)
  const children = new Children()
  let cluster: EmbeddedCluster
  let folder: string
  let addresses: PeerAddress[]
  let gateways: Gateway[]
  before(async () => {
    cluster = await startEmbeddedCluster({ nodes: 1 })
  })
  after(() => cluster?.close())
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'castellan-killed-peers-'))
    addresses = await Promise.all([new PeerAddress().open(), new PeerAddress().open()])
    gateways = []
  })
  afterEach(async () => {
    cluster.faults.clear()
    await children.stopAll()
    for (const address of addresses) address.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const start = async (nth: number): Promise<void> => {
    const settings = {
      'apis.arion.durability': 'disk',
      'apis.arion.syncTimeoutMs': '2000',
      'delivery.createTopics': 'false',
      'wal.directory': join(folder, String(nth)),
      'peers.addresses': addresses.map(({ text }) => text).join(','),
      'peers.listen': '127.0.0.1:0'
    }
    const flags = Object.entries(settings).flatMap(([name, value]) => ['--set', `${name}=${value}`])
    const environment = { CASTELLAN_PEERS_TOKEN: 'a secret of more than thirty-two bytes' }
    gateways[nth] = await Gateway.start(children, ['--brokers', cluster.bootstrap, ...flags], environment)
    const [, address] = await gateways[nth]!.child.line(/listening for other gateways on ([\d.:]+)/)
    addresses[nth]!.target = address
  }
  const kill = async (nth: number): Promise<void> => {
    await gateways[nth]!.child.stop('SIGKILL')
    addresses[nth]!.cut()
  }
  const persistedAt = async (nth: number, topic: string, key: string): Promise<string | null> => {
    const headers = { 'idempotency-key': key }
    const answer = await fetch(`${gateways[nth]!.url}/arion/sync/${topic}/k`, { method: 'POST', body: key, headers })
    await answer.arrayBuffer()
    return answer.headers.get('x-castellan-persisted')
  }
  /** Repeats a request, as a client does, until its record is in Kafka. */
  const untilKept = async (nth: number, topic: string, key: string): Promise<void> => {
    const giveUpAt = performance.now() + PATIENCE_MS
    for (let persisted: string | null = null; persisted !== 'yes'; ) {
      persisted = await persistedAt(nth, topic, key)
      if (performance.now() > giveUpAt) expect.fail(`${key} at ${nth} is ${persisted}`)
      if (persisted !== 'yes') await new Promise(resolve => setTimeout(resolve, 100))
    }
  }
  /** Repeats requests until the answer to one of them is known. */
  const untilOneIsKept = async (nth: number, topic: string, keys: readonly string[]): Promise<void> => {
    for (const giveUpAt = performance.now() + PATIENCE_MS; ; ) {
      const told = await Promise.all(keys.map(key => persistedAt(nth, topic, key)))
      if (told.includes('yes')) return
      if (performance.now() > giveUpAt) expect.fail(`all are ${told.join()}`)
    }
  }
  const newKeys = (): string[] => Array.from({ length: KEYS }, () => randomUUID())

  for (const [what, victim] of [
    ['gateway that got the requests', 0],
    ['other gateway', 1]
  ] as const) {
    it(`stand for one record each when the ${what} is killed, whichever of them owns the key`, async () => {
      await Promise.all([start(0), start(1)])
      const topic = freshTopic('killed')
      await cluster.createTopic(topic, { partitions: 1, replicationFactor: 1 })
      const first = newKeys()
      for (const key of first) await untilKept(0, topic, key)
      const fault = cluster.faults.add({ api: 'Produce', count: Infinity }, { type: 'dropRequest' })
      const waiting = newKeys()
      const asked = await Promise.all(waiting.map(key => persistedAt(0, topic, key)))
      expect(new Set(asked)).to.deep.equal(new Set(['pending']))
      const underWay = newKeys()
      const sent = underWay.map(key => persistedAt(0, topic, key).catch(() => null))
      await new Promise(resolve => setTimeout(resolve, 50))
      await kill(victim)
      const survivor = 1 - victim
      const meanwhile = [...first, ...waiting, ...underWay].map(key => persistedAt(survivor, topic, key))
      for (const persisted of await Promise.all(meanwhile)) expect(persisted).to.be.oneOf(['yes', 'unknown', 'pending'])
      await Promise.all(sent)
      await start(victim)
      fault.remove()
      const all = [...first, ...waiting, ...underWay]
      for (const nth of [1, 0]) await Promise.all(all.map(key => untilKept(nth, topic, key)))
      expect(cluster.highWatermark(topic, 0)).to.equal(all.length)
    })
  }

  it('stand for one record each when both are killed', async () => {
    await Promise.all([start(0), start(1)])
    const topic = freshTopic('both')
    await cluster.createTopic(topic, { partitions: 1, replicationFactor: 1 })
    const first = newKeys()
    for (const [nth, key] of first.entries()) await untilKept(nth % 2, topic, key)
    const fault = cluster.faults.add({ api: 'Produce', count: Infinity }, { type: 'dropRequest' })
    const waiting = newKeys()
    await Promise.all(waiting.map((key, nth) => persistedAt(nth % 2, topic, key)))
    await Promise.all([kill(0), kill(1)])
    await start(0)
    // It has the answers and the records of the keys that it owns, and does not know what the other one has.
    await untilOneIsKept(0, topic, first)
    const told = await Promise.all(waiting.map(key => persistedAt(0, topic, key)))
    expect(new Set(told)).to.deep.equal(new Set(['pending', 'unknown']))
    await start(1)
    fault.remove()
    const all = [...first, ...waiting]
    for (const nth of [1, 0]) await Promise.all(all.map(key => untilKept(nth, topic, key)))
    expect(cluster.highWatermark(topic, 0)).to.equal(all.length)
  })
})
