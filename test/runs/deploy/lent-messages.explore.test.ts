import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { groupBy } from '../../../src/core/maps.js'
import type { LoanResult } from '../../../src/deployment/lending/loans.js'
import { Children, type Gateway } from '../../cli/child.js'
import { isInstalled } from '../../http/engine/proxies.js'
import type { Direction } from '../../support/holding-proxy.js'
import { metricOf } from '../../support/test-app.js'
import { runTool } from '../real-kafka/java-tools.js'
import { type Answer, eventually, type Got, LendingGateways } from './lending-gateways.js'
import { LendingLoad, type Twice } from './lending-load.js'
import { kindOf } from './two-gateways.js'

/** `LENDING_BROKERS=host:port,…` for a Kafka that runs already; `LENDING_GATEWAYS=8` for another number of gateways. */
const { LENDING_BROKERS, LENDING_GATEWAYS } = process.env
const COUNTS = LENDING_GATEWAYS === undefined ? [2, 4] : LENDING_GATEWAYS.split(',').map(Number)
const MESSAGES = 16
/** Of which times are told: partitions, at least, messages, and what the client has waited when each second one is written. */
const TIMED_PARTITIONS = 4
const TIMED = 200
const WAITS_MS = 20
/** Of one message, until the client gives up. */
const MOST_CALLS = 20
/** Clients that do not read, requests of each, and the size of their messages: more than sockets take in. */
const SLOW = 64
const PIPELINED = 3
const LARGE_BYTES = 700_000
/** More of a client than its sockets take in. */
const FEW = 4
const MANY_PIPELINED = 20
/** Clients in a loop, what is written for them together, and for how long. */
const CLIENTS = 40
const TOGETHER = 8
const LOAD_MS = 10_000
/** What a message takes a client near saturation. */
const WORK_MS = 100
/** After a fault. */
const AFTER_MS = 20_000
/** What was read in the last seconds before a fault may not be committed. */
const COMMITS_MS = 6_000

/** What one client saw that asked one request after another. */
class SequentialReader {
  readonly got: Got[] = []
  /** Answers "no message" while a message waited. */
  inVain = 0
  calls = 0
  longestMs = 0

  /** Asks until the one message that waits has come. */
  async next(ask: () => Promise<Answer>): Promise<void> {
    const since = performance.now()
    for (let call = 0; call < MOST_CALLS; call++) {
      const { status, got } = await ask()
      this.calls++
      if (status === 200) {
        this.got.push(...got)
        this.longestMs = Math.max(this.longestMs, performance.now() - since)
        return
      }
      expect(status, 'no message').to.be.oneOf([204, 408])
      this.inVain++
    }
    throw new Error(`no message in ${MOST_CALLS} calls`)
  }

  get counted(): string {
    return `${this.calls} calls, ${this.inVain} in vain, longest ${Math.round(this.longestMs)} ms`
  }

  /** Offsets of each partition in the order in which they came. */
  get offsets(): readonly (readonly number[])[] {
    const byPartition = groupBy(this.got, ({ partition }) => partition)
    return [...byPartition.values()].map(some => some.map(({ offset }) => offset))
  }
}

const ascending = (numbers: readonly number[]): readonly number[] =>
  [...new Set(numbers)].sort((one, other) => one - other)

