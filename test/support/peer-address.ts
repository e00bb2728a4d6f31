import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** The settings of gateways that know each other by these addresses. */
export const peerSettings = (addresses: readonly PeerAddress[]): Readonly<Record<string, string>> => ({
  'peers.addresses': addresses.map(({ text }) => text).join(','),
  'peers.listen': '127.0.0.1:0',
  'peers.token': 'a secret of more than thirty-two bytes'
})

/** An address at which a gateway will be: connections are passed on once it is known. */
export class PeerAddress {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  target: string | undefined
  /** Connections stay open, and nothing is passed on. */
  isSilent = false

  constructor() {
    this.#server = createServer(socket => this.#pass(socket))
  }

  async open(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return this
  }

  get text(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  silence(): void {
    this.isSilent = true
    for (const socket of this.#sockets) socket.unpipe()
  }

  /** Ends all connections and lets no other one through, until there is a target again. */
  cut(): void {
    this.target = undefined
    for (const socket of this.#sockets) socket.destroy()
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #pass(socket: Socket): void {
    const ends = [socket]
    if (this.target !== undefined && !this.isSilent) {
      const onward = connect(Number(this.target.split(':')[1]), '127.0.0.1')
      socket.pipe(onward)
      onward.pipe(socket)
      ends.push(onward)
    } else if (!this.isSilent) socket.destroy()
    for (const end of ends) {
      this.#sockets.add(end)
      end.on('error', () => undefined)
      end.on('close', () => {
        this.#sockets.delete(end)
        for (const other of ends) other.destroy()
      })
    }
  }
}
