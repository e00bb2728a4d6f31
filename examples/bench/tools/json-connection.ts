import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

const CR_LF_CR_LF = '\r\n\r\n'
const CONTENT_LENGTH = /\r\ncontent-length: *(\d+)/i

/** A keep-alive HTTP/1.1 connection with one request in flight at a time, whose bodies are JSON. */
export class JsonConnection {
  readonly #socket: Socket
  #chunks: Buffer[] = []
  #received = 0
  /** Length of the whole answer; 0: its head is incomplete. */
  #expected = 0
  #headLength = 0
  #resolve: (answer: Buffer) => void = () => {}
  #reject: (error: Error) => void = () => {}

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', chunk => this.#read(chunk))
    socket.on('error', () => {})
    socket.on('close', () => this.#reject(new Error('the gateway closed the connection')))
  }

  static async open(port: number): Promise<JsonConnection> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    await once(socket, 'connect')
    return new JsonConnection(socket)
  }

  /** @throws Error with the body when the status is not 200, or when the connection is closed */
  async post<Answer>(path: string, content: object): Promise<Answer> {
    const body = JSON.stringify(content)
    const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`
    const answer = await new Promise<Buffer>((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
      this.#socket.write(`${head}Content-Length: ${Buffer.byteLength(body)}${CR_LF_CR_LF}${body}`)
    })
    const text = answer.toString('utf8', this.#headLength)
    const status = answer.toString('latin1', 9, 12)
    if (status !== '200') throw new Error(`${path} was answered ${status}: ${text}`)
    return JSON.parse(text) as Answer
  }

  close(): void {
    this.#socket.destroy()
  }

  #read(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#received += chunk.length
    if (this.#expected === 0) this.#readHead()
    if (this.#expected === 0 || this.#received < this.#expected) return
    const answer = this.#joined()
    this.#chunks = []
    this.#received = this.#expected = 0
    this.#resolve(answer)
  }

  #readHead(): void {
    const bytes = this.#joined()
    const end = bytes.indexOf(CR_LF_CR_LF)
    if (end < 0) return
    this.#headLength = end + CR_LF_CR_LF.length
    const [, length] = CONTENT_LENGTH.exec(bytes.toString('latin1', 0, end)) ?? []
    if (length === undefined) this.#socket.destroy(new Error('an answer has no length'))
    else this.#expected = this.#headLength + Number(length)
  }

  #joined(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)]
    return this.#chunks[0]!
  }
}
