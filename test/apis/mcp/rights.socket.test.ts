import { expect } from 'chai'
import type { Operation } from '../../../src/http/access/access.js'
import { toMatcher } from '../../../src/http/access/rules.js'
import { makeToken } from '../../support/access.js'
import { SeededRandom, testSeed } from '../../support/random.js'
import { type Called, McpGateway } from './stage.js'

const TOPICS = ['shop-a', 'shop-b', 'bank-a']
const GROUPS = ['g-a', 'g-b']
const PATTERNS = ['*', 'shop-*', 'shop-a', 'bank-*']
const GROUP_PATTERNS = ['*', 'g-a', 'g-b']
const RIGHTS: readonly Operation[] = ['produce', 'consume', 'offsets', 'admin', 'management']
const PRINCIPALS = 23
const CALLS = 300

interface Rule {
  readonly principals: string[]
  readonly operations: Operation[]
  readonly topics: string[]
  readonly groups: string[]
}

/** The same question by HTTP. */
interface Question {
  readonly url: string
  readonly method?: string
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Names in its answer. Absent: only its status is compared. */
  readonly names?: (body: string) => readonly string[]
}

/** A tool, and how HTTP is asked the same. */
interface Pair {
  readonly tool: string
  readonly args: Record<string, unknown>
  readonly asked: readonly Question[]
  readonly names?: (result: Called['structuredContent']) => readonly string[]
}

const namesIn = (list: string, name: string) => (result: Called['structuredContent']) =>
  (result[list] as Record<string, string>[]).map(one => one[name]!)

