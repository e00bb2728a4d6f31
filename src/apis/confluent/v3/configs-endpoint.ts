import type { z } from 'zod'
import type { ConfigChange, ConfigEntry, ConfigResource } from '../../../gateway/admin.js'
import type { TopicMetadata } from '../../../gateway/gateway.js'
import type { Operation } from '../../../http/access/access.js'
import type { Exchange } from '../../../http/exchange/exchange.js'
import { type Params, refusalOf } from '../endpoint-parts.js'
import { KAFKA_REFUSES, UNAUTHORIZED } from '../failures.js'
import type { LongList } from '../long-lists.js'
import { lookUpProblemOf, ProblemError, type TimeLeft, unknownTopic } from '../look-up.js'
import { alterBody, alterTopicsBody, changesByTopic, requireNamedOnce, toChanges, valueBody } from './change-bodies.js'
import type { ChangeRequests } from './change-requests.js'
import { type Links, part, type Resource } from './resources.js'
import { visibleTopics } from './topics-endpoint.js'
import { type Cluster, notFound, requireBroker } from './v3-look-ups.js'

const MULTI_STATUS = 207
/** Topics whose settings are in one answer. A topic has about 25 KB of them. */
const MAX_TOPICS = 1_000
/** Topics or brokers of a list that are described at the same time. */
const DESCRIBED_AT_ONCE = 50
/** Topics that are changed at the same time. */
const CHANGES_AT_ONCE = 10

/** Something that has settings, and what the resources of its settings have in common. */
interface Configured {
  readonly resource: ConfigResource
  /** The key of {@link resource} in descriptions. */
  readonly key: string
  readonly kind: string
  /** Of the list, below the cluster. */
  readonly path: string
  /** What identifies a setting in the cluster, without the name of the setting. */
  readonly crn: string
  readonly members: Resource
}

/** What the settings of a path belong to. */
export interface Scope {
  readonly reading: Operation
  readonly changing: Operation
  /** Whether Kafka describes all settings, and not only those that have been set. */
  readonly hasAll: boolean
  /** @throws ProblemError when the cluster has nothing of this name */
  of(params: Params, cluster: Cluster): Promise<Configured>
}

export const topicScope: Scope = {
  reading: 'admin',
  changing: 'alter',
  hasAll: true,
  of: async ({ topic_name: topic = '' }) => configuredTopic(topic)
}
export const brokerScope: Scope = {
  reading: 'cluster',
  changing: 'cluster',
  hasAll: true,
  of: async ({ broker_id: broker }, { describe }) => configuredBroker(requireBroker(await describe(), broker).nodeId)
}
/** The settings that all brokers share. */
export const clusterScope: Scope = {
  reading: 'cluster',
  changing: 'cluster',
  hasAll: false,
  of: async () => ({
    resource: { type: 'brokers' },
    key: '',
    kind: 'KafkaClusterConfig',
    path: '/broker-configs',
    crn: '/broker-config=',
    members: { config_type: 'BROKER' }
  })
}

const configuredTopic = (topic: string): Configured => ({
  resource: { type: 'topic', name: topic },
  key: topic,
  kind: 'KafkaTopicConfig',
  path: `/topics/${part(topic)}/configs`,
  crn: `/topic=${topic}/config=`,
  members: { topic_name: topic }
})

const configuredBroker = (nodeId: number): Configured => ({
  resource: { type: 'broker', nodeId },
  key: String(nodeId),
  kind: 'KafkaBrokerConfig',
  path: `/brokers/${nodeId}/configs`,
  crn: `/broker=${nodeId}/config=`,
  members: { broker_id: nodeId }
})

/** Settings of topics and brokers, of version 3. */
export class ConfigsEndpoint {
  readonly #requests: ChangeRequests

  constructor(requests: ChangeRequests) {
    this.#requests = requests
  }

