import { isInstant } from '../../core/instants.js'
import type { Offset } from '../../core/model.js'
import { type ReadByWebhook, readsSame, type WebhookDefinition } from '../../webhooks/definition.js'
import type { ResumeResult, SkipResult, TestResult, WebhookDesk } from '../../webhooks/webhook-desk.js'
import type { WebhookStatus } from '../../webhooks/webhook-status.js'
import type { ToldWebhook, WebhooksOfAll } from '../../webhooks/webhooks-of-all.js'
import { type AnswerOfPeer, askAll, type Foreign, fitting, isForeign, type Peers } from '../calls/peers.js'

/** Time limit for what another process only has to look up. */
const ASK_TIMEOUT_MS = 2_000
/** A dead letter is written meanwhile. */
const SKIP_TIMEOUT_MS = 10_000
/** Longer than the time limit of any attempt. */
const TEST_TIMEOUT_MS = 65_000

const STATUS = 'webhooks status'
const SKIP = 'webhooks skip'
const TEST = 'webhooks test'
const RESUME = 'webhooks resume'

/** The webhook as the one that asks has defined it. */
interface OfRecord extends ReadByWebhook {
  readonly partition: number
  readonly offset: Offset
}

const UNKNOWN = { type: 'unknownWebhook' } as const

/** Whether this process knows nothing of what is asked for, so that another one may. */
const isElsewhere = ({ type }: SkipResult | TestResult): boolean => type === 'notAtHand' || type === 'unknownWebhook'

const isNumber = (value: unknown): boolean => typeof value === 'number'
const isInstantOrNone = (value: unknown): boolean => value === undefined || isInstant(value)
const isListOf = (value: unknown, isRight: (one: Foreign<Record<string, unknown>>) => boolean): boolean =>
  Array.isArray(value) && value.every(one => isForeign(one) && isRight(one))

const isOldest = (value: unknown): boolean =>
  value === undefined || (isForeign(value) && isNumber(value.timestampMs) && isInstantOrNone(value.nextAttemptAt))

const isStatus = (one: Foreign<WebhookStatus>): boolean =>
  [one.name, one.cluster, one.topic, one.group, one.origin, one.state].every(text => typeof text === 'string') &&
  [one.inFlight, one.window].every(isNumber) &&
  [one.failingSince, one.pausedUntil].every(isInstantOrNone) &&
  isListOf(one.partitions, of => [of.partition, of.open, of.parked].every(isNumber) && isOldest(of.oldest)) &&
  isListOf(one.attempts, of => isInstant(of.at) && isNumber(of.ms)) &&
  isForeign(one.totals)

const isTyped = (answer: unknown): boolean => isForeign(answer) && typeof answer.type === 'string'

/** What the answer to each call must be. */
const FITS = {
  [STATUS]: (answer: unknown): boolean => isListOf(answer, isStatus),
  [SKIP]: isTyped,
  [TEST]: (answer: unknown): boolean =>
    isForeign(answer) &&
    isTyped(answer) &&
    (answer.type !== 'sent' || (isForeign(answer.answer) && isNumber(answer.ms))),
  [RESUME]: isTyped
}

/** The webhooks of this gateway, and of the others. */
export class PeerWebhooks<Id extends number | string> implements WebhooksOfAll {
  readonly #desk: WebhookDesk
  readonly #definitions: () => readonly WebhookDefinition[]
  readonly #peers: Peers<Id> | undefined