describe('the rights of agents', function () {
  this.timeout(120_000)
  const random = new SeededRandom(testSeed())
  const tokens = Array.from({ length: PRINCIPALS }, (_, at) => ({ principal: `p${at}`, ...makeToken() }))
  const someOf = <Item>(items: readonly Item[]): Item[] => items.filter(() => random.next() < 0.4)
  const rules: Rule[] = tokens.slice(1).flatMap(({ principal }) =>
    Array.from({ length: random.between(0, 2) }, () => ({
      principals: [principal],
      operations: [...new Set([random.pick(RIGHTS), ...someOf(RIGHTS)])],
      topics: [random.pick(PATTERNS)],
      groups: [random.pick(GROUP_PATTERNS)]
    }))
  )
  const all: Rule = { principals: ['p0'], operations: [...RIGHTS, 'create', 'cluster'], topics: ['*'], groups: ['*'] }
  const everyRule = [all, ...rules]
  let gateway: McpGateway
  let clusterId: string

  before(async () => {
    gateway = await McpGateway.open(
      { write: true },
      {
        auth: { tokens: tokens.map(({ principal, sha256 }) => ({ principal, sha256 })) },
        access: { rules: everyRule, audit: 'all' }
      }
    )
    for (const topic of TOPICS) gateway.cluster.createTopic(topic, { partitions: 1 })
    for (const topic of TOPICS)
      for (const group of GROUPS) {
        const url = `${gateway.app.urls.shared}/pixy/topics/${topic}/offsets?group=${group}`
        const body = '[{"partition":0,"offset":0}]'
        expect((await fetch(url, { method: 'POST', body, headers: headersOf(0) })).status).to.equal(200)
      }
    const found = await fetch(`${gateway.app.urls.shared}/confluent/v3/clusters`, { headers: headersOf(0) })
    clusterId = ((await found.json()) as { data: { cluster_id: string }[] }).data[0]!.cluster_id
  })
  after(() => gateway.close())

  const headersOf = (who: number): Record<string, string> => ({ authorization: `Bearer ${tokens[who]!.token}` })

  /** Whether a rule gives a right for anything. */
  const hasAny = (who: number, right: Operation): boolean =>
    everyRule.some(({ principals, operations }) => principals.includes(`p${who}`) && operations.includes(right))
  const allows = (who: number, right: Operation, topic: string, group?: string): boolean =>
    everyRule.some(
      ({ principals, operations, topics, groups }) =>
        principals.includes(`p${who}`) &&
        operations.includes(right) &&
        topics.some(one => toMatcher(one)(topic)) &&
        (group === undefined || groups.some(one => toMatcher(one)(group)))
    )

  function pairOf(tool: string): Pair {
    const [topic, group] = [random.pick(TOPICS), random.pick(GROUPS)]
    const { shared, management } = gateway.app.urls
    const reading = { url: `${shared}/events/${topic}?from=earliest&timeout=0` }
    const v3 = `${shared}/confluent/v3/clusters/${clusterId}`
    const lagged = `${shared}/pixy/topics/${topic}/offsets?group=${group}`
    const groups = {
      url: `${v3}/consumer-groups`,
      names: (body: string) =>
        (JSON.parse(body).data as { consumer_group_id: string }[]).map(one => one.consumer_group_id)
    }
    const lags = {
      url: `${v3}/consumer-groups/${group}/lags`,
      names: (body: string) => (JSON.parse(body).data as { topic_name: string }[]).map(one => one.topic_name)
    }
    const pairs: Readonly<Record<string, Omit<Pair, 'tool'>>> = {
      list_topics: {
        args: {},
        asked: [{ url: `${shared}/pixy/topics`, names: body => JSON.parse(body) as string[] }],
        names: namesIn('topics', 'topic')
      },
      describe_topic: { args: { topic }, asked: [{ url: `${shared}/pixy/topics/${topic}` }] },
      read_messages: { args: { topic }, asked: [reading] },
      find_record: { args: { topic, key: 'k' }, asked: [reading] },
      get_schema: { args: { topic }, asked: [reading] },
      list_groups: { args: {}, asked: [groups], names: namesIn('groups', 'group') },
      group_lag: { args: { group, topic }, asked: [{ url: lagged }] },
      group_lag_of_all: { args: { group }, asked: [lags], names: namesIn('topics', 'topic') },
      queue_status: { args: { topic, group }, asked: [{ url: `${shared}/queues/${topic}/${group}` }] },
      list_problems: { args: {}, asked: [{ url: `${management}/status.json` }] },
      produce_message: {
        args: { topic, value: 'x' },
        asked: [
          {
            url: `${shared}/confluent/topics/${topic}`,
            method: 'POST',
            body: '{"records":[{"value":"eA=="}]}',
            headers: { 'content-type': 'application/vnd.kafka.binary.v2+json' }
          }
        ]
      }
    }
    return { tool: tool.replace('_of_all', ''), ...pairs[tool]! }
  }

  const TOOLS = [
    ...['list_topics', 'describe_topic', 'read_messages', 'find_record', 'get_schema', 'list_groups', 'group_lag'],
    ...['group_lag_of_all', 'queue_status', 'list_problems', 'produce_message']
  ]

  async function compare(who: number, tool: string): Promise<'allowed' | 'refused'> {
    const { tool: name, args, asked, names } = pairOf(tool)
    const hint = `${tokens[who]!.principal}: ${name} ${JSON.stringify(args)} by ${JSON.stringify(rules)}`
    const headers = headersOf(who)
    const isKnown = everyRule.some(({ principals }) => principals.includes(`p${who}`))
    let called: Called | undefined
    try {
      called = await gateway.call(name, args, headers)
    } catch (error) {
      // No rule names the client.
      expect(isKnown, hint).to.equal(false)
      expect((error as Error).message, hint).to.match(/^answered 403/)
    }
    const code = called === undefined ? 'forbidden' : called.structuredContent.error
    for (const { url, method = 'GET', body, headers: further, names: namesOf } of asked) {
      const answer = await fetch(url, {
        method,
        headers: { ...headers, ...further },
        ...(body !== undefined && { body })
      })
      const text = await answer.text()
      const isRefused = answer.status === 403
      // HTTP may need one right less where it shows less.
      if (isRefused) expect(code, `${hint}: HTTP answers 403 ${text}`).to.equal('forbidden')
      else if (namesOf === undefined) expect(code, `${hint}: HTTP answers ${answer.status}`).not.to.equal('forbidden')
      if (names === undefined || namesOf === undefined || code !== undefined) continue
      const seen = answer.status === 200 ? namesOf(text) : []
      expect(
        names(called!.structuredContent).filter(one => !seen.includes(one)),
        `${hint}: seen by HTTP ${seen}`
      ).to.deep.equal([])
    }
    const shown = JSON.stringify(called ?? {})
    for (const topic of TOPICS.filter(one => one !== args.topic))
      if (shown.includes(topic)) expect(allows(who, 'admin', topic), `${hint}: shows ${topic}`).to.equal(true)
    return code === 'forbidden' ? 'refused' : 'allowed'
  }

  it(`are those of HTTP: ${PRINCIPALS} principals in ${CALLS} random calls see no more`, async () => {
    const seen = { allowed: 0, refused: 0 }
    for (let call = 0; call < CALLS; call++)
      seen[await compare(random.between(0, PRINCIPALS - 1), TOOLS[call % TOOLS.length]!)]++
    expect(Math.min(seen.allowed, seen.refused)).to.be.above(CALLS / 20)
  })

  it('are the tools that a client is listed', async () => {
    const rightsOf: Readonly<Record<string, readonly Operation[]>> = {
      list_problems: ['management'],
      list_topics: ['admin'],
      describe_topic: ['admin'],
      read_messages: ['consume'],
      find_record: ['consume'],
      list_groups: ['admin', 'offsets'],
      group_lag: ['offsets'],
      queue_status: ['offsets'],
      get_schema: ['consume'],
      produce_message: ['produce']
    }
    for (let who = 0; who < PRINCIPALS; who++) {
      const { status, text } = await gateway.post({ jsonrpc: '2.0', id: 1, method: 'tools/list' }, headersOf(who))
      const expected = Object.keys(rightsOf).filter(name => rightsOf[name]!.some(right => hasAny(who, right)))
      if (status === 403) expect(expected).to.deep.equal([])
      else expect(JSON.parse(text).result.tools.map(({ name }: { name: string }) => name)).to.deep.equal(expected)
    }
  })

  it('are in one audit line per call, with the tool and what it is about', async () => {
    const auditOf = async (name: string, args: object): Promise<Record<string, unknown>[]> => {
      const before = gateway.lines.length
      await gateway.call(name, args, headersOf(0))
      return gateway.lines
        .slice(before)
        .flatMap(({ fields }) => ('allowed' in fields ? [fields as Record<string, unknown>] : []))
    }
    const lines = await auditOf('read_messages', { topic: 'shop-a' })
    expect(lines.map(({ requestId, address, ...rest }) => rest)).to.deep.equal([
      { allowed: true, principal: 'p0', method: 'token', operation: 'consume', topic: 'shop-a', tool: 'read_messages' }
    ])
    for (const [name, args] of [
      ['list_topics', {}],
      ['group_lag', { topic: 'shop-a', group: 'g-a' }],
      ['list_problems', {}],
      ['produce_message', { topic: 'shop-a', value: 'x', idempotency_key: 'a' }]
    ] as const) {
      const [line, ...others] = await auditOf(name, args)
      expect([line, others]).to.deep.equal([{ ...line, tool: name, allowed: true }, []])
    }
  })
})
