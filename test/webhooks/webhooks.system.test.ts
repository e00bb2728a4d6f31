import nodeProcess from 'node:process'
import { expect } from 'chai'
import { openCastellan, type ProgramCastellan } from '../../src/client/open-castellan.js'
import { RecordBudget } from '../../src/core/record-budget.js'
import { errorCodes } from '../../src/kafka/error-codes.js'
import type { WebhookDefinition } from '../../src/webhooks/definition.js'
import type { Webhooks } from '../../src/webhooks/webhooks.js'
import { ForeignLeader } from '../runs/integration/foreign-leader.js'
import { onBroker } from '../support/stage.js'
import { freshTopic } from '../support/target-cluster.js'
import { FakeEndpoint, status } from './fake-endpoint.js'
import { hook, statusOf, webhooksOf } from './webhook-stage.js'

const GROUP = 'castellan-webhook-hook'

/** Asks until it is so; the test's own time limit ends it. */
async function until(isSo: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await isSo())) await new Promise(resolve => setTimeout(resolve, 5))
}

describe('webhooks', () => {
  const stage = onBroker()
  let castellan: ProgramCastellan
  let endpoint: FakeEndpoint
  beforeEach(async () => {
    castellan = await process()
    endpoint = new FakeEndpoint(() => 204)
  })

  const overflows: string[] = []
  const note = (warning: Error): unknown => warning.name === 'TimeoutOverflowWarning' && overflows.push(warning.message)
  before(() => nodeProcess.on('warning', note))
  after(() => nodeProcess.off('warning', note))

  /** Webhooks, by the process that they belong to. It ends after them. */
  const all = new Map<ProgramCastellan, Webhooks[]>()
  async function process(): Promise<ProgramCastellan> {
    const opened = await openCastellan({ brokers: stage.bootstrap })
    return stage.keep(opened, async one => {
      await Promise.all((all.get(one) ?? []).map(webhooks => webhooks.close(1_000)))
      await one.close({ timeoutMs: 5_000 })
    })
  }

  function open(
    changes: Partial<WebhookDefinition> & { readonly topic: string },
    over = castellan,
    senders: Parameters<typeof webhooksOf>[1] = endpoint,
    more: Parameters<typeof webhooksOf>[2] = {}
  ): Webhooks {
    const webhooks = webhooksOf(over, senders, more)
    all.set(over, [...(all.get(over) ?? []), webhooks])
    webhooks.configure([hook(changes)])
    return webhooks
  }
  const write = (topic: string, ...values: readonly string[]) =>
    castellan.produceOrThrow(values.map(value => ({ topic, key: value, value })))
  const isRead = (webhooks: Webhooks) => until(() => statusOf(webhooks).partitions.length > 0)
  const committed = async (topic: string) =>
    (await castellan.verbs.groups.offsets(GROUP, topic, 5_000))?.map(one => one.committed?.offset)
  const members = async () => (await castellan.verbs.groups.describe([GROUP], 5_000)).get(GROUP)?.members.length ?? 0

  it('send each record of the topic, and commit what was answered with 2xx', async () => {
    const topic = await stage.topic()
    await castellan.produceOrThrow([
      { topic, key: 'a', value: 'one' },
      { topic, key: null, value: null }
    ])
    const webhooks = open({ topic })
    await until(() => endpoint.attempts.length === 2)
    const [first, second] = endpoint.attempts
    expect(first!.body.toString()).to.equal('one')
    expect(Object.fromEntries(first!.named)).to.deep.equal({
      'content-type': 'text/plain',
      'x-castellan-topic': topic,
      'x-castellan-partition': '0',
      'x-castellan-offset': '0',
      'x-castellan-attempt': '1',
      'x-castellan-key': 'YQ=='
    })
    expect(second!.named.get('x-castellan-null')).to.equal('value')
    expect(second!.id).to.equal(first!.id.replace(/0$/, '1'))
    await until(async () => (await committed(topic))?.[0] === 2)
    expect(statusOf(webhooks)).to.include({ state: 'running', inFlight: 0, failingSince: undefined })
  })

  it('send all records, in the order of their keys, where the process may hold few bytes of records', async () => {
    const topic = await stage.topic('orders', 3)
    const values = Array.from({ length: 40 }, (_, at) => `${at} ${'x'.repeat(2_000)}`)
    const keyOf = (value: string): string => `k${Number.parseInt(value, 10) % 4}`
    await castellan.produceOrThrow(values.map(value => ({ topic, key: keyOf(value), value })))
    const records = new RecordBudget(1_000, () => performance.now())
    open({ topic }, castellan, endpoint, { records })
    await until(() => endpoint.attempts.length === values.length)
    for (const key of ['k0', 'k1', 'k2', 'k3'])
      expect(endpoint.bodies.filter(body => keyOf(body) === key)).to.deep.equal(
        values.filter(one => keyOf(one) === key)
      )
  })

  it('begin at the end of all partitions where start is latest, and where they have ended after that', async () => {
    const topic = await stage.topic('orders', 3)
    await write(topic, 'a', 'b', 'c', 'd', 'e')
    const webhooks = open({ topic, start: 'latest' })
    await isRead(webhooks)
    const ends = await committed(topic)
    expect(ends!.reduce((sum: number, end) => sum + end!, 0)).to.equal(5)
    await webhooks.close(1_000)
    await write(topic, 'f', 'g')
    open({ topic, start: 'latest' })
    await until(() => endpoint.attempts.length === 2)
    expect(endpoint.bodies).to.have.members(['f', 'g'])
  })

  it('wait for a topic that does not exist, and begin at its first record whatever start says', async () => {
    const topic = freshTopic('later')
    const webhooks = open({ topic, start: 'latest' })
    await until(() => statusOf(webhooks).state === 'waiting')
    await until(async () => (await members()) === 1)
    await stage.cluster.createTopic(topic, { partitions: 1 })
    await write(topic, 'first')
    await until(() => endpoint.attempts.length === 1)
    expect(statusOf(webhooks).state).to.equal('running')
  })

  for (const [what, changes] of [
    ['paused', { paused: true }],
    ['broken', { deadLetters: 'there-is-no-such-topic' }]
  ] as const)
    it(`send nothing while ${what}, and stay members`, async () => {
      const topic = await stage.topic()
      await write(topic, 'a')
      const webhooks = open({ topic, ...changes })
      await until(async () => (await members()) === 1)
      await isRead(webhooks)
      expect(statusOf(webhooks).state).to.equal(what)
      expect(overflows, 'no timer is longer than timers can be').to.deep.equal([])
      expect(endpoint.attempts).to.deep.equal([])
      webhooks.configure([hook({ topic })])
      await until(() => endpoint.attempts.length === 1)
      await until(() => statusOf(webhooks).state === 'running')
    })

  it('are broken while Kafka does not keep where they begin', async () => {
    const topic = await stage.topic()
    const match = { api: 'OffsetCommit', count: Number.POSITIVE_INFINITY } as const
    const fault = stage.cluster.faults.add(match, { type: 'error', errorCode: errorCodes.GROUP_AUTHORIZATION_FAILED })
    const webhooks = open({ topic })
    await until(() => statusOf(webhooks).state === 'broken')
    expect(await members()).to.equal(0)
    fault.remove()
    await write(topic, 'a')
    await until(() => endpoint.attempts.length === 1)
    expect(statusOf(webhooks)).to.include({ state: 'running', because: undefined })
  })

  it('are gone by 410 until they are resumed, or have another url', async () => {
    const topic = await stage.topic()
    endpoint.answers = () => 410
    const webhooks = open({ topic })
    await write(topic, 'a')
    for (const goOn of [
      () => expect(webhooks.resume('hook')).to.deep.equal({ type: 'resumed' }),
      () => webhooks.configure([hook({ topic, url: 'https://api.example.com/other' })])
    ]) {
      await until(() => statusOf(webhooks).state === 'gone')
      const before = endpoint.attempts.length
      goOn()
      await until(() => endpoint.attempts.length > before)
    }
    expect(await committed(topic)).to.deep.equal([0])
    expect(await members()).to.equal(1)
  })

  it('close the sender of a former url when its own attempts have ended, and keep it where the url is the same', async () => {
    const topic = await stage.topic()
    const senders: FakeEndpoint[] = []
    const webhooks = open({ topic }, castellan, () => {
      senders.push(new FakeEndpoint())
      return senders.at(-1)!
    })
    await write(topic, 'a')
    await until(() => senders[0]!.open.size === 1)
    webhooks.configure([hook({ topic, maxInFlight: 2 })])
    webhooks.configure([hook({ topic, maxInFlight: 3, paused: true })])
    expect(senders, 'neither pace nor state needs another one').to.have.length(1)
    const tested = webhooks.test('hook')
    webhooks.configure([hook({ topic, url: 'https://api.example.com/other' })])
    const [former, next] = senders as [FakeEndpoint, FakeEndpoint]
    expect(former.isClosed, 'two attempts are under way').to.equal(false)
    await write(topic, 'b')
    ;[...former.open].find(({ id }) => id.startsWith('test-'))!.answer(200)
    expect(await tested).to.deep.include({ answer: status(200) })
    former.attempts[0]!.answer(200)
    await until(() => next.open.size === 1)
    expect(former.isClosed, 'those of the next one do not keep it').to.equal(true)
    expect(next.isClosed).to.equal(false)
  })

  it('that pause for a Retry-After go on when they are resumed', async () => {
    const topic = await stage.topic()
    endpoint.answers = () => status(503, 3_600_000)
    const webhooks = open({ topic })
    await write(topic, 'a')
    await until(() => statusOf(webhooks).pausedUntil !== undefined)
    endpoint.answers = () => 200
    expect(webhooks.resume('hook')).to.deep.equal({ type: 'resumed' })
    await until(() => endpoint.attempts.length === 2)
    await until(() => statusOf(webhooks).failingSince === undefined)
    expect(webhooks.resume('hook')).to.deep.equal({ type: 'notGone' })
  })

  it('leave their group when they are removed, and go on where they were when they come back', async () => {
    const topic = await stage.topic()
    const webhooks = open({ topic })
    await write(topic, 'a')
    await until(() => endpoint.attempts.length === 1)
    webhooks.configure([])
    expect(webhooks.status()).to.deep.equal([])
    webhooks.configure([hook({ topic })])
    await write(topic, 'b')
    await until(() => endpoint.attempts.length === 2)
    expect(endpoint.bodies).to.deep.equal(['a', 'b'])
    webhooks.configure([])
    await until(async () => (await members()) === 0)
  })

  it('share the partitions of their topic among gateways, and lose and double none in a hand-over', async () => {
    const topic = await stage.topic('orders', 4)
    const first = open({ topic })
    await write(topic, ...Array.from({ length: 50 }, (_, at) => `a${at}`))
    await until(() => endpoint.attempts.length === 50)
    const second = open({ topic }, await process())
    await until(() => statusOf(second).partitions.length === 2)
    await until(() => statusOf(first).partitions.length === 2)
    await write(topic, ...Array.from({ length: 50 }, (_, at) => `b${at}`))
    await until(() => endpoint.attempts.length === 100)
    await first.close(1_000)
    await until(() => statusOf(second).partitions.length === 4)
    await write(topic, ...Array.from({ length: 50 }, (_, at) => `c${at}`))
    await until(() => endpoint.attempts.length === 150)
    expect(new Set(endpoint.bodies).size).to.equal(150)
  })

  it('wait at their end for answers under way, which count, and begin no further attempt', async () => {
    const topic = await stage.topic()
    endpoint.answers = () => undefined
    const webhooks = open({ topic })
    await write(topic, 'a', 'b')
    await until(() => endpoint.attempts.length === 1)
    const closed = webhooks.close(5_000)
    endpoint.attempts[0]!.answer(204)
    await closed
    expect(endpoint.attempts).to.have.length(1)
    expect(endpoint.isClosed).to.equal(true)
    expect(await committed(topic)).to.deep.equal([1])
  })

  it('end in their time where no broker answers', async () => {
    const topic = await stage.topic()
    endpoint.answers = () => undefined
    const webhooks = open({ topic })
    await write(topic, 'a')
    await until(() => endpoint.attempts.length === 1)
    await castellan.router.stop()
    await webhooks.close(50)
    expect(endpoint.open.size, 'it is cut').to.equal(0)
  })

  it('lend no record to other gateways, whatever is wanted there', async () => {
    const topic = await stage.topic()
    const { groups } = castellan
    const wanted = { isWanted: true, waits: () => undefined, atHand: () => undefined }
    groups.lending = { of: () => wanted }
    endpoint.answers = () => undefined
    open({ topic, maxInFlight: 1 })
    // More than are taken at once.
    await write(topic, ...Array.from({ length: 100 }, (_, at) => `${at}`))
    for (let sent = 1; sent < 5; sent++) {
      await until(() => endpoint.attempts.length === sent)
      groups.wanted(GROUP, topic)
      const lent = await groups.lend(GROUP, topic, { maxMessages: 1, maxBytes: 1_000, maxMessageBytes: 1_000 })
      expect(lent?.messages).to.equal(undefined)
      endpoint.attempts.at(-1)!.answer(200)
    }
  })

  it('write dead letters into their topic', async () => {
    const [topic, dead] = [await stage.topic(), await stage.topic('dead')]
    endpoint.answers = () => 422
    const webhooks = open({ topic, deadLetters: dead })
    await write(topic, 'a')
    await until(() => statusOf(webhooks).totals.deadLetters === 1)
    const reader = castellan.read(dead)
    const { value } = await reader.next()
    expect(String(value.value)).to.equal('a')
    await reader.return?.()
    await until(async () => (await committed(topic))?.[0] === 1)
  })

  it('tell that a client of another kind is a member of the group', async () => {
    const topic = await stage.topic()
    const foreign = await ForeignLeader.join(stage.bootstrap, GROUP, topic)
    const webhooks = open({ topic })
    await until(async () => (await members()) === 2)
    webhooks.configure([hook({ topic, maxAttempts: 5 })])
    await until(() => statusOf(webhooks).foreignMember)
    await foreign.stop()
    await until(async () => (await members()) === 1)
    webhooks.configure([hook({ topic, maxAttempts: 6 })])
    await until(() => !statusOf(webhooks).foreignMember)
  })

  it('send an empty request as a test, once a second', async () => {
    const topic = await stage.topic()
    const webhooks = open({ topic, paused: true })
    const result = await webhooks.test('hook')
    expect(result).to.deep.include({ type: 'sent', answer: { kind: 'status', status: 204, retryAfterMs: undefined } })
    const [sent] = endpoint.attempts
    expect(sent!.id).to.match(/^test-/)
    expect(sent!.named.get('x-castellan-test')).to.equal('true')
    expect(sent!.body).to.have.length(0)
    expect(await webhooks.test('hook')).to.include({ type: 'tooSoon' })
    expect(await webhooks.test('other')).to.deep.equal({ type: 'unknownWebhook' })
  })
})
