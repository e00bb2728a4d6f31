import { readFileSync, writeFileSync } from 'node:fs'
import type { Client } from '@modelcontextprotocol/client'
import { expect } from 'chai'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { type Called, McpGateway } from './stage.js'

const PAGE = 'docs/mcp.md'
const TROUBLES = ['groupLags', 'notAuthorized', 'topicMissing']
/** Characters of a result on the page. */
const MAX_SHOWN = 430
const SECTION = /(?<=^## Five questions\n\n)[\s\S]*?(?=^## )/m

/** A question of a person, and how an agent finds the answer. */
interface Question {
  readonly text: string
  readonly tool: string
  readonly args: Record<string, unknown>
  /** What the agent answers, by the result alone. */
  readonly answer: (result: Called['structuredContent']) => string
}

const rowsOf = (result: Called['structuredContent'], list: string) => result[list] as Record<string, unknown>[]

const QUESTIONS: readonly Question[] = [
  {
    text: 'What is wrong?',
    tool: 'list_problems',
    args: {},
    answer: result =>
      rowsOf(result, 'problems')
        // Those that are lost are a consequence, and come later.
        .filter(({ kind }) => kind !== 'recordsLost')
        .map(({ kind, subject, words }) => {
          const word = (_: string, place: string) => (words as Record<string, string>)[place]!
          return `${kind}: ${String(subject).replace(/\{(w\d+)\}/g, word)}`
        })
        .sort()
        .join('; ')
  },
  {
    text: 'How far is the group billing behind, and where?',
    tool: 'group_lag',
    args: { group: 'billing', topic: 'orders' },
    answer: result => {
      const [worst] = rowsOf(result, 'partitions')
      return `${result.lag} records, of which ${worst!.lag} in partition ${worst!.partition}`
    }
  },
  {
    text: 'Is the order 4711 in Kafka?',
    tool: 'find_record',
    args: { topic: 'orders', key: '4711' },
    answer: result => {
      const [found] = rowsOf(result, 'records')
      return `${result.verdict}: partition ${found!.partition}, offset ${found!.offset}`
    }
  },
  {
    text: 'What do the last orders look like?',
    tool: 'read_messages',
    args: { topic: 'orders', partition: 0, count: 2 },
    answer: result =>
      rowsOf(result, 'records')
        .map(({ value }) => value)
        .join(', ')
  },
  {
    text: 'Where are the partitions of orders, and how many records do they have?',
    tool: 'describe_topic',
    args: { topic: 'orders' },
    answer: result =>
      rowsOf(result, 'partitions')
        .map(({ partition, leader, next_offset: end }) => `${partition} at broker ${leader}: ${end}`)
        .join(', ')
  }
]

/** What differs from run to run. */
const steady = (text: string): string =>
  text
    .replace(/\b1\d{12}\b/g, '1795953600000')
    .replace(/\b\d+(?:\.\d+)? (?:ms|s)(?: ago)?\b/g, found => (found.endsWith('ago') ? '5 s ago' : '5 s'))
    .replace(/\b\d{2}:\d{2}(?::\d{2})?(?= UTC| Z)/g, '12:00:00')
    .replace(/just now/g, '5 s ago')

describe('Five questions to an agent', function () {
  this.timeout(60_000)
  let gateway: McpGateway
  let client: Client

  before(async () => {
    gateway = await McpGateway.open(
      {},
      { delivery: { createTopics: false }, metrics: { lag: { everyMs: 1_000, groups: ['billing'] } } }
    )
    const { shared } = gateway.app.urls
    gateway.cluster.createTopic('orders', { partitions: 2 })
    gateway.cluster.createTopic('payments', { partitions: 1 })
    const orders = Array.from({ length: 1_200 }, (_, n) => ({
      key: String(3_512 + n),
      value: `{"order":${3_512 + n}}`
    }))
    await gateway.write('orders', orders)
    const body = '[{"partition":0,"offset":100},{"partition":1,"offset":0}]'
    await fetch(`${shared}/pixy/topics/orders/offsets?group=billing`, { method: 'POST', body })
    const errorCode = errorCodes.TOPIC_AUTHORIZATION_FAILED
    gateway.cluster.faults.add(
      { api: 'Produce', topic: 'payments', count: Number.POSITIVE_INFINITY },
      { type: 'error', errorCode }
    )
    for (const topic of ['ordres', 'payments']) {
      const records = [{ topic, data: '{}' }]
      await fetch(`${shared}/kprf/push`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ records, wait_for_send: false })
      })
    }
    client = await gateway.client('2026-07-28')
  })
  after(async () => {
    await client?.close()
    await gateway.close()
  })

  const ask = async ({ tool, args }: Question): Promise<Called['structuredContent']> => {
    const { isError, structuredContent } = (await client.callTool({ name: tool, arguments: args })) as unknown as Called
    expect(isError, JSON.stringify(structuredContent)).to.not.equal(true)
    return structuredContent
  }

  it('are answered by calls of listed tools alone, and the page has these calls and answers', async () => {
    const { tools } = await client.listTools()
    const kindsOf = (result: Called['structuredContent']) => new Set(rowsOf(result, 'problems').map(({ kind }) => kind))
    // All three troubles are known once Kafka was asked for the lag and has answered.
    const isKnown = async (): Promise<boolean> => {
      const kinds = kindsOf(await ask(QUESTIONS[0]!))
      return TROUBLES.every(kind => kinds.has(kind))
    }
    while (!(await isKnown())) await new Promise(resolve => setTimeout(resolve, 200))
    const parts: string[] = []
    for (const question of QUESTIONS) {
      const { text, tool, args, answer } = question
      expect(tools.map(({ name }) => name)).to.include(tool)
      const result = await ask(question)
      const told = steady(JSON.stringify(result))
      const shown = told.length > MAX_SHOWN ? `${told.slice(0, MAX_SHOWN)}…` : told
      parts.push(
        `**${text}** ${steady(answer(result))}\n\n\`\`\`text\n${tool} ${JSON.stringify(args)}\n${shown}\n\`\`\`\n`
      )
    }
    const section = `${parts.join('\n')}\n`
    const page = readFileSync(PAGE, 'utf8')
    if (process.env.WRITE_PAGE !== undefined)
      writeFileSync(
        PAGE,
        page.replace(SECTION, () => section)
      )
    expect(readFileSync(PAGE, 'utf8').match(SECTION)?.[0]).to.equal(section)
  })
})
