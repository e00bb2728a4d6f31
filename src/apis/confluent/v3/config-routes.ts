import { z } from 'zod'
import { ApiError } from '../../../http/api/api-answers.js'
import { authorize } from '../../../http/api/endpoint.js'
import { MULTI_STATUS } from '../../../http/exchange/modern-answers.js'
import { json } from '../../../http/openapi/operation.js'
import { type ConfigChange, type ConfigEntry, type ConfigResource, resourceName } from '../../../verbs/admin.js'
import { failedProblemOf, KAFKA_REFUSES, UNAUTHORIZED } from '../failures.js'
import { unknownTopic } from '../look-up.js'
import { kind, type Members, type Resource, type ResourceKind, type ResourcePlace, text } from './resources.js'
import { type AskV3, brokerOf, CLUSTER, change, done, list, notFound, one, type V3Route } from './routes.js'
import { requireNamedOnce, visibleTopics } from './topic-routes.js'

/** Topics whose settings are in one answer. A topic has about 25 KB of them. */
const MAX_TOPICS = 1_000
/** Topics or brokers of a list that are described at the same time. */
const DESCRIBED_AT_ONCE = 50
/** Topics that are changed at the same time. */
const CHANGES_AT_ONCE = 10

interface Setting {
  readonly of: ConfigResource
  readonly entry: ConfigEntry
}

/** @param placeOf the place of the settings of something */
const settings = (
  name: string,
  placeOf: (of: string) => ResourcePlace,
  members: Members<Setting>
): ResourceKind<Setting> =>
  kind(name, ({ of, entry }) => [...placeOf(resourceName(of)), entry.name], {
    ...members,
    name: [text, ({ entry }) => entry.name],
    value: [text.nullable(), ({ entry }) => entry.value],
    is_default: [z.boolean(), ({ entry }) => entry.isDefault],
    is_read_only: [z.boolean(), ({ entry }) => entry.isReadOnly],
    is_sensitive: [z.boolean(), ({ entry }) => entry.isSensitive],
    source: [text, ({ entry }) => entry.source],
    synonyms: [z.array(z.object({ name: text, value: text.nullable(), source: text })), ({ entry }) => entry.synonyms]
  })

const ofTopics = settings('KafkaTopicConfig', of => ['topics', of, 'configs'], {
  topic_name: [text, ({ of }) => resourceName(of)]
})
const ofBrokers = settings('KafkaBrokerConfig', of => ['brokers', of, 'configs'], {
  broker_id: [z.int(), ({ of }) => Number(resourceName(of))]
})
const ofCluster = settings('KafkaClusterConfig', () => ['broker-configs'], {
  config_type: [z.literal('BROKER'), () => 'BROKER']
})

const topicResource = (name: string): ConfigResource => ({ type: 'topic', name })
const brokerResource = ({ nodeId }: { readonly nodeId: number }): ConfigResource => ({ type: 'broker', nodeId })

/** `undefined`: Kafka has no such thing. */
async function entriesOf({ verbs, time }: AskV3, of: ConfigResource): Promise<readonly ConfigEntry[] | undefined> {
  return (await verbs.admin.describeConfigs([of], time.ms)).get(resourceName(of))
}

async function settingsOf(ask: AskV3, of: ConfigResource): Promise<readonly Setting[]> {
  const found = await entriesOf(ask, of)
  if (found !== undefined) return found.map(entry => ({ of, entry }))
  throw of.type === 'topic' ? unknownTopic(of.name) : notFound('there are no such settings')
}

const noSetting = ({ type }: ConfigResource, name: string): ApiError =>
  notFound(`${type === 'topic' ? 'topics' : 'brokers'} have no setting ${name}`)

/** Kafka is asked while the list is written, so that the settings of all are not in memory at the same time. */
async function* settingsOfAll({ verbs, time }: AskV3, allOf: () => readonly ConfigResource[]): AsyncIterable<Setting> {
  const all = allOf()
  for (let at = 0; at < all.length; at += DESCRIBED_AT_ONCE) {
    const portion = all.slice(at, at + DESCRIBED_AT_ONCE)
    const found = await verbs.admin.describeConfigs(portion, time.ms)
    for (const of of portion) for (const entry of found.get(resourceName(of)) ?? []) yield { of, entry }
  }
}

