import type { History } from '../../../support/history-checker.js'
import type { SeededRandom } from '../../../support/random.js'
import { GATEWAY_PORT } from '../http-gateway.js'
import { filler } from '../record-text.js'
import type { Workload } from '../workload.js'
import type { Host } from '../world/host.js'
import { percent } from '../world/randomness.js'
import type { Trace } from '../world/trace.js'
import { Client } from './client.js'
import { clientFrame, WebsocketConnection } from './websocket-connection.js'

export interface WebsocketPusherOptions {
  readonly name: string
  readonly topics: readonly string[]
  readonly pauseMs: readonly [number, number]
  readonly maxMessages: number
  readonly maxValueBytes: number
  /** Of a hundred messages: the connection is cut in the middle of it. */
  readonly cutPercent: number
}

export interface WebsocketPusherDeps {
  readonly host: Host
  readonly history: History
  readonly random: SeededRandom
  readonly trace: Trace
}

interface Reply {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly status: string
}

const TEXT = 1
const MOST_OPEN = 30
const RECONNECT_MS = 200
const MESSAGES_PER_CONNECTION = 60
const MAX_MASK = 2 ** 32 - 1

/** A client of Arion's API that sends messages over websockets; each has its reply, in the order of the messages. */
export class WebsocketPusher extends Client<WebsocketPusherOptions, WebsocketPusherDeps> implements Workload {
  readonly counts: Record<string, number> = { connections: 0, messages: 0, sent: 0, 'cut off': 0 }
  /** Without a reply, in order. */
  #open: string[] = []
  #connection: WebsocketConnection | undefined
  #isOpen = false
  #isLeaving = false
  #topic = ''
  #messagesLeft = 0

  start(): void {
    if (this.isStopped) return void this.#leave()
    if (this.#connection === undefined) this.#connect()
    else if (this.#isOpen && !this.#isLeaving) this.#push()
    setTimeout(() => this.start(), this.deps.random.between(...this.options.pauseMs))
  }

  get isFinished(): boolean {
    return this.isStopped && this.#connection === undefined
  }

  /** One message over a connection of its own. */
  tryOnceMore(succeeded: () => void): void {
    const sentBefore = this.counts.sent!
    this.#connect(() => {
      if (this.counts.sent! > sentBefore) succeeded()
      else setTimeout(() => this.tryOnceMore(succeeded), RECONNECT_MS)
    })
    this.#messagesLeft = 1
    const push = (): void => {
      if (this.#connection === undefined) return
      if (this.#isOpen) this.#push()
      setTimeout(push, RECONNECT_MS)
    }
    push()
  }

  /** Ends the connection when every message has its reply. */
  #leave(): void {
    if (this.#connection === undefined) return
    if (this.#open.length === 0) this.#connection.close()
    setTimeout(() => this.#leave(), RECONNECT_MS)
  }

  /** One key, so that the messages of the connection are in one partition. */
  get #key(): string {
    return `${this.name}-key`
  }

  #connect(onOver?: () => void): void {
    this.#topic = this.deps.random.pick(this.options.topics)
    this.#messagesLeft = this.deps.random.between(1, MESSAGES_PER_CONNECTION)
    this.#isLeaving = false
    this.counts.connections!++
    const path = `/arion/websocket/${this.#topic}/${this.#key}`
    const connection = new WebsocketConnection('127.0.0.1', GATEWAY_PORT, path, {
      onOpen: () => {
        this.#isOpen = true
      },
      onText: text => {
        if (this.#connection === connection) this.#replied(text)
      },
      onClose: () => {
        this.#closed(connection)
        onOver?.()
      }
    })
    this.#connection = connection
  }

  #push(): void {
    const { random } = this.deps
    const { maxMessages, cutPercent } = this.options
    const count = Math.min(random.between(1, maxMessages), MOST_OPEN - this.#open.length, this.#messagesLeft)
    if (count > 0) {
      this.#messagesLeft -= count
      const frames = Array.from({ length: count }, () => this.#frame())
      this.#sendAll(Buffer.concat(frames), percent(random, cutPercent))
    } else if (this.#messagesLeft === 0 && this.#open.length === 0) {
      this.#isLeaving = true
      this.#connection!.close()
    }
  }

  #sendAll(bytes: Buffer, isCut: boolean): void {
    const { random } = this.deps
    const connection = this.#connection!
    connection.sendBytes(isCut ? bytes.subarray(0, random.between(0, bytes.length)) : bytes)
    if (isCut) setTimeout(() => connection.destroy(), random.between(0, 3))
    if (isCut) this.#isLeaving = true
  }

  #frame(): Buffer {
    const { random, history } = this.deps
    const id = `${this.name}.${++this.counts.messages!}`
    const value = `${id}|${filler(random.between(0, this.options.maxValueBytes), true)}`
    history.invoke({ id, topic: this.#topic, key: this.#key, value })
    this.#open.push(id)
    return clientFrame(TEXT, Buffer.from(value, 'latin1'), random.between(0, MAX_MASK))
  }

  #replied(text: string): void {
    const { topic, partition, offset, status } = JSON.parse(text) as Reply
    const id = this.#open.shift()
    if (id === undefined) return void this.violated('answered twice', text)
    if (topic !== this.#topic || status !== 'sent') this.violated('untrue', text)
    this.counts.sent!++
    this.deps.trace.say(this.name, `${id} is at ${partition}@${offset}`)
    // -1: Kafka has it and has not said where.
    this.deps.history.complete(id, offset < 0 ? { type: 'ok' } : { type: 'ok', partition, offset })
  }

  #closed(connection: WebsocketConnection): void {
    if (this.#connection !== connection) return
    this.#connection = undefined
    this.#isOpen = false
    for (const id of this.#open.splice(0)) {
      this.counts['cut off']!++
      this.deps.history.complete(id, { type: 'unknown', answered: false })
    }
  }
}
