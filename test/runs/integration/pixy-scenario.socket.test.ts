import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { brief, PixyGateway } from '../../apis/kafka-pixy/stage.js'
import { until } from '../../http/server/stage.js'
import type { GroupInstance } from '../../support/group-instance.js'
import { checkRows } from '../../support/rows.js'
import { onCluster } from '../../support/stage.js'
import { withAdmin } from '../../support/target-cluster.js'

/** Topics of the scenario, with their partitions. Those that are gone are in none. */
const partitionsByTopic: Readonly<Record<string, number>> = {
  'run-any': 4,
  'run-quad': 4,
  'run-ch': 1,
  'run-one': 1,
  'run-four': 4,
  'run-keys': 4,
  'run-async': 1,
  'run-ct': 1,
  'run-form': 4,
  'run-lim': 1,
  'run-hdr': 1,
  'run-clu': 1,
  'run-nul': 1,
  'run-ack': 1,
  'run-ackh': 1,
  'run-neg': 1,
  'run-off': 4,
  'run-pre': 1,
  'run-conf': 2
}
const topicNames = Object.keys(partitionsByTopic).sort()
const configOfConf = { 'cleanup.policy': 'compact', 'retention.ms': '3600000' }
const longMetadata = `[{"partition":0,"offset":1,"metadata":"${'m'.repeat(5_000)}"}]`

/** Ids of brokers differ from cluster to cluster. */
const partitionsOf = (count: number): object[] =>
  Array.from({ length: count }, (_, partition) => ({ partition, leader: 'ID', replicas: ['ID'], isr: ['ID'] }))

const described = (members: { withConfig?: true; withPartitions: true }): object =>
  Object.fromEntries(
    topicNames.map(topic => [
      topic,
      {
        ...(members.withConfig && { config: { version: 1, config: topic === 'run-conf' ? configOfConf : {} } }),
        partitions: partitionsOf(partitionsByTopic[topic]!)
      }
    ])
  )

/** What words of the file stand for. */
const computed: ReadonlyMap<unknown, unknown> = new Map<unknown, unknown>([
  ['$topics', topicNames],
  ['$long', longMetadata],
  ['$four', partitionsOf(4)],
  ['$described', described({ withPartitions: true })],
  ['$described with config', described({ withConfig: true, withPartitions: true })]
])

interface Details {
  readonly type?: string
  readonly body?: string
  /** A body of so many bytes. */
  readonly bytes?: number
  /** Names and values in turn. */
  readonly headers?: readonly string[]
  readonly location?: string
  /** Partition and offset are not told before. */
  readonly isAnywhere?: boolean
  /** It becomes true in a moment. */
  readonly isSoon?: boolean
  /** Topic, partition and values of records that another client writes before. */
  readonly before?: readonly [topic: string, partition: number, values: readonly string[]]
}

type Step = readonly [name: string, ask: string, status: number, said: unknown, details?: Details]

/** What Kafka-Pixy answered, one request after another, a line each. What a `$word` stands for depends on the topics. */
const scenario: readonly Step[] = readFileSync('test/data/pixy-scenario.jsonl', 'utf8')
  .trim()
  .split('\n')
  .map(line => JSON.parse(line, (_, value) => computed.get(value) ?? value) as Step)

/** Steps whose answer is another one here: status and error. The reasons are in docs/compatibility/kafka-pixy.md. */
const deviations: ReadonlyMap<string, [status: number, error: string]> = new Map([
  [
    'unknown topic, sync, four times',
    [404, 'kafka server: Request was for a topic or partition that does not exist on this broker.']
  ],
  ['ack of an offset never offered', [400, 'offset 99 of {run-m run-neg 0} has not been offered']]
])

/** JSON to the byte as Go writes it. */
const asGo = (value: unknown): string =>
  JSON.stringify(value, null, 2).replace(/[<>&]/g, letter => `\\u00${letter.charCodeAt(0).toString(16)}`)

const NO_MESSAGE = `408 ${asGo({ error: 'long polling timeout' })}`

