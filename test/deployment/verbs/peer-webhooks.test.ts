import { expect } from 'chai'
import { NO_ANSWER, PeerError, type PeerHandler, type Peers } from '../../../src/deployment/calls/peers.js'
import { decodeBody, encodeBody } from '../../../src/deployment/gateways/body.js'
import { PeerWebhooks } from '../../../src/deployment/verbs/peer-webhooks.js'
import type { ResumeResult, SkipResult, TestResult, WebhookDesk } from '../../../src/webhooks/webhook-desk.js'
import type { WebhookStatus } from '../../../src/webhooks/webhook-status.js'
import { hook } from '../../webhooks/webhook-stage.js'

/** Processes of one deployment, without sockets. Bodies and answers go the way of calls between gateways. */
class Deployment {
  readonly members = new Map<string, Member>()
  /** What was asked: `a>b webhooks skip`. */
  readonly calls: string[] = []

  /** @param topic of the webhook `orders` by the settings of this one; absent: it has none */
  add(id: string, desk: Partial<WebhookDesk> = {}, topic?: string): PeerWebhooks<string> {
    const member = new Member(id, this)
    this.members.set(id, member)
    const own: WebhookDesk = { ...ofNothing, ...desk }
    const defined = topic === undefined ? [] : [hook({ name: 'orders', topic })]
    return new PeerWebhooks<string>(own, () => defined, member)
  }
}

class Member implements Peers {
  readonly id: string
  isAway = false
  readonly #deployment: Deployment
  readonly #handlers = new Map<string, PeerHandler<string>>()

  constructor(id: string, deployment: Deployment) {
    this.id = id
    this.#deployment = deployment
  }