describe('messages of a group, whichever gateway is asked', function () {
  this.timeout(240_000)
  const children = new Children()
  let brokers: string
  let stage: LendingGateways | undefined

  before(function () {
    if (!isInstalled(kindOf('nginx'))) this.skip()
  })
  beforeEach(async () => {
    brokers = LENDING_BROKERS ?? (await children.start(['broker', '--port', '0']).line(/127\.0\.0\.1:\d+/))[0]
  })
  afterEach(async () => {
    await stage?.stop()
    stage = undefined
    await children.stopAll()
  })

  async function started(count: number, partitions: number, environment: Record<string, string> = {}) {
    const topic = `lent-${randomUUID()}`
    stage = await LendingGateways.start(children, { brokers, topic, count }, environment)
    await stage.createTopic(partitions)
    return { stage, of: await stage.join() }
  }

  for (const count of COUNTS) {
    it(`${count} gateways behind nginx: one client gets each message with the first call`, async () => {
      const { stage } = await started(count, count)
      const reader = new SequentialReader()
      const values = Array.from({ length: MESSAGES }, (_, nth) => `${nth}`)
      for (const [nth, value] of values.entries()) {
        // nginx takes the gateways in turn, so each of them is asked for messages of each partition.
        await stage.write(Math.floor(nth / count) % count, value)
        await reader.next(() => stage.ask())
      }
      console.log(`      ${reader.counted}`)
      expect(reader.got.map(({ value }) => value)).to.deep.equal(values)
      for (const offsets of reader.offsets) expect(offsets).to.deep.equal(ascending(offsets))
      expect(reader.inVain, reader.counted).to.equal(0)
      expect((await stage.ask()).status, 'nothing is left').to.equal(408)
    })

    it(`${count} gateways behind nginx: a backlog comes once, in the order of its partitions`, async () => {
      const { stage } = await started(count, count)
      const values = Array.from({ length: count }, (_, partition) =>
        Array.from({ length: MESSAGES }, (_, nth) => `${partition}-${nth}`)
      )
      for (const [partition, some] of values.entries()) await stage.write(partition, ...some)
      const reader = new SequentialReader()
      while (reader.got.length < values.flat().length) await reader.next(() => stage.ask())
      console.log(`      ${reader.counted}`)
      for (const offsets of reader.offsets) expect(offsets).to.deep.equal(ascending(offsets))
      expect(reader.got.map(({ value }) => value).toSorted()).to.deep.equal(values.flat().toSorted())
      expect(reader.inVain, reader.counted).to.equal(0)
    })

    it(`${count} gateways behind nginx: one client of CloudEvents gets each event with the first call`, async () => {
      const { stage } = await started(count, count)
      const reader = new SequentialReader()
      for (let nth = 0; nth < MESSAGES; nth++) {
        await stage.writeEvent(String(nth))
        await reader.next(() => stage.askForEvent())
      }
      console.log(`      ${reader.counted}`)
      expect(reader.got.map(({ value }) => value)).to.deep.equal(Array.from({ length: MESSAGES }, (_, nth) => `${nth}`))
      expect(reader.inVain, reader.counted).to.equal(0)
    })
  }

  for (const count of new Set([1, ...COUNTS])) {
    it(`${count} gateways behind nginx: what one client waits for a message, and what it costs, is told`, async () => {
      const partitions = Math.max(TIMED_PARTITIONS, count)
      const { stage } = await started(count, partitions)
      const cpuSeconds = (): Promise<number> => stage.sumOf('process_cpu_seconds_total')
      const before = await cpuSeconds()
      const reader = new SequentialReader()
      const waited: number[] = []
      for (let nth = 0; nth < TIMED; nth++) {
        const write = (): Promise<void> => stage.write(nth % partitions, `${nth}`)
        const isThere = nth % 2 === 0
        if (isThere) await write()
        let since = performance.now()
        const answered = reader.next(() => stage.ask()).then(() => performance.now())
        if (!isThere) {
          await sleep(WAITS_MS)
          since = performance.now()
          await write()
        }
        waited.push((await answered) - since)
      }
      const cpuMs = (1_000 * ((await cpuSeconds()) - before)) / TIMED
      const sorted = waited.toSorted((one, other) => one - other)
      const at = (share: number): string => `${sorted[Math.floor(share * (TIMED - 1))]!.toFixed(1)} ms`
      console.log(
        `      ${count} gateways: p50 ${at(0.5)}, p99 ${at(0.99)}, longest ${at(1)}, ${cpuMs.toFixed(2)} ms of CPU a message; ${reader.counted}`
      )
      for (const offsets of reader.offsets) expect(offsets).to.deep.equal(ascending(offsets))
      expect(new Set(reader.got.map(({ value }) => value)).size).to.equal(TIMED)
      expect(reader.inVain, reader.counted).to.equal(0)
    })
  }

  /** What lending costs a load: messages that were lent, by what became of them, and calls between the gateways. */
  async function costOf(stage: LendingGateways, load: LendingLoad, ms: number) {
    const lent = (result: LoanResult) => stage.sumOf(`castellan_groups_lent_messages_total{result="${result}"}`)
    const calls = (): Promise<number> => stage.sumOf('castellan_peers_calls_total')
    const before = await calls()
    await sleep(ms)
    load.endWriting()
    await eventually('all is read', async () => load.unread.length === 0)
    const called = (await calls()) - before
    const { length } = load.written
    const [taken, returned, lost] = [await lent('acknowledged'), await lent('returned'), await lent('lost')]
    const percent = (part: number): string => `${((100 * part) / length).toFixed(1)} %`
    console.log(
      `      ${length} messages, ${percent(taken)} lent, ${percent(returned)} returned, ${lost} lost, ${(called / length).toFixed(2)} calls each`
    )
    expect(load.twice.map(one => JSON.stringify(one))).to.deep.equal([])
    return { lent: taken / length, returned: returned / length, lost, calls: called / length }
  }

  for (const count of COUNTS.filter(count => count > 2)) {
    it(`${count} gateways behind nginx: of what clients in a loop get, little is lent, with few calls`, async () => {
      const { stage } = await started(count, count)
      const clients = Array.from({ length: CLIENTS }, () => 'nginx' as const)
      const load = new LendingLoad(stage, count, clients, { together: TOGETHER })
      try {
        const cost = await costOf(stage, load, LOAD_MS)
        expect(cost.lent).to.be.at.most(0.1)
        expect(cost.calls).to.be.at.most(1)
      } finally {
        await load.end()
      }
    })

    it(`${count} gateways behind nginx: little of what is lent near saturation is returned`, async () => {
      const { stage } = await started(count, count)
      const clients = Array.from({ length: 4 * count }, () => 'nginx' as const)
      const load = new LendingLoad(stage, count, clients, { together: TOGETHER, unread: 2 * count, workMs: WORK_MS })
      try {
        const cost = await costOf(stage, load, LOAD_MS)
        expect(cost.returned).to.be.at.most(0.05)
      } finally {
        await load.end()
      }
    })
  }

  const ofTwo = { CASTELLAN_CONSUMER_ACK_TIMEOUT_MS: '30000' }
  /** The gateway that is asked, the one that lends to it, and a partition of each. */
  async function two(more: Record<string, string> = {}, partitions = 2) {
    const { stage, of } = await started(2, partitions, { ...ofTwo, ...more })
    const [borrower, lender] = stage.gateways as [Gateway, Gateway]
    return { stage, borrower, lender, own: of[0]!, lent: of[1]! }
  }

  it('offers what a client got without acknowledgement no earlier for a gateway that was killed', async () => {
    const { stage, borrower, lender, lent } = await two()
    await stage.write(lent[0]!, 'a')
    const askedAt = performance.now()
    const { got } = await stage.askAt(borrower, '&noAck')
    expect(got.map(({ value }) => value)).to.deep.equal(['a'])
    await sleep(1_000)
    await borrower.child.stop('SIGKILL')
    let again: readonly Got[] = []
    while (again.length === 0 && performance.now() - askedAt < 60_000) again = (await stage.askAt(lender, '&noAck')).got
    expect(again.map(({ value }) => value)).to.deep.equal(['a'])
    expect(performance.now() - askedAt).to.be.at.least(30_000)
  })

  it('clients that do not read their answers get all once, and others go on meanwhile', async () => {
    const { stage, borrower, own, lent } = await two({}, 4)
    const [large, small] = lent as [number, number]
    expect(own).to.have.length(2)
    const values = Array.from({ length: SLOW * PIPELINED }, (_, nth) => `${nth}-`.padEnd(LARGE_BYTES, 'x'))
    const slow = await Promise.all(
      Array.from({ length: SLOW }, () => SlowClient.open(borrower, stage.messagesPath, PIPELINED))
    )
    for (const value of values) await stage.write(large, value)
    await sleep(2_000)
    const reader = new SequentialReader()
    const smalls = Array.from({ length: MESSAGES }, (_, nth) => `small ${nth}`)
    await stage.write(small, ...smalls)
    // Large ones that wait for a slow client's next request come to this one, too.
    const others = (): string[] => reader.got.map(({ value }) => value)
    while (others().filter(value => value.startsWith('small')).length < MESSAGES)
      await reader.next(() => stage.askAt(borrower))
    console.log(`      beside slow clients: ${reader.counted}`)
    await sleep(8_000)
    const read = (await Promise.all(slow.map(client => client.readAll()))).flat()
    console.log(`      slow clients got ${read.length} of ${values.length}`)
    read.push(...others().filter(value => !value.startsWith('small')))
    while (read.length < values.length) {
      const { got } = await stage.ask()
      if (got.length === 0) break
      read.push(...got.map(({ value }) => value))
    }
    expect(others().filter(value => value.startsWith('small'))).to.deep.equal(smalls)
    expect(reader.inVain, reader.counted).to.equal(0)
    const names = (all: readonly string[]): string =>
      all
        .map(value => value.split('-')[0]!)
        .toSorted()
        .join()
    expect(names(read)).to.equal(names(values))
  })

  it('are counted where they were borrowed until clients have read them, and at the lender until they have arrived', async () => {
    const { stage, borrower, lender, lent } = await two()
    const values = Array.from({ length: FEW * MANY_PIPELINED }, (_, nth) => `${nth}-`.padEnd(LARGE_BYTES, 'x'))
    for (const value of values) await stage.write(lent[0]!, value)
    const slow = await Promise.all(
      Array.from({ length: FEW }, () => SlowClient.open(borrower, stage.messagesPath, MANY_PIPELINED))
    )
    const HELD = 'castellan_http_answers_bytes'
    const heldAt = ({ management }: Gateway): Promise<number> => metricOf(management, HELD)
    await eventually('answers are held that clients do not read', async () => {
      const [there, here] = [await heldAt(borrower), await heldAt(lender)]
      return there >= 2 * LARGE_BYTES && here === 0 && (await stage.sumOf('castellan_groups_loans')) > 0
    })
    await sleep(2_000)
    const most = await heldAt(borrower)
    console.log(`      ${most} bytes held at the borrower, ${await heldAt(lender)} at the lender`)
    expect(most).to.be.within(2 * LARGE_BYTES, 128 * 1_048_576)
    const read = (await Promise.all(slow.map(client => client.readAll()))).flat()
    console.log(`      slow clients got ${read.length} of ${values.length}`)
    // A request that began while nothing was there has had no message.
    while (read.length < values.length) {
      const { got } = await stage.ask()
      if (got.length === 0) break
      read.push(...got.map(({ value }) => value))
    }
    const names = (all: readonly string[]): string =>
      all
        .map(value => value.split('-')[0]!)
        .toSorted()
        .join()
    expect(names(read)).to.equal(names(values))
    for (const gauge of [HELD, 'castellan_groups_loans', 'castellan_groups_wants'])
      await eventually(`${gauge} is 0`, async () => (await stage.sumOf(gauge)) === 0)
  })

  it('loses nothing when leaders move, and offers nothing twice', async function () {
    if (LENDING_BROKERS === undefined) {
      console.log('      skipped: leaders move where there are several brokers; set LENDING_BROKERS')
      this.skip()
    }
    const { stage } = await two()
    const load = new LendingLoad(stage, 2, [0, 0])
    try {
      await sleep(3_000)
      for (const first of [1, 2, 3]) await moveLeaders(stage, first)
      await sleep(3_000)
      load.endWriting()
      await eventually('all is read', async () => load.unread.length === 0)
      console.log(`      ${load.written.length} written, ${load.twice.length} twice: ${tellTwice(load.twice)}`)
      expect(load.readings.length).to.be.above(load.written.length - 1)
      expect(load.twice.map(one => JSON.stringify(one))).to.deep.equal([])
    } finally {
      await load.end()
    }
  })

  /** The first node of three leads all partitions from now on. */
  async function moveLeaders({ topic }: LendingGateways, first: number): Promise<void> {
    const replicas = [1, 2, 3].toSorted((one, other) => Number(other === first) - Number(one === first))
    const moved = [0, 1].map(partition => ({ topic, partition, replicas }))
    const plan = join(await mkdtemp(join(tmpdir(), 'leaders-')), 'plan.json')
    const at = ['--bootstrap-server', brokers]
    await writeFile(plan, JSON.stringify({ version: 1, partitions: moved }))
    await runTool('reassignPartitions', [...at, '--reassignment-json-file', plan, '--execute'])
    await runTool('leaderElection', [...at, '--election-type', 'preferred', '--all-topic-partitions'])
    const described = await runTool('topics', [...at, '--describe', '--topic', topic])
    expect(described.match(/Leader: \d+/g)).to.deep.equal([`Leader: ${first}`, `Leader: ${first}`])
  }

  interface Fault {
    readonly what: string
    /** @returns what ends it */
    begin(stage: LendingGateways): Promise<() => void> | (() => void)
    readonly lastsMs: number
    /** A gateway that never comes back. */
    readonly killed?: number
  }
  const signalled = (nth: number) => (stage: LendingGateways) => {
    stage.gateways[nth]!.child.process.kill('SIGSTOP')
    return () => void stage.gateways[nth]!.child.process.kill('SIGCONT')
  }
  const held = (nth: number, direction: Direction) => (stage: LendingGateways) => {
    stage.between[nth]!.hold(direction)
    return () => stage.between[nth]!.release()
  }
  const killed = (nth: number) => async (stage: LendingGateways) => {
    await stage.gateways[nth]!.child.stop('SIGKILL')
    return () => undefined
  }
  const faults: readonly Fault[] = [
    { what: 'the lender is killed', begin: killed(1), lastsMs: 8_000, killed: 1 },
    { what: 'the borrower is killed', begin: killed(0), lastsMs: 8_000, killed: 0 },
    { what: 'the lender stands still for 20 s', begin: signalled(1), lastsMs: 20_000 },
    { what: 'the borrower stands still for 20 s', begin: signalled(0), lastsMs: 20_000 },
    { what: 'calls to the lender are held', begin: held(1, 'toServer'), lastsMs: 12_000 },
    { what: 'answers of the lender are held', begin: held(1, 'toClient'), lastsMs: 12_000 },
    { what: 'calls to the borrower are held', begin: held(0, 'toServer'), lastsMs: 12_000 },
    { what: 'answers of the borrower are held', begin: held(0, 'toClient'), lastsMs: 12_000 }
  ]
  for (const fault of faults) {
    it(`loses nothing when ${fault.what}, and offers messages twice around the fault only`, async () => {
      const { stage, borrower } = await two()
      // Two clients of one gateway: the other one lends all that it reads. A client of the other one comes when the first is killed.
      const load = new LendingLoad(stage, 2, fault.killed === 0 ? [0, 0, 1] : [0, 0])
      try {
        await sleep(6_000)
        expect(load.readings.filter(({ gateway }) => gateway === 0).length, 'before').to.be.above(
          load.written.length / 3
        )
        if (fault.killed !== 0) expect(load.unread.length, 'unread before').to.be.below(load.written.length / 3)
        const beganAt = load.nowMs
        const end = await fault.begin(stage)
        await sleep(fault.lastsMs)
        end()
        await sleep(AFTER_MS)
        load.endWriting()
        await eventually('all is read', async () => load.unread.length === 0)
        const endedAt = beganAt + fault.lastsMs + AFTER_MS / 2
        const around = ([first]: Twice): boolean => first!.atMs > beganAt - COMMITS_MS && first!.atMs < endedAt
        console.log(`      ${load.written.length} written, ${load.twice.length} twice: ${tellTwice(load.twice)}`)
        expect(load.twice.filter(one => !around(one)).map(one => JSON.stringify(one))).to.deep.equal([])
      } finally {
        console.log(`      unread: ${load.unread.slice(0, 10)}; ${borrower.child.isRunning ? '' : 'borrower ended'}`)
        await load.end()
      }
    })
  }
})

