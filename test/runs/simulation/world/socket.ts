import { Socket } from 'node:net'
import type { Host } from './host.js'
import type { Pipe } from './pipe.js'
import type { SimulatedTime, Task } from './time.js'

/** Node's way of reading into memory of the reader's own. */
export interface OnRead {
  buffer(): Buffer
  callback(bytes: number, buffer: Buffer): boolean
}

interface Written {
  readonly chunk: Buffer | string
  readonly encoding: BufferEncoding
}

const errno = (code: string, what: string): Error =>
  Object.assign(new Error(`${what} ${code}`), { code, syscall: what })

/** One end of a simulated connection: a socket of Node whose operating system is the simulated network. */
export class SimulatedSocket extends Socket {
  readonly host: Host
  readonly #time: SimulatedTime
  readonly #onRead: OnRead | undefined
  /** Towards the other end. Undefined while connecting. */
  #out: Pipe | undefined
  /** From the other end. */
  #in: Pipe | undefined
  #wantsToRead = false
  #bytesRead = 0
  #bytesWritten = 0
  #timeoutMs = 0
  #lastActivity = 0
  #timeoutTask: Task | undefined
  /** Handed over while connecting. */
  #early: (() => void)[] = []
  onClosed: (() => void) | undefined

  constructor(time: SimulatedTime, host: Host, options: { allowHalfOpen: boolean; onRead?: OnRead | undefined }) {
    super({ allowHalfOpen: options.allowHalfOpen })
    this.#time = time
    this.host = host
    this.#onRead = options.onRead
    // Node has them as accessors of the prototype, where they ask the operating system.
    Object.defineProperties(this, {
      bytesRead: { get: () => this.#bytesRead },
      bytesWritten: { get: () => this.#bytesWritten },
      connecting: { value: false, writable: true }
    })
    this.on('resume', () => this.#in?.wanted())
  }

  /** Gives it the other end and its addresses. */
  join(out: Pipe, input: Pipe, local: { host: string; port: number }, remote: { host: string; port: number }): void {
    this.#out = out
    this.#in = input
    Object.defineProperties(this, {
      remoteAddress: { value: remote.host },
      remotePort: { value: remote.port },
      remoteFamily: { value: 'IPv4' },
      localAddress: { value: local.host },
      localPort: { value: local.port }
    })
  }

  /** The connection stands. */
  connected(): void {
    if (this.destroyed) return
    ;(this as { connecting: boolean }).connecting = false
    for (const action of this.#early.splice(0)) action()
    this.emit('connect')
    this.emit('ready')
  }

  /** Bytes have arrived. */
  receive(bytes: Buffer): void {
    this.#touch()
    this.#bytesRead += bytes.length
    if (this.#onRead === undefined) {
      this.#wantsToRead = this.push(bytes)
      return
    }
    for (let at = 0; at < bytes.length && !this.destroyed; ) {
      const capacity = this.#onRead.buffer()
      const taken = bytes.copy(capacity, 0, at)
      at += taken
      this.#onRead.callback(taken, capacity)
    }
  }

  /** Nothing more will come. */
  receiveEnd(): void {
    this.push(null)
    this.read(0)
  }

  /** The other end, or the network, has broken the connection. */
  receiveReset(code = 'ECONNRESET', what = 'read'): void {
    if (!this.destroyed) this.destroy(errno(code, what))
  }

  get isReading(): boolean {
    return this.#onRead !== undefined || (this.#wantsToRead && !this.#isStopped)
  }

  /**
   * Node's HTTP server listens to the pause, and stops reading from the operating system; other sockets read on until
   * their buffer is full.
   */
  get #isStopped(): boolean {
    return this.isPaused() && this.listenerCount('pause') > 0
  }

  override _read(): void {
    this.#wantsToRead = true
    this.#in?.wanted()
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send([{ chunk, encoding }], done)
  }

  override _writev(chunks: Written[], done: (error?: Error | null) => void): void {
    this.#send(chunks, done)
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#out === undefined) return void this.#early.push(() => this._final(done))
    this.#out.end()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#timeoutTask?.cancel()
    this.#early = []
    const { resetAndClosing: isReset = false } = this as { resetAndClosing?: boolean }
    this.#out?.closedBySender(isReset || (this.#in?.unreadBytes ?? 0) > 0)
    this.#in?.closedByReceiver()
    const server = this.onClosed
    this.onClosed = undefined
    this.#time.schedule(0, this.host, 'close', () => {
      done(error)
      server?.()
      // Sockets tell of their closing themselves, after the error that they close with.
      process.nextTick(() => this.emit('close', error !== null))
    })
  }

  // What Node's own would ask of the operating system.
  override setTimeout(timeoutMs: number, callback?: () => void): this {
    this.#timeoutMs = timeoutMs
    ;(this as { timeout?: number }).timeout = timeoutMs
    this.#timeoutTask?.cancel()
    if (callback !== undefined) {
      if (timeoutMs > 0) this.once('timeout', callback)
      else this.removeListener('timeout', callback)
    }
    if (timeoutMs > 0 && !this.destroyed) {
      this.#touch()
      this.#watchTimeout(timeoutMs)
    }
    return this
  }
  override setNoDelay(): this {
    return this
  }
  override setKeepAlive(): this {
    return this
  }
  override ref(): this {
    return this
  }
  override unref(): this {
    return this
  }
  override resetAndDestroy(): this {
    ;(this as { resetAndClosing?: boolean }).resetAndClosing = true
    return this.destroy()
  }
  override address() {
    return { address: this.localAddress ?? '', port: this.localPort ?? 0, family: 'IPv4' }
  }

  #send(chunks: readonly Written[], done: () => void): void {
    if (this.#out === undefined) return void this.#early.push(() => this.#send(chunks, done))
    this.#touch()
    const last = chunks.length - 1
    for (const [index, { chunk, encoding }] of chunks.entries()) {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk
      this.#bytesWritten += bytes.length
      this.#out.write(bytes, index === last ? done : undefined)
    }
  }

  #touch(): void {
    this.#lastActivity = this.#time.now
  }

  #watchTimeout(delayMs: number): void {
    this.#timeoutTask = this.#time.scheduleTimer(Math.max(1, Math.ceil(delayMs)), this.host, () => {
      const idleMs = this.#time.now - this.#lastActivity
      if (idleMs < this.#timeoutMs) return void this.#watchTimeout(this.#timeoutMs - idleMs)
      this.emit('timeout')
      if (!this.destroyed && this.#timeoutMs > 0) this.#watchTimeout(this.#timeoutMs)
    })
  }
}
