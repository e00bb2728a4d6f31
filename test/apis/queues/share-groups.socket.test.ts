import { expect } from 'chai'
import { KafkaError, TimedOutError } from '../../../src/core/errors.js'
import type { ResetTo, ShareGroupList, ShareGroupsOnly } from '../../../src/verbs/verbs.js'
import { PlayedAccess } from '../kafka-pixy/play.js'
import { QueuesPlay } from './stage.js'

const QUEUE = '/orders/workers'
const group = {
  groupId: 'workers',
  state: 'Empty',
  coordinatorId: 1,
  members: [],
  topics: ['orders', 'secret'],
  partitions: new Map()
}

/** A client that sees neither the group `hidden` nor the topic `secret`. */
class PartialAccess extends PlayedAccess {
  override callerOf() {
    return {
      ...super.callerOf(),
      allows: (_: string, { topic, group }: { readonly topic?: string; readonly group?: string } = {}) =>
        group !== 'hidden' && topic !== 'secret'
    }
  }
}

describe('queues: their list', () => {
  let play: QueuesPlay
  beforeEach(async () => {
    play = await QueuesPlay.open({ access: new PartialAccess() })
    play.queues.ofGroups = { groups: [group], next: undefined } satisfies ShareGroupList
  })
  afterEach(() => play.close())

  it('is of the groups and topics that the client may see, in pages', async () => {
    play.queues.ofGroups = { groups: [group], next: 'wörkers&x' }
    const { status, body } = await play.ask('GET', '/?after=a%20b')
    expect([status, JSON.parse(body)]).to.deep.equal([
      200,
      {
        groups: [{ group: 'workers', state: 'Empty', members: 0, topics: ['orders'], topicCount: 1 }],
        next: 'wörkers&x'
      }
    ])
    const [verb, only] = play.queues.asked[0] as [string, ShareGroupsOnly]
    expect([verb, only.after, only.most]).to.deep.equal(['list', 'a b', 100])
    expect(['workers', 'hidden'].map(name => only.includes!(name))).to.deep.equal([true, false])
  })

  it('is at the prefix of the API, on its own port, and below the path of a cluster', async () => {
    for (const [path, at] of [
      ['/', play.url],
      ['/?after=', play.url],
      ['/', play.ownUrl],
      ['/clusters/default/', play.url]
    ] as const) {
      const { status, body } = await play.ask('GET', path, undefined, {}, at)
      expect([status, JSON.parse(body).next], path).to.deep.equal([200, null])
    }
    expect((await fetch(play.url)).status, 'without a slash').to.equal(200)
    expect(await play.problem('GET', '/clusters/none/')).to.deep.equal([
      404,
      'invalidRequest',
      'there is no such cluster'
    ])
  })

  it('names at most 100 topics of a group, and says how many there are', async () => {
    const topics = Array.from({ length: 1_000 }, (_, at) => `orders-${at}`)
    play.queues.ofGroups = { groups: [{ ...group, topics }], next: undefined }
    const [row] = JSON.parse((await play.ask('GET', '/')).body).groups
    expect([row.topics, row.topicCount]).to.deep.equal([topics.slice(0, 100), 1_000])
  })

  it('is 501 where Kafka has no share groups', async () => {
    play.queues.ofGroups = new KafkaError(35, 'share groups need Kafka 4.2', false)
    expect(await play.problem('GET', '/')).to.deep.equal([501, 'kafka', 'share groups need Kafka 4.2'])
  })
})

describe('queues: a reset', () => {
  let play: QueuesPlay
  beforeEach(async () => {
    play = await QueuesPlay.open()
    play.queues.ofGroups = [{ partition: 0, from: null, to: 7 }]
  })
  afterEach(() => play.close())

  const wanted: [to: unknown, asked: ResetTo][] = [
    ['earliest', 'earliest'],
    ['latest', 'latest'],
    ['2026-11-20T12:00:00Z', { timestampMs: Date.UTC(2026, 10, 20, 12) }],
    ['2026-11-20T12:00:00.500+02:00', { timestampMs: Date.UTC(2026, 10, 20, 10, 0, 0, 500) }],
    [
      { 0: 12, 31: 0 },
      {
        offsets: new Map([
          [0, 12],
          [31, 0]
        ])
      }
    ]
  ]
  it('is to the beginning, the end, a time, or offsets', async () => {
    for (const [to, asked] of wanted) {
      const { status, body } = await play.ask('POST', `${QUEUE}/reset`, { to })
      expect([status, body]).to.deep.equal([200, '{"partitions":[{"partition":0,"from":null,"to":7}]}'])
      expect(play.queues.asked.at(-1)).to.deep.equal(['reset', 'orders', 'workers', asked, false, 10_000])
    }
    await play.ask('POST', `${QUEUE}/reset`, { to: 'latest', dryRun: true })
    expect(play.queues.asked.at(-1)).to.deep.equal(['reset', 'orders', 'workers', 'latest', true, 10_000])
  })

  it('to what is no place is refused before Kafka is asked', async () => {
    const wrong = [
      {},
      { to: 'now' },
      { to: null },
      { to: '2026-11-20' },
      { to: '2026-11-20T12:00:00' },
      { to: {} },
      { to: { a: 1 } },
      { to: { '00': 1 } },
      { to: { 0: -1 } },
      { to: { 0: 1.5 } },
      { to: { 0: 2 ** 60 } },
      '{"to":{"__proto__":1}}',
      { to: 'latest', dryRun: 'no' },
      { to: 'latest', dry_run: true }
    ]
    for (const body of wrong) {
      const [status, code] = await play.problem('POST', `${QUEUE}/reset`, body)
      expect([status, code], JSON.stringify(body)).to.deep.equal([400, 'invalidRequest'])
    }
    expect(play.queues.asked).to.deep.equal([])
  })

  const failures: [error: Error, status: number, code: string][] = [
    [new KafkaError(68, 'group workers has members', false), 409, 'kafka'],
    [new KafkaError(69, 'there is no share group workers', false), 404, 'kafka'],
    [new KafkaError(3, 'no state of the topic', false), 404, 'kafka'],
    [new KafkaError(35, 'Kafka 4.2', false), 501, 'kafka'],
    [new KafkaError(30, 'not the gateway', false), 403, 'notAuthorized'],
    [new TimedOutError('the change', 10_000), 504, 'timedOut']
  ]
  it('and a deletion have what Kafka says passed on', async () => {
    for (const [error, status, code] of failures) {
      play.queues.ofGroups = error
      const told = [status, code, error.message]
      expect(await play.problem('POST', `${QUEUE}/reset`, { to: 'latest' })).to.deep.equal(told)
      expect(await play.problem('DELETE', QUEUE)).to.deep.equal(told)
    }
  })

  it('is not a deletion, which names the topic of a group', async () => {
    play.queues.ofGroups = undefined
    const { status, body } = await play.ask('DELETE', '/orders/a%20b')
    expect([status, body]).to.deep.equal([204, ''])
    expect(play.queues.asked).to.deep.equal([['forget', 'orders', 'a b', 10_000]])
  })
})
