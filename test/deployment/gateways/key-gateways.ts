import type { IncomingMessage } from 'node:http'
import fastify, { type FastifyInstance } from 'fastify'
import { defaultLogger } from '../../../src/core/metrics/metrics-logger.js'
import type { ProduceRecord, RecordOutcome } from '../../../src/core/model.js'
import { NO_ANSWER, PeerError, type PeerHandler, toPeerFailure } from '../../../src/deployment/calls/peers.js'
import { decodeBody, encodeBody } from '../../../src/deployment/gateways/body.js'
import { GatewayKeys, type GatewayKeysDeps, KeyList } from '../../../src/deployment/gateways/gateway-keys.js'
import { askedKeyOf } from '../../../src/http/api/asked-key.js'
import { byHand, neverCalled } from '../../../src/http/api/by-hand.js'
import { Idempotency } from '../../../src/http/api/idempotency.js'
import type { KeyOwners } from '../../../src/http/api/key-owners.js'
import { originOf } from '../../../src/http/api/request-origin.js'
import { BufferPool, collectBody } from '../../../src/http/exchange/body-collector.js'
import type { Exchange } from '../../../src/http/exchange/exchange.js'
import { LocalKeys } from '../../../src/producer/keys/local-keys.js'
import type { Delivery } from '../../../src/producer/memory/delivery.js'
import { failures } from '../../../src/producer/memory/failures.js'
import type { PendingProduce } from '../../../src/producer/memory/pending-produce.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'
import { SimulatedDisk } from '../../support/simulated-disk.js'

type Peers = GatewayKeysDeps['peers']

/** An answer, as a client sees it. */
export interface Seen {
  readonly status: number
  readonly persisted: unknown
  readonly reach: unknown
  readonly replayed: unknown
  readonly retryAfter: unknown
  readonly body: string
}

const MAX_BODY_BYTES = 10_000
const pool = new BufferPool(0)
const emptyLog = {
  read: async () => ({ entries: [], nextSequence: 0, isAtEnd: true }),
  states: async ({ first }: { first: number }) => ({
    open: [{ sequence: first, destination: 'c/t' }],
    outcomes: new Map(),
    openSinceMs: undefined,
    expiredUpTo: 0
  })
}

/** Kafka, and the durable logs of all gateways. */
export class KeyedKafka {
  /** Whether it answers. */
  isUp = true
  /** The records that were accepted, each with the process. */
  readonly accepted: string[] = []
  /** The process in whose log a record is that Kafka has not, by sequence. */
  readonly #waiting = new Map<number, KeyedProcess>()
  /** Called with the outcomes of records that Kafka does not answer, once their requests wait no longer. */
  readonly #late: (() => void)[] = []

  /** Requests that wait for Kafka are answered without it. */
  giveUp(): void {
    for (const end of this.#late.splice(0)) end()
  }

  /** The log of a process has a record. */
  keep(sequence: number, process: KeyedProcess): void {
    this.#waiting.set(sequence, process)
  }

  /** A process has been started, with the log of its predecessor. */
  started(process: KeyedProcess): void {
    for (const [sequence, { name }] of this.#waiting) if (name === process.name) this.#waiting.set(sequence, process)
  }

  /** Kafka has records that the logs of running processes have. @param isNow whether it has this one. Default: all */
  deliver(isNow: () => boolean = () => true): void {
    for (const [sequence, { keys, isKilled }] of this.#waiting) {
      if (isKilled || !isNow()) continue
      this.#waiting.delete(sequence)
      keys.logged.settled(sequence, deliveredAt(sequence))
      keys.logged.flush()
    }
  }

  outcomes(sequences: readonly number[]): Promise<readonly RecordOutcome[]> {
    if (this.isUp) {
      this.deliver()
      return Promise.resolve(sequences.map(deliveredAt))
    }
    return new Promise(resolve =>
      this.#late.push(() => resolve(sequences.map(() => failures.stillPending('kafka does not answer'))))
    )
  }
}

const deliveredAt = (offset: number): RecordOutcome => ({ type: 'delivered', partition: 0, offset, timestampMs: 1 })

let nextSequence = 100

/** A process with a route that keeps the lines of a body on its disk, one record each. */
export class KeyedProcess {
  readonly keys: LocalKeys
  readonly idempotency: Idempotency
  readonly app: FastifyInstance
  readonly name: string
  readonly #owners: KeyOwners | undefined
  readonly #kafka: KeyedKafka
  /** The process has ended: nobody sees what it still does. */
  isKilled = false

  /** @param isServing whether its routes are there; else {@link serve} opens them */
  constructor(name: string, owners: KeyOwners | undefined, kafka: KeyedKafka, isServing = true) {
    this.name = name
    this.#owners = owners
    this.#kafka = kafka
    this.keys = new LocalKeys({
      windowMs: 86_400_000,
      maxBytes: 1024 * 1024,
      now: Date.now,
      newSalt: () => nextSequence++,
      onFailure: error => {
        throw error
      }
    })
    this.idempotency = new Idempotency({ keys: this.keys, owners, count: () => undefined })
    this.app = fastify()
    if (isServing) this.serve()
  }

  serve(): void {
    this.#owners?.serve(request => this.idempotency.carryOut(request))
    const receive = this.idempotency.guard((exchange, { topic }) => this.#receive(exchange, topic!), {
      name: 'lines',
      maxBodyBytes: MAX_BODY_BYTES,
      waitMs: 1_000
    })
    this.app.post('/lines/:topic', { preParsing: byHand(receive) }, neverCalled)
  }

  async open(disk: SimulatedDisk): Promise<void> {
    await this.keys.opened(emptyLog, disk.directory)
    this.#kafka.started(this)
  }

  #receive({ request, response, payload }: Exchange, topic: string): void {
    collectBody(payload, Number(request.headers['content-length']), MAX_BODY_BYTES, pool, body => {
      const records = String(body)
        .split('\n')
        .map((value): ProduceRecord => ({ topic, key: null, value, headers: [] }))
      const options = { partitioner: 'crc32', deadlineMs: 10, durability: 'disk' } as const
      const origin = originOf(request)
      const accept: Delivery['accept'] = (missing, _options, _holder, tag): PendingProduce => {
        const sequences = missing.map(({ value }, at) => {
          const sequence = nextSequence++
          if (this.isKilled) return sequence
          this.#kafka.accepted.push(`${value} at ${this.name}`)
          tag!.stored(tag!.indexOf(at), sequence)
          this.#kafka.keep(sequence, this)
          return sequence
        })
        this.keys.logged.flush()
        origin.acceptedRecords = records.length
        origin.receipt = `receipt-of-${sequences[0]}`.padEnd(38)
        return {
          refused: undefined,
          isWaiting: true,
          accepted: async () => undefined,
          outcomes: () => this.#kafka.outcomes(sequences)
        }
      }
      const pending = origin.key!.produce(records, options, { accept })
      void pending.outcomes().then(outcomes => {
        if (this.isKilled) return
        const isIn = outcomes.every(({ type }) => type === 'delivered')
        const headers = { 'content-type': 'application/json', 'x-castellan-persisted': isIn ? 'yes' : 'pending' }
        response.writeHead(isIn ? 200 : 504, headers)
        response.end(JSON.stringify(outcomes))
      })
    })
  }

