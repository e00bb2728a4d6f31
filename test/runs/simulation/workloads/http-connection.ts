import { connect, type Socket } from 'node:net'

export interface HttpResponse {
  readonly status: number
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

export interface HttpConnectionEvents {
  onResponse(response: HttpResponse): void
  /** The connection is over, whoever ended it. */
  onClose(): void
}

const HEAD_END = '\r\n\r\n'

/**
 * A request as it goes over the wire.
 *
 * @param body a character for each byte
 */
export function requestText(method: string, path: string, body?: string, contentType = 'application/json'): string {
  const about = body === undefined ? '' : `content-type: ${contentType}\r\ncontent-length: ${body.length}\r\n`
  return `${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n${about}\r\n${body ?? ''}`
}

/** One HTTP/1.1 connection of a client that sends bytes as it likes and takes answers one after another. */
export class HttpConnection {
  readonly #socket: Socket
  readonly #events: HttpConnectionEvents
  #received = ''

  constructor(host: string, port: number, events: HttpConnectionEvents) {
    this.#events = events
    this.#socket = connect({ host, port })
    this.#socket.setEncoding('latin1')
    this.#socket.on('data', (text: string) => this.#take(text))
    this.#socket.on('error', () => undefined)
    this.#socket.on('close', () => events.onClose())
  }

  send(text: string): void {
    this.#socket.write(text, 'latin1')
  }

  /** Reads no more answers. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #take(text: string): void {
    this.#received += text
    for (;;) {
      const headEnd = this.#received.indexOf(HEAD_END)
      if (headEnd < 0) return
      const { status, headers } = parseHead(this.#received.slice(0, headEnd))
      const bodyStart = headEnd + HEAD_END.length
      const bodyEnd = bodyStart + Number(headers.get('content-length') ?? 0)
      if (this.#received.length < bodyEnd) return
      const body = this.#received.slice(bodyStart, bodyEnd)
      this.#received = this.#received.slice(bodyEnd)
      this.#events.onResponse({ status, headers, body })
    }
  }
}

function parseHead(head: string): Pick<HttpResponse, 'status' | 'headers'> {
  const [statusLine = '', ...lines] = head.split('\r\n')
  const headers = new Map(
    lines.map(line => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
    })
  )
  return { status: Number(statusLine.split(' ')[1]), headers }
}
