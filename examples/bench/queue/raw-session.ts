import { randomUUID } from 'node:crypto'
import type { Castellan } from 'castellan'
import { DIST } from '../tools/in-process.js'

type AskRouter = typeof import('../../../src/router/routing/ask-router.js').askRouter

const ACCEPT = 1
const FETCH = { maxWaitMs: 1_000, minBytes: 1, maxBytes: 10_000_000 }

/**
 * The least a client of the protocol can do: one session, one partition, one connection. Each ShareFetch acknowledges what
 * the one before has acquired.
 */
export class RawSession {
  readonly #router: Parameters<AskRouter>[0]
  readonly #ask: AskRouter
  readonly #place: { readonly nodeId: number; readonly groupId: string; readonly memberId: string }
  readonly #partition: { readonly topicId: string; readonly partition: number }
  #epoch = 0
  #held: { readonly first: number; readonly last: number } | undefined

  private constructor(
    ask: AskRouter,
    router: Parameters<AskRouter>[0],
    topicId: string,
    nodeId: number,
    group: string
  ) {
    this.#ask = ask
    this.#router = router
    this.#place = { nodeId, groupId: group, memberId: randomUUID() }
    this.#partition = { topicId, partition: 0 }
  }

  static async open(castellan: Castellan, topic: string, group: string): Promise<RawSession> {
    const { askRouter }: { askRouter: AskRouter } = await import(new URL('index.js', DIST).href)
    const router = castellan.router.ref
    const found = await askRouter(router, { type: 'fetchTopicMetadata', topics: [topic] })
    const known = found.type === 'success' ? found.topics.get(topic) : undefined
    if (known?.topicId === undefined) throw new Error(`${topic} is not known`)
    return new RawSession(askRouter, router, known.topicId, known.partitions[0]!.leaderId, group)
  }

  /** Acknowledges what it holds, and acquires as many messages. Resolves with how many came. */
  async next(count: number): Promise<number> {
    const held = this.#held
    const epoch = this.#epoch++
    const result = await this.#ask(this.#router, {
      type: 'shareFetch',
      ...this.#place,
      ...FETCH,
      epoch,
      maxRecords: count,
      batchSize: count,
      added: epoch === 0 ? [this.#partition] : [],
      forgotten: [],
      acknowledgements: held === undefined ? [] : [{ ...this.#partition, ranges: [{ ...held, types: [ACCEPT] }] }]
    })
    if (result.type !== 'success') throw new Error(`a fetch was answered ${JSON.stringify(result)}`)
    const records = result.partitions[0]?.records ?? []
    this.#held = records.length === 0 ? undefined : rangeOf(records.map(({ record }) => record.offset))
    return records.length
  }
}

const rangeOf = (offsets: readonly number[]) => ({ first: offsets[0]!, last: offsets.at(-1)! })
