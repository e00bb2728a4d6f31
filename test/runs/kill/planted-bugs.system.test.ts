import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { WebSocketServer } from 'ws'
import { History, type Logged, type Rule } from '../../support/history-checker.js'
import { SeededRandom } from '../../support/random.js'
import { confluentModes } from './confluent-load.js'
import { HistoryFile, readHistory } from './history-file.js'
import { type LoadMode, load } from './load.js'
import { idOf } from './messages.js'

/** What is wrong with a gateway, now and then. */
type Bug =
  | 'none'
  | 'acknowledgesAndDrops'
  | 'refusesAndStores'
  | 'storesTwice'
  | 'storesLater'
  | 'tellsAnotherOffset'
  | 'changesAByte'
  | 'losesTheKey'
  | 'mixesTopics'
  | 'invents'
  | 'movesTheKey'
  | 'answersAnotherMessage'
  | 'forgetsAtRestart'

const PARTITIONS = 3
const MESSAGES = 120

/** What became of a message. */
interface Taken {
  readonly isRefused: boolean
  readonly place: { readonly partition: number; readonly offset: number }
}

/** A record of Confluent's version 2: key and value in base64. */
interface SentV2 {
  readonly key: string
  readonly value: string
  readonly partition?: number | undefined
}

interface SentV3 {
  readonly partition_id?: number
  readonly key: { readonly data: string }
  readonly value: { readonly data: string }
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

/** A gateway and its Kafka in one, with one bug. */
class BuggyGateway {
  readonly log: Logged[] = []
  readonly #bug: Bug
  readonly #server: Server
  readonly #ends = new Array<number>(PARTITIONS).fill(0)
  #messages = 0
  #held: (() => void) | undefined

  constructor(bug: Bug) {
    this.#bug = bug
    this.#server = createServer((request, response) => void this.#answer(request, response))
    const sockets = new WebSocketServer({ server: this.#server })
    sockets.on('connection', (socket, request) => {
      const { topic, key } = targetOf(request)
      socket.on('message', data => socket.send(JSON.stringify(this.#take(topic, key, data.toString()).place)))
    })
  }

  async start(): Promise<string> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.#held?.()
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url!.startsWith('/confluent/')) {
      await this.#answerConfluent(request, response)
      return
    }
    const { mode, topic, key } = targetOf(request)
    const { isRefused, place } = this.#take(topic, key, await textOf(request))
    if (isRefused) response.writeHead(503, { 'x-castellan-persisted': 'no' }).end('{}')
    else response.writeHead(mode === 'sync' ? 201 : 202).end(JSON.stringify(place))
  }

  /** Version 2, and version 3 with one record or many; records for a partition that does not exist are refused. */
  async #answerConfluent(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, topic = ''] = /\/topics\/([^/]+)/.exec(request.url!)!
    if (!request.url!.includes('/v3/')) {
      const { records } = JSON.parse(await textOf(request)) as { records: SentV2[] }
      const offsets = records.map(one => {
        const { isRefused, place } = this.#takeConfluent(topic, one)
        return isRefused ? { error_code: 40402 } : { ...place, error_code: null }
      })
      response.writeHead(200).end(JSON.stringify({ offsets }))
      return
    }
    response.writeHead(200).flushHeaders()
    let text = ''
    for await (const chunk of request) {
      text += String(chunk)
      const found = text.match(/\{(?:[^{}]|\{[^{}]*\})*\}/g) ?? []
      text = text.slice(found.join('').length)
      for (const record of found) {
        const { partition_id, key, value } = JSON.parse(record) as SentV3
        const sent = { key: key.data, value: Buffer.from(value.data).toString('base64'), partition: partition_id }
        const { isRefused, place } = this.#takeConfluent(topic, sent)
        const answer = isRefused
          ? { error_code: 40401 }
          : { error_code: 200, partition_id: place.partition, offset: place.offset }
        response.write(`${JSON.stringify(answer)}\r\n`)
      }
    }
    response.end()
  }

  #takeConfluent(topic: string, { key, value, partition }: SentV2): Taken {
    if (partition !== undefined) return { isRefused: true, place: { partition, offset: 0 } }
    const [keyText, valueText] = [key, value].map(text => Buffer.from(text, 'base64').toString())
    return this.#take(topic, keyText!, valueText!)
  }

  #take(topic: string, key: string, value: string): Taken {
    const isTime = ++this.#messages % 25 === 0
    const bug = isTime ? this.#bug : 'none'
    if (bug === 'invents') this.#store(topic, key, 'heartbeat')
    if (bug === 'acknowledgesAndDrops' || (this.#bug === 'forgetsAtRestart' && this.#messages === MESSAGES)) {
      return { isRefused: false, place: { partition: 0, offset: this.#ends[0]! } }
    }
    if (bug === 'storesLater') {
      this.#held = () => this.#store(topic, key, value)
      return { isRefused: false, place: { partition: 0, offset: 0 } }
    }
    const place = this.#store(
      bug === 'mixesTopics' ? 'others' : topic,
      bug === 'losesTheKey' ? '' : key,
      bug === 'changesAByte' ? `${value}.` : value,
      bug === 'movesTheKey'
    )
    if (bug === 'storesTwice') this.#store(topic, key, value)
    if (this.#messages % 25 === 3) this.#release()
    if (bug === 'tellsAnotherOffset') return { isRefused: false, place: { ...place, offset: place.offset + 1 } }
    if (bug === 'answersAnotherMessage') return { isRefused: false, place: { ...place, offset: place.offset - 1 } }
    return { isRefused: bug === 'refusesAndStores', place }
  }

  #release(): void {
    this.#held?.()
    this.#held = undefined
  }

  #store(topic: string, key: string, value: string, isMoved = false): { partition: number; offset: number } {
    const partition = (key.length + (isMoved ? 1 : 0)) % PARTITIONS
    const offset = this.#ends[partition]!++
    this.log.push({ topic, partition, offset, key, value })
    return { partition, offset }
  }
}

function targetOf({ url = '' }: IncomingMessage): { mode: string; topic: string; key: string } {
  const [, , mode = '', topic = '', key = ''] = url.split('/').map(decodeURIComponent)
  return { mode, topic, key }
}

describe('the history checker against gateways with a bug', () => {
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-history-'))
  })
  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  /** Clients of a mode write to a gateway; the rules that what they saw breaks, by the history in its file. */
  async function rulesBroken(bug: Bug, mode: LoadMode): Promise<Rule[]> {
    const gateway = new BuggyGateway(bug)
    const url = await gateway.start()
    const path = join(directory, 'history')
    const file = new HistoryFile(path)
    const history = new History(file)
    const options = {
      url,
      topic: 'orders',
      maxValueBytes: 20,
      history,
      isStopped: () => gateway.log.length >= MESSAGES
    }
    await load(mode, {
      ...options,
      name: 'one',
      keys: mode === 'websocket' ? ['k'] : ['k', 'kk', 'ü k'],
      random: new SeededRandom(1)
    })
    await gateway.stop()
    file.close()
    expect(existsSync(path)).to.equal(true)
    const { violations, ok } = readHistory(path).check(gateway.log, idOf)
    expect(ok).to.be.above(MESSAGES / 2)
    expect(violations).to.deep.equal(history.check(gateway.log, idOf).violations)
    return [...new Set(violations.map(({ rule }) => rule))].sort()
  }

