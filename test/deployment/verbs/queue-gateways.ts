import {
  type CallOptions,
  NO_ANSWER,
  NOT_SENT,
  PeerError,
  type PeerHandler,
  type Peers
} from '../../../src/deployment/calls/peers.js'
import { decodeBody, encodeBody } from '../../../src/deployment/gateways/body.js'
import { sharedVerbs } from '../../../src/deployment/verbs/shared-verbs.js'
import { NOTHING_TO_SETTLE, type Settlement, type Verbs } from '../../../src/verbs/verbs.js'
import { ScriptedQueues } from '../../consumer/queue/scripted-queues.js'
import type { FakeTime } from '../../support/fake-time.js'
import { FakeVerbs } from '../../support/fake-verbs.js'

/** What becomes of calls to a gateway: carried out, or carried out and not answered, or not. */
type Reach =
  | 'answers'
  | 'is cut off after it has heard'
  | 'hears nothing'
  | 'does not answer'
  | 'is gone'
  | 'is full'
  | 'is of an earlier build'

const failure = (code: string | undefined) => new PeerError('no', { name: 'Error', message: 'no', code })

/** One of several gateways, whose queues and whose Kafka are a test's. */
export class QueueGateway implements Peers {
  readonly id: string
  readonly scripted: ScriptedQueues
  readonly verbs: Verbs
  reach: Reach = 'answers'
  /** Functions that end the calls to it while it does not answer: their time is over. */
  readonly unanswered: (() => void)[] = []
  readonly #all: Map<string, QueueGateway>
  readonly #calls: string[]
  readonly #handlers = new Map<string, PeerHandler<string>>()
  readonly #whenGone: ((id: string) => void)[] = []

  /** @param calls as `a>b settle 2`, with the number of tokens */
  constructor(id: string, gateway: number, all: Map<string, QueueGateway>, calls: string[], time: FakeTime) {
    this.id = id
    this.scripted = new ScriptedQueues({ gateway, time })
    this.#all = all
    this.#calls = calls
    const own = new FakeVerbs()
    own.queues = this.scripted.queues
    this.verbs = sharedVerbs(own, 'default', this, this.scripted.records)
    all.set(id, this)
  }

  settle(words: Partial<Settlement>) {
    return this.verbs.queues.settle('orders', 'workers', { ...NOTHING_TO_SETTLE, ...words }, 'someone')
  }

  /** Offers messages to a client that waits. @returns the tokens, in the order of the offsets */
  async give(...offsets: number[]): Promise<string[]> {
    const client = await this.scripted.acquire({ count: offsets.length })
    this.scripted.reader.acquire(...offsets.map(offset => ({ offset })))
    return client.tokens
  }

  /** The process ends; it has been there under this id for the last time. */
  end(): void {
    this.#all.delete(this.id)
    for (const other of this.#all.values()) for (const listener of other.#whenGone) listener(this.id)
  }

  get others(): readonly string[] {
    return [...this.#all.keys()].filter(id => id !== this.id)
  }

  serve(name: string, handler: PeerHandler<string>): void {
    this.#handlers.set(name, handler)
  }

  async call(to: string, name: string, body: unknown, { timeoutMs }: CallOptions): Promise<unknown> {
    const [, verb] = name.split(' ')
    const count = verb === 'settle' ? ` ${tokenCountOf(body)}` : ''
    this.#calls.push(`${this.id}>${to} ${verb}${count}`)
    const other = this.#all.get(to)
    await new Promise(setImmediate)
    if (other === undefined || other.reach === 'is gone') throw failure(NOT_SENT)
    if (other.reach === 'hears nothing') throw failure(NO_ANSWER)
    if (other.reach === 'does not answer') {
      await new Promise<void>(resolve => other.unanswered.push(resolve))
      throw new PeerError('no answer in time')
    }
    if (other.reach === 'is full') throw failure('overloaded')
    if (other.reach === 'is of an earlier build') throw failure(undefined)
    const handle = other.#handlers.get(name)!
    const answer = encodeBody(await handle(decodeBody(encodeBody(body)), { from: this.id, timeoutMs }))
    if (other.reach === 'is cut off after it has heard') throw new PeerError('no answer in time')
    return decodeBody(answer)
  }

  onGone(listener: (id: string) => void): void {
    this.#whenGone.push(listener)
  }
}

function tokenCountOf(body: unknown): number {
  const { accept, release, reject, renew } = (body as readonly unknown[])[2] as Settlement
  return accept.length + release.length + reject.length + renew.length
}
