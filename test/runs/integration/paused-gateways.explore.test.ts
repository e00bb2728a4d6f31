import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import type { ProgramCastellan } from '../../../src/client/open-castellan.js'
import type { Gateway } from '../../cli/child.js'
import { type PeerAddress, peerSettings } from '../../support/peer-address.js'
import { SeededRandom } from '../../support/random.js'
import { onBroker } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'

const SESSION_MS = 6_000
/** Longer than a session, and than the time after which another gateway takes instances over. */
const PAUSE_MS = 1.5 * SESSION_MS
const BETWEEN_MS = SESSION_MS
const PAUSES = 4
const PARTITIONS = 2
const INSTANCES = 4
const PATIENCE_MS = 120_000
const JSON_TYPE = 'application/vnd.kafka.v2+json'

interface Reader {
  readonly group: string
  readonly kind: 'subscribed' | 'assigned'
  /** Offsets that a client has got, by partition. */
  readonly given: readonly Set<number>[]
  /** The last committed offset that was seen, by partition. */
  readonly committed: number[]
}

describe('consumer instances of gateways that stand still for longer than their sessions', function () {
  this.timeout(400_000)
  const stage = onBroker()
  const seed = Number(process.env.SEED ?? Date.now() % 100_000)
  const random = new SeededRandom(seed)
  let castellan: ProgramCastellan
  let addresses: PeerAddress[]
  let gateways: Gateway[]
  before(async () => {
    castellan = await stage.library()
    addresses = await stage.peers()
    gateways = []
    for (const address of addresses) {
      const settings = {
        'consumer.sessionTimeoutMs': SESSION_MS,
        'advanced.consumer.heartbeatIntervalMs': 500,
        ...peerSettings(addresses)
      }
      const gateway = await stage.gateway(settings)
      gateways.push(gateway)
      stage.keep(gateway, ({ child }) => child.process.kill('SIGCONT'))
      address.target = (await gateway.child.line(/listening for other gateways on ([\d.:]+)/))[1]!
    }
  })

  const ask = async (method: string, path: string, body?: object): Promise<{ status: number; text: string }> => {
    const headers = {
      accept: method === 'GET' ? 'application/vnd.kafka.binary.v2+json' : JSON_TYPE,
      ...(body && { 'content-type': JSON_TYPE })
    }
    const signal = AbortSignal.timeout(4_000)
    const sent = { method, headers, signal, ...(body && { body: JSON.stringify(body) }) }
    try {
      const answer = await fetch(`${random.pick(gateways).url}/confluent${path}`, sent)
      return { status: answer.status, text: await answer.text() }
    } catch {
      return { status: 0, text: '' }
    }
  }
  const untilDone = async (path: string, body: object): Promise<void> => {
    while (![200, 204, 409].includes((await ask('POST', path, body)).status)) await pass(100)
  }

  it(`commit no offset back while they are subscribed, and at most one for each pause while they are assigned (seed ${seed})`, async () => {
    const topic = freshTopic('paused')
    await stage.cluster.createTopic(topic, { partitions: PARTITIONS, replicationFactor: 1 })
    const partitions = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic, partition }))
    const readers = Array.from({ length: 2 * INSTANCES }, (_, nth): Reader => {
      const kind = nth % 2 === 0 ? 'subscribed' : 'assigned'
      const given = partitions.map(() => new Set<number>())
      return { group: freshTopic(kind), kind, given, committed: partitions.map(() => 0) }
    })
    const ends = partitions.map(() => 0)
    const rewinds: string[] = []
    let isWriting = true
    let isOver = false
    const write = async (): Promise<void> => {
      for (; isWriting; await pass(20)) {
        const records = partitions.map(place => ({ ...place, key: null, value: 'x' }))
        await castellan.verbs.produce(records, { partitioner: 'murmur2', deadlineMs: 30_000 }).outcomes()
        for (const { partition } of partitions) ends[partition]!++
      }
    }
    const read = async ({ group, kind, given }: Reader): Promise<void> => {
      const instance = `/consumers/${group}/instances/a`
      await untilDone(`/consumers/${group}`, {
        name: 'a',
        format: 'binary',
        'auto.offset.reset': 'earliest',
        'auto.commit.enable': 'false'
      })
      if (kind === 'subscribed') await untilDone(`${instance}/subscription`, { topics: [topic] })
      else await untilDone(`${instance}/assignments`, { partitions })
      for (let isOwed = false; !isOver; await pass(10)) {
        const { status, text } = await ask('GET', `${instance}/records?timeout=500`)
        if (status === 200) {
          const records = JSON.parse(text) as { partition: number; offset: number }[]
          for (const { partition, offset } of records) given[partition]!.add(offset)
          isOwed ||= records.length > 0
        }
        if (isOwed) isOwed = (await ask('POST', `${instance}/offsets`)).status !== 200
      }
    }
    const watch = async (): Promise<void> => {
      for (; !isOver; await pass(50))
        for (const { group, kind, committed } of readers)
          for (const { partition, offset } of await castellan.verbs.groups.committed(group, 10_000)) {
            const before = committed[partition]!
            if (offset < before) rewinds.push(`${kind} ${group}/${partition}: ${before} -> ${offset}`)
            committed[partition] = offset
          }
    }
    const running = Promise.all([write(), watch(), ...readers.map(read)])
    await pass(BETWEEN_MS)
    for (let nth = 0; nth < PAUSES; nth++) {
      const { process: child } = gateways[nth % 2]!.child
      child.kill('SIGSTOP')
      await pass(PAUSE_MS)
      child.kill('SIGCONT')
      await pass(BETWEEN_MS)
    }
    isWriting = false
    const isDone = (): boolean => readers.every(({ committed }) => committed.every((end, at) => end >= ends[at]!))
    for (const giveUpAt = performance.now() + PATIENCE_MS; !isDone() && performance.now() < giveUpAt; ) await pass(100)
    isOver = true
    await running
    console.log(`      ${ends.join('+')} records, ${readers.length} groups, rewinds: ${rewinds.join('; ') || 'none'}`)
    for (const { group, given, committed } of readers)
      for (const [at, end] of ends.entries())
        expect([group, given[at]!.size, committed[at]]).to.deep.equal([group, end, end])
    expect(rewinds.filter(line => line.startsWith('subscribed'))).to.deep.equal([])
    expect(rewinds.length, rewinds.join('; ')).to.be.at.most(PAUSES)
  })
})
