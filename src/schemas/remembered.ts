import { LRUCache } from 'lru-cache'
import { OverloadedError } from '../core/errors.js'
import type { MonotonicClock } from '../core/model.js'
import { SchemaError } from './schema-error.js'

/** For this time what failed is not tried again, so that a flood of wrong ids costs the registry little. */
export const FAILURE_LASTS_MS = 5_000
/** So many different questions may wait at a time. */
const MAX_WAITING = 1_000

interface Entry {
  readonly result: { readonly value: unknown } | { readonly error: Error }
  readonly until: number
}

/**
 * Answers by their questions, within a number of bytes. Those who ask the same question at a time share one answer. An
 * answer that has become old serves on while the registry cannot be asked. Where the one who has asked first may not go on,
 * other owners ask in turn.
 */
export class RememberedAnswers {
  readonly #entries: LRUCache<string, Entry>
  readonly #waiting = new Map<string, { readonly answer: Promise<unknown>; readonly owner: string | undefined }>()
  readonly #sizeOf: (value: unknown) => number
  readonly #clock: MonotonicClock

  constructor(maxBytes: number, sizeOf: (value: unknown) => number, clock: MonotonicClock) {
    this.#entries = new LRUCache({ maxSize: maxBytes })
    this.#sizeOf = sizeOf
    this.#clock = clock
  }

  /** @param lastsMs how long an answer is used @param owner one is not told that another one may not go on */
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
    if (this.#waiting.size >= MAX_WAITING)
      throw new SchemaError('registryUnreachable', 'too many schemas are asked for')
    const answer = this.#ask(key, ask, lastsMs, entry).finally(() => this.#waiting.delete(key))
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
    old: Entry | undefined
  ): Promise<Value> {
    try {
      const value = await ask()
      this.#remember(key, { value }, lastsMs(value))
      return value
    } catch (error) {
      if (!(error instanceof SchemaError)) throw error
      const isOldGood = old !== undefined && 'value' in old.result && error.reason === 'registryUnreachable'
      const result = isOldGood ? old.result : { error }
      this.#remember(key, result, FAILURE_LASTS_MS)
      if ('error' in result) throw result.error
      return result.value as Value
    }
  }

  #remember(key: string, result: Entry['result'], lastsMs: number): void {
    const size = key.length + this.#sizeOf('value' in result ? result.value : undefined)
    // The cache takes nothing that is larger than itself, and each request would ask for it anew.
    this.#entries.set(
      key,
      { result, until: this.#clock() + lastsMs },
      { size: Math.min(size, this.#entries.maxSize / 2) }
    )
  }
}