const tooManyTopics = (topics: number) =>
  new ApiError(
    400,
    `there are ${topics} topics, and one answer has the settings of at most ${MAX_TOPICS}; ask for each topic`,
    { code: KAFKA_REFUSES }
  )

async function alter(
  ask: AskV3,
  of: ConfigResource,
  changes: readonly ConfigChange[],
  validateOnly = false
): Promise<undefined> {
  requireNamedOnce(changes)
  // For settings that all brokers share, Kafka describes only those that have been set.
  if (of.type !== 'brokers') {
    const found = await entriesOf(ask, of)
    // Kafka itself refuses the change of a topic that does not exist.
    const unknown = changes.find(({ name }) => found?.every(entry => entry.name !== name))
    if (unknown !== undefined) throw noSetting(of, unknown.name)
  }
  await ask.verbs.admin.alterConfigs(of, changes, { timeoutMs: ask.time.ms, validateOnly })
}

/** @returns why the topic could not be changed */
async function failureOf(
  ask: AskV3,
  topic: string,
  changes: readonly ConfigChange[],
  validateOnly: boolean
): Promise<Resource | undefined> {
  const refusal = authorize(ask.caller, 'admin.alterConfigs', { topic })
  if (refusal !== undefined) return { topic_name: topic, error_code: UNAUTHORIZED, message: refusal.message }
  try {
    await alter(ask, topicResource(topic), changes, validateOnly)
    return undefined
  } catch (error) {
    const problem = failedProblemOf(error, topic)
    if (problem === undefined) throw error
    return { topic_name: topic, error_code: problem.details.code ?? problem.status, message: problem.message }
  }
}

const isOnlyValidated = z.boolean().nullish()
const changesBody = z.array(
  z.strictObject({ name: z.string(), value: z.string().nullish(), operation: z.enum(['SET', 'DELETE']).nullish() })
)
const valueBody = z.strictObject({ value: z.string().nullish() })
const alterBody = z.strictObject({ data: changesBody, validate_only: isOnlyValidated })
const alterTopicsBody = z.strictObject({
  data: z.array(z.strictObject({ topic_name: z.string(), configs: changesBody })).max(MAX_TOPICS),
  validate_only: isOnlyValidated
})
const failures = z.object({
  failures: z.array(z.object({ topic_name: text, error_code: z.int(), message: text }))
})

/** Changes of settings, as bodies have them. */
const toChanges = (sent: z.output<typeof changesBody>): ConfigChange[] =>
  sent.map(({ name, value, operation }) => ({ name, value: operation === 'DELETE' ? null : (value ?? null) }))

/** Finds what a request is about. */
type Find = (ask: AskV3) => Promise<ConfigResource>

async function settingNamed(ask: AskV3, resource: ConfigResource): Promise<Setting> {
  const { name = '' } = ask.params
  const found = (await settingsOf(ask, resource)).find(({ entry }) => entry.name === name)
  if (found === undefined) throw noSetting(resource, name)
  return found
}

const alterNamed = (ask: AskV3, resource: ConfigResource, value: string | null): Promise<undefined> =>
  alter(ask, resource, [{ name: ask.params.name ?? '', value }])

/** The routes about the settings of one thing, by id. @param name of the thing in ids */
const routesOf = (
  name: string,
  path: string,
  of: string,
  kind: ResourceKind<Setting>,
  find: Find,
  [all, any] = [`The settings of ${of}`, `A setting of ${of}`]
): Readonly<Record<string, V3Route>> => ({
  [`list${name}Configs`]: list('admin.describeConfigs', path, all, kind, async ask => settingsOf(ask, await find(ask))),
  [`get${name}Config`]: one('admin.describeConfigs', `${path}/{name}`, any, kind, async ask =>
    settingNamed(ask, await find(ask))
  ),
  ...changesOf(name, path, of, find)
})

