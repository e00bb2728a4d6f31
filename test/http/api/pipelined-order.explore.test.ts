import { rmSync } from 'node:fs'
import { connect as connectPlain, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { apis } from '../../../src/apis/apis.js'
import { confluent } from '../../../src/apis/confluent/api.js'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { type ProduceRecord, silentLogger } from '../../../src/core/model.js'
import type { Authentication } from '../../../src/http/access/access.js'
import { AccessMetrics } from '../../../src/http/access/audit.js'
import type { Authenticator } from '../../../src/http/access/authenticator.js'
import { RequestAccess } from '../../../src/http/access/request-access.js'
import { accessSettings, quotaSettings } from '../../../src/http/access/settings.js'
import type { ApiContext, HttpApi } from '../../../src/http/api/api.js'
import { Idempotency, type IdempotencyDeps } from '../../../src/http/api/idempotency.js'
import type { KeyOwners } from '../../../src/http/api/key-owners.js'
import { Admission } from '../../../src/http/exchange/admission.js'
import { Certificates } from '../../../src/http/server/certificates.js'
import { httpTlsSettings } from '../../../src/http/server/settings.js'
import { Schemas } from '../../../src/schemas/schemas.js'
import { schemasSettings } from '../../../src/schemas/settings.js'
import type { PendingProduce, ProduceOptions } from '../../../src/verbs/verbs.js'
import { moduleWith } from '../../apis/kafboy/stage.js'
import { ScriptedRegistry } from '../../schemas/scripted-registry.js'
import { contextFor } from '../../support/api-context.js'
import { TestAuthority } from '../../support/certificates.js'
import { CodecsInPlace } from '../../support/codecs-in-place.js'
import { delivered, FakeVerbs } from '../../support/fake-verbs.js'
import { localKeys } from '../../support/local-keys.js'
import { SeededRandom, testSeed } from '../../support/random.js'
import { type Started, startHttp, until } from '../server/stage.js'

/** Settings of APIs beside Confluent's. */
const OTHERS: Readonly<Record<string, object>> = {
  kprf: { maxBodyBytes: 1_000_000, messageTimeoutMs: 60_000 },
  'kafka-pixy': { durability: 'memory' },
  arion: { durability: 'memory', producesByGet: true },
  kafboy: { partitionStrategy: 'sticky_round_robin' },
  strimzi: {},
  cloudevents: {}
}
const EVENT = { specversion: '1.0', id: 'i', source: '/s', type: 't' }
const ROUNDS = Number(process.env.PIPELINED_ROUNDS ?? 60)
const CONNECTIONS = 3
const REQUESTS = 40
const PADDING = [0, 0, 0, 100, 3_000, 40_000, 70_000, 200_000]

/** A gateway whose outcomes come after a while. */
class LaterVerbs extends FakeVerbs {
  readonly #random: SeededRandom

  constructor(random: SeededRandom) {
    super({ outcome: 'by hand' })
    this.#random = random
  }

  override produce(records: readonly ProduceRecord[], options: ProduceOptions): PendingProduce {
    const pending = super.produce(records, options)
    const call = this.calls.at(-1)!
    void later(this.#random).then(() => call.settle(records.map(() => delivered())))
    return pending
  }
}

/** Resolves at once, some ticks later or some milliseconds later. */
async function later(random: SeededRandom): Promise<void> {
  const kind = random.between(0, 3)
  if (kind === 0) await pause(random.between(0, 4))
  else for (let ticks = random.between(0, kind * 2); ticks > 0; ticks--) await new Promise(r => setImmediate(r))
}

/** Memory that is full now and then. */
class Capacity {
  readonly what = 'the memory'
  readonly setting = 'its setting'
  readonly maxBytes = 10_000_000
  readonly stuckBytes = 0
  usedBytes = 0
  onFreed = (freed: () => void): void => void (this.#freed = freed)
  #freed = (): void => undefined
  #isOver = false

  constructor(random: SeededRandom) {
    void this.#run(random)
  }

  async #run(random: SeededRandom): Promise<void> {
    while (!this.#isOver) {
      await later(random)
      this.usedBytes = random.pick([0, 0, this.maxBytes])
      if (this.usedBytes === 0) this.#freed()
    }
  }

  end(): void {
    this.#isOver = true
    this.usedBytes = 0
    this.#freed()
  }
}

/** Verifies the credentials of a request at once, or later. */
function laterAccess(random: SeededRandom): RequestAccess {
  const identity = { principal: 'ann', method: 'token', validUntil: Number.POSITIVE_INFINITY } as const
  const authenticate = (): Authentication | Promise<Authentication> =>
    random.next() < 0.3 ? later(random).then(() => identity) : identity
  return RequestAccess.of(
    { access: accessSettings.parse({ audit: 'all' }), quotas: quotaSettings.parse({}) },
    {
      authenticator: { authenticate } as unknown as Authenticator,
      isAuthenticated: false,
      metrics: new AccessMetrics(createPrometheusMetrics()),
      auditSink: () => undefined,
      clock: () => performance.now(),
      now: Date.now
    }
  )!
}

interface Sent {
  /** Default: POST. */
  readonly method?: string
  /** Without prefix, that of the API before it. */
  readonly path: string
  readonly type: string
  readonly body: string
  /** Neither chunked nor compressed. */
  readonly isPlain?: boolean
}

/** A request whose one record is a number. */
function requestOf(random: SeededRandom, topic: string, number: number): Sent {
  const value = String(number)
  const name = `r${topic}x${number}`
  const schema = JSON.stringify({ type: 'record', name, fields: [{ name: 'n', type: 'int' }] })
  const avro = { type: 'AVRO', schema, data: { n: number } }
  const v3 = { path: `/loud/v3/clusters/c/topics/${topic}/records`, type: 'application/json' }
  const padding = ' '.repeat(random.pick(PADDING))
  const json = (body: object): string => JSON.stringify(body) + padding
  const kinds: (() => Sent)[] = [
    () => ({
      path: '/loud/kprf/push',
      type: 'application/json',
      body: json({ records: [{ topic, data: value }], wait_for_send: random.next() < 0.5 })
    }),
    () => ({
      path: `/loud/topics/${topic}`,
      type: 'application/vnd.kafka.json.v2+json',
      body: json({ records: [{ value: number }] })
    }),
    () => ({
      path: `/loud/topics/${topic}`,
      type: 'application/vnd.kafka.avro.v2+json',
      body: json({ value_schema: schema, records: [{ value: { n: number } }] })
    }),
    () => ({
      path: `/loud/kafka-pixy/topics/${topic}/messages?key=k${random.pick(['', '&sync'])}`,
      type: 'text/plain',
      body: value + padding,
      isPlain: true
    }),
    () => ({
      path: `/loud/arion/${random.pick(['sync', 'async'])}/${topic}/k`,
      type: 'text/plain',
      isPlain: true,
      body: value + padding
    }),
    () => ({
      ...{ method: 'GET', path: `/loud/arion/${random.pick(['sync', 'async'])}/${topic}/${number}` },
      ...{ type: 'text/plain', isPlain: true, body: '' }
    }),
    () => ({
      path: `/loud/cloudevents/${topic}`,
      type: 'application/cloudevents+json',
      body: json({ data: number, ...EVENT })
    }),
    () => ({
      path: `/loud/kafboy/${random.pick(['sync', 'async'])}/${topic}`,
      type: 'application/json',
      isPlain: true,
      body: JSON.stringify({ k: value })
    }),
    () => ({
      path: `/loud/strimzi/topics/${topic}`,
      type: 'application/vnd.kafka.json.v2+json',
      body: json({ records: [{ value }] })
    }),
    () => ({ ...v3, body: json({ value: { type: 'JSON', data: number } }) }),
    () => ({ ...v3, body: json({ value: avro }) }),
    () => ({ ...v3, path: `${v3.path}:batch`, body: json({ entries: [{ id: '1', value: avro }] }) })
  ]
  return random.pick(kinds)()
}

/** @returns the bytes of a request, framed and coded by lot */
function bytesOf(
  random: SeededRandom,
  { method = 'POST', path, type, body, isPlain = false }: Sent,
  key: string | undefined
): Buffer {
  const lines = [`${method} ${path} HTTP/1.1`, 'host: localhost', `content-type: ${type}`]
  let bytes: Buffer = Buffer.from(body)
  const coding = isPlain ? '' : random.pick(['', '', '', 'gzip', 'deflate', 'br'])
  const isChunked = !isPlain && random.next() < 0.35
  // Streams of records take no brotli, and no key.
  const isStream = isChunked && path.endsWith('/records')
  if (coding !== '' && !(isStream && coding === 'br')) {
    lines.push(`content-encoding: ${coding}`)
    bytes = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync }[coding]!(bytes)
  }
  if (key !== undefined && !isStream) lines.push(`idempotency-key: ${key}`)
  if (random.next() < 0.1) lines.push('expect: 100-continue')
  if (!isChunked) return Buffer.concat([head([...lines, `content-length: ${bytes.length}`]), bytes])
  const pieces = [head([...lines, 'transfer-encoding: chunked'])]
  for (let at = 0; at < bytes.length; ) {
    const size = random.between(1, random.pick([10, 1_000, 100_000]))
    const piece = bytes.subarray(at, at + size)
    pieces.push(Buffer.from(`${piece.length.toString(16)}${random.next() < 0.2 ? ';a=b' : ''}\r\n`), piece, CRLF)
    at += piece.length
    if (pieces.length > 300) {
      const rest = bytes.subarray(at)
      if (rest.length > 0) pieces.push(Buffer.from(`${rest.length.toString(16)}\r\n`), rest, CRLF)
      break
    }
  }
  pieces.push(Buffer.from(random.next() < 0.3 ? '0\r\nx-sum: 1\r\n\r\n' : '0\r\n\r\n'))
  return Buffer.concat(pieces)
}

const CRLF = Buffer.from('\r\n')
const head = (lines: readonly string[]): Buffer => Buffer.from(`${lines.join('\r\n')}\r\n\r\n`)

/** The number in a value, or in the key where that is empty: as text, or in Avro behind the five bytes that name the schema. */
function numberIn({ key, value }: ProduceRecord): number {
  if (!Buffer.isBuffer(value) || value.length === 0) return Number(key)
  if (value[0] !== 0) return Number(/\d+/.exec(value.toString())?.[0])
  let zigzag = 0
  for (let at = 5, shift = 0; at < value.length; at++, shift += 7) zigzag |= (value[at]! & 0x7f) << shift
  return (zigzag >>> 1) ^ -(zigzag & 1)
}

const inOrder = Array.from({ length: REQUESTS }, (_, index) => index + 1)

class Client {
  #text = ''
  readonly #socket: Socket

  constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding('latin1')
    socket.on('data', text => (this.#text += text))
    socket.on('error', () => undefined)
  }

  get statuses(): readonly string[] {
    return this.#text.match(/HTTP\/1\.1 [2-5]\d\d /g) ?? []
  }

  get text(): string {
    return this.#text
  }

  get isClosed(): boolean {
    return this.#socket.destroyed
  }

  /** Writes bytes in parts by lot, some of them in the same tick. */
  async send(random: SeededRandom, bytes: Buffer): Promise<void> {
    const most = random.pick([500, 20_000, 200_000, bytes.length])
    for (let at = 0; at < bytes.length; ) {
      const size = random.between(1, most)
      this.#socket.write(bytes.subarray(at, at + size))
      at += size
      if (random.next() < 0.3) await later(random)
    }
  }

  end(): void {
    this.#socket.destroy()
  }
}

describe('requests of one connection, sent without waiting for answers', () => {
  const authority = new TestAuthority()
  const material = { ca: authority.cert, ...authority.issue({ commonName: 'one', alternativeNames: ['IP:127.0.0.1'] }) }
  let started: Started
  let verbs: LaterVerbs
  let capacity: Capacity
  let certificates: Certificates | undefined

  let elsewhere: Started

  /** Two gateways of one deployment, each of which owns half of the keys. */
  const start = async (random: SeededRandom, isTls: boolean): Promise<void> => {
    verbs = new LaterVerbs(random)
    capacity = new Capacity(random)
    const there = keysOf(undefined)
    const owners: KeyOwners = {
      scope: 'deployment',
      ownerOf: hash =>
        hash.charCodeAt(0) % 2 === 0
          ? undefined
          : async request => {
              await later(random)
              const answer = await there.carryOut(request)
              await later(random)
              return answer
            },
      serve: () => undefined,
      close: async () => undefined
    }
    if (isTls) {
      const read = async (): Promise<typeof material> => material
      const settings = httpTlsSettings.parse({})
      certificates = await Certificates.open({ section: 'its.tls', settings, read, log: silentLogger })
    } else certificates = undefined
    started = await gatewayWith(random, keysOf(owners), certificates)
    elsewhere = await gatewayWith(random, there)
  }

  const keysOf = (owners: IdempotencyDeps['owners']): Idempotency =>
    new Idempotency({ keys: localKeys(), owners, count: () => undefined })

  const gatewayWith = async (
    random: SeededRandom,
    idempotency: Idempotency,
    certificates?: Certificates
  ): Promise<Started> => {
    const registry = new ScriptedRegistry()
    registry.script = () => later(random) as Promise<never>
    const parsed = schemasSettings.parse({ registry: { urls: ['http://registry.test'] } })
    const schemas = new Schemas(parsed, { transport: registry, host: new CodecsInPlace(), clock: () => 0 })
    const admission = new Admission(capacity, 30_000, () => performance.now())
    const shared = { schemas, idempotency, admission } satisfies Partial<ApiContext<unknown>>
    const routes = await confluent.plugin(contextFor(verbs, confluent.settings.parse({}), shared))
    const { folder, module } = moduleWith({ editJson: () => later(random).then(() => ({ produce: {} })) })
    const ofKafboy = random.next() < 0.5 ? { callbackEditJson: module } : {}
    return startHttp({
      plugin: async scope => {
        routes(scope)
        for (const [name, settings] of Object.entries(OTHERS)) {
          const api = apis.find(one => one.name === name) as HttpApi
          const own = { ...settings, ...(name === 'kafboy' && ofKafboy) }
          const addRoutes = await api.plugin(contextFor(verbs, api.settings.parse(own), shared))
          await scope.register(async inner => addRoutes(inner), { prefix: `/${name}` })
        }
        rmSync(folder, { recursive: true })
      },
      certificates,
      requestAccess: laterAccess(random)
    })
  }

  const open = (isTls: boolean): Promise<Client> =>
    new Promise((resolve, reject) => {
      const port = Number(new URL(started.http.urls.shared).port)
      const options = { port, host: '127.0.0.1', ca: authority.cert }
      const socket = isTls ? connectTls(options) : connectPlain(options)
      socket.once(isTls ? 'secureConnect' : 'connect', () => resolve(new Client(socket)))
      socket.once('error', reject)
    })

  const numbersOf = (topic: string): number[] => verbs.records.filter(record => record.topic === topic).map(numberIn)

  const round = async (seed: number): Promise<void> => {
    const random = new SeededRandom(seed)
    const isTls = random.next() < 0.4
    await start(random, isTls)
    const [clients, others] = await Promise.all(
      [0, 1].map(() => Promise.all(Array.from({ length: CONNECTIONS }, () => open(isTls))))
    )
    const sentByOthers = others!.map(() => 0)
    // Requests that another connection has sent, too, may come from there.
    const sharedNumbers = new Set<string>()
    await Promise.all(
      clients!.map(async (client, at) => {
        const topic = `t${at}`
        const all: Buffer[] = []
        for (let number = 1; number <= REQUESTS; number++) {
          const sent = requestOf(random, topic, number)
          const key = random.next() < 0.3 ? `key-${topic}-${number}` : undefined
          const bytes = bytesOf(random, sent, key)
          all.push(bytes)
          if (key === undefined || !bytes.includes('idempotency-key') || random.next() < 0.7) continue
          sharedNumbers.add(`${topic} ${number}`)
          if (random.next() < 0.5) await client.send(random, Buffer.concat(all.splice(0, all.length - 1)))
          sentByOthers[at]!++
          await others![at]!.send(random, bytes)
        }
        await client.send(random, Buffer.concat(all))
      })
    )
    const missing = (topic: string): number[] => {
      const found = new Set(numbersOf(topic))
      return inOrder.filter(number => !found.has(number))
    }
    const what = (): string => {
      const each = clients!.map(({ statuses, text }, at) => {
        const refused = text.split('\r\n').filter(line => /"(error_code":[^n2]|error":[^n])|HTTP.*[45]\d\d/.test(line))
        return `${statuses.length} answers, missing ${missing(`t${at}`)}, ${refused.join('\n').slice(0, 1_000)}`
      })
      return `seed ${seed}, TLS ${isTls}: ${each.join('\n')}`
    }
    await until(() => clients!.every(({ statuses }) => statuses.length >= REQUESTS), 'all answers', what)
    await until(() => others!.every((each, at) => each.statuses.length >= sentByOthers[at]!), 'their answers', what)
    // The answer to a stream of records begins before they have come.
    await until(() => verbs.records.length >= CONNECTIONS * REQUESTS, 'all records', what)
    for (const client of [...clients!, ...others!]) client.end()
    capacity.end()
    await started.http.close()
    await elsewhere.http.close()
    certificates?.close()
    for (const [at, client] of clients!.entries()) {
      const topic = `t${at}`
      const ok = client.statuses.filter(status => / 2\d\d /.test(status)).length
      expect(ok, what()).to.equal(REQUESTS)
      const own = (number: number): boolean => !sharedNumbers.has(`${topic} ${number}`)
      const numbers = numbersOf(topic)
      expect(
        [...numbers].sort((a, b) => a - b),
        `seed ${seed}`
      ).to.deep.equal(inOrder)
      expect(numbers.filter(own), `seed ${seed}, TLS ${isTls}`).to.deep.equal(inOrder.filter(own))
    }
  }

  const first = testSeed()
  it(`are produced in their order, whatever they wait for (seed ${first}, ${ROUNDS} rounds)`, async function () {
    this.timeout(120_000 + ROUNDS * 5_000)
    for (let seed = first; seed < first + ROUNDS; seed++) await round(seed)
  })
})
