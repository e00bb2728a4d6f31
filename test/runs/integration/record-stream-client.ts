import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { checkAnswer } from '../../support/described-answers.js'

/** One answer of a stream of records. */
export interface RecordAnswer {
  readonly error_code: number
  readonly message?: string
  readonly partition_id?: number
  readonly offset?: number
  readonly [member: string]: unknown
}

/** A client that sends records and reads answers over one request that stays open. */
export class RecordStreamClient {
  readonly #url: string
  readonly #sent: ClientRequest
  readonly #response: Promise<IncomingMessage>
  /** Resolves when the answer has ended, or was cut off. */
  readonly ended: Promise<'ended' | 'cut'>
  #text = ''
  readonly #answers: RecordAnswer[] = []
  /** An answer is not as it is described. */
  #difference: unknown
  #waiting: (() => void)[] = []
  #isOver = false
  /** Bytes of the answer that have come. */
  readBytes = 0

  constructor(url: string, headers: Readonly<Record<string, string>> = { 'content-type': 'application/json' }) {
    this.#url = url
    this.#sent = request(url, { method: 'POST', headers, agent: false })
    this.#response = new Promise((resolve, reject) => {
      this.#sent.once('response', resolve)
      this.#sent.once('error', reject)
    })
    // The server may end a stream while the client sends.
    this.#sent.on('error', () => undefined)
    this.ended = this.#response.then(
      response =>
        new Promise(resolve => {
          response.on('data', (bytes: Buffer) => this.#came(response, bytes))
          const over = (how: 'ended' | 'cut') => (): void => {
            this.#isOver = true
            this.#wake()
            resolve(how)
          }
          response.once('end', over('ended'))
          response.once('error', over('cut'))
        }),
      () => {
        this.#isOver = true
        this.#wake()
        return 'cut'
      }
    )
    this.#sent.flushHeaders()
  }

  get response(): Promise<IncomingMessage> {
    return this.#response
  }

  /** @returns whether the client's own buffers are not full */
  send(...records: readonly (object | string)[]): boolean {
    return this.#sent.write(records.map(one => (typeof one === 'string' ? one : JSON.stringify(one))).join(''))
  }

  sendBytes(bytes: Buffer): boolean {
    return this.#sent.write(bytes)
  }

  /** Calls back once, when what was sent has left the client's buffers. */
  onDrain(drained: () => void): void {
    this.#sent.once('drain', drained)
  }

  end(): void {
    this.#sent.end()
  }

  destroy(): void {
    this.#sent.destroy()
  }

  /** The next answer; `undefined`: the answer has ended. Fails when an answer is not as it is described. */
  async next(): Promise<RecordAnswer | undefined> {
    while (this.#answers.length === 0 && !this.#isOver) await new Promise<void>(resolve => this.#waiting.push(resolve))
    if (this.#difference !== undefined) throw this.#difference
    return this.#answers.shift()
  }

  /** All answers until the end. */
  async rest(): Promise<RecordAnswer[]> {
    const all: RecordAnswer[] = []
    for (let one = await this.next(); one !== undefined; one = await this.next()) all.push(one)
    return all
  }

  #came(response: IncomingMessage, bytes: Buffer): void {
    this.readBytes += bytes.length
    const lines = (this.#text + bytes.toString()).split('\r\n')
    this.#text = lines.pop()!
    if (lines.length > 0) this.#check(response, `${lines.join('\r\n')}\r\n`)
    this.#answers.push(...lines.map(line => JSON.parse(line) as RecordAnswer))
    this.#wake()
  }

  #check({ statusCode = 0, headers }: IncomingMessage, body: string): void {
    const persisted = headers['x-castellan-persisted'] as string | undefined
    try {
      checkAnswer({
        method: 'POST',
        path: this.#url,
        status: statusCode,
        type: headers['content-type'],
        persisted,
        body
      })
    } catch (error) {
      this.#difference ??= error
    }
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const wake of waiting) wake()
  }
}