function changesOf(name: string, path: string, of: string, find: Find): Readonly<Record<string, V3Route>> {
  const verb = 'admin.alterConfigs'
  const named = { verb, path: `${path}/{name}` } as const
  return {
    [`set${name}Config`]: change(
      { method: 'put', ...named, summary: `Sets a setting of ${of}`, body: ['Its value', valueBody] },
      async (ask, { value = null }) => alterNamed(ask, await find(ask), value)
    ),
    [`reset${name}Config`]: change(
      { method: 'delete', ...named, summary: `Gives a setting of ${of} its default again` },
      async ask => alterNamed(ask, await find(ask), null)
    ),
    [`alter${name}Configs`]: change(
      {
        verb,
        method: 'post',
        path: `${path}:alter`,
        summary: `Changes settings of ${of}, all or none`,
        body: ['The changes', alterBody]
      },
      async (ask, { data, validate_only }) => alter(ask, await find(ask), toChanges(data), validate_only === true)
    )
  }
}

/** The routes of version 3 about settings of topics and brokers, by id. */
export const configRoutes = {
  ...routesOf(
    'Topic',
    `${CLUSTER}/topics/{topic_name}/configs`,
    'a topic',
    ofTopics,
    async ({ params: { topic_name: topic = '' } }) => topicResource(topic)
  ),
  listAllTopicConfigs: list(
    'topicConfigs',
    `${CLUSTER}/topics/-/configs`,
    'The settings of all topics',
    ofTopics,
    async ask => {
      const all = await ask.verbs.topics('all', ask.time.ms)
      return settingsOfAll(ask, () => {
        const topics = visibleTopics(ask, all)
        if (topics.length > MAX_TOPICS) throw tooManyTopics(topics.length)
        return topics.map(({ topic }) => topicResource(topic))
      })
    }
  ),
  alterAllTopicConfigs: change(
    {
      verb: 'admin.alterConfigs',
      method: 'post',
      path: `${CLUSTER}/topics/-/configs:alter`,
      summary: 'Changes settings of several topics',
      body: ['The changes of each topic', alterTopicsBody],
      targetOf: 'each',
      answers: {
        ...done,
        207: { description: 'These topics could not be changed, all others are', content: json(failures) }
      }
    },
    async (ask, { data, validate_only }) => {
      // Entries that name the same topic are one change of it.
      const wanted = new Map<string, ConfigChange[]>()
      for (const { topic_name: topic, configs } of data) {
        wanted.set(topic, [...(wanted.get(topic) ?? []), ...toChanges(configs)])
      }
      const topics = [...wanted]
      const failures: Resource[] = []
      for (let at = 0; at < topics.length; at += CHANGES_AT_ONCE) {
        const portion = topics
          .slice(at, at + CHANGES_AT_ONCE)
          .map(([topic, changes]) => failureOf(ask, topic, changes, validate_only === true))
        failures.push(...(await Promise.all(portion)).filter(failure => failure !== undefined))
      }
      return failures.length === 0 ? undefined : { status: MULTI_STATUS, body: { failures } }
    }
  ),
  ...routesOf('Broker', `${CLUSTER}/brokers/{broker_id}/configs`, 'a broker', ofBrokers, async ask =>
    brokerResource(await brokerOf(ask))
  ),
  listAllBrokerConfigs: list(
    'admin.describeConfigs',
    `${CLUSTER}/brokers/-/configs`,
    'The settings of all brokers',
    ofBrokers,
    async ask => {
      const { brokers } = await ask.describe()
      return settingsOfAll(ask, () => brokers.map(brokerResource))
    }
  ),
  ...routesOf('Cluster', `${CLUSTER}/broker-configs`, 'all brokers', ofCluster, async () => ({ type: 'brokers' }), [
    'The settings that all brokers share',
    'A setting that all brokers share'
  ])
} as const satisfies Readonly<Record<string, V3Route>>
