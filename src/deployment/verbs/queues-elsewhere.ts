import { ACKNOWLEDGE_TYPES } from '../../consumer/queue/queue-messages.js'
import { gatewayOfHolder, holderOfToken } from '../../consumer/queue/queue-token.js'
import { addTo, groupBy } from '../../core/maps.js'
import { type QueueVerbs, type Settlement, type TokenResult, tokensOf } from '../../verbs/verbs.js'
import { WrappedQueues } from '../../verbs/wrapped.js'
import { ask, askOthers, type Call, inCluster, serve } from '../calls/call.js'
import type { AskedSettlement, SentResult } from '../calls/group-calls.js'
import { askAll, NO_ANSWER, type PeerError, type Peers } from '../calls/peers.js'
import { CALLS } from '../calls/table.js'

/** Time limit for reading changed settings. */
const SETTINGS_TIMEOUT_MS = 10_000

/** The settlement of a token at any gateway: the one that holds its message settles it. */
export class PeerQueues<Id> extends WrappedQueues {
  readonly #holders: Holders<Id>
  readonly #settleAt: ReturnType<typeof settlingAt<Id>>
  readonly #configure: QueueVerbs['configure']

  constructor(own: QueueVerbs, cluster: string, peers: Peers<Id>) {
    super(own)
    this.#holders = new Holders(own, cluster, peers)
    this.#settleAt = settlingAt(own, cluster, peers)
    this.#configure = configuredAtAll(own, cluster, peers)
  }

  override async settle(...[topic, groupId, settlement, client]: AskedSettlement): Promise<readonly TokenResult[]> {
    const { own } = this
    const all = tokensOf(settlement)
    const isOwn = (token: string): boolean => [undefined, own.holder].includes(holderOfToken(token))
    if (all.every(isOwn)) return own.settle(topic, groupId, settlement, client)
    const settleHere = (tokens: readonly string[]) =>
      own.settle(topic, groupId, onlyOf(settlement, tokens), client) as Promise<readonly TokenResult[]>
    const ofOthers = all.filter(token => !isOwn(token))
    const parts = await Promise.all([
      // Own messages do not wait until it is known who the others are.
      settleHere(all.filter(isOwn)),
      this.#holders.each(ofOthers, (id, tokens) =>
        id === undefined ? settleHere(tokens) : this.#settleAt(id, [topic, groupId, onlyOf(settlement, tokens), client])
      )
    ])
    const results = new Map(parts.flat().map(result => [result.token, result]))
    return all.map(token => results.get(token) ?? { token, outcome: 'unknown' })
  }

  override configure(...asked: Parameters<QueueVerbs['configure']>) {
    return this.#configure(...asked)
  }
}

/**
 * Serves settlements of other processes.
 *
 * @returns a function that passes a settlement on to another process, and never rejects. What could not be asked is elsewhere;
 *   what may have been asked, and was not answered, is unknown
 */
export function settlingAt<Id>(own: QueueVerbs, cluster: string, peers: Peers<Id>) {
  const call = inCluster(CALLS.queues.settle, cluster)
  // The own queues settle, so a settlement is not passed on again.
  serve(peers, call, async asked => {
    const since = performance.now()
    return (await own.settle(...asked)).map(result => sinceReceipt(result, since))
  })
  return async (id: Id, asked: AskedSettlement): Promise<readonly TokenResult[]> => {
    const [, , settlement, client] = asked
    const allAre = (outcome: TokenResult['outcome']) => {
      const results = tokensOf(settlement).map(token => ({ token, outcome }))
      own.count?.(results)
      return results
    }
    const askedAt = performance.now()
    try {
      return (await ask(peers, id, call, asked, { client })).map(result => byOwnClock(result, askedAt))
    } catch (error) {
      const { cause } = error as PeerError
      return allAre(cause === undefined || cause.code === NO_ANSWER ? 'unknown' : 'elsewhere')
    }
  }
}

function sinceReceipt({ lockEndsAt, ...rest }: TokenResult, receivedAt: number): SentResult {
  return lockEndsAt === undefined ? rest : { ...rest, lockMs: lockEndsAt - receivedAt }
}