describe('pixy: what Kafka-Pixy answered', function () {
  this.timeout(120_000)
  const stage = onCluster()
  let pixy: PixyGateway
  let others: GroupInstance

  before(async () => {
    await createTopics(stage.bootstrap)
    const started = await PixyGateway.at(stage.bootstrap, {
      'delivery.createTopics': 'false',
      'consumer.longPollMs': '250',
      'advanced.consumer.commitIntervalMs': '20',
      'clusters.default.clientId': 'pixy-client'
    })
    pixy = stage.keep(started, one => one.stop())
    others = await stage.member()
  })

  it('each request of the scenario gets the answer that Kafka-Pixy gave', () =>
    checkRows(scenario, async ([name, ask, status, said, details = {}]) => {
      if (details.before) await others.produce(details.before[0], details.before[1], details.before[2])
      const [instead, error] = deviations.get(name) ?? [status, undefined]
      const body = error === undefined ? said : { error }
      const expected = `${instead} ${typeof body === 'string' ? body : asGo(body)}`
      let answer = await request(ask, details)
      // On a busy machine a long poll of a quarter of a second may end before the message has come. It changes nothing.
      const isEarly = (): boolean => status === 200 && answer.said === NO_MESSAGE
      const isAskedAgain = (): boolean => answer.said !== expected && (details.isSoon === true || isEarly())
      for (const endsAt = Date.now() + 20_000; isAskedAgain() && Date.now() < endsAt; ) {
        await new Promise(resolve => setTimeout(resolve, 20))
        answer = await request(ask, details)
      }
      expect(answer.said).to.equal(expected)
      const type = typeof said !== 'string' ? 'application/json' : said === '' ? '' : 'text/plain; charset=utf-8'
      expect([answer.type, answer.allow, answer.location]).to.deep.equal([type, undefined, details.location])
      if (status === 408) await isPinned(ask)
    }))

  it('pixy C10: a group that asks for nothing any more leaves', async () => {
    const quick = await PixyGateway.at(stage.bootstrap, {
      'consumer.longPollMs': '250',
      'consumer.subscriptionTimeoutMs': '300'
    })
    try {
      await quick.get('/topics/run-ch/messages?group=run-idle')
      const left = '400 {"error":"unknown consumer group run-idle"}'
      const consumers = async (): Promise<string> => brief(await quick.get('/topics/run-ch/consumers?group=run-idle'))
      await until(async () => (await consumers()) === left, 'that the group has left, but', consumers)
    } finally {
      await quick.stop()
    }
  })

  async function request(ask: string, details: Details) {
    const [method, path] = ask.split(' ') as [string, string]
    const headers: Record<string, string | string[]> =
      details.type === undefined ? {} : { 'content-type': details.type }
    const isChunked = details.headers?.includes('chunked') ?? false
    const body = details.bytes === undefined ? details.body : Buffer.alloc(details.bytes, 'x')
    const more = isChunked ? [] : (details.headers ?? [])
    const {
      status,
      type,
      headers: answered,
      body: text
    } = await pixy.ask(path, {
      method,
      headers,
      more,
      isChunked,
      ...(body === undefined ? {} : { body })
    })
    const { allow, location } = answered
    return { said: `${status} ${normalized(text, details)}`, type, allow, location }
  }

  /** The first poll of a group has told where it begins; on a slow machine that takes longer than the poll. */
  async function isPinned(ask: string): Promise<void> {
    const path = ask.slice('GET '.length).replace('/messages', '/offsets')
    for (;;) {
      const { status, body } = await pixy.get(path)
      if (status === 404 || !body.includes('"offset": -1')) return
    }
  }
})

function normalized(text: string, { isAnywhere }: Details): string {
  const known = isAnywhere ? text.replace(/: \d+/g, ': "N"') : text
  return ofRun(known)
    .replace(/("leader": )\d+/g, '$1"ID"')
    .replace(/("(?:replicas|isr)": )\[[\d\s,]+\]/g, '$1[\nID\n]')
    .replace(/( +)("(?:replicas|isr)": \[)\nID\n\]/g, '$1$2\n$1  "ID"\n$1]')
    .replace(/"pixy-client[^"]*": \[([\d,]+)\]/g, (_, numbers: string) => {
      const lines = numbers.split(',').map(number => `      ${number}`)
      return `"CLIENT": [\n${lines.join(',\n')}\n    ]`
    })
}

/** Without topics of others. */
function ofRun(text: string): string {
  if (/^\[\s+"/.test(text)) return asGo((JSON.parse(text) as string[]).filter(topic => topic.startsWith('run-')))
  if (!/^\{\s+"(run-|__)[^"]*": \{\s+"(config|partitions)"/.test(text)) return text
  const topics = Object.entries(JSON.parse(text) as object).filter(([topic]) => topic.startsWith('run-'))
  return asGo(Object.fromEntries(topics))
}

async function createTopics(bootstrap: string): Promise<void> {
  const configEntries = Object.entries(configOfConf).map(([name, value]) => ({ name, value }))
  const topics = Object.entries(partitionsByTopic).map(([topic, numPartitions]) => ({
    topic,
    numPartitions,
    replicationFactor: 3,
    configEntries: topic === 'run-conf' ? configEntries : []
  }))
  await withAdmin(bootstrap, admin => admin.createTopics({ topics, waitForLeaders: true }))
}