  async send(key: string, lines: string, headers: Readonly<Record<string, string>> = {}): Promise<Seen> {
    const all = { 'idempotency-key': key, ...headers }
    const answer = await this.app.inject({ method: 'POST', url: '/lines/orders', payload: lines, headers: all })
    return {
      status: answer.statusCode,
      persisted: answer.headers['x-castellan-persisted'],
      reach: answer.headers['x-castellan-idempotency'],
      replayed: answer.headers['idempotent-replayed'],
      retryAfter: answer.headers['retry-after'],
      body: answer.body
    }
  }
}

/** A process of a gateway, as {@link GatewayPeers} shows it to those above. */
class FakePeers implements Peers {
  readonly handlers = new Map<string, PeerHandler<string>>()
  readonly whenRefreshed: (() => void)[] = []

  constructor(
    readonly id: string,
    readonly net: KeyGateways
  ) {}

  get others(): readonly string[] {
    return this.net.idsFor(this.id)
  }

  serve(name: string, handler: PeerHandler<string>): void {
    this.handlers.set(name, handler)
  }

  onRefreshed(listener: () => void): void {
    this.whenRefreshed.push(listener)
  }

  processesAt(name: string) {
    const id = this.net.running.get(name)?.id
    const isKnown = id === this.id || this.others.includes(id ?? '') || this.net.paused.has(name)
    const place = { address: '10.0.0.1', id: isKnown ? id : undefined }
    return this.net.doubled.has(name) ? [place, { address: '10.0.0.2', id: 'another' }] : [place]
  }

  call(to: string, name: string, body: unknown): Promise<unknown> {
    return this.net.call(this.id, to, name, body)
  }
}

export interface KeyGateway {
  readonly id: string
  readonly name: string
  readonly owners: GatewayKeys
  readonly process: KeyedProcess
  readonly peers: FakePeers
}

const away = (): PeerError => new PeerError('it is gone', { name: 'Error', message: 'it is gone', code: NO_ANSWER })

/** Gateways in this process that share keys, the network between them, and Kafka. */
export class KeyGateways {
  readonly lines: LogLine[] = []
  readonly kafka = new KeyedKafka()
  /** Names of the messages, in order. */
  readonly calls: string[] = []
  /** The processes that run, by the entry of the gateway. */
  readonly running = new Map<string, KeyGateway>()
  /** Calls from one process to another fail: `FROM>TO`, by entries. */
  readonly cut = new Set<string>()
  /** Gateways that others do not call for a moment. */
  readonly paused = new Set<string>()
  /** Entries at which another process answers, too. */
  readonly doubled = new Set<string>()
  /** Called before a call is handled. */
  onCall: (name: string) => void = () => undefined
  /** Calls wait for it on their way; it is asked for when a call is sent. */
  onTheWay: (name: string) => Promise<void> | undefined = () => undefined
  /** Answers wait for it on their way back; it is asked for when the call has been handled. */
  onTheWayBack: (name: string) => Promise<void> | undefined = () => undefined
  /** The answers to calls with this name are lost. */
  lost: string | undefined
  readonly #disks = new Map<string, SimulatedDisk>()
  /** Ends the calls to a process, by its id. */
  readonly #ends = new Map<string, Set<() => void>>()
  readonly #started: KeyGateway[] = []
  #drawn = 0

