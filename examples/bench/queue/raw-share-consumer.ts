import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BrokerClient } from '../../../src/kafka/broker-client.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { acknowledgeTypes } from '../../../src/kafka/protocol/share.js'
import { loadCastellan } from '../tools/in-process.js'

const CLIENT_TIMES = { requestTimeoutMs: 10_000, connectTimeoutMs: 10_000 }
const POLL_MS = 100
/** As many bytes as a gateway asks for. */
const ACQUIRE = { maxWaitMs: 250, minBytes: 1, maxBytes: 1024 * 1024, isExact: true, forgotten: [] }
const silent = { debug() {}, info() {}, warn() {}, error() {} }

/** Connections to the leader of a topic with one partition, and to any broker. */
export interface LeaderOfTopic {
  readonly topicId: string
  readonly leader: BrokerClient
  readonly seed: BrokerClient
  clientAt(host: string, port: number): BrokerClient
}

export async function connectToLeader(bootstrap: string, topic: string): Promise<LeaderOfTopic> {
  const { createBrokerClientFactory } = await loadCastellan()
  const factory = createBrokerClientFactory({ clientId: 'bench', ...CLIENT_TIMES, log: silent })
  const clientAt = (host: string, port: number): BrokerClient => factory({ host, port }, 'bench')
  const [host = '', port] = bootstrap.split(',')[0]!.split(':')
  const seed = clientAt(host, Number(port))
  const { topics, brokers } = await seed.metadata({ topics: [topic], allowAutoTopicCreation: false })
  const [found] = topics
  const leader = brokers.find(({ nodeId }) => nodeId === found?.partitions[0]?.leaderId)
  if (!found?.topicId || !leader) throw new Error(`${topic} has no leader`)
  return { topicId: found.topicId, leader: clientAt(leader.host, leader.port), seed, clientAt }
}

/** Makes a group that does not exist yet begin at the start of its topics. */
export async function startAtEarliest({ seed }: LeaderOfTopic, groupId: string): Promise<void> {
  const changes = [{ name: 'share.auto.offset.reset', value: 'earliest' }]
  const { errorCode, errorMessage } = await seed.alterConfigs({
    resource: { type: 'group', name: groupId },
    changes,
    validateOnly: false
  })
  if (errorCode !== 0) throw new Error(`the settings of ${groupId}: ${errorCode} ${errorMessage}`)
}

/**
 * The least that a worker of a share group can do: ShareFetch and ShareAcknowledge in turn over one connection, by the codecs of
 * Castellan, without a Router. Its membership has another connection.
 */
export class RawShareConsumer {
  readonly #at: LeaderOfTopic
  readonly #groupId: string
  readonly #memberId = randomUUID()
  readonly #count: number
  #coordinator: BrokerClient | undefined
  #memberEpoch = 0
  #epoch = 0

  /** @param count messages of one acquisition, at most */
  constructor(at: LeaderOfTopic, groupId: string, count: number) {
    this.#at = at
    this.#groupId = groupId
    this.#count = count
  }

  /** Joins the group, and waits until the group has its state for the topic. */
  async join(topic: string): Promise<void> {
    let found = await this.#at.seed.findCoordinator({ groupId: this.#groupId })
    // A new Kafka makes its topic of groups first.
    while (found.errorCode !== 0) {
      await sleep(POLL_MS)
      found = await this.#at.seed.findCoordinator({ groupId: this.#groupId })
    }
    const { coordinator } = found
    this.#coordinator = this.#at.clientAt(coordinator.host, coordinator.port)
    for (let assigned = 0; assigned === 0; ) {
      const isNew = this.#memberEpoch === 0
      const answer = await this.#heartbeat(this.#memberEpoch, isNew ? [topic] : null)
      if (answer.errorCode === errorCodes.COORDINATOR_LOAD_IN_PROGRESS) {
        await sleep(POLL_MS)
        continue
      }
      if (answer.errorCode !== 0) throw new Error(`a heartbeat was answered ${answer.errorCode} ${answer.errorMessage}`)
      this.#memberEpoch = answer.memberEpoch
      assigned = answer.assignment?.size ?? 0
      if (assigned === 0) await sleep(POLL_MS)
    }
  }

  /** Acquires messages, and accepts them. @returns their number */
  async take(): Promise<number> {
    const { leader, topicId } = this.#at
    const place = { topicId, partition: 0 }
    const isNew = this.#epoch === 0
    const fetched = await leader.shareFetch({
      ...ACQUIRE,
      ...this.#nextCall(),
      maxRecords: this.#count,
      batchSize: this.#count,
      added: isNew ? [place] : [],
      acknowledgements: []
    })
    const [found] = fetched.partitions
    const errorCode = fetched.errorCode || found?.errorCode
    if (errorCode) throw new Error(`ShareFetch was answered ${errorCode}`)
    const records = found?.records ?? []
    if (records.length === 0) return 0
    const [first, last] = [records[0]!.record.offset, records.at(-1)!.record.offset]
    if (last - first + 1 !== records.length) throw new Error('the acquired messages do not follow each other')
    const ranges = [{ first, last, types: [acknowledgeTypes.accept] }]
    const settled = await leader.shareAcknowledge({
      ...this.#nextCall(),
      isRenew: false,
      acknowledgements: [{ ...place, ranges }]
    })
    const refused = settled.errorCode || settled.partitions[0]?.errorCode
    if (refused !== 0) throw new Error(`ShareAcknowledge was answered ${refused}`)
    return records.length
  }

  async leave(): Promise<void> {
    this.#epoch = -1
    await this.#at.leader.shareAcknowledge({ ...this.#nextCall(), isRenew: false, acknowledgements: [] })
    await this.#heartbeat(-1, null)
    await this.#coordinator?.close()
  }

  #nextCall() {
    const epoch = this.#epoch
    this.#epoch++
    return { groupId: this.#groupId, memberId: this.#memberId, epoch }
  }

  #heartbeat(memberEpoch: number, topics: readonly string[] | null) {
    return this.#coordinator!.shareGroupHeartbeat({
      groupId: this.#groupId,
      memberId: this.#memberId,
      memberEpoch,
      topics
    })
  }
}
