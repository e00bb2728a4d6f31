import { connect, type Socket } from 'node:net'

/** A bare connection to a broker. It sends a frame and receives a frame. */
export class RawConnection {
  readonly #socket: Socket
  #chunks: Buffer[] = []
  #received = 0
  #expected = -1
  #resolve: (frame: Buffer) => void = () => {}
  #reject: (error: Error) => void = () => {}

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', chunk => this.#onData(chunk))
    socket.on('close', () => this.#reject(new Error('the broker closed the connection')))
  }

  static async open(host: string, port: number): Promise<RawConnection> {
    const socket = connect({ host, port, noDelay: true })
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve).once('error', reject)
    })
    return new RawConnection(socket)
  }

  /** Sends a frame, which begins with its size, and resolves with the answer. Only one call may be in flight. */
  call(frame: Buffer): Promise<Buffer> {
    return new Promise<Buffer>((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
      this.#socket.write(frame)
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #onData(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#received += chunk.length
    if (this.#expected < 0 && this.#received >= 4) this.#expected = 4 + this.#joined().readInt32BE(0)
    if (this.#expected < 0 || this.#received < this.#expected) return
    const frame = this.#joined()
    this.#chunks = []
    this.#received = 0
    this.#expected = -1
    this.#resolve(frame)
  }

  #joined(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)]
    return this.#chunks[0]!
  }
}
