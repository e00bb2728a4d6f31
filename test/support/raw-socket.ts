import { connect, type Socket } from 'node:net'

/** A client that sends bytes as they are and ends its connection as it likes. */
export class RawSocket {
  readonly #socket: Socket
  #received = ''
  #isClosed = false
  #wake: () => void = () => undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding('latin1')
    socket.on('data', text => {
      this.#received += text
      this.#wake()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.#isClosed = true
      this.#wake()
    })
  }

  /** @param url `http://HOST:PORT` or `unix:PATH` */
  static open(url: string): Promise<RawSocket> {
    const socket = url.startsWith('unix:') ? connect(url.slice(5)) : connectTo(new URL(url))
    const client = new RawSocket(socket)
    return new Promise((resolve, reject) => {
      socket.once('connect', () => resolve(client))
      socket.once('error', reject)
    })
  }

  /** All that came until now. */
  get received(): string {
    return this.#received
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** How many answers began, `100 Continue` not counted. */
  get answers(): number {
    return this.#received.match(/HTTP\/1\.1 [2-5]\d\d /g)?.length ?? 0
  }

  /** Resolves when the bytes have been handed to the operating system, or cannot be any more. */
  send(bytes: string | Buffer): Promise<void> {
    return new Promise(resolve => this.#socket.write(bytes, () => resolve()))
  }

  /** Says that nothing more will come. */
  end(): void {
    this.#socket.end()
  }

  /** Ends with FIN, whatever has been received. */
  destroy(): void {
    this.#socket.destroy()
  }

  /** Ends with RST. */
  reset(): void {
    this.#socket.resetAndDestroy()
  }

  pause(): void {
    this.#socket.pause()
  }

  async until(isEnough: (received: string) => boolean): Promise<string> {
    while (!this.#isClosed && !isEnough(this.#received)) await new Promise<void>(resolve => (this.#wake = resolve))
    return this.#received
  }

  /** Everything until the server ends the connection. */
  untilClosed(): Promise<string> {
    return this.until(() => false)
  }
}

const connectTo = ({ hostname, port }: URL): Socket => connect(Number(port), hostname.replace(/^\[|\]$/g, ''))

/** Sends and gives back everything until the server ends the connection. */
export async function askRaw(url: string, bytes: string | Buffer): Promise<string> {
  const socket = await RawSocket.open(url)
  await socket.send(bytes)
  const answer = await socket.untilClosed()
  socket.destroy()
  return answer
}
