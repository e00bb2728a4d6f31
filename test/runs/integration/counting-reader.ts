import { setTimeout as sleep } from 'node:timers/promises'
import type { ActorRef } from '../../../src/core/actor/actor.js'
import type { Offset } from '../../../src/core/model.js'
import type { RouterMessage, RouterRequest, RouterResult } from '../../../src/router/messages/operations.js'
import type { Unasked } from '../../../src/router/routing/ask-router.js'

/** Keeps the account of C11: every request asked, and every answer that came, double ones included. */
export class Account {
  sent = 0
  answered = 0
  /** Requests that were answered more than once. */
  doubled = 0
  readonly #router: ActorRef<RouterMessage>

  constructor(router: ActorRef<RouterMessage>) {
    this.#router = router
  }

  /** Resolves with the first answer; it is for the account to find out about none and second ones. */
  ask(request: Unasked<RouterRequest['type']>): Promise<RouterResult> {
    this.sent++
    return new Promise(resolve => {
      let answers = 0
      const requester = {
        reply: (result: RouterResult) => {
          this.answered++
          if (++answers > 1) this.doubled++
          resolve(result)
        }
      }
      this.#router.tell({ ...request, requester } as unknown as RouterMessage)
    })
  }
}

/** A reader as the documents want one: goes on where it can, and does what each answer asks for where it cannot. */
export class CountingReader {
  /** Values in the order they were read. */
  readonly values: string[] = []
  readonly offsets: Offset[] = []
  /** Answers that were neither success nor noMessages nor a retriable hiccup. */
  readonly notable: string[] = []
  next: Offset
  #stopped = false

  constructor(
    readonly account: Account,
    readonly topic: string,
    readonly partition: number,
    from: Offset = 0
  ) {
    this.next = from
  }

  /** Asks once; true when there were records. */
  async step(timeoutMs = 5_000): Promise<boolean> {
    const topicPartition = { topic: this.topic, partition: this.partition }
    const result = await this.account.ask({ type: 'fetchData', topicPartition, offset: this.next, timeoutMs })
    if (result.operation !== 'fetchData') throw new Error(`a fetch was answered ${result.operation}`)
    switch (result.type) {
      case 'success':
        for (const record of result.batch) {
          this.values.push(String(record.value))
          this.offsets.push(record.offset)
        }
        this.next = result.batch.nextOffset
        return true
      case 'noMessages':
      case 'timedOut':
        return false
      case 'offsetOutOfRange':
        this.notable.push(result.type)
        await this.#startOver()
        return false
      case 'corruptMessage':
        this.notable.push(result.type)
        this.next = result.nextOffset
        return false
      case 'unknownTopicOrPartition':
        this.notable.push(result.type)
        await sleep(50)
        return false
      case 'failed':
        if (!result.retriable) throw new Error(`${this.topic}/${this.partition}: ${result.message}`)
        await sleep(50)
        return false
    }
  }

  /** What a reader with the policy "earliest" does about an offset that is gone. */
  async #startOver(): Promise<void> {
    const topicPartition = { topic: this.topic, partition: this.partition }
    const result = await this.account.ask({
      type: 'fetchOffset',
      topicPartition,
      offsetType: 'earliest',
      timeoutMs: 5_000
    })
    if (result.operation === 'fetchOffset' && result.type === 'success') this.next = result.offset
  }

  /** Reads on until the condition holds. @throws Error when it does not within the time */
  async readUntil(holds: () => boolean, what: string, withinMs = 60_000): Promise<void> {
    const deadline = performance.now() + withinMs
    while (!holds() && !this.#stopped) {
      if (performance.now() > deadline) {
        throw new Error(
          `${this.topic}/${this.partition}: waited ${withinMs} ms for ${what}; at ${this.next}, ${this.values.length} read`
        )
      }
      await this.step()
    }
  }

  stop(): void {
    this.#stopped = true
  }
}
