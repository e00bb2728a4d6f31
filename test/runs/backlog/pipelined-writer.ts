import { once } from 'node:events'
import { connect } from 'node:net'

/** Requests of one connection that wait for their answers. */
const DEPTH = 64

export interface WriterOptions {
  readonly port: number
  readonly host: string
  /** `/arion/async/orders/k1` and the body of the next request; `undefined`: there is none. */
  readonly next: () => { readonly path: string; readonly body: Buffer } | undefined
}

/** Writes requests one behind the other over one connection. Resolves to the answers by status. */
export async function writePipelined({ port, host, next }: WriterOptions): Promise<Map<number, number>> {
  const socket = connect(port, host)
  await once(socket, 'connect')
  const statuses = new Map<number, number>()
  let waiting = 0
  let isAtEnd = false
  let received: Buffer = Buffer.alloc(0)
  const fill = (): void => {
    for (; waiting < DEPTH && !isAtEnd; waiting++) {
      const request = next()
      if (request === undefined) {
        isAtEnd = true
        break
      }
      const { path, body } = request
      socket.write(`POST ${path} HTTP/1.1\r\nhost: ${host}:${port}\r\ncontent-length: ${body.length}\r\n\r\n`)
      socket.write(body)
    }
    if (isAtEnd && waiting === 0) socket.end()
  }
  socket.on('data', (chunk: Buffer) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
    for (let answer = takeAnswer(received); answer; answer = takeAnswer(received)) {
      received = received.subarray(answer.end)
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
      waiting--
    }
    fill()
  })
  fill()
  await once(socket, 'close')
  if (waiting > 0) throw new Error(`the connection was closed with ${waiting} requests under way`)
  return statuses
}

/** The first whole answer in some bytes. */
function takeAnswer(bytes: Buffer): { readonly status: number; readonly end: number } | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd < 0) return undefined
  const head = bytes.toString('latin1', 0, headEnd)
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0)
  const end = headEnd + 4 + length
  return end <= bytes.length ? { status: Number(head.slice(9, 12)), end } : undefined
}
