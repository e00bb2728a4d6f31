import type { Offset } from '../../core/model.js'
import { type ReadByWebhook, readsSame, type WebhookDefinition } from '../../webhooks/definition.js'
import type { SkipResult, TestResult, WebhookDesk } from '../../webhooks/webhook-desk.js'
import type { WebhookStatus } from '../../webhooks/webhook-status.js'
import type { ToldWebhook, WebhooksOfAll } from '../../webhooks/webhooks-of-all.js'
import { ask, type Call, serve } from '../calls/call.js'
import { type AnswerOfPeer, askAll, type Peers } from '../calls/peers.js'
import { CALLS } from '../calls/table.js'

const { status, skip, test, resume } = CALLS.webhooks

const UNKNOWN = { type: 'unknownWebhook' } as const

/** Whether this process knows nothing of what is asked for, so that another one may. */
const isElsewhere = ({ type }: SkipResult | TestResult): boolean => type === 'notAtHand' || type === 'unknownWebhook'

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
    if (peers === undefined) return
    serve(peers, status, name => this.#own(name))
    serve(peers, skip, record => {
      const { name, partition, offset } = record
      return this.#isSame(record) ? desk.skip(name, partition, offset) : { type: 'notAtHand' }
    })
    serve(peers, test, asked => (this.#isSame(asked) ? desk.test(asked.name) : UNKNOWN))
    serve(peers, resume, asked => (this.#isSame(asked) ? desk.resume(asked.name) : UNKNOWN))
  }

  get defined(): readonly WebhookDefinition[] {
    return this.#definitions()
  }

  async status(name?: string) {
    const answers = await this.#ask(status, name)
    const toTold = (gateway: string, statuses: readonly WebhookStatus[]): ToldWebhook[] =>
      statuses.map(one => ({ gateway, status: one }))
    const others = answers.flatMap(({ by, answer }) => (answer === undefined ? [] : toTold(String(by), answer)))
    const own = toTold(this.#peers === undefined ? 'this' : String(this.#peers.id), this.#own(name))
    const told = [...own, ...others.filter(({ status }) => this.#isSame(status))]
    return { told, silent: silentOf(answers) }
  }

  async skip(name: string, partition: number, offset: Offset) {
    const own = await this.#desk.skip(name, partition, offset)
    if (!isElsewhere(own)) return { result: own, silent: [] }
    const record = { ...this.#readBy(name), partition, offset }
    const isFound = (result: SkipResult): boolean => !isElsewhere(result)
    const answers = await this.#ask(skip, record, isFound)
    const found = answers.find(({ answer }) => answer !== undefined && isFound(answer))
    return { result: found?.answer ?? { type: 'notAtHand' as const }, silent: found ? [] : silentOf(answers) }
  }

  async test(name: string): Promise<TestResult> {
    const own = await this.#desk.test(name)
    if (!isElsewhere(own)) return own
    // Gateways need not have the same definitions.
    for (const id of this.#peers?.others ?? []) {
      const [told] = await this.#ask(test, this.#readBy(name), undefined, [id])
      if (told?.answer !== undefined && !isElsewhere(told.answer)) return told.answer
    }
    return own
  }

  async resume(name: string) {
    const own = this.#desk.resume(name)
    const answers = await this.#ask(resume, this.#readBy(name))
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

  #ask<Question, Answer>(
    call: Call<Question, Answer>,
    question: Question,
    isEnough?: (answer: Answer) => boolean,
    ids = this.#peers?.others ?? []
  ): Promise<readonly AnswerOfPeer<Id, Answer>[]> {
    return askAll(ids, id => ask(this.#peers!, id, call, question), isEnough)
  }
}

const silentOf = (answers: readonly AnswerOfPeer<number | string, unknown>[]): string[] =>
  answers.flatMap(({ by, error }) => (error === undefined ? [] : [String(by)]))
