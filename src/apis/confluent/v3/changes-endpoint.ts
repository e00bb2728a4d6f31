import type { z } from 'zod'
import { CastellanError } from '../../../core/errors.js'
import { isLegalTopicName } from '../../../core/model.js'
import type { NewTopic } from '../../../gateway/admin.js'
import type { TopicMetadata } from '../../../gateway/gateway.js'
import type { Exchange } from '../../../http/exchange/exchange.js'
import { errorCodes } from '../../../kafka/error-codes.js'
import type { Params } from '../endpoint-parts.js'
import type { TimeLeft } from '../look-up.js'
import { BodyError } from '../record-bytes.js'
import { newTopicBody, partitionsBody, requireNamedOnce } from './change-bodies.js'
import type { ChangeRequests } from './change-requests.js'
import { part, type Resource } from './resources.js'
import { topicJson } from './topics-endpoint.js'
import type { Cluster } from './v3-look-ups.js'

const CREATED = 201

/** Creates, enlarges and deletes topics, by version 3. */
export class ChangesEndpoint {
  readonly #requests: ChangeRequests

  constructor(requests: ChangeRequests) {
    this.#requests = requests
  }

  create(exchange: Exchange, params: Params): void {
    if (!this.#requests.isServed(exchange)) return
    this.#requests.read(exchange, newTopicBody, body => {
      const topic = body.topic_name ?? ''
      const work = (cluster: Cluster) => this.#create(exchange, cluster, topic, body)
      this.#requests.lookUps.answer(exchange, params, { topic }, work, 'create')
    })
  }

  grow(exchange: Exchange, params: Params): void {
    const { topic_name: topic = '' } = params
    const { gateway } = this.#requests.lookUps
    if (!this.#requests.admits(exchange, 'alter', { topic })) return
    this.#requests.changeBy(exchange, params, partitionsBody, async ({ links, time }, { partitions_count: total }) => {
      await gateway.admin.createPartitions(topic, total, { timeoutMs: time.ms })
      const found = (await this.#lookUp(topic, time)) ?? unseen(topic)
      return { ...topicJson(links, found), partitions_count: total }
    })
  }

  delete(exchange: Exchange, params: Params): void {
    const { topic_name: topic = '' } = params
    const { gateway } = this.#requests.lookUps
    if (!this.#requests.admits(exchange, 'delete', { topic })) return
    this.#requests.change(exchange, params, ({ time }) => gateway.admin.deleteTopic(topic, time.ms))
  }

  async #create(
    exchange: Exchange,
    { links, time }: Cluster,
    name: string,
    body: z.output<typeof newTopicBody>
  ): Promise<Resource | undefined> {
    const { gateway, parts } = this.#requests.lookUps
    const validateOnly = body.validate_only === true
    await gateway.admin.createTopic(toNewTopic(name, body), { timeoutMs: time.ms, validateOnly })
    const known = validateOnly ? undefined : await this.#lookUp(name, time)
    const assigned = Object.values(body.replicas_assignments ?? {})
    const json = {
      ...topicJson(links, known ?? unseen(name)),
      // 0: a default of Kafka's.
      ...(known === undefined && {
        replication_factor: body.replication_factor ?? assigned[0]?.length ?? 0,
        partitions_count: body.partitions_count ?? assigned.length
      })
    }
    if (validateOnly) return json
    const headers = { location: links.url(`/topics/${part(name)}`) }
    parts.answers.send(exchange, CREATED, 'v3', JSON.stringify(json), { headers })
    return undefined
  }

  /** A topic that was changed. The change is made and must not be answered as a failure, whatever becomes of this. */
  async #lookUp(topic: string, time: TimeLeft): Promise<TopicMetadata | undefined> {
    const { gateway } = this.#requests.lookUps
    try {
      const found = (await gateway.topics([topic], time.ms)).get(topic)
      return found?.errorCode === errorCodes.NONE ? found : undefined
    } catch (error) {
      if (error instanceof CastellanError) return undefined
      throw error
    }
  }
}

const unseen = (topic: string): TopicMetadata => ({
  errorCode: errorCodes.NONE,
  topic,
  topicId: undefined,
  isInternal: false,
  partitions: []
})

/** @throws BodyError */
function toNewTopic(name: string, body: z.output<typeof newTopicBody>): NewTopic {
  if (body.topic_name === undefined) throw new BodyError(400, 'topic_name is missing', 40002)
  if (!isLegalTopicName(name)) throw new BodyError(422, 'topic_name is no name that a topic may have')
  const { partitions_count, replication_factor, replicas_assignments, configs } = body
  requireNamedOnce(configs ?? [])
  return {
    name,
    partitions: partitions_count ?? undefined,
    replicationFactor: replication_factor ?? undefined,
    assignments:
      replicas_assignments == null
        ? undefined
        : new Map(Object.entries(replicas_assignments).map(([partition, brokers]) => [Number(partition), brokers])),
    configs: configs == null ? undefined : new Map(configs.map(one => [one.name, one.value ?? null]))
  }
}