  constructor(readonly names: readonly string[]) {}

  #nameOf(id: string): string | undefined {
    for (const { name, id: running } of this.running.values()) if (running === id) return name
    return undefined
  }

  idsFor(id: string): readonly string[] {
    const from = this.#nameOf(id)
    return [...this.running.values()]
      .filter(one => one.id !== id && !this.cut.has(`${from}>${one.name}`) && !this.paused.has(one.name))
      .map(one => one.id)
  }

  at(name: string): KeyGateway {
    return this.running.get(name)!
  }

  /** Starts a gateway with the disk of its predecessor. @param addresses the list of this gateway, if it has another one */
  async start(name: string, addresses?: readonly string[]): Promise<KeyGateway> {
    const gateway = await this.create(name, addresses)
    await this.appear(gateway)
    return gateway
  }

  async startAll(): Promise<void> {
    for (const name of this.names) await this.start(name)
  }

  /** A process that has not been found yet. */
  async create(name: string, addresses: readonly string[] = this.names, isServing = true): Promise<KeyGateway> {
    const id = `process-${this.#started.length + 1}`
    const peers = new FakePeers(id, this)
    const owners = new GatewayKeys({
      peers,
      addresses,
      bodiesMaxBytes: 256 * 1_048_576,
      log: recordingLogger(this.lines),
      metrics: defaultLogger
    })
    const process = new KeyedProcess(name, owners, this.kafka, isServing)
    const disk = this.#disks.get(name) ?? new SimulatedDisk()
    this.#disks.set(name, disk)
    await process.open(disk)
    const gateway = { id, name, peers, owners, process }
    this.#started.push(gateway)
    return gateway
  }

  close(): void {
    for (const { owners, process } of this.#started) {
      void owners.close()
      process.keys.close()
    }
  }

  /** Others, and the process itself, find it at its entry. */
  appear(gateway: KeyGateway): Promise<void> {
    this.running.set(gateway.name, gateway)
    // It finds itself with the first look, and says with the second one that it shares keys.
    return this.refresh(2)
  }

  /** All gateways look for the others. */
  async refresh(times = 1): Promise<void> {
    for (let nth = 0; nth < times; nth++) {
      for (const { peers } of this.running.values()) for (const listener of peers.whenRefreshed) listener()
      for (let tick = 0; tick < 5; tick++) await new Promise(resolve => setImmediate(resolve))
    }
  }

  /** The process ends without a word. */
  kill(name: string): void {
    const { id, process } = this.at(name)
    process.isKilled = true
    this.running.delete(name)
    for (const end of this.#ends.get(id) ?? []) end()
    this.#ends.delete(id)
  }

  async call(from: string, to: string, name: string, body: unknown): Promise<unknown> {
    const [fromName, toName] = [this.#nameOf(from), this.#nameOf(to)]
    if (fromName === undefined || toName === undefined || this.cut.has(`${fromName}>${toName}`)) throw away()
    this.calls.push(name)
    this.onCall(name)
    const handler = this.at(toName).peers.handlers.get(name)
    let answer: Buffer
    try {
      const coming = this.onTheWay(name)
      if (coming !== undefined) await this.#unlessKilled(to, coming)
      if (handler === undefined) throw new Error(`${name} is not served`)
      const handled = Promise.resolve(handler(decodeBody(encodeBody(body)), { from, timeoutMs: 5_000 }))
      answer = encodeBody(await this.#unlessKilled(to, handled))
      await this.onTheWayBack(name)
    } catch (error) {
      if (error instanceof PeerError) throw error
      const failure = toPeerFailure(error)
      throw new PeerError(failure.message, failure)
    }
    if (this.lost === name || this.#nameOf(to) === undefined) throw away()
    return decodeBody(answer)
  }

  #unlessKilled(id: string, handled: Promise<unknown>): Promise<unknown> {
    const ends = this.#ends.get(id) ?? new Set()
    this.#ends.set(id, ends)
    return new Promise((resolve, reject) => {
      const end = (): void => reject(away())
      ends.add(end)
      handled.then(resolve, reject).finally(() => ends.delete(end))
    })
  }

  /** A new key whose owner is this gateway. */
  keyOf(owner: string): string {
    const list = new KeyList(this.names)
    for (;;) {
      const key = `key-${this.#drawn++}`
      if (list.ownerOf(hashOf(key)) === owner) return key
    }
  }
}

/** The hash of a key of a client without credentials. */
export const hashOf = (key: string): string =>
  askedKeyOf({ method: 'POST', url: '/', rawHeaders: [] } as unknown as IncomingMessage, key, Buffer.alloc(0)).hash
