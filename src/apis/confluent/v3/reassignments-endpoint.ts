import type { Reassignment } from '../../../gateway/admin.js'
import type { Exchange } from '../../../http/exchange/exchange.js'
import { callerOf, type Params } from '../endpoint-parts.js'
import { partitionIn, type TimeLeft } from '../look-up.js'
import { type Links, part, type Resource } from './resources.js'
import { notFound, type V3LookUps } from './v3-look-ups.js'

/** Partitions that are being moved to other brokers, of version 3. */
export class ReassignmentsEndpoint {
  readonly #lookUps: V3LookUps

  constructor(lookUps: V3LookUps) {
    this.#lookUps = lookUps
  }

  /** Of the topics that the client may see. */
  all(exchange: Exchange, params: Params): void {
    const caller = callerOf(this.#lookUps.parts, exchange)
    this.#lookUps.answer(exchange, params, {}, async ({ links, time }) => {
      const found = await this.#ongoing(time, ({ topic }) => caller.allows('admin', { topic }))
      return listJson(links, '-', found)
    })
  }

  /** Of one topic. A topic that does not exist has none, as in the original. */
  ofTopic(exchange: Exchange, params: Params): void {
    const { topic_name: topic = '' } = params
    this.#lookUps.answer(exchange, params, { topic }, async ({ links, time }) =>
      listJson(links, part(topic), await this.#ongoing(time, found => found.topic === topic))
    )
  }

  ofPartition(exchange: Exchange, params: Params): void {
    const { topic_name: topic = '', partition_id: partition = '' } = params
    this.#lookUps.answer(exchange, params, { topic }, async ({ links, time }) => {
      const number = partitionIn(partition)
      const [found] = await this.#ongoing(time, one => one.topic === topic && one.partition === number)
      if (found === undefined) throw notFound(`partition ${partition} of topic ${topic} is not being reassigned`)
      return reassignmentJson(links, found)
    })
  }

  async #ongoing(time: TimeLeft, isWanted: (one: Reassignment) => boolean): Promise<readonly Reassignment[]> {
    return (await this.#lookUps.gateway.admin.reassignments(time.ms)).filter(isWanted)
  }
}

const listJson = (links: Links, topicPart: string, found: readonly Reassignment[]): Resource =>
  links.list(
    'KafkaReassignment',
    `/topics/${topicPart}/partitions/-/reassignment`,
    found.map(one => reassignmentJson(links, one))
  )

function reassignmentJson(links: Links, { topic, partition, adding, removing }: Reassignment): Resource {
  const path = `/topics/${part(topic)}/partitions/${partition}`
  const name = `/topic=${topic}/partition=${partition}/reassignment`
  return links.resource('KafkaReassignment', `${path}/reassignment`, name, {
    topic_name: topic,
    partition_id: partition,
    adding_replicas: adding,
    removing_replicas: removing,
    replicas: links.related(`${path}/replicas`)
  })
}