/** Gateways and how long after the first reading. */
const tellTwice = (twice: readonly Twice[]): string =>
  twice
    .slice(0, 5)
    .map(
      ([one, other]) =>
        `${one!.value} at ${one!.gateway}, then ${other!.gateway} after ${Math.round(other!.atMs - one!.atMs)} ms`
    )
    .join('; ')

/** An answer begins so. */
const HEAD = 'HTTP/1.1 '

/** Sends several requests on one connection, and reads nothing until it is told so. */
class SlowClient {
  readonly #socket: Socket
  readonly #requests: number

  private constructor(socket: Socket, requests: number) {
    this.#socket = socket
    this.#requests = requests
  }

  static async open({ url }: Gateway, path: string, requests: number): Promise<SlowClient> {
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    socket.pause()
    socket.write(`GET ${path} HTTP/1.1\r\nhost: ${hostname}\r\n\r\n`.repeat(requests))
    return new SlowClient(socket, requests)
  }

  /** @returns the values that it got, once all answers have come or the connection has ended */
  async readAll(): Promise<readonly string[]> {
    const parts: string[] = []
    let answers = 0
    let tail = ''
    const ended = new AbortController()
    this.#socket.setEncoding('latin1').on('data', (data: string) => {
      parts.push(data)
      answers += `${tail}${data}`.split(HEAD).length - 1
      tail = `${tail}${data}`.slice(1 - HEAD.length)
      if (answers === this.#requests && data.trimEnd().endsWith('}')) ended.abort()
    })
    this.#socket.once('close', () => ended.abort())
    this.#socket.resume()
    await sleep(30_000, undefined, { signal: ended.signal }).catch(() => undefined)
    this.#socket.destroy()
    return Array.from(parts.join('').matchAll(/"value": "([^"]*)"/g), ([, value]) =>
      Buffer.from(value!, 'base64').toString()
    )
  }
}
