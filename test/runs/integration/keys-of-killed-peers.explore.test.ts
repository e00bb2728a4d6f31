import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { expect } from 'chai'
import { Kafka, logLevel } from 'kafkajs'
import type { Gateway } from '../../cli/child.js'
import { type PeerAddress, peerSettings } from '../../support/peer-address.js'
import { SeededRandom } from '../../support/random.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic, withAdmin } from '../../support/target-cluster.js'

const PARTITIONS = 3
const CLIENTS = 6
const KEYS_OF_CLIENT = 25
const RECORDS_OF_BATCH = 200
const KILLS = 6
const PATIENCE_MS = 150_000
const V2 = 'application/vnd.kafka.binary.v2+json'

/** A request, and what its records have to be. */
interface Sent {
  readonly path: string
  readonly type: string
  readonly body: string
  readonly values: readonly string[]
}

describe('requests with keys at two gateways that are killed again and again', function () {
  this.timeout(400_000)
  const stage = onCluster()
  const random = new SeededRandom(Date.now())
  const below = (count: number): number => random.between(0, count - 1)
  let folder: string
  let addresses: PeerAddress[]
  let gateways: (Gateway | undefined)[]
  beforeEach(async () => {
    folder = stage.folder()
    addresses = await stage.peers()
    gateways = []
  })

  const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
  const start = async (nth: number): Promise<void> => {
    const settings = {
      'apis.arion.durability': 'disk',
      'apis.arion.syncTimeoutMs': '2000',
      'apis.confluent.durability': 'disk',
      'delivery.createTopics': 'false',
      'wal.directory': join(folder, String(nth)),
      ...peerSettings(addresses)
    }
    const gateway = await stage.gateway(settings)
    const [, address] = await gateway.child.line(/listening for other gateways on ([\d.:]+)/)
    addresses[nth]!.target = address
    gateways[nth] = gateway
  }
  const kill = async (nth: number): Promise<void> => {
    const gateway = gateways[nth]!
    gateways[nth] = undefined
    await gateway.child.stop('SIGKILL')
    addresses[nth]!.cut()
  }

  const requestOf = (topic: string, key: string): Sent => {
    if (below(2) === 0)
      return { path: `/arion/sync/${topic}/k`, type: 'text/plain', body: `${key} 0`, values: [`${key} 0`] }
    const values = Array.from({ length: RECORDS_OF_BATCH }, (_, nth) => `${key} ${nth}`)
    const records = values.map((value, nth) => ({
      value: Buffer.from(value).toString('base64'),
      partition: nth % PARTITIONS
    }))
    return { path: `/confluent/topics/${topic}`, type: V2, body: JSON.stringify({ records }), values }
  }
  /** Sends a request to any gateway. Some clients do not wait for the answer. */
  const isKept = async (key: string, { path, type, body }: Sent): Promise<boolean> => {
    const gateway = gateways[below(2)]
    if (gateway === undefined) return false
    try {
      const headers = { 'idempotency-key': key, 'content-type': type }
      const signal = AbortSignal.timeout(below(4) === 0 ? 30 : 40_000)
      const answer = await fetch(gateway.url + path, { method: 'POST', body, headers, signal })
      await answer.arrayBuffer()
      return answer.headers.get('x-castellan-persisted') === 'yes'
    } catch {
      return false
    }
  }
  /** Repeats requests with a key each, as a client does, until it has been told twice that the records are in Kafka. */
  const client = async (topic: string): Promise<readonly string[]> => {
    const values: string[] = []
    for (let nth = 0; nth < KEYS_OF_CLIENT; nth++) {
      const key = randomUUID()
      const sent = requestOf(topic, key)
      values.push(...sent.values)
      const giveUpAt = performance.now() + PATIENCE_MS
      for (let told = 0; told < 2; ) {
        if (await isKept(key, sent)) told++
        else await pause(30)
        if (performance.now() > giveUpAt) expect.fail(`${key} is not known`)
      }
    }
    return values
  }
  const killAll = async (): Promise<void> => {
    for (let nth = 0; nth < KILLS; nth++) {
      await pause(500 + below(1_500))
      const victims = below(3) === 0 ? [0, 1] : [below(2)]
      await Promise.all(victims.map(victim => kill(victim)))
      await pause(below(1_000))
      await Promise.all(victims.map(victim => start(victim)))
    }
  }
  const valuesIn = async (topic: string): Promise<readonly string[]> => {
    const kafka = new Kafka({ brokers: stage.bootstrap.split(','), logLevel: logLevel.NOTHING })
    const ends = await withAdmin(stage.bootstrap, admin => admin.fetchTopicOffsets(topic))
    const total = ends.reduce((sum, { high }) => sum + Number(high), 0)
    const consumer = kafka.consumer({ groupId: `of-${topic}` })
    const values: string[] = []
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await new Promise<void>(resolve => {
      const eachMessage = async ({ message }: { message: { value: Buffer | null } }): Promise<void> => {
        values.push(String(message.value))
        if (values.length === total) resolve()
      }
      void consumer.run({ eachMessage })
    })
    await consumer.disconnect()
    return values
  }

  it('write each record once', async () => {
    await Promise.all([start(0), start(1)])
    const topic = freshTopic('killed-peers')
    await stage.cluster.createTopic(topic, PARTITIONS)
    const clients = Array.from({ length: CLIENTS }, () => client(topic))
    const [sent] = await Promise.all([Promise.all(clients), killAll()])
    const seen = await valuesIn(topic)
    const all = sent.flat()
    expect(new Set(seen).size, 'different records').to.equal(all.length)
    expect(seen.length, 'records').to.equal(all.length)
  })
})