  list(exchange: Exchange, params: Params, scope: Scope): void {
    this.#read(exchange, params, scope, async ({ links, time }, configured) => {
      const entries = await this.#entriesOf(configured, time)
      return links.list(
        configured.kind,
        configured.path,
        entries.map(entry => configJson(links, configured, entry))
      )
    })
  }

  get(exchange: Exchange, params: Params, scope: Scope): void {
    this.#read(exchange, params, scope, async ({ links, time }, configured) => {
      const { name = '' } = params
      const found = (await this.#entriesOf(configured, time)).find(entry => entry.name === name)
      if (found === undefined) throw noSetting(configured, name)
      return configJson(links, configured, found)
    })
  }

  /** `GET …/topics/-/configs` */
  listAllTopics(exchange: Exchange, params: Params): void {
    const { gateway, parts } = this.#requests.lookUps
    this.#requests.lookUps.answer(exchange, params, {}, async cluster => {
      const all = await gateway.topics('all', cluster.time.ms)
      return this.#listAll(cluster, 'KafkaTopicConfig', '/topics/-/configs', () => {
        const topics = visibleTopics(parts, exchange, all)
        if (topics.length > MAX_TOPICS) throw new ProblemError(tooManyTopics(topics))
        return topics.map(({ topic }) => configuredTopic(topic))
      })
    })
  }

  /** `GET …/brokers/-/configs` */
  listAllBrokers(exchange: Exchange, params: Params): void {
    const work = async (cluster: Cluster): Promise<LongList> => {
      const { brokers } = await cluster.describe()
      return this.#listAll(cluster, 'KafkaBrokerConfig', '/brokers/-/configs', () =>
        brokers.map(({ nodeId }) => configuredBroker(nodeId))
      )
    }
    this.#requests.lookUps.answer(exchange, params, {}, work, brokerScope.reading)
  }

  set(exchange: Exchange, params: Params, scope: Scope): void {
    const { name = '' } = params
    this.#changeBy(exchange, params, scope, valueBody, ({ value }) => ({ changes: [{ name, value: value ?? null }] }))
  }

  reset(exchange: Exchange, params: Params, scope: Scope): void {
    const { name = '' } = params
    if (!this.#admits(exchange, params, scope)) return
    this.#requests.change(exchange, params, async cluster =>
      this.#alter(scope, await scope.of(params, cluster), { changes: [{ name, value: null }] }, cluster.time)
    )
  }

  alter(exchange: Exchange, params: Params, scope: Scope): void {
    this.#changeBy(exchange, params, scope, alterBody, ({ data, validate_only: validateOnly }) => ({
      changes: toChanges(data),
      validateOnly: validateOnly === true
    }))
  }

  /** `POST …/topics/-/configs:alter` */
  alterAllTopics(exchange: Exchange, params: Params): void {
    const { answers } = this.#requests.lookUps.parts
    if (!this.#requests.isServed(exchange)) return
    this.#requests.changeBy(exchange, params, alterTopicsBody, async ({ time }, body) => {
      const failures: Resource[] = []
      const topics = changesByTopic(body)
      const validateOnly = body.validate_only === true
      for (let at = 0; at < topics.length; at += CHANGES_AT_ONCE) {
        const portion = topics
          .slice(at, at + CHANGES_AT_ONCE)
          .map(([topic, changes]) => this.#alterTopic(exchange, topic, { changes, validateOnly }, time))
        failures.push(...(await Promise.all(portion)).filter(failure => failure !== undefined))
      }
      if (failures.length === 0) answers.noContent(exchange)
      else answers.send(exchange, MULTI_STATUS, 'v3', JSON.stringify({ failures }))
      return undefined
    })
  }

  /** @returns why the topic could not be changed */
  async #alterTopic(exchange: Exchange, topic: string, wanted: Wanted, time: TimeLeft): Promise<Resource | undefined> {
    const refusal = refusalOf(this.#requests.lookUps.parts, exchange, topicScope.changing, { topic })
    if (refusal !== undefined) return { topic_name: topic, error_code: UNAUTHORIZED, message: refusal.message }
    try {
      await this.#alter(topicScope, configuredTopic(topic), wanted, time)
      return undefined
    } catch (error) {
      const problem = lookUpProblemOf(error, { topic })
      if (problem === undefined) throw error
      return { topic_name: topic, error_code: problem.code, message: problem.message }
    }
  }

  #admits(exchange: Exchange, { topic_name: topic }: Params, { changing }: Scope): boolean {
    return this.#requests.admits(exchange, changing, { topic })
  }

  #changeBy<Body>(
    exchange: Exchange,
    params: Params,
    scope: Scope,
    schema: z.ZodType<Body>,
    wantedBy: (body: Body) => Wanted
  ): void {
    if (!this.#admits(exchange, params, scope)) return
    this.#requests.read(exchange, schema, body => {
      const wanted = wantedBy(body)
      this.#requests.change(exchange, params, async cluster =>
        this.#alter(scope, await scope.of(params, cluster), wanted, cluster.time)
      )
    })
  }

  /** A setting that does not exist is answered 404, as the original does, because Kafka takes its reset for a success. */
  async #alter(
    { hasAll }: Scope,
    configured: Configured,
    { changes, validateOnly = false }: Wanted,
    time: TimeLeft
  ): Promise<void> {
    const { gateway } = this.#requests.lookUps
    requireNamedOnce(changes)
    if (hasAll) {
      const found = (await gateway.admin.describeConfigs([configured.resource], time.ms)).get(configured.key)
      // Kafka itself refuses the change of a topic that does not exist.
      const unknown = changes.find(({ name }) => found?.every(entry => entry.name !== name))
      if (unknown !== undefined) throw noSetting(configured, unknown.name)
    }
    await gateway.admin.alterConfigs(configured.resource, changes, { timeoutMs: time.ms, validateOnly })
  }

  /** Kafka is asked while the list is written, so that the settings of all are not in memory at the same time. */
  #listAll({ links, time }: Cluster, kind: string, path: string, allOf: () => readonly Configured[]): LongList {
    const { admin } = this.#requests.lookUps.gateway
    async function* settings(): AsyncIterable<Resource> {
      const all = allOf()
      for (let at = 0; at < all.length; at += DESCRIBED_AT_ONCE) {
        const portion = all.slice(at, at + DESCRIBED_AT_ONCE)
        const resources = portion.map(({ resource }) => resource)
        const found = await admin.describeConfigs(resources, time.ms)
        for (const configured of portion) {
          for (const entry of found.get(configured.key) ?? []) yield configJson(links, configured, entry)
        }
      }
    }
    return links.longList(kind, path, settings())
  }

  #read(
    exchange: Exchange,
    params: Params,
    scope: Scope,
    work: (cluster: Cluster, configured: Configured) => Promise<Resource>
  ): void {
    const { topic_name: topic } = params
    const all = async (cluster: Cluster): Promise<Resource> => work(cluster, await scope.of(params, cluster))
    this.#requests.lookUps.answer(exchange, params, { topic }, all, scope.reading)
  }

  async #entriesOf({ resource, key }: Configured, time: TimeLeft): Promise<readonly ConfigEntry[]> {
    const { gateway } = this.#requests.lookUps
    const found = (await gateway.admin.describeConfigs([resource], time.ms)).get(key)
    if (found !== undefined) return found
    throw resource.type === 'topic'
      ? new ProblemError(unknownTopic(resource.name))
      : notFound('there are no such settings')
  }
}

/** What a request wants to change. */
interface Wanted {
  readonly changes: readonly ConfigChange[]
  readonly validateOnly?: boolean
}

const noSetting = ({ resource: { type } }: Configured, name: string): ProblemError =>
  notFound(`${type === 'topic' ? 'topics' : 'brokers'} have no setting ${name}`)

const tooManyTopics = ({ length }: readonly TopicMetadata[]) => ({
  status: 400,
  code: KAFKA_REFUSES,
  message: `there are ${length} topics, and one answer has the settings of at most ${MAX_TOPICS}; ask for each topic`
})

function configJson(links: Links, { kind, path, crn, members }: Configured, entry: ConfigEntry): Resource {
  const { name, value, isDefault, isReadOnly, isSensitive, source, synonyms } = entry
  return links.resource(kind, `${path}/${part(name)}`, `${crn}${name}`, {
    ...members,
    name,
    value,
    is_default: isDefault,
    is_read_only: isReadOnly,
    is_sensitive: isSensitive,
    source,
    synonyms
  })
}
