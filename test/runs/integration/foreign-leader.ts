import { setTimeout as sleep } from 'node:timers/promises'
import { openCastellan, type ProgramCastellan } from '../../../src/client/open-castellan.js'
import type { TopicPartition } from '../../../src/core/model.js'
import type { BrokerClient } from '../../../src/kafka/broker-client.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { encodeAssignment, encodeSubscription } from '../../../src/kafka/protocol/consumer-protocol.js'
import type { JoinedMember } from '../../../src/kafka/protocol/groups.js'

type Assign = (
  members: readonly JoinedMember[]
) => readonly { readonly memberId: string; readonly partitions: readonly TopicPartition[] }[]

const NOTHING: Assign = () => []
const HEARTBEAT_MS = 50

/** A connection to the coordinator of a group, which a test uses as another client would. */
export async function clientOfCoordinator(
  castellan: ProgramCastellan,
  bootstrap: string,
  groupId: string
): Promise<BrokerClient> {
  const [host, port] = bootstrap.split(',')[0]!.split(':')
  const finder = castellan.createClient({ host: host!, port: Number(port) }, 'test')
  for (;;) {
    const { errorCode, coordinator } = await finder.findCoordinator({ groupId })
    if (errorCode === errorCodes.NONE) {
      await finder.close()
      return castellan.createClient(coordinator, 'test')
    }
    await sleep(HEARTBEAT_MS)
  }
}

/** The first member of a group, of another client: it leads, and says nothing in user data. It assigns what a test tells it to. */
export class ForeignLeader {
  memberId = ''
  /** Of the present generation. */
  members: readonly JoinedMember[] = []
  #assign = NOTHING
  #isOver = false
  #mustJoin = true
  #generationId = -1
  readonly #castellan: ProgramCastellan
  readonly #client: BrokerClient
  readonly #groupId: string
  readonly #topic: string
  #running: Promise<void> = Promise.resolve()

  private constructor(castellan: ProgramCastellan, client: BrokerClient, groupId: string, topic: string) {
    this.#castellan = castellan
    this.#client = client
    this.#groupId = groupId
    this.#topic = topic
  }

  /** @param topic what it subscribes to */
  static async join(bootstrap: string, groupId: string, topic: string): Promise<ForeignLeader> {
    const castellan = await openCastellan({ brokers: bootstrap })
    const client = await clientOfCoordinator(castellan, bootstrap, groupId)
    const leader = new ForeignLeader(castellan, client, groupId, topic)
    await leader.#join()
    leader.#running = leader.#live()
    return leader
  }

  /** From the next generation on, which begins at once. */
  assign(assign: Assign): void {
    this.#assign = assign
    this.#mustJoin = true
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await this.#running
    const member = { memberId: this.memberId, instanceId: null }
    await this.#client.leaveGroup({ groupId: this.#groupId, ...member })
    await this.#client.close()
    await this.#castellan.close()
  }

  async #live(): Promise<void> {
    while (!this.#isOver) {
      const member = { memberId: this.memberId, instanceId: null, generationId: this.#generationId }
      const { errorCode } = await this.#client.heartbeat({ groupId: this.#groupId, ...member })
      if (errorCode === errorCodes.REBALANCE_IN_PROGRESS || this.#mustJoin) await this.#join()
      else await sleep(HEARTBEAT_MS)
    }
  }

  async #join(): Promise<void> {
    const groupId = this.#groupId
    const protocols = [{ name: 'range', metadata: encodeSubscription([this.#topic]) }]
    const times = { sessionTimeoutMs: 10_000, rebalanceTimeoutMs: 10_000, timeoutMs: 30_000 }
    for (;;) {
      this.#mustJoin = false
      const asked = {
        groupId,
        ...times,
        memberId: this.memberId,
        instanceId: null,
        protocolType: 'consumer',
        protocols
      }
      const joined = await this.#client.joinGroup(asked)
      this.memberId = joined.memberId
      if (joined.errorCode !== errorCodes.NONE) continue
      this.#generationId = joined.generationId
      this.members = joined.members
      const assigned = new Map(this.#assign(joined.members).map(({ memberId, partitions }) => [memberId, partitions]))
      const assignments = joined.members.map(({ memberId }) => ({
        memberId,
        assignment: encodeAssignment(assigned.get(memberId) ?? [])
      }))
      const member = { memberId: this.memberId, instanceId: null, generationId: this.#generationId }
      const { errorCode } = await this.#client.syncGroup({ groupId, ...member, assignments, timeoutMs: 30_000 })
      if (errorCode === errorCodes.NONE) return
    }
  }
}
