import { connect, type Socket } from 'node:net'

export interface WebsocketEvents {
  onOpen(): void
  onText(text: string): void
  /** The connection is over, whoever ended it. */
  onClose(): void
}

const HEAD_END = '\r\n\r\n'
const SWITCHING = /^HTTP\/1\.1 101 /
const FINAL = 0x80
const MASKED = 0x80
const TEXT = 1
const CLOSE = 8
const SHORT_BYTES = 125
const MASK_BYTES = 4
const NORMAL_CLOSURE = Buffer.from([0x03, 0xe8])

/** A frame of a client: whole, and masked as the protocol demands. */
export function clientFrame(opcode: number, payload: Buffer, mask: number): Buffer {
  const isShort = payload.length <= SHORT_BYTES
  const head = Buffer.alloc((isShort ? 2 : 4) + MASK_BYTES)
  head[0] = FINAL | opcode
  head[1] = MASKED | (isShort ? payload.length : SHORT_BYTES + 1)
  if (!isShort) head.writeUInt16BE(payload.length, 2)
  head.writeUInt32BE(mask, head.length - MASK_BYTES)
  const key = head.subarray(head.length - MASK_BYTES)
  return Buffer.concat([head, payload.map((byte, index) => byte ^ key[index % MASK_BYTES]!)])
}

/** A websocket of a client over a simulated connection. */
export class WebsocketConnection {
  readonly #socket: Socket
  readonly #events: WebsocketEvents
  #received = Buffer.alloc(0)
  #isOpen = false

  constructor(host: string, port: number, path: string, events: WebsocketEvents) {
    this.#events = events
    this.#socket = connect({ host, port })
    this.#socket.on('data', (bytes: Buffer) => this.#take(bytes))
    this.#socket.on('error', () => undefined)
    this.#socket.on('close', () => events.onClose())
    const key = Buffer.alloc(16, 'key').toString('base64')
    const lines = ['host: 127.0.0.1', 'connection: upgrade', 'upgrade: websocket', 'sec-websocket-version: 13']
    this.#socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\nsec-websocket-key: ${key}${HEAD_END}`)
  }

  sendBytes(bytes: Buffer): void {
    this.#socket.write(bytes)
  }

  close(): void {
    if (this.#isOpen) this.#socket.write(clientFrame(CLOSE, NORMAL_CLOSURE, 0))
    else this.destroy()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #take(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes])
    if (!this.#isOpen) this.#takeHead()
    if (this.#isOpen) for (let length = this.#takeFrame(); length > 0; length = this.#takeFrame());
  }

  #takeHead(): void {
    const end = this.#received.indexOf(HEAD_END)
    if (end < 0) return
    if (!SWITCHING.test(this.#received.toString('latin1', 0, end))) return void this.destroy()
    this.#received = this.#received.subarray(end + HEAD_END.length)
    this.#isOpen = true
    this.#events.onOpen()
  }

  /** @returns the length of the frame; 0: it has not come as a whole */
  #takeFrame(): number {
    const bytes = this.#received
    if (bytes.length < 2) return 0
    const short = bytes[1]!
    const headBytes = short > SHORT_BYTES ? 4 : 2
    if (bytes.length < headBytes) return 0
    const frameBytes = headBytes + (short > SHORT_BYTES ? bytes.readUInt16BE(2) : short)
    if (bytes.length < frameBytes) return 0
    this.#received = bytes.subarray(frameBytes)
    const opcode = bytes[0]! & 0x0f
    if (opcode === TEXT) this.#events.onText(bytes.toString('utf8', headBytes, frameBytes))
    // The server closes the connection when it has the answer to its close frame.
    if (opcode === CLOSE) this.#socket.end(clientFrame(CLOSE, NORMAL_CLOSURE, 0))
    return frameBytes
  }
}
