import { setTimeout as pass } from 'node:timers/promises'
import { silentLogger } from '../../../src/core/model.js'
import type { BrokerClient } from '../../../src/kafka/broker-client.js'
import { createBrokerClientFactory } from '../../../src/kafka/broker-client-factory.js'
import {
  decodeAssignment,
  encodeAssignment,
  encodeSubscription
} from '../../../src/kafka/protocol/consumer-protocol.js'

/** Answers that say only that the coordinator is not ready. */
const NOT_READY = [14, 15, 16]
const MEMBER_ID_REQUIRED = 79
const SESSION_MS = 30_000

const connections = createBrokerClientFactory({
  clientId: 'group-test',
  requestTimeoutMs: 60_000,
  connectTimeoutMs: 10_000,
  log: silentLogger
})

/** Asks until the coordinator is ready. */
async function whenReady<Answer extends { readonly errorCode: number }>(ask: () => Promise<Answer>): Promise<Answer> {
  for (;;) {
    const answer = await ask()
    if (!NOT_READY.includes(answer.errorCode)) return answer
    await pass(100)
  }
}

/** A member of a classic group by single calls, on a connection of its own to the coordinator. */
export class GroupSession {
  generationId = -1
  memberId = ''
  leaderId = ''
  members: readonly string[] = []
  /** The partitions of the last answer to a sync: `topic/partition`. */
  assigned: readonly string[] = []

  private constructor(
    readonly client: BrokerClient,
    readonly groupId: string
  ) {}

  static async open(bootstrap: string, groupId: string): Promise<GroupSession> {
    const [host = '', port] = bootstrap.split(',')[0]!.split(':')
    const seed = connections({ host, port: Number(port) }, 'seed')
    try {
      const { coordinator } = await whenReady(() => seed.findCoordinator({ groupId }))
      return new GroupSession(connections(coordinator, 'group'), groupId)
    } finally {
      await seed.close()
    }
  }

  /** @returns the error code */
  async join(topics: readonly string[], userData: Buffer | null = null): Promise<number> {
    const answer = await whenReady(() =>
      this.client.joinGroup({
        groupId: this.groupId,
        sessionTimeoutMs: SESSION_MS,
        rebalanceTimeoutMs: SESSION_MS,
        memberId: this.memberId,
        instanceId: null,
        protocolType: 'consumer',
        protocols: [{ name: 'range', metadata: encodeSubscription(topics, userData) }]
      })
    )
    this.memberId = answer.memberId
    if (answer.errorCode === MEMBER_ID_REQUIRED) return this.join(topics, userData)
    this.generationId = answer.generationId
    this.leaderId = answer.leaderId
    this.members = answer.members.map(({ memberId }) => memberId)
    return answer.errorCode
  }

  /** As leader it gives itself partition 0 of these topics, and the others nothing. */
  async sync(topics: readonly string[] = [], userData: Buffer | null = null): Promise<number> {
    const isLeader = this.leaderId === this.memberId
    const partitions = topics.map(topic => ({ topic, partition: 0 }))
    const assignments = this.members.map(memberId => ({
      memberId,
      assignment: encodeAssignment(memberId === this.memberId ? partitions : [], userData)
    }))
    const answer = await this.client.syncGroup({ ...this.#identity, assignments: isLeader ? assignments : [] })
    const { errorCode, assignment } = answer
    const given = errorCode === 0 && assignment.length > 0 ? decodeAssignment(assignment) : []
    this.assigned = given.map(({ topic, partition }) => `${topic}/${partition}`)
    return errorCode
  }

  async enter(topics: readonly string[], userData: Buffer | null = null): Promise<number> {
    const errorCode = await this.join(topics)
    return errorCode === 0 ? this.sync(topics, userData) : errorCode
  }

  async heartbeat(): Promise<number> {
    return (await this.client.heartbeat(this.#identity)).errorCode
  }

  /** Commits as this member, or as another one or none. @returns the error code */
  async commit(topic: string, offset: number, as: Partial<Pick<GroupSession, 'generationId' | 'memberId'>> = {}) {
    const partitions = [{ topic, partition: 0, offset, metadata: '' }]
    const answer = await whenReady(async () => {
      const { partitions: answers } = await this.client.offsetCommit({ ...this.#identity, ...as, partitions })
      return answers[0]!
    })
    return answer.errorCode
  }

  async leave(): Promise<number> {
    const { groupId, memberId } = this
    const { errorCode } = await this.client.leaveGroup({ groupId, memberId, instanceId: null })
    return errorCode
  }

  get #identity() {
    const { groupId, memberId, generationId } = this
    return { groupId, memberId, generationId, instanceId: null }
  }
}
