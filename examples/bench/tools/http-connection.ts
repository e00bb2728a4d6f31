import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

const CR_LF_CR_LF = Buffer.from('\r\n\r\n')
const CONTENT_LENGTH = 'content-length:'
// Large enough for two heads of answers. Bodies are only counted and not stored.
const READ_BUFFER_BYTES = 64 * 1024

/** The events that a connection reports to its owner. */
export interface HttpConnectionEvents {
  /** A whole answer has arrived. */
  answered(connection: HttpConnection, status: number, bodyBytes: number): void
  /** The socket was closed. `unanswered`: a request was in flight. */
  lost(connection: HttpConnection, unanswered: boolean): void
}

/**
 * A keep-alive HTTP/1.1 connection with one request in flight at a time. A prebuilt request is sent in one write, and
 * only status and content-length of an answer are read. This takes a third of the CPU of node:http's client, so that
 * the load generator does not limit the results.
 */
export class HttpConnection {
  /** The time at which the request in flight was due, in monotonic milliseconds. */
  intendedAtMs = 0
  /** How many answers to all connections had come when the request in flight was sent. */
  answersBefore = 0
  readonly #events: HttpConnectionEvents
  readonly #socket: Socket
  #readyEvent = 'connect'
  #busy = false
  #status = 0
  /** Bytes of the body that have not arrived yet. -1 while the head is incomplete. */
  #bodyBytesLeft = -1
  #bodyBytes = 0
  #head: Buffer = Buffer.alloc(0)

  /** @param ca certificate authority of the server's certificate; absent: no TLS */
  constructor(host: string, port: number, events: HttpConnectionEvents, ca?: string) {
    this.#events = events
    this.#socket = ca === undefined ? this.#connect(host, port) : this.#connectTls(host, port, ca)
    this.#socket.on('error', () => {})
    this.#socket.on('close', () => events.lost(this, this.#busy))
  }

  #connect(host: string, port: number): Socket {
    const buffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)
    const callback = (bytes: number): boolean => {
      this.#read(bytes, buffer)
      return true
    }
    return connect({ host, port, noDelay: true, onread: { buffer, callback } })
  }

  #connectTls(host: string, port: number, ca: string): Socket {
    this.#readyEvent = 'secureConnect'
    const socket = connectTls({ host, port, ca })
    socket.setNoDelay(true)
    return socket.on('data', (data: Buffer) => this.#read(data.length, data))
  }

  async opened(): Promise<void> {
    if (!this.#socket.connecting) return
    await new Promise<void>((resolve, reject) => {
      this.#socket.once(this.#readyEvent, resolve).once('error', reject)
    })
  }

  send(request: Buffer): void {
    this.#busy = true
    this.#bodyBytesLeft = -1
    this.#socket.write(request)
  }

  close(): void {
    this.#socket.destroy()
  }

  #read(bytes: number, buffer: Buffer): void {
    if (this.#bodyBytesLeft >= 0) {
      this.#bodyBytesLeft -= bytes
    } else if (!this.#readHead(this.#head.length === 0 ? buffer.subarray(0, bytes) : this.#joined(buffer, bytes))) {
      return
    }
    if (this.#bodyBytesLeft > 0) return
    this.#busy = false
    this.#events.answered(this, this.#status, this.#bodyBytes)
  }

  /** False while the head is incomplete, or when it cannot be understood (then the connection is closed). */
  #readHead(bytes: Buffer): boolean {
    const end = bytes.indexOf(CR_LF_CR_LF)
    if (end < 0) {
      this.#head = Buffer.from(bytes)
      return false
    }
    if (this.#head.length > 0) this.#head = Buffer.alloc(0)
    const length = contentLength(bytes, end)
    if (length === undefined) {
      this.#socket.destroy()
      return false
    }
    this.#status = (bytes[9]! - 48) * 100 + (bytes[10]! - 48) * 10 + (bytes[11]! - 48)
    this.#bodyBytes = length
    this.#bodyBytesLeft = length - (bytes.length - end - CR_LF_CR_LF.length)
    return true
  }

  #joined(buffer: Buffer, bytes: number): Buffer {
    return Buffer.concat([this.#head, buffer.subarray(0, bytes)])
  }
}

/**
 * The value of Content-Length in a head that ends at `end`. `undefined`: there is no such header, so the answer is
 * chunked.
 */
function contentLength(bytes: Buffer, end: number): number | undefined {
  const head = bytes.toString('latin1', 0, end).toLowerCase()
  const at = head.indexOf(CONTENT_LENGTH)
  if (at < 0) return undefined
  return Number.parseInt(head.slice(at + CONTENT_LENGTH.length), 10)
}

/** A whole GET request, ready to be written. */
export const getRequest = (path: string, headers: readonly string[] = []): Buffer =>
  Buffer.from(`GET ${path} HTTP/1.1\r\n${['Host: localhost', ...headers].join('\r\n')}\r\n\r\n`)

/** A whole POST request, ready to be written. */
export function postRequest(
  path: string,
  body: Buffer,
  headers: readonly string[] = [],
  type = 'application/json'
): Buffer {
  const lines = ['Host: localhost', `Content-Type: ${type}`, `Content-Length: ${body.length}`, ...headers]
  const head = `POST ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`
  return Buffer.concat([Buffer.from(head), body])
}
