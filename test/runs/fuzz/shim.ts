import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { whenAccepted } from './accepted.js'
import type { Address } from './client.js'
import type { Handled } from './comparison.js'
import type { Side } from './play.js'

/** What a shim does wrong; each method is called in the order of the bytes of one connection. */
export interface Fault {
  /** Changes what the client sends. */
  toServer?(bytes: Buffer): Buffer
  /** Passes on what the server sends. Default: at once and unchanged. */
  toClient?(bytes: Buffer, send: (bytes: Buffer) => void): void
  /** Whether the server's end is kept from the client. */
  readonly hidesEnd?: boolean
}

/** Stands in front of a server and makes mistakes, so that the fuzzer can be seen to notice them. */
export class Shim implements Side {
  readonly name: string
  readonly address: Address
  readonly #behind: Side
  readonly #server: Server
  /** Port towards the server, by the port of the client. */
  readonly #ports: Map<number, number>
  readonly #sockets: ReadonlySet<Socket>

  private constructor(behind: Side, server: Server, ports: Map<number, number>, sockets: ReadonlySet<Socket>) {
    this.name = `shim before ${behind.name}`
    this.#behind = behind
    this.#server = server
    this.#ports = ports
    this.#sockets = sockets
    this.address = { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
  }

  /** @param faultOf called for each connection */
  static async start(behind: Side, faultOf: () => Fault): Promise<Shim> {
    const ports = new Map<number, number>()
    const sockets = new Set<Socket>()
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, client => {
      const upstream = connect({ ...behind.address, allowHalfOpen: true, noDelay: true })
      for (const socket of [client, upstream]) {
        sockets.add(socket)
        socket.once('close', () => sockets.delete(socket))
      }
      upstream.once('connect', async () => {
        await whenAccepted(behind.address, upstream)
        ports.set(client.remotePort!, upstream.localPort!)
        pass(client, upstream, faultOf())
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Shim(behind, server, ports, sockets)
  }

  handled(port: number): readonly Handled[] {
    const upstream = this.#ports.get(port)
    return upstream === undefined ? [] : this.#behind.handled(upstream)
  }

  forget(port: number): void {
    const upstream = this.#ports.get(port)
    this.#ports.delete(port)
    if (upstream !== undefined) this.#behind.forget(upstream)
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise(resolve => this.#server.close(resolve))
  }
}

function pass(client: Socket, upstream: Socket, fault: Fault): void {
  const toClient = (bytes: Buffer): void => void (client.writable && client.write(bytes))
  client.on('data', (bytes: Buffer) => {
    const changed = fault.toServer?.(bytes) ?? bytes
    if (changed.length > 0 && upstream.writable) upstream.write(changed)
  })
  client.on('end', () => upstream.end())
  upstream.on('data', (bytes: Buffer) => {
    if (fault.toClient === undefined) toClient(bytes)
    else fault.toClient(bytes, toClient)
  })
  upstream.on('end', () => void (fault.hidesEnd || client.end()))
  follow(client, upstream)
  follow(upstream, client)
  client.resume()
}

/** When one connection is gone, the other goes in the same way. */
function follow(one: Socket, other: Socket): void {
  let isReset = false
  one.on('error', () => (isReset = true))
  one.on('close', () => {
    if (isReset) other.resetAndDestroy()
    else other.destroySoon()
  })
}
