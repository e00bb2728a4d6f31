import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { answerParent } from './child.js'

/** The same answer as the gateway's. */
const ANSWER = '{"status":"ok","errors":[]}'

/** Requests that were answered. */
let served = 0

/** Reads the body, parses it as JSON except for the path `/raw`, and answers. */
function serve(request: IncomingMessage, response: ServerResponse): void {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
  })
  request.on('end', () => {
    const body = Buffer.concat(chunks)
    if (request.url !== '/raw') JSON.parse(body.toString())
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': ANSWER.length })
    response.end(ANSWER)
    served++
  })
}

const LINE_END = 0x0a

/** Reads JSON line by line, while the request is open, and answers each line as Confluent's API does. */
function serveRecords(request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
  let rest: Buffer = Buffer.alloc(0)
  let offset = 0
  request.on('data', (chunk: Buffer) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    let text = ''
    let from = 0
    for (let end = bytes.indexOf(LINE_END); end >= 0; end = bytes.indexOf(LINE_END, from)) {
      const { value } = JSON.parse(bytes.toString('utf8', from, end)) as { value: { data: string } }
      const place = { cluster_id: 'bench', topic_name: 'push', partition_id: 0, offset: offset++ }
      const size = value.data.length + 2
      const data = { timestamp: new Date().toISOString(), value: { type: 'JSON', size } }
      text += `${JSON.stringify({ error_code: 200, ...place, ...data })}\r\n`
      from = end + 1
    }
    rest = bytes.subarray(from)
    if (text !== '') response.write(text)
  })
  request.on('end', () => response.end())
}

answerParent({
  served: () => served,
  start: () =>
    new Promise(resolve => {
      const server = createServer((request, response) => {
        if (request.url === '/records') serveRecords(request, response)
        else serve(request, response)
      })
      server.listen(0, '127.0.0.1', () => resolve({ port: (server.address() as AddressInfo).port }))
    })
})
