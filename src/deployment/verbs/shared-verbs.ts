import type { RecordBudget } from '../../core/record-budget.js'
import type { AckResult, GroupVerbs, MessageId, Verbs } from '../../verbs/verbs.js'
import { WrappedGroups, WrappedVerbs } from '../../verbs/wrapped.js'
import type { Peers } from '../calls/peers.js'
import type { Lending } from '../lending/lending.js'
import { AcksElsewhere } from './acks-elsewhere.js'
import { hashedOwner, PeerInstances } from './peer-instances.js'
import { PeerQueues } from './queues-elsewhere.js'

/**
 * The cluster of one of several gateways, which share the partitions of a group. Verbs of a consumer instance are passed on to
 * the owner of the instance, an acknowledgement to the gateway that reads the partition, and the settlement of a message of a
 * queue to the one that holds it. All other verbs are handled by the gateway that gets them.
 *
 * @param records memory for records of answers of this process
 * @param lending absent: the gateways lend each other no messages
 */
export function sharedVerbs<Id extends number | string>(
  own: Verbs,
  cluster: string,
  peers: Peers<Id>,
  records: RecordBudget,
  lending?: Lending<Id>
): Verbs {
  const acks = new AcksElsewhere(own.groups, cluster, peers)
  lending?.whenGiven((by, message) => acks.given(by, message))
  return new WrappedVerbs(own, {
    groups: new SharedGroups(own.groups, acks),
    instances: new PeerInstances(own, cluster, peers, hashedOwner(own.instances, cluster, peers), records),
    queues: new PeerQueues(own.queues, cluster, peers)
  })
}

/** Passes an acknowledgement on where this gateway does not read the partition. */
class SharedGroups<Id> extends WrappedGroups {
  readonly #acks: AcksElsewhere<Id>

  constructor(own: GroupVerbs, acks: AcksElsewhere<Id>) {
    super(own)
    this.#acks = acks
  }

  override async ack(groupId: string, message: MessageId): Promise<AckResult> {
    const result = await this.own.ack(groupId, message)
    return result.type === 'notRead' ? this.#acks.ack(groupId, message) : result
  }
}