  get others(): string[] {
    return [...this.#deployment.members.keys()].filter(id => id !== this.id)
  }

  serve(name: string, handler: PeerHandler<string>): void {
    this.#handlers.set(name, handler)
  }

  async call(to: string, name: string, body: unknown): Promise<unknown> {
    this.#deployment.calls.push(`${this.id}>${to} ${name}`)
    const other = this.#deployment.members.get(to)!
    if (other.isAway) throw new PeerError('away', { name: 'Error', message: 'away', code: NO_ANSWER })
    const sent = decodeBody(encodeBody(body))
    return decodeBody(encodeBody(await other.#handlers.get(name)!(sent, { from: this.id, timeoutMs: 1 })))
  }

  onGone(): void {}
}

const ofNothing: WebhookDesk = {
  status: () => [],
  skip: async () => ({ type: 'unknownWebhook' }),
  test: async () => ({ type: 'unknownWebhook' }),
  resume: () => ({ type: 'unknownWebhook' }),
  configure: () => undefined,
  close: async () => undefined
}

const statusOf = (name: string) =>
  ({
    name,
    cluster: '',
    topic: '',
    group: name,
    origin: 'https://shop',
    state: 'running',
    deadLettersStopped: false,
    foreignMember: false,
    sendsAborted: false,
    partitions: [],
    inFlight: 0,
    window: 1,
    attempts: [],
    totals: { requests: new Map([['2xx', 3]]), deadLetters: 0, skipped: 0, lost: 0, headersLeftOut: 0 }
  }) as unknown as WebhookStatus
const skipping = (result: SkipResult) => ({ skip: async () => result })
const SKIPPED = { type: 'skipped' } as const
const NOT_AT_HAND = { type: 'notAtHand' } as const

describe('webhooks of several processes', () => {
  it('are told by all that answer, each by its name, and those that do not answer are named', async () => {
    const deployment = new Deployment()
    const webhooks = deployment.add('a', { status: () => [statusOf('orders'), statusOf('bills')] })
    deployment.add('b', { status: () => [statusOf('orders')] })
    deployment.add('c')
    deployment.members.get('c')!.isAway = true
    const { told, silent } = await webhooks.status('orders')
    expect(told).to.deep.equal([
      { gateway: 'a', status: statusOf('orders') },
      { gateway: 'b', status: statusOf('orders') }
    ])
    expect(silent).to.deep.equal(['c'])
    expect((await webhooks.status()).told).to.have.length(3)
  })

  it('of one process are told as those of `this`', async () => {
    const desk = { ...ofNothing, status: () => [statusOf('orders')] }
    const { told } = await new PeerWebhooks(desk, () => []).status()
    expect(told).to.deep.equal([{ gateway: 'this', status: statusOf('orders') }])
  })

  it('skip a record here, without a question to others', async () => {
    const deployment = new Deployment()
    const webhooks = deployment.add('a', skipping(SKIPPED))
    deployment.add('b')
    expect(await webhooks.skip('orders', 0, 7)).to.deep.equal({ result: SKIPPED, silent: [] })
    expect(deployment.calls).to.deep.equal([])
  })

  it('skip a record at the one that has it, whoever else does not answer', async () => {
    const deployment = new Deployment()
    const webhooks = deployment.add('a', skipping(NOT_AT_HAND))
    const asked: unknown[] = []
    deployment.add('b', {
      skip: async (...record) => {
        asked.push(record)
        return SKIPPED
      }
    })
    deployment.add('c')
    deployment.members.get('c')!.isAway = true
    expect(await webhooks.skip('orders', 3, 7)).to.deep.equal({ result: SKIPPED, silent: [] })
    expect(asked).to.deep.equal([['orders', 3, 7]])
  })

  it('skip no record of a webhook that has another topic elsewhere, nor tell of it', async () => {
    const deployment = new Deployment()
    const webhooks = deployment.add('a', skipping(NOT_AT_HAND), 'orders')
    const there = { ...statusOf('orders'), cluster: 'default', topic: 'salaries' }
    deployment.add('b', { ...skipping(SKIPPED), status: () => [there] }, 'salaries')
    expect((await webhooks.skip('orders', 3, 7)).result).to.deep.equal(NOT_AT_HAND)
    expect((await webhooks.status('orders')).told).to.deep.equal([])
    deployment.add('c', skipping(SKIPPED), 'orders')
    expect((await webhooks.skip('orders', 3, 7)).result).to.deep.equal(SKIPPED)
  })

  it('test and resume no webhook that has another topic elsewhere', async () => {
    const deployment = new Deployment()
    const webhooks = deployment.add('a', {}, 'orders')
    const sent = async (): Promise<TestResult> => ({ type: 'tooSoon', retryAfterMs: 5 })
    const resumed = (): ResumeResult => ({ type: 'resumed' })
    deployment.add('b', { test: sent, resume: resumed }, 'salaries')
    expect(await webhooks.test('orders')).to.deep.equal({ type: 'unknownWebhook' })
    expect(await webhooks.resume('orders')).to.deep.equal({ result: { type: 'unknownWebhook' }, silent: [] })
    deployment.add('c', { test: sent, resume: resumed }, 'orders')
    expect((await webhooks.test('orders')).type).to.equal('tooSoon')
    expect((await webhooks.resume('orders')).result).to.deep.equal({ type: 'resumed' })
  })

  it('name those that have not answered where a record is not found', async () => {
    const deployment = new Deployment()
    const webhooks = deployment.add('a', skipping(NOT_AT_HAND))
    deployment.add('b', skipping(NOT_AT_HAND))
    deployment.add('c')
    deployment.members.get('c')!.isAway = true
    expect(await webhooks.skip('orders', 0, 7)).to.deep.equal({ result: NOT_AT_HAND, silent: ['c'] })
  })

  it('tell why another one could not write the dead letter', async () => {
    const deployment = new Deployment()
    const webhooks = deployment.add('a', skipping(NOT_AT_HAND))
    const failed = { type: 'notWritten', message: 'too large' } as const
    deployment.add('b', skipping(failed))
    expect((await webhooks.skip('orders', 0, 7)).result).to.deep.equal(failed)
  })

  it('test an endpoint from here, or from the gateway that runs the webhook', async () => {
    const sent: TestResult = { type: 'tooSoon', retryAfterMs: 5 }
    const deployment = new Deployment()
    const webhooks = deployment.add('1')
    deployment.add('2')
    const there = deployment.add('3', { test: async () => sent })
    expect(await webhooks.test('orders')).to.deep.equal(sent)
    deployment.calls.length = 0
    expect(await there.test('orders')).to.deep.equal(sent)
    expect(deployment.calls).to.deep.equal([])
  })

  it('go on everywhere, where one of them was gone', async () => {
    const deployment = new Deployment()
    const result = (type: ResumeResult['type']) => ({ resume: () => ({ type }) })
    const webhooks = deployment.add('a', result('notGone'))
    deployment.add('b', result('resumed'))
    deployment.add('c')
    deployment.members.get('c')!.isAway = true
    expect(await webhooks.resume('orders')).to.deep.equal({ result: { type: 'resumed' }, silent: ['c'] })
    deployment.members.get('c')!.isAway = false
    deployment.members.delete('b')
    expect(await webhooks.resume('orders')).to.deep.equal({ result: { type: 'notGone' }, silent: [] })
  })

  it('count a gateway whose answer makes no sense as one that does not answer', async () => {
    const oldest = { offset: 1, timestampMs: 'today' }
    const partition = { partition: 0, open: 1, parked: 0 }
    const strange = [
      null,
      7,
      'running',
      {},
      [null],
      [{ name: 'orders' }],
      [{ ...statusOf('orders'), totals: null }],
      [{ ...statusOf('orders'), failingSince: 1e300 }],
      [{ ...statusOf('orders'), partitions: [null] }],
      [{ ...statusOf('orders'), partitions: [{ ...partition, oldest }] }],
      [{ ...statusOf('orders'), attempts: [{ at: null }] }],
      { type: 5 },
      { type: 'sent', answer: null }
    ]
    for (const answer of strange) {
      const deployment = new Deployment()
      const webhooks = deployment.add('a', skipping(NOT_AT_HAND), 'orders')
      deployment.add('b')
      for (const call of ['status', 'skip', 'test', 'resume'])
        deployment.members.get('b')!.serve(`webhooks ${call}`, () => answer)
      const { told, silent } = await webhooks.status('orders')
      expect(told.concat()).to.deep.equal([])
      expect(silent, JSON.stringify(answer)).to.deep.equal(['b'])
      expect(await webhooks.test('orders')).to.deep.equal({ type: 'unknownWebhook' })
      if (typeof (answer as { readonly type?: unknown } | null)?.type === 'string') continue
      expect(await webhooks.skip('orders', 0, 7)).to.deep.equal({ result: NOT_AT_HAND, silent: ['b'] })
      expect(await webhooks.resume('orders')).to.deep.equal({ result: { type: 'unknownWebhook' }, silent: ['b'] })
    }
  })
})
