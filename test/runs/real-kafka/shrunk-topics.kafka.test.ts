import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import { openCastellan } from '../../../src/index.js'
import { freshTopic } from '../../support/target-cluster.js'
import { runningKafka } from './shared-cluster.js'
import { WireSession } from './wire-session.js'

const KEYS = Array.from({ length: 16 }, (_, at) => `key-${at}`)
const BETWEEN_WRITES_MS = 20
/** How long is written before and after. */
const WRITING_MS = 1_000

describe('keyed writes to a topic that is created anew with fewer partitions, on real Kafka', function () {
  this.timeout(60_000)

  it('go where their key belongs, in order, and those that are refused meanwhile are not written', async () => {
    const cluster = runningKafka()
    const topic = freshTopic('shrinks')
    await cluster.createTopic(topic, 8)
    const castellan = await openCastellan({ brokers: cluster.bootstrap, delivery: { createTopics: false } })
    const outcomes = new Map<string, { type: string; code?: string; sentAt: number }>()
    let isOver = false
    const written: Promise<void>[] = []
    const write = async (key: string, at: number): Promise<void> => {
      const sentAt = performance.now()
      const record = { topic, key, value: `${key} ${at}` }
      const [outcome] = await castellan.produce(record, { deadlineMs: 15_000 })
      outcomes.set(record.value, { ...outcome!, sentAt })
    }
    // Nothing waits for an answer: several records of each key are under way.
    const writing = (async () => {
      for (let at = 0; !isOver; at++) {
        for (const key of KEYS) written.push(write(key, at))
        await pass(BETWEEN_WRITES_MS)
      }
    })()
    await pass(WRITING_MS)
    await cluster.admin.ask('deleteTopic', topic)
    for (let tries = 0; tries < 100; tries++) {
      const error = await cluster.admin.ask('createTopic', topic, 2, cluster.nodeIds.length).catch((e: Error) => e)
      if (!(error instanceof Error)) break
      if (!error.message.includes('TopicExists')) throw error
      await pass(50)
    }
    const anewAt = performance.now()
    await pass(2 * WRITING_MS)
    isOver = true
    await writing
    await Promise.all(written)
    await castellan.close({ timeoutMs: 5_000 })

    const placed = new Map<string, number[]>()
    const sequences = new Map<string, number[]>()
    for (const partition of [0, 1]) {
      const session = await WireSession.open(cluster.bootstrap, topic, partition)
      for (const { value } of await session.fetchAll()) {
        const [key, at] = String(value).split(' ') as [string, string]
        const partitions = placed.get(key) ?? []
        placed.set(key, partitions.includes(partition) ? partitions : [...partitions, partition])
        sequences.set(key, [...(sequences.get(key) ?? []), Number(at)])
      }
      await session.close()
    }
    const codes = new Map<string, number>()
    for (const { type, code = type } of outcomes.values()) codes.set(code, (codes.get(code) ?? 0) + 1)
    console.log(`      ${JSON.stringify([...codes])}`)
    const found = new Set([...sequences].flatMap(([key, all]) => all.map(at => `${key} ${at}`)))
    for (const [value, { code }] of outcomes)
      if (code === 'unknownPartition') expect(found.has(value), value).to.equal(false)
    const ofNewTopic = [...outcomes].filter(([, { sentAt }]) => sentAt > anewAt + WRITING_MS)
    expect(ofNewTopic.length).to.be.at.least(KEYS.length)
    expect(ofNewTopic.filter(([value, { type }]) => type !== 'delivered' || !found.has(value))).to.deep.equal([])
    for (const key of KEYS) {
      const sequence = sequences.get(key)!
      expect(placed.get(key), key).to.have.length(1)
      expect(sequence, key).to.deep.equal([...new Set(sequence)].sort((one, other) => one - other))
    }
  })
})
