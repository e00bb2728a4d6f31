import { createSocket, type Socket } from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'

const TYPES = new Map([
  [1, 'A'],
  [28, 'AAAA']
] as const)

/** What a name has, as its owner says at this moment. `undefined`: silence. */
export interface NameAnswer {
  readonly addresses: readonly string[]
  /** Another name that it stands for. */
  readonly alias?: string | undefined
}

/** A name server on loopback that answers whatever its owner likes, with a time to live of 0. */
export class NameServer {
  readonly #socket: Socket = createSocket('udp4')
  asked = 0
  answer: (name: string) => NameAnswer | undefined = () => ({ addresses: [] })

  static async start(): Promise<NameServer> {
    const server = new NameServer()
    server.#socket.on('message', (query, { address, port }) => {
      const reply = server.#reply(query)
      if (reply !== undefined) server.#socket.send(reply, port, address)
    })
    server.#socket.bind(0, '127.0.0.1')
    await once(server.#socket, 'listening')
    return server
  }

  readonly createResolver = (): Resolver => {
    const resolver = new Resolver({ timeout: 2_000, tries: 1 })
    resolver.setServers([`127.0.0.1:${this.#socket.address().port}`])
    return resolver
  }

  close(): void {
    this.#socket.close()
  }

  #reply(query: Buffer): Buffer | undefined {
    this.asked++
    const labels: string[] = []
    let at = 12
    for (; query[at] !== 0; at += query[at]! + 1) labels.push(query.toString('latin1', at + 1, at + 1 + query[at]!))
    const question = query.subarray(12, at + 5)
    const type = TYPES.get(query.readUInt16BE(at + 1) as 1)
    const answer = this.answer(labels.join('.').toLowerCase())
    if (answer === undefined) return undefined
    const { addresses, alias } = answer
    const records = addresses
      .filter(address => address.includes(':') === (type === 'AAAA'))
      .slice(0, 20)
      .map(address => record(type === 'AAAA' ? 28 : 1, bytesOf(address)))
    if (alias !== undefined) records.unshift(record(5, nameBytes(alias)))
    const head = Buffer.from([...query.subarray(0, 2), 0x81, 0x80, 0, 1, 0, records.length, 0, 0, 0, 0])
    return Buffer.concat([head, question, ...records])
  }
}

/** Of the name of the question. */
function record(type: number, data: Buffer): Buffer {
  const head = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, 0])
  head.writeUInt16BE(data.length, 10)
  return Buffer.concat([head, data])
}

const nameBytes = (name: string): Buffer =>
  Buffer.concat([...name.split('.').map(label => Buffer.from([label.length, ...Buffer.from(label)])), Buffer.from([0])])

/** @param address IPv4 with dots; IPv6 with dots in its end or without */
function bytesOf(address: string): Buffer {
  if (!address.includes(':')) return Buffer.from(address.split('.').map(Number))
  const groups = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...parts: string[]) => {
    const [a, b, c, d] = parts.map(Number)
    return `${((a! << 8) | b!).toString(16)}:${((c! << 8) | d!).toString(16)}`
  })
  const [before, after] = groups.split('::').map(part => part.split(':').filter(group => group !== ''))
  const missing = 8 - before!.length - (after?.length ?? 0)
  const all = [...before!, ...Array.from({ length: missing }, () => '0'), ...(after ?? [])]
  return Buffer.from(all.map(group => group.padStart(4, '0')).join(''), 'hex')
}