  /** @param peers absent: there are no others */
  constructor(desk: WebhookDesk, definitions: () => readonly WebhookDefinition[], peers?: Peers<Id>) {
    this.#desk = desk
    this.#definitions = definitions
    this.#peers = peers
    peers?.serve(STATUS, (name: string | undefined) => this.#own(name))
    peers?.serve(SKIP, async (record: OfRecord): Promise<SkipResult> => {
      const { name, partition, offset } = record
      return this.#isSame(record) ? desk.skip(name, partition, offset) : { type: 'notAtHand' }
    })
    peers?.serve(TEST, async (asked: ReadByWebhook) => (this.#isSame(asked) ? desk.test(asked.name) : UNKNOWN))
    peers?.serve(RESUME, (asked: ReadByWebhook) => (this.#isSame(asked) ? desk.resume(asked.name) : UNKNOWN))
  }

  get defined(): readonly WebhookDefinition[] {
    return this.#definitions()
  }

  async status(name?: string) {
    const answers = await this.#ask<readonly WebhookStatus[]>(STATUS, name, ASK_TIMEOUT_MS)
    const toTold = (gateway: string, statuses: readonly WebhookStatus[]): ToldWebhook[] =>
      statuses.map(status => ({ gateway, status }))
    const others = answers.flatMap(({ by, answer }) => (answer === undefined ? [] : toTold(String(by), answer)))
    const own = toTold(this.#peers === undefined ? 'this' : String(this.#peers.id), this.#own(name))
    const told = [...own, ...others.filter(({ status }) => this.#isSame(status))]
    return { told, silent: silentOf(answers) }
  }

  async skip(name: string, partition: number, offset: Offset) {
    const own = await this.#desk.skip(name, partition, offset)
    if (!isElsewhere(own)) return { result: own, silent: [] }
    const record: OfRecord = { ...this.#readBy(name), partition, offset }
    const isFound = (result: SkipResult): boolean => !isElsewhere(result)
    const answers = await this.#ask<SkipResult>(SKIP, record, SKIP_TIMEOUT_MS, isFound)
    const found = answers.find(({ answer }) => answer !== undefined && isFound(answer))
    return { result: found?.answer ?? { type: 'notAtHand' as const }, silent: found ? [] : silentOf(answers) }
  }

  async test(name: string): Promise<TestResult> {
    const own = await this.#desk.test(name)
    if (!isElsewhere(own)) return own
    // Gateways need not have the same definitions.
    for (const id of this.#peers?.others ?? []) {
      const [told] = await this.#ask<TestResult>(TEST, this.#readBy(name), TEST_TIMEOUT_MS, undefined, [id])
      if (told?.answer !== undefined && !isElsewhere(told.answer)) return told.answer
    }
    return own
  }

  async resume(name: string) {
    const own = this.#desk.resume(name)
    const answers = await this.#ask<ResumeResult>(RESUME, this.#readBy(name), ASK_TIMEOUT_MS)
    const all = [own, ...answers.flatMap(({ answer }) => answer ?? [])]
    const types = ['resumed', 'notGone', 'unknownWebhook'] as const
    const type = types.find(one => all.some(result => result.type === one))!
    return { result: { type }, silent: silentOf(answers) }
  }

  /**
   * Whether a definition is the one for which the rights of the client were checked. If the definitions of the
   * processes differ, one of the same name may have another topic.
   */
  #isSame(asked: ReadByWebhook): boolean {
    const own = this.defined.find(({ name }) => name === asked.name)
    return own === undefined || readsSame(own, asked)
  }

  #readBy(name: string): ReadByWebhook {
    const { cluster = '', topic = '' } = this.defined.find(one => one.name === name) ?? {}
    return { name, cluster, topic }
  }

  #own(name: string | undefined): readonly WebhookStatus[] {
    return this.#desk.status().filter(one => name === undefined || one.name === name)
  }

  async #ask<Answer>(
    call: keyof typeof FITS,
    body: unknown,
    timeoutMs: number,
    isEnough?: (answer: Answer) => boolean,
    ids = this.#peers?.others ?? []
  ): Promise<readonly AnswerOfPeer<Id, Answer>[]> {
    const ask = async (id: Id) =>
      fitting<Answer>(call, await this.#peers!.call(id, call, body, { timeoutMs }), FITS[call])
    return askAll(ids, ask, isEnough)
  }
}

const silentOf = (answers: readonly AnswerOfPeer<number | string, unknown>[]): string[] =>
  answers.flatMap(({ by, error }) => (error === undefined ? [] : [String(by)]))