/**
 * Translates a lock to the clock of this process, at which the call was made before the other one got it: its lock ends no
 * sooner.
 */
function byOwnClock({ lockMs, ...rest }: SentResult, askedAt: number): TokenResult {
  return lockMs === undefined ? rest : { ...rest, lockEndsAt: askedAt + lockMs }
}

/** Changes settings of a group, and tells all processes: those that hold messages for the group read its settings again. */
export function configuredAtAll<Id>(own: QueueVerbs, cluster: string, peers: Peers<Id>): QueueVerbs['configure'] {
  const call = inCluster(CALLS.queues.configured, cluster)
  serve(peers, call, async ([topic, groupId]) => {
    await own.configure(topic, groupId, {}, SETTINGS_TIMEOUT_MS)
  })
  return async (topic, groupId, changes, timeoutMs) => {
    const settings = await own.configure(topic, groupId, changes, timeoutMs)
    await askOthers(peers, call, [topic, groupId])
    return settings
  }
}

/** Finds the process that gives out certain tokens. Each process tells this when it is asked. */
class Holders<Id> {
  readonly #peers: Peers<Id>
  readonly #call: Call<object, string>
  readonly #asked = new Map<Id, Promise<unknown>>()
  /** Answers of the processes; '' for a process that gives out none. */
  readonly #told = new Map<Id, string>()

  constructor(own: QueueVerbs, cluster: string, peers: Peers<Id>) {
    this.#peers = peers
    this.#call = inCluster(CALLS.queues.holder, cluster)
    serve(peers, this.#call, () => own.holder ?? '')
    peers.onGone(id => {
      this.#asked.delete(id)
      this.#told.delete(id)
    })
  }

  /**
   * Calls back with the tokens of each process that can settle them: the process that has given them out, or its
   * successor. `undefined`: there is none. Tokens of a known process wait for no other one. Never rejects.
   */
  async each<Result>(
    tokens: readonly string[],
    settle: (id: Id | undefined, tokens: readonly string[]) => Promise<readonly Result[]>
  ): Promise<readonly Result[]> {
    const left = groupBy(tokens, token => holderOfToken(token) ?? '')
    const settling: Promise<readonly Result[]>[] = []
    const settleThose = (idOf: (holder: string) => Id | undefined, isLast: boolean): void => {
      const found = new Map<Id | undefined, string[]>()
      for (const [holder, ofHolder] of left) {
        const id = idOf(holder)
        if (id === undefined && !isLast) continue
        for (const token of ofHolder) addTo(found, id, token)
        left.delete(holder)
      }
      for (const [id, ofId] of found) settling.push(settle(id, ofId))
    }
    const settleKnown = (): void => {
      const ids = new Map([...this.#told].map(([id, holder]) => [holder, id]))
      settleThose(holder => ids.get(holder), false)
    }
    settleKnown()
    if (left.size > 0) {
      const untold = this.#peers.others.filter(id => !this.#told.has(id))
      const ask = (id: Id) => (this.#asked.get(id) ?? this.#ask(id)).then(settleKnown)
      await askAll(untold, ask, () => left.size === 0)
    }
    const successors = new Map([...this.#told].map(([id, holder]) => [gatewayOfHolder(holder), id]))
    settleThose(holder => successors.get(gatewayOfHolder(holder)), true)
    return (await Promise.all(settling)).flat()
  }

  #ask(id: Id): Promise<unknown> {
    const asked = ask(this.#peers, id, this.#call, {}).then(
      holder => {
        // The process may have been asked, be gone, and its answer come late.
        if (this.#asked.get(id) === asked) this.#told.set(id, holder)
      },
      () => {
        if (this.#asked.get(id) === asked) this.#asked.delete(id)
      }
    )
    this.#asked.set(id, asked)
    return asked
  }
}

function onlyOf(settlement: Settlement, tokens: readonly string[]): Settlement {
  const all = new Set(tokens)
  const lists = ACKNOWLEDGE_TYPES.map(type => [type, settlement[type].filter(token => all.has(token))])
  return { ...settlement, ...Object.fromEntries(lists) }
}