  for (const mode of ['sync', 'async', 'websocket', ...confluentModes] as const) {
    it(`finds nothing wrong with a good one (${mode})`, async () => {
      expect(await rulesBroken('none', mode)).to.deep.equal([])
    })
  }

  type Planted = readonly [Bug, LoadMode, readonly Rule[]]
  const planted: readonly Planted[] = [
    ['acknowledgesAndDrops', 'async', ['lost']],
    ['acknowledgesAndDrops', 'sync', ['lost']],
    ['acknowledgesAndDrops', 'websocket', ['lost']],
    ...confluentModes.map((mode): Planted => ['acknowledgesAndDrops', mode, ['lost']]),
    ['refusesAndStores', 'async', ['ghost']],
    ...confluentModes.map((mode): Planted => ['refusesAndStores', mode, ['ghost']]),
    ['storesTwice', 'async', ['duplicated']],
    ['storesTwice', 'websocket', ['duplicated']],
    ['storesLater', 'async', ['reordered']],
    ['tellsAnotherOffset', 'sync', ['misplaced']],
    ['answersAnotherMessage', 'websocket', ['misplaced']],
    ['answersAnotherMessage', 'confluentV2', ['misplaced']],
    ['answersAnotherMessage', 'confluentStream', ['misplaced']],
    ['changesAByte', 'async', ['damaged']],
    ['losesTheKey', 'async', ['damaged']],
    ['mixesTopics', 'async', ['damaged']],
    ['invents', 'async', ['invented']],
    ['movesTheKey', 'async', ['split']],
    ['forgetsAtRestart', 'async', ['lost']]
  ]
  for (const [bug, mode, rules] of planted) {
    it(`catches one that ${bug.replace(/[A-Z]/g, letter => ` ${letter.toLowerCase()}`)} (${mode})`, async () => {
      expect(await rulesBroken(bug, mode)).to.include.members([...rules])
    })
  }
})
