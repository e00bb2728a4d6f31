import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { ask } from '../../../src/core/actor/actor.js'
import type { BrokerClient, FetchCall, FetchResponse } from '../../../src/kafka/broker-client.js'
import type { FetchDataResult } from '../../../src/router/messages/operations.js'
import type { Castellan } from '../../support/castellan.js'
import { onCluster } from '../../support/stage.js'
import { inWorld } from './in-world.js'

const PARTITIONS = 40
const PATIENT_MS = 10_000
const DEADLINE_MS = 60_000

/** A long poll that a broker has answered. */
interface Poll {
  readonly epoch: number
  readonly named: number
  readonly told: number
  readonly session: number
  readonly errorCode: number
}

describe('fetch sessions of idle readers', () => {
  inWorld()
  const stage = onCluster(true)
  let castellan: Castellan
  let polls: Poll[]
  let topic: string
  let isOver: boolean

  beforeEach(async () => {
    polls = []
    isOver = false
    stage.keep(polls, () => (isOver = true))
    castellan = stage.castellan({ onClient: watch })
    topic = await stage.topic('idle', PARTITIONS)
  })

  function watch(client: BrokerClient): void {
    const { fetch } = client
    const watched = async (call: FetchCall): Promise<FetchResponse> => {
      const { epoch } = call.session ?? {}
      const response = await fetch(call)
      if (epoch !== undefined) {
        const { sessionId: session, errorCode } = response
        polls.push({ epoch, named: call.partitions.length, told: response.partitions.length, session, errorCode })
      }
      return response
    }
    Object.assign(client, { fetch: watched })
  }

  /** Reads all partitions on and on, each record as it comes; resolves when it is over. */
  function readAll(): string[][] {
    const read = Array.from({ length: PARTITIONS }, (): string[] => [])
    for (const [partition, records] of read.entries()) {
      void (async () => {
        while (!isOver) {
          const result = await ask<FetchDataResult>('a read', DEADLINE_MS, requester =>
            castellan.router.ref.tell({
              type: 'fetchData',
              requester,
              topicPartition: { topic, partition },
              offset: records.length,
              maxWaitMs: PATIENT_MS
            })
          )
          if (result.type === 'success')
            for (const { offset, value } of result.batch) records.push(`${offset} ${value}`)
          else if (result.type !== 'noMessages') await sleep(50)
        }
      })().catch(() => {})
    }
    return read
  }

  async function until(what: string, isSo: () => boolean): Promise<void> {
    const deadline = performance.now() + DEADLINE_MS
    while (!isSo()) {
      if (performance.now() > deadline) throw new Error(`never: ${what}`)
      await sleep(20)
    }
  }
  const isQuiet = ({ epoch, named, told, session, errorCode }: Poll): boolean =>
    epoch > 0 && named === 0 && told === 0 && session > 0 && errorCode === 0

  async function write(round: number, partitions: readonly number[]): Promise<void> {
    const records = partitions.map(partition => ({ topic, partition, key: null, value: `of round ${round}` }))
    const outcomes = await castellan.produce(records)
    expect(outcomes.map(({ type }) => type)).to.deep.equal(partitions.map(() => 'delivered'))
  }

  it('name nothing and are told nothing while no record comes, and each record reaches its reader once', async () => {
    const read = readAll()
    await until('three quiet polls', () => polls.filter(isQuiet).length >= 3)
    const expected = Array.from({ length: PARTITIONS }, (): string[] => [])
    for (let round = 0; round < 20; round++) {
      const some = [...new Set([round, (round * 7) % PARTITIONS, (round * 11) % PARTITIONS])]
      await write(round, some)
      for (const partition of some) expected[partition]!.push(`${expected[partition]!.length} of round ${round}`)
    }
    const count = (lists: string[][]): number => lists.reduce((sum, list) => sum + list.length, 0)
    await until('all are read', () => count(read) >= count(expected))
    const before = polls.length
    await until('quiet again', () => polls.slice(before).some(isQuiet))
    expect(read).to.deep.equal(expected)
  })

  it('are begun anew when a broker restarts, and no record is skipped', async () => {
    const read = readAll()
    await until('a quiet poll', () => polls.some(isQuiet))
    const all = Array.from({ length: PARTITIONS }, (_, partition) => partition)
    await write(0, all)
    const nodeId = await stage.cluster.leaderOf(topic, 0)
    await stage.cluster.killNode(nodeId)
    await write(1, all)
    await stage.cluster.reviveNode(nodeId)
    await stage.cluster.moveLeader(topic, 0, nodeId)
    await write(2, all)
    await until('all are read', () => read.every(records => records.length >= 3))
    for (const records of read) expect(records).to.deep.equal([0, 1, 2].map(round => `${round} of round ${round}`))
  })
})
