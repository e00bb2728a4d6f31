import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { expect } from 'chai'

import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'

const WANTED = 9_000
const AT_LEAST = 4_000
/** Files of a process that are not connections of clients. */
const OTHER_FILES = 300
/** Connections that begin at the same time; fewer than an operating system lets wait for a listener. */
const CONNECTING = 256
const IN_FLIGHT = 2_000

/** Overload, time limits and limits of connections are tested elsewhere. */
const PATIENT = {
  'http.maxConnections': 20000,
  'advanced.http.keepAliveTimeoutMs': 600000,
  'advanced.http.headersTimeoutMs': 600000,
  'http.requestTimeoutMs': 600000,
  'advanced.http.socketTimeoutMs': 600000,
  'http.admissionWaitMs': 120000,
  'advanced.http.maxEventLoopDelayMs': 0,
  'apis.kprf.messageTimeoutMs': 120000
}

/** The limit of the processes that this one starts, too. Node raises the soft limit to the hard one when it starts. */
function maxOpenFiles(): number {
  try {
    const [, limit] = readFileSync('/proc/self/limits', 'utf8').match(/^Max open files\s+(\S+)/m) ?? []
    return limit === 'unlimited' ? Number.POSITIVE_INFINITY : Number(limit ?? Number.POSITIVE_INFINITY)
  } catch {
    // An operating system without /proc.
    return Number.POSITIVE_INFINITY
  }
}

type Address = { readonly host: string; readonly port: number } | { readonly path: string }

/** A connection that stays open and sends one request after another. */
class Client {
  readonly #socket: Socket
  #received = ''
  #end: string | undefined
  #wake: () => void = () => undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding('latin1')
    socket.on('data', text => {
      this.#received += text
      this.#wake()
    })
    socket.on('error', error => {
      this.#end = `failed: ${error.message}`
    })
    socket.on('close', () => {
      this.#end ??= 'closed by the server'
      this.#wake()
    })
  }

  static open(address: Address): Promise<Client> {
    const socket = connect(address)
    const client = new Client(socket)
    return new Promise((resolve, reject) => {
      socket.once('connect', () => resolve(client))
      socket.once('error', reject)
    })
  }

  /**
   * @param body of a push; absent: asks for the health
   * @returns the answer, or what it has instead of one
   */
  async ask(id: string, body?: string): Promise<string> {
    this.#received = ''
    const head = `HTTP/1.1\r\nhost: localhost\r\nx-request-id: ${id}\r\n`
    if (body === undefined) this.#socket.write(`GET /arion/health-check ${head}\r\n`)
    else {
      const ofBody = `content-type: application/json\r\ncontent-length: ${body.length}\r\n`
      this.#socket.write(`POST /kprf/push ${head}${ofBody}\r\n${body}`)
    }
    await new Promise<void>(resolve => {
      this.#wake = () => {
        if (this.#end !== undefined || isWhole(this.#received)) resolve()
      }
      this.#wake()
    })
    const [, status, answered] = this.#received.match(/^HTTP\/1\.1 (\d+) .*?\r\nx-request-id: (\S+)\r\n/s) ?? []
    if (this.#end !== undefined) return `${status ?? 'no answer'}, ${this.#end}`
    return status === '200' && answered === id ? 'answered' : `${status}, ${answered === id ? 'its own' : 'another'} id`
  }

  close(): Promise<void> {
    return new Promise(resolve => {
      if (this.#socket.closed) resolve()
      else this.#socket.once('close', () => resolve()).destroy()
    })
  }
}

function isWhole(received: string): boolean {
  const end = received.indexOf('\r\n\r\n')
  if (end < 0) return false
  const [, length] = received.slice(0, end).match(/\r\ncontent-length: (\d+)/i) ?? []
  return received.length === end + 4 + Number(length)
}

/** Does something for each number below `count`, for at most `atOnce` of them at the same time. */
async function forEach(count: number, atOnce: number, act: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  const actInTurn = async (): Promise<void> => {
    while (next < count) await act(next++)
  }
  await Promise.all(Array.from({ length: atOnce }, actInTurn))
}

describe('thousands of connections', function () {
  this.timeout(170_000)
  const stage = onCluster()
  const connections = Math.min(WANTED, maxOpenFiles() - OTHER_FILES)
  const topic = freshTopic('many-connections')
  let directory: string
  before(async function () {
    if (connections < WANTED)
      console.warn(`!!! ${connections} connections instead of ${WANTED}: a process may open ${maxOpenFiles()} files`)
    if (connections < AT_LEAST) return this.skip()
    await stage.cluster.createTopic(topic, 4)
    directory = stage.folder()
  })

  /** Which answers all clients got, and how often. */
  async function answers(clients: readonly Client[], isPush: boolean): Promise<Record<string, number>> {
    const counts: Record<string, number> = {}
    await forEach(clients.length, IN_FLIGHT, async index => {
      const records = [{ topic, data: String(index) }]
      const body = JSON.stringify({ records, wait_for_send: true })
      const answer = await clients[index]!.ask(`client-${index}`, isPush ? body : undefined)
      counts[answer] = (counts[answer] ?? 0) + 1
    })
    return counts
  }

  it('get an answer each, and stay open: a port and a unix socket', async () => {
    const path = join(directory, 'gateway.sock')
    const gateway = await stage.gateway({ ...PATIENT, 'http.unixSocket': path })
    const { hostname, port } = new URL(gateway.url)
    const addresses: readonly Address[] = [{ host: hostname, port: Number(port) }, { path }]
    const clients: Client[] = []
    try {
      await forEach(connections, CONNECTING, async index => {
        // Two of three use the port.
        clients.push(await Client.open(addresses[index % 3 === 2 ? 1 : 0]!))
      })
      for (const isPush of [true, false])
        expect(await answers(clients, isPush)).to.deep.equal({ answered: connections })
    } finally {
      await Promise.all(clients.map(client => client.close()))
    }
  })
})
