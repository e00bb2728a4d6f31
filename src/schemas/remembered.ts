import { LRUCache } from 'lru-cache'
import { OverloadedError } from '../core/errors.js'
import type { MonotonicClock } from '../core/model.js'
import { Shares } from '../core/shares.js'
import { SchemaError } from './schema-error.js'

/** For this time what failed is not tried again, so that a flood of wrong ids costs the registry little. */
export const FAILURE_LASTS_MS = 5_000
/** Limit of different questions that wait; one owner gets about half of it. */
const MAX_WAITING = 1_000

/** A limit of the gateway, and no failure of the registry: it is not remembered. */
export const TOO_MANY_QUESTIONS = new OverloadedError('too many schemas are asked for at the same time')

interface RememberedAnswer {
  readonly result: { readonly value: unknown } | { readonly error: Error }
  readonly until: number
}

/**
 * Answers by their questions, within a number of bytes. Those who ask the same question at a time share one answer. An
 * answer that has become old serves on while the registry cannot be asked, or too much is asked of it. Where the one who has asked first may not go on,
 * other owners ask in turn.
 */
export class RememberedAnswers {
  readonly #entries: LRUCache<string, RememberedAnswer>
  readonly #waiting = new Map<string, { readonly answer: Promise<unknown>; readonly owner: string | undefined }>()
  readonly #shares = new Shares(MAX_WAITING, 'questions to the schema registry')
  readonly #sizeOf: (value: unknown) => number
  readonly #clock: MonotonicClock

  constructor(maxBytes: number, sizeOf: (value: unknown) => number, clock: MonotonicClock) {
    this.#entries = new LRUCache({ maxSize: maxBytes })
    this.#sizeOf = sizeOf
    this.#clock = clock
  }

  /** @param lastsMs how long an answer is used @param owner has a share of the places, and is not told that another one may not go on */
  async get<Value>(
    question: readonly unknown[],
    ask: () => Promise<Value>,
    lastsMs: (value: Value) => number = () => Number.POSITIVE_INFINITY,
    owner?: string
  ): Promise<Value> {
    const key = JSON.stringify(question)
    const entry = this.#entries.get(key)
    if (entry !== undefined && this.#clock() < entry.until) {
      if ('error' in entry.result) throw entry.result.error
      return entry.result.value as Value
    }
    const waiting = this.#waiting.get(key)
    if (waiting !== undefined)
      return (waiting.answer as Promise<Value>).catch(error => {
        if (error instanceof OverloadedError && waiting.owner !== owner) return this.get(question, ask, lastsMs, owner)
        throw error
      })
    if (this.#shares.problemOf(owner) !== undefined) {
      if (entry !== undefined && 'value' in entry.result) return entry.result.value as Value
      throw TOO_MANY_QUESTIONS
    }
    const release = this.#shares.take(owner)
    const answer = this.#ask(key, ask, lastsMs, entry).finally(() => {
      this.#waiting.delete(key)
      release()
    })
    this.#waiting.set(key, { answer, owner })
    return answer
  }

  /** The answer, where it is known and does not end. */
  peek<Value>(question: readonly unknown[]): Value | undefined {
    const entry = this.#entries.get(JSON.stringify(question))
    return entry !== undefined && 'value' in entry.result ? (entry.result.value as Value) : undefined
  }

  set(question: readonly unknown[], value: unknown): void {
    this.#remember(JSON.stringify(question), { value }, Number.POSITIVE_INFINITY)
  }

  async #ask<Value>(
    key: string,
    ask: () => Promise<Value>,
    lastsMs: (value: Value) => number,
    old: RememberedAnswer | undefined
  ): Promise<Value> {
    try {
      const value = await ask()
      this.#remember(key, { value }, lastsMs(value))
      return value
    } catch (error) {
      const isNotAsked =
        error === TOO_MANY_QUESTIONS || (error instanceof SchemaError && error.reason === 'registryUnreachable')
      if (isNotAsked && old !== undefined && 'value' in old.result) {
        this.#remember(key, old.result, FAILURE_LASTS_MS)
        return old.result.value as Value
      }
      if (error instanceof SchemaError) this.#remember(key, { error }, FAILURE_LASTS_MS)
      throw error
    }
  }

  #remember(key: string, result: RememberedAnswer['result'], lastsMs: number): void {
    const size = key.length + this.#sizeOf('value' in result ? result.value : undefined)
    // The cache takes nothing that is larger than itself, and each request would ask for it again.
    this.#entries.set(
      key,
      { result, until: this.#clock() + lastsMs },
      { size: Math.min(size, this.#entries.maxSize / 2) }
    )
  }
}
